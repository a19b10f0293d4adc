package parquet

import (
	"fmt"
	"slices"

	"github.com/tidewatch/tidewatch/stream"
)

// columns collects the rows of batches. It has dictionaries of its own, since those of a batch may be emptied between two
// batches. It belongs to the task's goroutine until a Work takes it.
type columns struct {
	schema    *stream.Schema
	cols      []stream.Column
	translate []translation
	given     *stream.Schema // of the last batch
}

// translation remembers the own number of a string by the batch's number.
type translation struct {
	from       *stream.Dict
	generation uint64
	numbers    []uint32 // 1 + own number, 0 unknown
}

// adopt makes the columns of a schema, or checks that it is the one there is.
func (c *columns) adopt(s *stream.Schema) error {
	if c.given == s {
		return nil
	}
	if c.schema != nil && !slices.Equal(c.schema.Fields, s.Fields) {
		return fmt.Errorf("take rows: the columns %q follow on %q", s.Names(), c.schema.Names())
	}
	c.given = s
	if c.schema != nil {
		return nil
	}
	c.schema = s
	c.cols, c.translate = make([]stream.Column, len(s.Fields)), make([]translation, len(s.Fields))
	for i, f := range s.Fields {
		c.cols[i].Kind = f.Kind
		if f.Kind == stream.String {
			c.cols[i].Dict = stream.NewDict()
		}
	}
	return nil
}

// take appends all rows of b, whose schema was adopted.
func (c *columns) take(b *stream.Batch) {
	for i := range c.cols {
		dst, src := &c.cols[i], &b.Cols[i]
		if len(src.Null) > 0 || len(dst.Null) > 0 {
			takeNulls(dst, src)
		}
		switch dst.Kind {
		case stream.Float:
			dst.Floats = append(dst.Floats, src.Floats...)
		case stream.String:
			c.translate[i].take(dst, src)
		case stream.Int, stream.Bool, stream.Timestamp:
			dst.Ints = append(dst.Ints, src.Ints...)
		}
	}
}

func takeNulls(dst, src *stream.Column) {
	for len(dst.Null) < dst.Len() {
		dst.Null = append(dst.Null, false)
	}
	if len(src.Null) > 0 {
		dst.Null = append(dst.Null, src.Null...)
		return
	}
	dst.Null = append(dst.Null, make([]bool, src.Len())...)
}

func (t *translation) take(dst, src *stream.Column) {
	if t.from != src.Dict || t.generation != src.Dict.Generation() {
		t.from, t.generation, t.numbers = src.Dict, src.Dict.Generation(), t.numbers[:0]
	}
	if n := src.Dict.Len(); n > len(t.numbers) {
		t.numbers = append(t.numbers, make([]uint32, n-len(t.numbers))...)
	}
	dst.IDs = slices.Grow(dst.IDs, len(src.IDs))
	for _, id := range src.IDs {
		own := t.numbers[id]
		if own == 0 {
			own = dst.Dict.ID(src.Dict.Bytes(id)) + 1
			t.numbers[id] = own
		}
		dst.IDs = append(dst.IDs, own-1)
	}
}

// reset forgets rows and strings, and keeps the memory of the rows.
func (c *columns) reset() {
	for i := range c.cols {
		c.cols[i].Reset()
		if c.cols[i].Dict != nil {
			c.cols[i].Dict.Reset()
		}
		c.translate[i] = translation{numbers: c.translate[i].numbers[:0]}
	}
}

// size is about the bytes of memory in use.
func (c *columns) size() (n int64) {
	for i := range c.cols {
		col := &c.cols[i]
		n += int64(8*cap(col.Ints) + 8*cap(col.Floats) + 4*cap(col.IDs) + cap(col.Null) + 4*cap(c.translate[i].numbers))
		if col.Dict != nil {
			n += int64(col.Dict.Size() + 16*col.Dict.Len()) // index, hashes and borders
		}
	}
	return n
}
