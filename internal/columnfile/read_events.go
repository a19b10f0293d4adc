package columnfile

import (
	"github.com/tidewatch/tidewatch/stream"
)

// ReadOrNull is Read, and appends nulls where the file has no such column: it was written before the schema got the field.
func (r *Reader) ReadOrNull(f *File, group int, column string, dst *stream.Column) error {
	if f.schema.Index(column) >= 0 {
		return r.Read(f, group, column, dst)
	}
	for range f.GroupRows(group) {
		dst.AppendNull()
	}
	return nil
}

// ReadEvents appends the event columns of a row group of the raw archive to b, all but Mark. Producers come from the columns
// that decoders ask, unless the file holds a hash.
func (r *Reader) ReadEvents(f *File, group int, b *stream.Batch) error {
	for _, c := range []struct {
		name string
		kind stream.Kind
		take func(v int64)
	}{
		{ColumnTime, stream.Timestamp, func(v int64) { b.Time = append(b.Time, stream.Time(v)) }},
		{ColumnOffset, stream.Int, func(v int64) { b.Offset = append(b.Offset, v) }},
		{ColumnTimestamp, stream.Timestamp, func(v int64) { b.Timestamp = append(b.Timestamp, stream.Time(v)) }},
		{ColumnBytes, stream.Int, func(v int64) { b.Bytes = append(b.Bytes, uint32(v)) }},
	} {
		r.ints.Kind = c.kind
		r.ints.Reset()
		if err := r.Read(f, group, c.name, &r.ints); err != nil {
			return err
		}
		for _, v := range r.ints.Ints {
			c.take(v)
		}
	}
	return r.readProducers(f, group, b)
}

func (r *Reader) readProducers(f *File, group int, b *stream.Batch) error {
	stored := &r.ints // of the rows whose hash does not follow from the columns
	stored.Kind = stream.Int
	stored.Reset()
	if f.schema.Index(ColumnProducer) >= 0 {
		if err := r.Read(f, group, ColumnProducer, stored); err != nil {
			return err
		}
	}
	if stored.Len() > 0 && len(stored.Null) == 0 {
		for _, v := range stored.Ints {
			b.Producer = append(b.Producer, uint64(v))
		}
		return nil
	}
	named, err := r.namedProducers(f, group)
	if err != nil {
		return err
	}
	for row := range f.GroupRows(group) {
		hash := named.Hash(row)
		if row < stored.Len() && !stored.IsNull(row) {
			hash = uint64(stored.Ints[row])
		}
		b.Producer = append(b.Producer, hash)
	}
	return nil
}

// namedProducers finds producers in the columns that decoders ask.
func (r *Reader) namedProducers(f *File, group int) (*Producers, error) {
	columns := map[string]*stream.Column{}
	for i, name := range ProducerColumns() {
		if k := f.schema.Index(name); k < 0 || f.schema.Fields[k].Kind != stream.String {
			continue
		}
		columns[name] = r.name(i)
		if err := r.Read(f, group, name, columns[name]); err != nil {
			return nil, err
		}
	}
	return NewProducers(func(name string) *stream.Column { return columns[name] }), nil
}

// name is the scratch column for a producer's name, empty.
func (r *Reader) name(i int) *stream.Column {
	c := &r.names[i]
	if c.Dict == nil {
		c.Kind, c.Dict = stream.String, stream.NewDict()
	}
	c.Reset()
	c.Dict.Reset()
	return c
}
