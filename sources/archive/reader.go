package archive

import (
	"context"
	"fmt"
	"io"

	"github.com/tidewatch/tidewatch/stream"
)

// portion is how many rows a Read returns at most.
const portion = 4096

// Reader reads one partition. It implements stream.Reader and belongs to the task's goroutine; one goroutine of its own
// fetches the part after the one that is being read, and ends with Close.
type Reader struct {
	source    *Source
	partition stream.Partition
	parts     []part // still to be fetched; the first may be in flight
	end       int64
	next      int64 // offset

	ahead context.Context //nolint:containedctx // of the fetching goroutine, which outlives a call of Read
	stop  context.CancelFunc
	inbox chan loaded // nil while nothing is in flight

	assembly *assembly
	row      int // next of the assembled part
	view     stream.Batch
	input    stream.Input
}

func newReader(s *Source, p stream.Partition, parts []part, offset int64, schema *stream.Schema) *Reader {
	r := &Reader{source: s, partition: p, parts: parts, end: offset, next: offset, assembly: newAssembly(schema, s.config.Since, s.config.Until)}
	if len(parts) > 0 {
		r.end = parts[len(parts)-1].last + 1
	}
	r.ahead, r.stop = context.WithCancel(context.Background())
	return r
}

// Read implements stream.Reader. After an error of the kind Retry it may be called again.
func (r *Reader) Read(ctx context.Context) (*stream.Input, error) {
	for r.row == r.assembly.rows() {
		if len(r.parts) == 0 {
			r.source.end(r.partition)
			return nil, io.EOF
		}
		if err := r.nextPart(ctx); err != nil {
			return nil, fmt.Errorf("read archive: %w", err)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	lo, hi := r.row, min(r.row+portion, r.assembly.rows())
	r.assembly.batch.View(&r.view, lo, hi)
	r.row = hi
	r.input = stream.Input{Batch: &r.view, From: r.next, Next: r.view.Offset[hi-lo-1] + 1, End: r.end}
	r.next = r.input.Next
	return &r.input, nil
}

// nextPart takes the part in flight, sends for the one after it, and assembles the rows from the next offset on.
func (r *Reader) nextPart(ctx context.Context) error {
	r.prefetch()
	var l loaded
	select {
	case l = <-r.inbox:
		r.inbox = nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if l.err != nil {
		return l.err
	}
	r.parts = r.parts[1:]
	r.prefetch()
	if err := r.assembly.assemble(&l, r.next); err != nil {
		return stream.Mark(stream.Fatal, fmt.Errorf("part of offsets %d to %d: %w", l.part.first, l.part.last, err))
	}
	r.row = 0
	return nil
}

// prefetch fetches the next part beside, unless that is under way.
func (r *Reader) prefetch() {
	if r.inbox != nil || len(r.parts) == 0 {
		return
	}
	inbox, next := make(chan loaded, 1), r.parts[0]
	r.inbox = inbox
	go func() { inbox <- r.source.load(r.ahead, r.partition, next) }() // Close waits for it
}

// Close implements stream.Reader.
func (r *Reader) Close() error {
	r.stop()
	if r.inbox != nil {
		<-r.inbox
		r.inbox = nil
	}
	return nil
}
