package columnfile

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/parquet-go/parquet-go"

	"github.com/tidewatch/tidewatch/stream"
)

// Reader reads columns. It holds buffers that are used again, and belongs to one goroutine.
type Reader struct {
	numbers    []uint32 // by number in the page's dictionary: number in the column's
	dictionary parquet.Dictionary
	values     []parquet.Value
	ints       stream.Column    // scratch of ReadEvents
	names      [3]stream.Column // of producers
}

// Read appends the values of a column in a row group to dst, whose kind must be the column's; a Float takes an Int column
// too. Strings go into dst.Dict, where each distinct one of the row group is looked up once.
func (r *Reader) Read(f *File, group int, column string, dst *stream.Column) error {
	i := f.schema.Index(column)
	if i < 0 {
		return fmt.Errorf("read column %s: the file has none; it has %q", column, f.schema.Names())
	}
	if kind := f.schema.Fields[i].Kind; kind != dst.Kind && (kind != stream.Int || dst.Kind != stream.Float) {
		return fmt.Errorf("read column %s: it is of kind %v, wanted is %v", column, kind, dst.Kind)
	}
	r.dictionary = nil
	before := dst.Len()
	err := r.pages(f, group, i, func(p parquet.Page) error { return r.page(p, max(f.leaves[i].unit, 1), dst) })
	if n := dst.Len() - before; err == nil && n != f.GroupRows(group) {
		err = fmt.Errorf("%w: it has %d values in %d rows", ErrDamaged, n, f.GroupRows(group))
	}
	if err != nil {
		return fmt.Errorf("read column %s: %w", column, err)
	}
	return nil
}

func (r *Reader) page(p parquet.Page, unit int64, dst *stream.Column) error {
	n, levels := int(p.NumValues()), p.DefinitionLevels()
	if nulls := int(p.NumNulls()); nulls > 0 {
		noteNulls(dst, levels)
	} else {
		levels = nil
		if len(dst.Null) > 0 {
			dst.Null = append(dst.Null, make([]bool, n)...)
		}
	}
	data := p.Data()
	switch {
	case dst.Kind == stream.String && p.Dictionary() != nil:
		return r.numbered(p.Dictionary(), data.Int32(), n, levels, dst)
	case dst.Kind == stream.String:
		return texts(p, n, levels, dst)
	case p.Dictionary() != nil:
		return r.generic(p, unit, dst)
	case dst.Kind == stream.Float && p.Type().Kind() == parquet.Double:
		return spread(&dst.Floats, data.Double(), n, levels)
	case dst.Kind != stream.Float && unit == 1 && p.Type().Kind() == parquet.Int64:
		return spread(&dst.Ints, data.Int64(), n, levels)
	}
	return r.generic(p, unit, dst)
}

func noteNulls(dst *stream.Column, levels []byte) {
	for len(dst.Null) < dst.Len() {
		dst.Null = append(dst.Null, false)
	}
	for _, l := range levels {
		dst.Null = append(dst.Null, l == 0)
	}
}

// spread appends n values to dst: those of the page where a level says so, zeros for the nulls.
func spread[T any](dst *[]T, values []T, n int, levels []byte) error {
	if len(levels) == 0 {
		if len(values) < n {
			return fmt.Errorf("a page has %d values, its header says %d", len(values), n)
		}
		*dst = append(*dst, values[:n]...)
		return nil
	}
	var zero T
	next := 0
	for _, l := range levels {
		if l == 0 {
			*dst = append(*dst, zero)
			continue
		}
		if next == len(values) {
			return fmt.Errorf("a page has %d values, its levels say more", len(values))
		}
		*dst = append(*dst, values[next])
		next++
	}
	return nil
}

// numbered translates a page of dictionary numbers.
func (r *Reader) numbered(d parquet.Dictionary, codes []int32, n int, levels []byte, dst *stream.Column) error {
	if d != r.dictionary {
		r.translate(d, dst.Dict)
	}
	nothing := uint32(0)
	if len(levels) == 0 {
		levels = nil
		if len(codes) < n {
			return fmt.Errorf("a page has %d values, its header says %d", len(codes), n)
		}
	} else {
		nothing = dst.Dict.ID(nil)
	}
	dst.IDs = slices.Grow(dst.IDs, n)
	if levels == nil {
		for _, c := range codes[:n] {
			dst.IDs = append(dst.IDs, r.numbers[c])
		}
		return nil
	}
	next := 0
	for _, l := range levels {
		if l == 0 {
			dst.IDs = append(dst.IDs, nothing)
			continue
		}
		dst.IDs = append(dst.IDs, r.numbers[codes[next]])
		next++
	}
	return nil
}

// translate looks every string of a dictionary page up.
func (r *Reader) translate(from parquet.Dictionary, to *stream.Dict) {
	r.dictionary, r.numbers = from, slices.Grow(r.numbers[:0], from.Len())
	page := from.Page().Data()
	bytes, ends := page.ByteArray()
	for i := range from.Len() {
		r.numbers = append(r.numbers, to.ID(bytes[ends[i]:ends[i+1]]))
	}
}

// texts appends a page of strings that are not in a dictionary.
func texts(p parquet.Page, n int, levels []byte, dst *stream.Column) error {
	data := p.Data()
	bytes, ends := data.ByteArray()
	if len(levels) == 0 {
		for i := range n {
			dst.IDs = append(dst.IDs, dst.Dict.ID(bytes[ends[i]:ends[i+1]]))
		}
		return nil
	}
	next := 0
	for _, l := range levels {
		if l == 0 {
			dst.IDs = append(dst.IDs, dst.Dict.ID(nil))
			continue
		}
		dst.IDs = append(dst.IDs, dst.Dict.ID(bytes[ends[next]:ends[next+1]]))
		next++
	}
	return nil
}

// generic reads what other tools write: numbers in dictionaries, 32-bit ones, other units of time.
func (r *Reader) generic(p parquet.Page, unit int64, dst *stream.Column) error {
	n := int(p.NumValues())
	r.values = slices.Grow(r.values[:0], n)[:n]
	got, err := p.Values().ReadValues(r.values)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if got < n {
		return fmt.Errorf("a page has %d values, its header says %d", got, n)
	}
	for _, v := range r.values {
		if dst.Kind == stream.Float {
			dst.Floats = append(dst.Floats, number(v))
		} else {
			dst.Ints = append(dst.Ints, scale(integer(v), unit))
		}
	}
	return nil
}

func number(v parquet.Value) float64 {
	switch v.Kind() {
	case parquet.Double:
		return v.Double()
	case parquet.Float:
		return float64(v.Float())
	default:
		return float64(integer(v))
	}
}

func integer(v parquet.Value) int64 {
	switch v.Kind() {
	case parquet.Boolean:
		if v.Boolean() {
			return 1
		}
	case parquet.Int32:
		return int64(v.Int32())
	case parquet.Int64:
		return v.Int64()
	default: // a null, or a kind that has no column of ours
	}
	return 0
}
