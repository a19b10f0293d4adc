package kafka

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/schemas"
	"github.com/tidewatch/tidewatch/stream"
)

// Headers of every record that the product writes at least once; see the package comment.
const (
	HeaderTask   = "tidewatch.task"
	HeaderPhase  = "tidewatch.phase"
	HeaderOffset = "tidewatch.offset"
	HeaderStep   = "tidewatch.step"
	HeaderIndex  = "tidewatch.index"
)

// Sink writes the rows of an output to a topic as JSON, at least once. It implements stream.Sink.
type Sink struct {
	w     *Writer
	topic string
	task  []byte
	names namer
}

// NewSink returns the sink of one task.
func (c *Client) NewSink(task stream.TaskID, topic string) *Sink {
	return &Sink{w: c.NewWriter(), topic: topic, task: []byte(task.String())}
}

// Write implements stream.Sink.
func (s *Sink) Write(ctx context.Context, b *stream.Batch) error {
	for i := range b.Len() {
		name := s.names.name(b, i)
		rec := Record{Topic: s.topic, Partition: -1, Value: jsonRow(b, i), Headers: name.headers(s.task)}
		if err := s.w.Append(ctx, rec); err != nil {
			return err
		}
	}
	return nil
}

// rowName tells a row from all others of its task.
type rowName struct {
	phase stream.Phase
	at    stream.Version // of an event: its own offset
	index int64
}

// namer names the rows of one task. Rows of windows are numbered within the version at which they leave, events within their record, both for
// each phase by itself: so a row has the same numbers however the rows were cut into batches and wherever a replay began,
// which is between two records.
type namer struct {
	last [stream.Partial + 1]numbering // by phase
}

// numbering counts the rows of one phase at one version.
type numbering struct {
	at   stream.Version
	next int64
}

func (n *namer) name(b *stream.Batch, i int) rowName {
	at := b.At
	if isEvent(b) {
		at = stream.Version{Offset: b.Offset[i]}
	}
	last := &n.last[b.Phase]
	if last.at != at {
		*last = numbering{at: at}
	}
	last.next++
	return rowName{phase: b.Phase, at: at, index: last.next - 1}
}

func (n *rowName) headers(task []byte) []kgo.RecordHeader {
	h := []kgo.RecordHeader{
		{Key: HeaderTask, Value: task},
		{Key: HeaderPhase, Value: []byte(n.phase.String())},
		{Key: HeaderOffset, Value: strconv.AppendInt(nil, n.at.Offset, 10)},
		{Key: HeaderStep, Value: strconv.AppendUint(nil, uint64(n.at.Step), 10)},
	}
	if n.phase != stream.Live { // which windows are shown, and when, depends on the clock
		h = append(h, kgo.RecordHeader{Key: HeaderIndex, Value: strconv.AppendInt(nil, n.index, 10)})
	}
	return h
}

// version is the one from which on the row is there.
func (n *rowName) version() stream.Version {
	if n.phase == stream.Event || n.phase == stream.Late {
		return stream.Version{Offset: n.at.Offset + 1}
	}
	return n.at
}

// isEvent says that the rows have event columns; the others belong to a window.
func isEvent(b *stream.Batch) bool { return b.Phase == stream.Event || b.Phase == stream.Late }

// jsonRow is the row as a JSON object; a window's bounds come first.
func jsonRow(b *stream.Batch, i int) []byte {
	if isEvent(b) {
		return schemas.AppendJSON(nil, b, i)
	}
	dst := append(b.Window.Start.Go().AppendFormat([]byte(`{"time":"`), time.RFC3339Nano), `","window_end":"`...)
	dst = append(b.Window.End.Go().AppendFormat(dst, time.RFC3339Nano), '"')
	at := len(dst)
	dst = schemas.AppendJSON(dst, b, i)
	if len(dst) == at+len("{}") {
		return append(dst[:at], '}')
	}
	dst[at] = ',' // goes on inside the object
	return dst
}

// Stage implements stream.Sink: rows are acknowledged before the epoch is claimed.
func (s *Sink) Stage(stream.Epoch) stream.Work {
	return func(ctx context.Context) (stream.Receipt, error) {
		if err := s.w.Flush(ctx); err != nil {
			return nil, fmt.Errorf("flush topic %s: %w", s.topic, err)
		}
		return nil, nil
	}
}

// Reveal implements stream.Sink; there is never a receipt.
func (s *Sink) Reveal(context.Context, stream.Receipt) error { return nil }

// Close implements stream.Sink.
func (s *Sink) Close() error { return s.w.Close() }
