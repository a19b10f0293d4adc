package parquet

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidewatch/tidewatch/internal/columnfile"
	"github.com/tidewatch/tidewatch/stream"
)

// RawConfig is what a Raw sink needs.
type RawConfig struct {
	Objects   stream.Objects
	Partition stream.Partition // whose events it keeps
}

// Validate reports what is missing.
func (c RawConfig) Validate() error {
	if c.Objects == nil || c.Partition.Topic == "" {
		return errors.New("open raw archive: the object store or the topic is missing")
	}
	return nil
}

// Raw keeps the events of one partition. It implements stream.Sink for a stage with a Cut: what was written since the last
// Stage is a part, so the engine decides where parts end. It holds one part, and a second one while that is encoded.
type Raw struct {
	config RawConfig
	part   *rawPart
	spare  chan *rawPart // what a Work has done with
}

// NewRaw returns an empty sink.
func NewRaw(c RawConfig) (*Raw, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return &Raw{config: c, part: new(rawPart), spare: make(chan *rawPart, 1)}, nil
}

// Write implements stream.Sink. It never blocks.
func (r *Raw) Write(_ context.Context, b *stream.Batch) error {
	if b.Phase != stream.Event {
		return fmt.Errorf("write raw archive: it keeps events, not %v rows", b.Phase)
	}
	return r.part.take(b)
}

// Stage implements stream.Sink.
func (r *Raw) Stage(e stream.Epoch) stream.Work {
	part := r.part
	if part.rows() == 0 {
		return nil
	}
	select {
	case r.part = <-r.spare:
	default:
		r.part = new(rawPart)
	}
	meta := part.meta(r.config.Partition)
	var files []encoded // kept for a second attempt
	return func(ctx context.Context) (stream.Receipt, error) {
		if files == nil {
			var err error
			if files, err = part.encode(meta); err != nil {
				return nil, stream.Mark(stream.Fatal, fmt.Errorf("encode part from offset %d: %w", meta.First, err))
			}
		}
		receipt, err := put(ctx, r.config.Objects, e.Prefix, files)
		if err == nil && part != nil {
			r.recycle(part)
			part = nil
		}
		return receipt, err
	}
}

// recycle gives the memory of a part to the next but one.
func (r *Raw) recycle(p *rawPart) {
	p.reset()
	select {
	case r.spare <- p:
	default:
	}
}

// Reveal implements stream.Sink.
func (r *Raw) Reveal(ctx context.Context, receipt stream.Receipt) error {
	return reveal(ctx, r.config.Objects, receipt)
}

// Close implements stream.Sink; an unfinished part is read again from the last cut on.
func (r *Raw) Close() error { return nil }

// Size is about the bytes of memory that the open part takes, and its rows. From the task's goroutine.
func (r *Raw) Size() (bytes, rows int64) { return r.part.size(), int64(r.part.rows()) }

// rawPart is the rows of a part: the columns of the schema and those of the event.
type rawPart struct {
	columns
	time, timestamp, offset []int64
	producer                []uint64
	bytes                   []uint32
}

func (p *rawPart) rows() int { return len(p.offset) }

func (p *rawPart) take(b *stream.Batch) error {
	if err := p.adopt(b.Schema); err != nil {
		return err
	}
	if len(b.Time) != b.Len() || len(b.Offset) != b.Len() {
		return errors.New("write raw archive: the events have no time or no offset")
	}
	p.columns.take(b)
	p.offset = append(p.offset, b.Offset...)
	p.time, p.timestamp = takeTimes(p.time, b.Time, b.Len()), takeTimes(p.timestamp, b.Timestamp, b.Len())
	p.producer = takeAll(p.producer, b.Producer, b.Len())
	p.bytes = takeAll(p.bytes, b.Bytes, b.Len())
	return nil
}

// takeAll appends an event column, or zeros where the batch has none.
func takeAll[T any](dst, src []T, rows int) []T {
	if len(src) == rows {
		return append(dst, src...)
	}
	return append(dst, make([]T, rows)...)
}

func takeTimes(dst []int64, src []stream.Time, rows int) []int64 {
	if len(src) != rows {
		return append(dst, make([]int64, rows)...)
	}
	for _, t := range src {
		dst = append(dst, int64(t))
	}
	return dst
}

func (p *rawPart) reset() {
	p.columns.reset()
	p.time, p.timestamp, p.offset, p.producer, p.bytes = p.time[:0], p.timestamp[:0], p.offset[:0], p.producer[:0], p.bytes[:0]
}

func (p *rawPart) size() int64 {
	return p.columns.size() + int64(8*(cap(p.time)+cap(p.timestamp)+cap(p.offset)+cap(p.producer))+4*cap(p.bytes))
}

func (p *rawPart) meta(of stream.Partition) columnfile.RawMeta {
	return columnfile.RawMeta{Partition: of, First: p.offset[0], Last: p.offset[len(p.offset)-1], Rows: int64(len(p.offset))}
}
