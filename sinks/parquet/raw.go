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
// Stage is a part, so the engine decides where parts end. Rows are held as columns up to a row group, which is encoded beside
// the task: so it holds two row groups at most, one that grows and one that is being encoded, and the encoded ones of a part.
type Raw struct {
	config RawConfig
	part   *rawPart
	rows   *rawRows      // of the part, not encoded yet
	spare  chan *rawRows // encoded
	view   stream.Batch
	// groupRows is when rows are encoded; tests take less than columnfile.GroupRows.
	groupRows int
}

// NewRaw returns an empty sink.
func NewRaw(c RawConfig) (*Raw, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return &Raw{config: c, part: new(rawPart), rows: new(rawRows), spare: make(chan *rawRows, 1), groupRows: columnfile.GroupRows}, nil
}

// Write implements stream.Sink. It waits only for a row group that is being encoded when the next one is full.
func (r *Raw) Write(_ context.Context, b *stream.Batch) error {
	switch {
	case b.Phase != stream.Event:
		return fmt.Errorf("write raw archive: it keeps events, not %v rows", b.Phase)
	case len(b.Time) != b.Len() || len(b.Offset) != b.Len():
		return errors.New("write raw archive: the events have no time or no offset")
	}
	if err := r.rows.adopt(b.Schema); err != nil {
		return err
	}
	for lo := 0; lo < b.Len(); {
		hi := min(b.Len(), lo+r.groupRows-r.rows.len())
		b.View(&r.view, lo, hi)
		r.rows.take(&r.view)
		r.part.count(r.view.Offset)
		if r.rows.len() == r.groupRows {
			r.part.encodeBeside(r.rows, r.config.Partition, r.recycle)
			if err := r.renew(); err != nil {
				return err
			}
		}
		lo = hi
	}
	return nil
}

// renew begins new rows, with the same columns.
func (r *Raw) renew() error {
	schema := r.rows.schema
	select {
	case r.rows = <-r.spare:
	default:
		r.rows = new(rawRows)
	}
	return r.rows.adopt(schema)
}

// Stage implements stream.Sink.
func (r *Raw) Stage(e stream.Epoch) stream.Work {
	part, rows := r.part, r.rows
	if part.rows == 0 {
		return nil
	}
	r.part = new(rawPart)
	if err := r.renew(); err != nil {
		return func(context.Context) (stream.Receipt, error) { return nil, stream.Mark(stream.Fatal, err) }
	}
	var files []encoded // kept for a second attempt
	return func(ctx context.Context) (stream.Receipt, error) {
		if files == nil {
			var err error
			if files, err = part.finish(rows, r.config.Partition); err != nil {
				return nil, stream.Mark(stream.Fatal, fmt.Errorf("encode part from offset %d: %w", part.first, err))
			}
			r.recycle(rows)
			part, rows = nil, nil
		}
		return put(ctx, r.config.Objects, e.Prefix, files)
	}
}

// recycle gives the memory of rows to later ones.
func (r *Raw) recycle(rows *rawRows) {
	rows.reset()
	select {
	case r.spare <- rows:
	default:
	}
}

// Reveal implements stream.Sink.
func (r *Raw) Reveal(ctx context.Context, receipt stream.Receipt) error {
	return reveal(ctx, r.config.Objects, receipt)
}

// Close implements stream.Sink; an unfinished part is read again from the last cut on.
func (r *Raw) Close() error {
	r.part.wait()
	return nil
}

// Size is about the bytes of memory that the open part takes, and its rows. From the task's goroutine.
func (r *Raw) Size() (bytes, rows int64) { return r.rows.size() + r.part.size.Load(), r.part.rows }

// rawRows is rows of a part: the columns of the schema and those of the event.
type rawRows struct {
	columns
	time, timestamp, offset []int64
	producer                []uint64
	bytes                   []uint32
}

func (p *rawRows) len() int { return len(p.offset) }

// take appends all rows of b, whose schema was adopted.
func (p *rawRows) take(b *stream.Batch) {
	p.columns.take(b)
	p.offset = append(p.offset, b.Offset...)
	p.time, p.timestamp = takeTimes(p.time, b.Time, b.Len()), takeTimes(p.timestamp, b.Timestamp, b.Len())
	p.producer = takeAll(p.producer, b.Producer, b.Len())
	p.bytes = takeAll(p.bytes, b.Bytes, b.Len())
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

func (p *rawRows) reset() {
	p.columns.reset()
	p.time, p.timestamp, p.offset, p.producer, p.bytes = p.time[:0], p.timestamp[:0], p.offset[:0], p.producer[:0], p.bytes[:0]
}

func (p *rawRows) size() int64 {
	return p.columns.size() + int64(8*(cap(p.time)+cap(p.timestamp)+cap(p.offset)+cap(p.producer))+4*cap(p.bytes))
}
