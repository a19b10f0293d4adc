package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
	"github.com/tidewatch/tidewatch/benchmarks/oracle"
	"github.com/tidewatch/tidewatch/sources/generate"
	"github.com/tidewatch/tidewatch/stream"
)

//go:embed pipelines/exact.yaml
var exactPipeline []byte

const (
	exactPartitions = 4
	exactMerges     = 4
	exactHosts      = 2000
)

// exactRun is one run of show-exact.
type exactRun struct {
	c         *bed.Cluster
	rng       *rand.Rand
	events    int64
	killEvery time.Duration
	rate      int64
	rush      rush
	file      string
	kills     int
	pauseAt   int64         // event before which the producer waits for resume; 0 never
	paused    chan struct{} // closed when it does
	resume    chan struct{}
}

// exactReport is the line that show-exact prints.
type exactReport struct {
	Events      int64          `json:"events"`
	Kills       int            `json:"kills"`
	Rollups     equality       `json:"rollups"`
	ArchiveRows int64          `json:"archive_rows"`
	Transitions equality       `json:"transitions"`
	DeadLetters int64          `json:"dead_letters"`
	LedgerDiff  int64          `json:"ledger_diff"`
	Ledger      map[string]any `json:"ledger"`
	Seconds     float64        `json:"seconds"`
}

type equality struct {
	Expected int `json:"expected"`
	Equal    int `json:"equal"`
}

// exact shows that kills change nothing: rollups, archive and alerts equal what SQL says of the generator's file.
func exact(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("exact", flag.ContinueOnError)
	r := &exactRun{}
	binary := f.String("binary", "bin/tidewatch", "the product")
	workers := f.Int("workers", 3, "worker processes")
	seed := f.Uint64("seed", 7, "seed of events and kills")
	f.Int64Var(&r.events, "events", 2_000_000, "events")
	f.DurationVar(&r.killEvery, "kill-every", 5*time.Second, "time between kills")
	f.Int64Var(&r.rate, "rate", 0, "events a second; 0 makes the run long enough for a dozen kills")
	keep := f.String("dir", "", "folder for files and logs; default a temporary one, removed when all is equal")
	if err := f.Parse(args); err != nil {
		return err
	}
	if r.rate == 0 {
		r.rate = max(r.events/int64(max(14*r.killEvery.Seconds(), 75)), 1)
	}
	r.rng = rand.New(rand.NewPCG(*seed, 99))
	dir, done, err := workFolder(*keep, "show-exact")
	if err != nil {
		return err
	}
	if r.c, err = bed.For(ctx, dir, *binary, "exact.yaml", exactPipeline); err != nil {
		return err
	}
	report, err := r.all(ctx, *workers, *seed)
	err = errors.Join(err, r.c.Close())
	if err != nil {
		return err
	}
	return done(printReport(report, report.good()))
}

func (r *exactReport) good() bool {
	return r.Rollups.Expected > 0 && r.Rollups.Expected == r.Rollups.Equal && r.ArchiveRows == r.Events &&
		r.Transitions.Expected > 0 && r.Transitions.Expected == r.Transitions.Equal && r.DeadLetters == 0 && r.LedgerDiff == 0
}

// all produces, kills, waits, and compares.
func (r *exactRun) all(ctx context.Context, workers int, seed uint64) (*exactReport, error) {
	began := time.Now()
	if err := r.c.CreateTopic(ctx, "metrics", exactPartitions); err != nil {
		return nil, err
	}
	for i := range workers {
		if _, err := r.c.AddWorker(ctx, fmt.Sprintf("worker-%d", i)); err != nil {
			return nil, err
		}
	}
	produced := make(chan error, 1)
	go func() { produced <- r.produce(ctx, seed) }()
	if err := r.disturb(ctx, produced); err != nil {
		return nil, err
	}
	progress("all %d events are produced, %d kills; waiting until everything is read", r.events, r.kills)
	report, err := r.judge(ctx)
	if err == nil {
		report.Seconds = math.Round(time.Since(began).Seconds())
	}
	return report, err
}

