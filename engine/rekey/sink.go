package rekey

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tidewatch/tidewatch/stream"
)

// Writer appends to the internal topic. Append is called from the task's goroutine and may block; Flush from the
// committer: it returns when everything appended so far is acknowledged.
type Writer interface {
	Append(ctx context.Context, partition int32, value []byte) error
	Flush(ctx context.Context) error
	Close() error
}

// Sink is the output of a first stage. Partials leave at once, each with the version of its source task; progress leaves
// in the reveal, into every internal partition, so that a second stage learns of it after the partials it covers.
type Sink struct {
	w          Writer
	source     int32
	sources    int32 // partitions of the source topic
	partitions int32
	rows       [][]int32 // by internal partition
	buf        []byte
}

// NewSink writes for the source partition of one task.
func NewSink(w Writer, source, sources, partitions int32) *Sink {
	return &Sink{w: w, source: source, sources: sources, partitions: partitions, rows: make([][]int32, partitions)}
}

// recordRows bounds the rows of one record, so that records stay small.
const recordRows = 1024

// Write implements stream.Sink for Partial batches.
func (s *Sink) Write(ctx context.Context, b *stream.Batch) error {
	for i, slot := range b.Slot {
		p := PartitionOf(slot, s.partitions)
		if s.rows[p] = append(s.rows[p], int32(i)); len(s.rows[p]) == recordRows {
			if err := s.send(ctx, p, b); err != nil {
				return err
			}
		}
	}
	for p := range s.rows {
		if err := s.send(ctx, int32(p), b); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sink) send(ctx context.Context, p int32, b *stream.Batch) error {
	if len(s.rows[p]) == 0 {
		return nil
	}
	s.buf = appendPartials(s.buf[:0], s.source, b, s.rows[p])
	s.rows[p] = s.rows[p][:0]
	return s.w.Append(ctx, p, append([]byte(nil), s.buf...))
}

// Stage implements stream.Sink: partials are acknowledged before the claim, because the claim's reveal says that they are
// there.
func (s *Sink) Stage(e stream.Epoch) stream.Work {
	p := progress{Source: s.source, Offset: e.At.Offset, Step: e.At.Step, Mark: e.Mark, RecordMark: e.RecordMark, Sources: s.sources}
	p.Raised = e.Raised
	return func(ctx context.Context) (stream.Receipt, error) {
		if err := s.w.Flush(ctx); err != nil {
			return nil, err
		}
		return json.Marshal(&p)
	}
}

// Reveal implements stream.Sink.
func (s *Sink) Reveal(ctx context.Context, receipt stream.Receipt) error {
	var p progress
	if err := json.Unmarshal(receipt, &p); err != nil {
		return fmt.Errorf("decode receipt of progress: %w", err)
	}
	values := [][]byte{appendMark(nil, &p)}
	if p.Raised {
		values = [][]byte{appendRaise(nil, &p), values[0]}
	}
	for i := range s.partitions {
		for _, value := range values {
			if err := s.w.Append(ctx, i, value); err != nil {
				return err
			}
		}
	}
	return s.w.Flush(ctx)
}

// Close implements stream.Sink.
func (s *Sink) Close() error { return s.w.Close() }
