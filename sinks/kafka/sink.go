package kafka

import (
	"context"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/schemas"
	"github.com/tidewatch/tidewatch/stream"
)

// Headers of every record that the product writes at least once: readers drop repeats of (task, offset, index).
const (
	HeaderTask   = "tidewatch.task"
	HeaderOffset = "tidewatch.offset"
	HeaderIndex  = "tidewatch.index"
)

// Sink writes the rows of an output to a topic as JSON, at least once. It implements stream.Sink.
type Sink struct {
	w      *Writer
	topic  string
	task   []byte
	offset int64
	index  int64
}

// NewSink returns the sink of one task.
func (c *Client) NewSink(task stream.TaskID, topic string) *Sink {
	return &Sink{w: c.NewWriter(), topic: topic, task: []byte(task.String()), offset: -1}
}

// Write implements stream.Sink. Rows of a window are numbered within the version that they show, events within their
// record, so a repeat has the same numbers.
func (s *Sink) Write(ctx context.Context, b *stream.Batch) error {
	for i := range b.Len() {
		offset := b.Version.Offset
		if len(b.Offset) > 0 {
			offset = b.Offset[i]
		}
		if offset != s.offset {
			s.offset, s.index = offset, 0
		}
		rec := Record{Topic: s.topic, Partition: -1, Value: schemas.AppendJSON(nil, b, i), Headers: s.headers()}
		if err := s.w.Append(ctx, rec); err != nil {
			return err
		}
		s.index++
	}
	return nil
}

func (s *Sink) headers() []kgo.RecordHeader {
	return []kgo.RecordHeader{
		{Key: HeaderTask, Value: s.task},
		{Key: HeaderOffset, Value: strconv.AppendInt(nil, s.offset, 10)},
		{Key: HeaderIndex, Value: strconv.AppendInt(nil, s.index, 10)},
	}
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
