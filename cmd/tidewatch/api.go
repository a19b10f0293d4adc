package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/internal/kafkaclient"
	"github.com/tidewatch/tidewatch/serve"
	"github.com/tidewatch/tidewatch/serve/page"
	sinkkafka "github.com/tidewatch/tidewatch/sinks/kafka"
	"github.com/tidewatch/tidewatch/sinks/postgres"
	"github.com/tidewatch/tidewatch/sinks/redis"
	"github.com/tidewatch/tidewatch/stream"
)

// newAPI is the API of the worker.
func (w *worker) newAPI(l net.Listener, view *statusView) (*serve.Server, error) {
	var tokens *serve.Tokens
	if file := w.config.HTTP.Tokens; file != "" {
		var err error
		if tokens, err = serve.OpenTokens(file, clock.System{}, w.log); err != nil {
			return nil, fail(exitUsage, err)
		}
	}
	files, err := page.Handler()
	if err != nil {
		return nil, err
	}
	s, err := serve.New(serve.Config{
		Listener: l, Status: view, Alerts: w.db.Alerts(), Rollups: rollupsView{w.redis}, Log: logView{kafkaConfig(w.config.Kafka), w.producer},
		Clock: clock.System{}, Logger: w.log, Version: version, Applier: w.versions, Tokens: tokens, Page: files, Limits: serve.DefaultLimits(),
	})
	return s, fail(exitUsage, err)
}

// rollupsView shows Redis as the API wants it. It implements serve.Rollups.
type rollupsView struct{ client *redis.Client }

// Outputs implements serve.Rollups.
func (v rollupsView) Outputs(ctx context.Context) ([]serve.RollupOutput, error) {
	all, err := v.client.Outputs(ctx)
	out := make([]serve.RollupOutput, len(all))
	for i := range all {
		out[i] = rollupOutput(&all[i])
	}
	return out, err
}

func rollupOutput(o *redis.Output) serve.RollupOutput {
	r := serve.RollupOutput{Pipeline: o.Pipeline, Name: o.Name, Instance: o.Instance, Groups: o.Groups, Window: o.Window, Every: o.Every, Keep: o.Keep, Since: o.Since}
	if o.Before != nil {
		before := rollupOutput(o.Before)
		r.Before = &before
	}
	for _, c := range o.Columns {
		r.Fields = append(r.Fields, stream.Field{Name: c.Name, Kind: stream.KindOf(c.Kind)})
	}
	return r
}

func redisOutput(r *serve.RollupOutput) redis.Output {
	o := redis.Output{
		Pipeline: r.Pipeline, Name: r.Name, Instance: r.Instance, Columns: redis.ColumnsOf(&stream.Schema{Fields: r.Fields}), Groups: r.Groups,
		Window: r.Window, Every: r.Every, Keep: r.Keep, Since: r.Since,
	}
	if r.Before != nil {
		before := redisOutput(r.Before)
		o.Before = &before
	}
	return o
}

// Read implements serve.Rollups.
func (v rollupsView) Read(ctx context.Context, q serve.RollupQuery) (*serve.RollupResult, error) {
	r, err := v.client.Read(ctx, redis.Query{Output: redisOutput(&q.Output), From: q.From, To: q.To, Where: q.Where, Columns: q.Columns})
	if err != nil {
		return nil, err
	}
	out := &serve.RollupResult{Series: make([]serve.RollupSeries, len(r.Series)), CompleteThrough: r.CompleteThrough}
	for i := range r.Series {
		out.Series[i] = serve.RollupSeries(r.Series[i])
	}
	return out, nil
}

// Subscribe implements serve.Rollups.
func (v rollupsView) Subscribe(ctx context.Context, o serve.RollupOutput, f func(serve.RollupNotice)) error {
	return v.client.Subscribe(ctx, redisOutput(&o), func(n redis.Notice) { f(serve.RollupNotice{Windows: n.Windows, Gap: n.Gap}) })
}

// logView is the broker as the API wants it. It implements serve.Log.
type logView struct {
	config   kafkaclient.Config
	producer *sinkkafka.Client
}

// Append implements serve.Log.
func (v logView) Append(ctx context.Context, records []serve.LogRecord) ([]serve.LogPlace, []error) {
	all := make([]sinkkafka.Record, len(records))
	for i, r := range records {
		all[i] = sinkkafka.Record{Topic: r.Topic, Partition: -1, Key: r.Key, Value: r.Value}
	}
	sent, errs := v.producer.Send(ctx, all)
	places := make([]serve.LogPlace, len(sent))
	for i := range sent {
		places[i] = serve.LogPlace{Topic: sent[i].Topic, Partition: sent[i].Partition, Offset: sent[i].Offset}
	}
	return places, errs
}

