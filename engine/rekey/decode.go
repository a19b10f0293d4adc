package rekey

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/tidewatch/tidewatch/stream"
)

// Decoder reads an internal topic. It implements stream.Decoder; a record gives as many rows as it holds partials.
type Decoder struct {
	schema *stream.Schema
}

// NewDecoder reads partials with the given columns (groups, then states).
func NewDecoder(partial *stream.Schema) *Decoder {
	return &Decoder{schema: stream.EntrySchema(partial)}
}

// Schema implements stream.Decoder.
func (d *Decoder) Schema() *stream.Schema { return d.schema }

// maxRows bounds what one record may claim to hold.
const maxRows = 1 << 20

// Decode implements stream.Decoder. A damaged record is fatal, since nobody but tidewatch writes the topic.
func (d *Decoder) Decode(m *stream.Message, b *stream.Batch) error {
	before := b.Len()
	if before == 0 {
		forgetStrings(b)
	}
	r := &reader{b: m.Value}
	kind, version := r.byte(), r.byte()
	rows, err := 0, error(nil)
	switch {
	case version != format:
		err = fmt.Errorf("internal record has format %d, this version knows %d", version, format)
	case kind == partialRecord:
		rows, err = d.partials(r, b)
	case kind == markRecord:
		rows = d.mark(r, b)
	case kind == raiseRecord:
		rows = d.raise(r, b)
	default:
		err = fmt.Errorf("internal record has unknown kind %q", kind)
	}
	if err == nil && r.bad {
		err = errShort
	}
	if err == nil && len(r.b) > 0 {
		err = errors.New("internal record is damaged: bytes are left over")
	}
	if err != nil {
		b.Truncate(before)
		return stream.Mark(stream.Fatal, fmt.Errorf("decode offset %d: %w", m.Offset, err))
	}
	for range rows {
		b.Time, b.Offset = append(b.Time, 0), append(b.Offset, m.Offset)
	}
	b.SetLen(before + rows)
	return nil
}

// maxStrings bounds the strings of a column that are kept from batch to batch. States may travel as strings too, and those are
// seldom seen twice.
const maxStrings = 4 << 20

func forgetStrings(b *stream.Batch) {
	for c := range b.Cols {
		if d := b.Cols[c].Dict; d != nil && d.Size() > maxStrings {
			d.Reset()
		}
	}
}

func (d *Decoder) partials(r *reader, b *stream.Batch) (int, error) {
	source, offset, step, flags := r.uint(), r.uint(), r.uint(), r.byte()
	start := r.int()
	end := start + int64(r.uint())
	rows := r.uint()
	if rows > maxRows || rows > uint64(len(r.b)) {
		return 0, errShort
	}
	n := int(rows)
	for range n {
		b.Cols[stream.EntryKind].AppendInt(stream.PartialEntry)
		b.Cols[stream.EntrySource].AppendInt(int64(source))
		b.Cols[stream.EntryOffset].AppendInt(int64(offset))
		b.Cols[stream.EntryStep].AppendInt(int64(step))
		b.Cols[stream.EntryMark].AppendNull()
		b.Cols[stream.EntryRecordMark].AppendNull()
		b.Cols[stream.EntrySources].AppendNull()
		b.Cols[stream.EntryStart].AppendInt(start)
		b.Cols[stream.EntryEnd].AppendInt(end)
		b.Cols[stream.EntryAfterClose].AppendBool(flags&flagAfterClose != 0)
	}
	for c := stream.EntryColumns; c < len(b.Cols); c++ {
		readColumn(r, &b.Cols[c], n)
	}
	return n, nil
}

func readColumn(r *reader, c *stream.Column, n int) {
	var nulls []byte
	if r.byte() != 0 {
		nulls = r.take(uint64(n+7) / 8)
	}
	for i := range n {
		if r.bad {
			return
		}
		null := nulls != nil && nulls[i/8]>>(i%8)&1 == 1
		switch c.Kind {
		case stream.Float:
			if v := r.take(8); v != nil && !null {
				c.AppendFloat(math.Float64frombits(binary.LittleEndian.Uint64(v)))
			}
		case stream.String:
			if v := r.take(r.uint()); !null {
				c.AppendBytes(v)
			}
		case stream.Int, stream.Bool, stream.Timestamp:
			if v := r.int(); !null {
				c.AppendInt(v)
			}
		}
		if null {
			c.AppendNull()
		}
	}
}

func (d *Decoder) mark(r *reader, b *stream.Batch) int {
	b.Cols[stream.EntryKind].AppendInt(stream.MarkEntry)
	b.Cols[stream.EntrySource].AppendInt(int64(r.uint()))
	b.Cols[stream.EntryOffset].AppendInt(int64(r.uint()))
	b.Cols[stream.EntryStep].AppendInt(int64(r.uint()))
	appendTime(&b.Cols[stream.EntryMark], r.int())
	appendTime(&b.Cols[stream.EntryRecordMark], r.int())
	b.Cols[stream.EntrySources].AppendInt(int64(r.uint()))
	for c := stream.EntryStart; c < len(b.Cols); c++ {
		b.Cols[c].AppendNull()
	}
	return 1
}

func (d *Decoder) raise(r *reader, b *stream.Batch) int {
	b.Cols[stream.EntryKind].AppendInt(stream.RaiseEntry)
	b.Cols[stream.EntrySource].AppendInt(int64(r.uint()))
	b.Cols[stream.EntryOffset].AppendInt(int64(r.uint()))
	b.Cols[stream.EntryStep].AppendInt(int64(r.uint()))
	for c := stream.EntryMark; c < len(b.Cols); c++ {
		b.Cols[c].AppendNull()
	}
	return 1
}

func appendTime(c *stream.Column, t int64) {
	if stream.Time(t) == stream.NoTime {
		c.AppendNull()
		return
	}
	c.AppendInt(t)
}
