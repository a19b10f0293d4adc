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
	last  [stream.Partial + 1]numbering // by phase
}

// numbering counts the rows of one phase at one version.
type numbering struct {
	at   stream.Version
	next int64
}

// NewSink returns the sink of one task.
func (c *Client) NewSink(task stream.TaskID, topic string) *Sink {
	return &Sink{w: c.NewWriter(), topic: topic, task: []byte(task.String())}
}

// Write implements stream.Sink. Rows of windows are numbered within their version, events within their record, both for each
// phase by itself: so a row has the same numbers however the rows were cut into batches and wherever a replay began,
// which is between two records.
func (s *Sink) Write(ctx context.Context, b *stream.Batch) error {
	for i := range b.Len() {
		rec := Record{Topic: s.topic, Partition: -1, Value: appendRow(nil, b, i), Headers: s.headers(b, i)}
		if err := s.w.Append(ctx, rec); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sink) headers(b *stream.Batch, i int) []kgo.RecordHeader {
	at := b.Version
	if isEvent(b) {
		at = stream.Version{Offset: b.Offset[i]}
	}
	n := &s.last[b.Phase]
	if n.at != at {
		*n = numbering{at: at}
	}
	h := []kgo.RecordHeader{
		{Key: HeaderTask, Value: s.task},
		{Key: HeaderPhase, Value: []byte(b.Phase.String())},
		{Key: HeaderOffset, Value: strconv.AppendInt(nil, at.Offset, 10)},
		{Key: HeaderStep, Value: strconv.AppendUint(nil, uint64(at.Step), 10)},
	}
	if b.Phase != stream.Live { // which windows are shown, and when, depends on the clock
		h = append(h, kgo.RecordHeader{Key: HeaderIndex, Value: strconv.AppendInt(nil, n.next, 10)})
	}
	n.next++
	return h
}

// isEvent says that the rows have event columns; the others belong to a window.
func isEvent(b *stream.Batch) bool { return b.Phase == stream.Event || b.Phase == stream.Late }

// appendRow appends the row as a JSON object; a window's bounds come first.
func appendRow(dst []byte, b *stream.Batch, i int) []byte {
	if isEvent(b) {
		return schemas.AppendJSON(dst, b, i)
	}
	dst = append(b.Window.Start.Go().AppendFormat(append(dst, `{"time":"`...), time.RFC3339Nano), `","window_end":"`...)
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