// Record implements serve.Log.
func (v logView) Record(ctx context.Context, at serve.LogPlace) (serve.LogEntry, error) {
	r, err := sinkkafka.Find(ctx, v.config, at.Topic, at.Partition, at.Offset)
	if err != nil {
		return serve.LogEntry{}, noRecord(err)
	}
	return entryOf(r), nil
}

func entryOf(r *kgo.Record) serve.LogEntry {
	e := serve.LogEntry{LogPlace: serve.LogPlace{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}, Timestamp: r.Timestamp, Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		e.Headers = append(e.Headers, serve.RecordHeader{Key: h.Key, Value: strings.ToValidUTF8(string(h.Value), "\uFFFD")})
	}
	return e
}

func noRecord(err error) error {
	if errors.Is(err, sinkkafka.ErrNoRecord) {
		return fmt.Errorf("%w: %w", serve.ErrNoRecord, err)
	}
	return err
}

// Letters implements serve.Log.
func (v logView) Letters(ctx context.Context, f serve.LetterFilter) (serve.LetterPage, error) {
	filter := &deadFilter{pipeline: f.Pipeline, topic: f.Topic, reason: f.Reason}
	for _, k := range f.Kinds {
		filter.kinds = append(filter.kinds, string(k))
	}
	page, err := sinkkafka.DeadRecordsBefore(ctx, v.config, sinkkafka.Backwards{
		Cursor: f.Cursor, Limit: f.Limit, Budget: f.Budget,
		Passes: func(d *sinkkafka.DeadRecord) bool {
			return filter.passes(d) && slices.Contains(f.States, serve.LetterState(d.State()))
		},
	})
	out := serve.LetterPage{Cursor: page.Cursor, Scanned: page.Scanned, OnTopic: page.OnTopic}
	for _, d := range page.Records {
		out.Items = append(out.Items, letterOf(d))
	}
	return out, err
}

// Letter implements serve.Log.
func (v logView) Letter(ctx context.Context, partition int32, offset int64) (serve.Letter, error) {
	d, err := sinkkafka.FindDeadRecord(ctx, v.config, sinkkafka.LetterID{Partition: partition, Offset: offset})
	if err != nil {
		return serve.Letter{}, noRecord(err)
	}
	return letterOf(d), nil
}

func letterOf(d *sinkkafka.DeadRecord) serve.Letter {
	l := serve.Letter{
		Topic: d.Topic, Incarnation: d.Incarnation, Partition: d.Partition, Offset: d.Offset, Timestamp: d.Timestamp, Key: d.Key, Raw: d.Raw, Size: d.Size,
		State: serve.LetterState(d.State()), Handled: handlingOf(d.Handled()),
	}
	for i := range d.Rejections {
		r := &d.Rejections[i]
		l.Rejections = append(l.Rejections, serve.LetterRejection{
			ID: r.ID.String(), Pipeline: r.Pipeline, Kind: serve.LetterKind(r.Kind), Reason: r.Reason, Detail: r.Detail, Written: r.Written, Handled: handlingOf(r.Handled),
		})
	}
	return l
}

func handlingOf(h *sinkkafka.Handling) *serve.LetterHandling {
	if h == nil {
		return nil
	}
	return &serve.LetterHandling{State: serve.LetterState(h.State), By: h.By, At: h.At, Note: h.Note, SentTo: h.SentTo}
}

// ledgerOf reads the rows of all tasks.
func ledgerOf(ctx context.Context, store *postgres.ClaimStore) (rows []serve.LedgerRow, err error) {
	err = store.Each(ctx, func(task string, epoch int64, record []byte) error {
		if epoch == 0 {
			return nil
		}
		row, err := ledgerRowOf(task, epoch, record)
		rows = append(rows, row)
		return err
	})
	return rows, err
}

func ledgerRowOf(task string, epoch int64, record []byte) (serve.LedgerRow, error) {
	row, err := ledgerOfRow(task, epoch, record)
	if err != nil {
		return serve.LedgerRow{}, err
	}
	pipeline, stage, topic, partition := placeOf(task)
	return serve.LedgerRow{
		Task: task, Pipeline: pipeline, Stage: stage, Topic: topic, Partition: partition, Epoch: epoch, First: row.First, Offset: row.Offset, Ledger: row.Ledger,
		Gaps: row.Gaps, Difference: row.Difference,
	}, nil
}

// placeOf takes the key of a task's row apart: INSTANCE/STAGE/TOPIC.INCARNATION/PARTITION.
func placeOf(task string) (pipeline, stage, topic string, partition int32) {
	parts := strings.Split(task, "/")
	if len(parts) != 4 {
		return task, "", "", -1
	}
	pipeline, _, _ = strings.Cut(parts[0], "@")
	topic = parts[2]
	if i := strings.LastIndexByte(topic, '.'); i >= 0 {
		topic = topic[:i]
	}
	n, err := strconv.ParseInt(parts[3], 10, 32)
	if err != nil {
		n = -1
	}
	return pipeline, parts[1], topic, int32(n)
}