// judge waits until everything is read, and compares.
func (r *exactRun) judge(ctx context.Context) (*exactReport, error) {
	o, err := r.oracle(ctx)
	if err != nil {
		return nil, err
	}
	var end []struct {
		Mark int64 `json:"mark"`
	}
	if err := o.Query(ctx, "SELECT mark FROM final_mark", &end); err != nil {
		return nil, err
	}
	tasks, err := r.c.Await(ctx, 4*time.Minute, []bed.Want{{Pipeline: "exact", Stage: "fold", Tasks: exactPartitions}, {Pipeline: "exact", Stage: "merge", Tasks: exactMerges}, {Pipeline: "archive.metrics", Stage: "archive", Tasks: exactPartitions}},
		func(all []bed.Task) bool { return reached(all, time.UnixMilli(end[0].Mark)) })
	if err != nil {
		return nil, err
	}
	return r.compare(ctx, o, tasks)
}

// reached reports whether the second stage has passed the mark everywhere.
func reached(all []bed.Task, mark time.Time) bool {
	for _, t := range all {
		if t.Pipeline == "exact" && t.Stage == "merge" && (t.Watermark == nil || t.Watermark.Before(mark)) {
			return false
		}
	}
	return true
}

// produce writes the events to the oracle's file and to Kafka, and at the end closing events: they carry the watermark of
// every partition past all windows, and their broker timestamps begin a new part of the archive.
func (r *exactRun) produce(ctx context.Context, seed uint64) error {
	c := generate.Default("bench")
	c.Seed, c.Hosts, c.Partitions, c.NilKeys = seed, exactHosts, exactPartitions, true
	c.Start = stream.TimeOf(time.Now().Add(-time.Hour).Truncate(time.Second))
	g, err := generate.New(c)
	if err != nil {
		return err
	}
	r.file = filepath.Join(r.c.Dir, "events.jsonl")
	file, err := os.Create(r.file)
	if err != nil {
		return err
	}
	defer file.Close()
	w := bufio.NewWriterSize(file, 1<<20)
	began := time.Now()
	var last stream.Time
	for i := range r.events {
		var e generate.Event
		g.Event(i, &e)
		last = max(last, e.Time)
		r.send(ctx, e.Partition, e.Value, time.Time{})
		_, _ = w.Write(append(e.Value, '\n')) // Flush reports it
		if r.pauseAt > 0 && i == r.pauseAt {
			if err := r.c.Client.Flush(ctx); err != nil {
				return err
			}
			close(r.paused)
			select {
			case <-r.resume:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if i%1000 == 0 {
			if !sleepUntil(ctx, began.Add(r.due(i))) {
				return ctx.Err()
			}
		}
	}
	later := time.Now().Add(10 * time.Minute)
	for k := range 6 {
		for p := range int32(exactPartitions) {
			at := last.Add(time.Duration(k+1) * 50 * time.Second)
			value := fmt.Appendf(nil, `{"time":%d,"name":"closing","value":1,"host":"closing-%d"}`, int64(at)/int64(time.Millisecond), p)
			r.send(ctx, p, value, later)
			_, _ = w.Write(append(value, '\n'))
		}
	}
	return errors.Join(w.Flush(), r.c.Client.Flush(ctx))
}

// rush is a span of events that come several times as fast as the others; none if it is empty.
type rush struct {
	from, to int64
	times    float64
}

// due is how long after the first event the event i is sent.
func (r *exactRun) due(i int64) time.Duration {
	n := float64(i)
	if fast := min(i, r.rush.to) - r.rush.from; fast > 0 {
		n -= float64(fast) * (1 - 1/r.rush.times)
	}
	return time.Duration(n / float64(r.rate) * float64(time.Second))
}

func sleepUntil(ctx context.Context, due time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Until(due)):
		return true
	}
}

func (r *exactRun) send(ctx context.Context, partition int32, value []byte, at time.Time) {
	r.c.Client.Produce(ctx, &kgo.Record{Topic: "metrics", Partition: partition, Value: value, Timestamp: at}, func(_ *kgo.Record, err error) {
		if err != nil && ctx.Err() == nil {
			progress("produce: %v", err)
		}
	})
}

// disturb kills a worker at random every killEvery; once one stands still for 30 s and wakes, and once all die together.
func (r *exactRun) disturb(ctx context.Context, produced <-chan error) error {
	var asleep *bed.Worker
	var wake time.Time
	for n := 1; ; n++ {
		select {
		case err := <-produced:
			if asleep != nil {
				sleepUntil(ctx, wake)
				asleep.Signal(syscall.SIGCONT)
			}
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(r.killEvery):
		}
		if asleep != nil && time.Now().After(wake) {
			progress("%s wakes", asleep.ID)
			asleep.Signal(syscall.SIGCONT)
			asleep = nil
		}
		w := r.c.Workers[r.rng.IntN(len(r.c.Workers))]
		var err error
		switch {
		case n == 3:
			progress("%s stands still for 30 s", w.ID)
			w.Signal(syscall.SIGSTOP)
			asleep, wake = w, time.Now().Add(30*time.Second)
		case n == 11:
			asleep, err = nil, r.kill(ctx, r.c.Workers...)
		case w != asleep:
			err = r.kill(ctx, w)
		}
		if err != nil {
			return err
		}
	}
}

// kill kills the workers, all before the first starts again.
func (r *exactRun) kill(ctx context.Context, workers ...*bed.Worker) error {
	for _, w := range workers {
		progress("%s dies", w.ID)
		w.Kill()
		r.kills++
	}
	for _, w := range workers {
		if err := w.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// oracle runs the SQL over the file.
func (r *exactRun) oracle(ctx context.Context) (*oracle.Oracle, error) {
	return oracle.New(ctx, r.c.Dir, map[string]any{
		"events": r.file, "partitions": exactPartitions, "size": 10_000, "out_of_order": 2000, "lateness": 60_000,
		"threshold": 990, "hold": 20_000,
		"archive": filepath.Join(r.c.S3.Folder(), "objects", r.c.Bucket.Bucket, r.c.Name, "raw", "topic=metrics"),
	}, "rollups.sql", "transitions.sql")
}

// rollupRow is a row of either side.
type rollupRow struct {
	Start   int64   `json:"start"`
	Host    string  `json:"host"`
	Samples int64   `json:"samples"`
	Total   float64 `json:"total"`
	Least   float64 `json:"least"`
	Most    float64 `json:"most"`
}

func (a *rollupRow) equal(b *rollupRow) bool {
	return a.Samples == b.Samples && a.Least == b.Least && a.Most == b.Most && math.Abs(a.Total-b.Total) <= 1e-9*math.Abs(a.Total)
}

func (r *exactRun) compare(ctx context.Context, o *oracle.Oracle, tasks []bed.Task) (*exactReport, error) {
	report := &exactReport{Events: r.events, Kills: r.kills, Ledger: map[string]any{}}
	if err := r.compareRollups(ctx, o, report); err != nil {
		return nil, err
	}
	if err := r.compareTransitions(ctx, o, report); err != nil {
		return nil, err
	}
	var rows []struct{ N, D int64 }
	err := o.Query(ctx, "SELECT count(*) AS n, count(DISTINCT (_partition, _offset)) AS d FROM read_parquet('{archive}/**/*.parquet')", &rows)
	if err != nil {
		return nil, err
	}
	if report.ArchiveRows = rows[0].N; rows[0].D != rows[0].N {
		return nil, fmt.Errorf("the archive holds %d rows, but only %d different ones", rows[0].N, rows[0].D)
	}
	return report, r.compareLedger(ctx, o, tasks, report)
}

func (r *exactRun) compareRollups(ctx context.Context, o *oracle.Oracle, report *exactReport) error {
	var expected []rollupRow
	if err := o.Query(ctx, "SELECT * FROM rollups ORDER BY ALL", &expected); err != nil {
		return err
	}
	text, err := r.c.Run(ctx, "query", "exact", "--last", "7d", "-o", "csv", "-q")
	if err != nil {
		return err
	}
	got, err := parseRollups(text)
	if err != nil {
		return err
	}
	report.Rollups.Expected = len(expected)
	shown := 0
	for i := range expected {
		e := &expected[i]
		g, ok := got[fmt.Sprint(e.Start, e.Host)]
		switch {
		case ok && e.equal(g):
			report.Rollups.Equal++
		case shown < 5:
			shown++
			progress("rollup differs: want %+v, got %+v", *e, g)
		}
	}
	if len(got) != len(expected) {
		progress("%d rollups are there, %d are expected", len(got), len(expected))
		report.Rollups.Equal = min(report.Rollups.Equal, len(expected)-1)
	}
	return nil
}

// parseRollups reads the CSV of query: time, host, samples, total, least, most.
func parseRollups(text []byte) (map[string]*rollupRow, error) {
	cr := csv.NewReader(strings.NewReader(string(text)))
	head, err := cr.Read()
	if err != nil {
		return nil, err
	}
	at := func(name string) int { return slices.Index(head, name) }
	rows := map[string]*rollupRow{}
	for {
		rec, err := cr.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		t, err := time.Parse(time.RFC3339Nano, rec[at("time")])
		if err != nil {
			return nil, err
		}
		x := &rollupRow{Start: t.UnixMilli(), Host: rec[at("host")]}
		x.Samples, _ = strconv.ParseInt(rec[at("samples")], 10, 64)
		x.Total, _ = strconv.ParseFloat(rec[at("total")], 64)
		x.Least, _ = strconv.ParseFloat(rec[at("least")], 64)
		x.Most, _ = strconv.ParseFloat(rec[at("most")], 64)
		rows[fmt.Sprint(x.Start, x.Host)] = x
	}
}

func (r *exactRun) compareTransitions(ctx context.Context, o *oracle.Oracle, report *exactReport) error {
	var expected []struct {
		Host, State string
		At          int64
	}
	if err := o.Query(ctx, "SELECT * FROM transitions ORDER BY ALL", &expected); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, r.c.Postgres.DSN("tidewatch"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `SELECT body->'alert'->'labels'->>'host', body->>'to', (extract(epoch FROM (body->>'at')::timestamptz) * 1000)::bigint
		FROM tidewatch.tidewatch_transitions WHERE body->>'from' <> body->>'to'`)
	if err != nil {
		return err
	}
	got := map[string]int{}
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
		var host, state string
		var at int64
		err := row.Scan(&host, &state, &at)
		got[fmt.Sprint(host, state, at)]++
		return struct{}{}, err
	})
	if err != nil {
		return err
	}
	report.Transitions.Expected = len(expected)
	shown := 0
	for _, e := range expected {
		key := fmt.Sprint(e.Host, e.State, e.At)
		if got[key] == 1 {
			report.Transitions.Equal++
		} else if shown < 5 {
			shown++
			progress("transition differs: want %+v once, got it %d times", e, got[key])
		}
		delete(got, key)
	}
	if len(got) > 0 {
		progress("%d transitions too many, for example %v", len(got), firstKey(got))
		report.Transitions.Equal -= len(got)
	}
	return nil
}

func firstKey(m map[string]int) string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys[0]
}

// compareLedger adds up the buckets of the first stage and of the archive.
func (r *exactRun) compareLedger(ctx context.Context, o *oracle.Oracle, tasks []bed.Task, report *exactReport) error {
	var want []map[string]int64
	if err := o.Query(ctx, "SELECT * FROM ledger", &want); err != nil {
		return err
	}
	sum := map[string]int64{}
	for _, t := range tasks {
		report.LedgerDiff += t.Diff
		if t.Pipeline == "exact" && t.Stage == "fold" {
			for b, n := range t.Ledger {
				sum[b] += n
			}
		}
	}
	for b, n := range want[0] {
		if d := sum[b] - n; d != 0 {
			progress("ledger: %s is %d, want %d", b, sum[b], n)
			report.LedgerDiff += max(d, -d)
		}
	}
	report.DeadLetters = sum["rejected"]
	for b, n := range sum {
		report.Ledger[b] = n
	}
	return nil
}

// printReport prints the line; what is not equal is an error.
func printReport(report any, good bool) error {
	line, err := json.Marshal(report)
	if err != nil {
		return err
	}
	fmt.Println(string(line))
	if !good {
		return errors.New("not equal")
	}
	return nil
}
