package columnfile

import (
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"

	"github.com/tidewatch/tidewatch/stream"
)

// Texts is a String column of one row group whose strings are not looked up in a dictionary: each has the number that it
// has in the file, or one of its own where the file has none. It is for readers that take the strings apart.
type Texts struct {
	Numbers []uint32 // by row; those of nulls mean nothing
	Null    []bool   // by row; empty when no row is null
	bytes   []byte
	ends    []uint32 // by number; the first one begins at 0
}

// Len is how many numbers there are.
func (t *Texts) Len() int { return len(t.ends) }

// Text is the string with that number. It is valid until the next ReadTexts into t.
func (t *Texts) Text(number int) []byte {
	begin := uint32(0)
	if number > 0 {
		begin = t.ends[number-1]
	}
	return t.bytes[begin:t.ends[number]]
}

func (t *Texts) add(text []byte) {
	t.bytes = append(t.bytes, text...)
	t.ends = append(t.ends, uint32(len(t.bytes)))
}

// ReadTexts reads a String column of a row group into t, in place of what was there. A file without the column gives nulls.
func (r *Reader) ReadTexts(f *File, group int, column string, t *Texts) error {
	t.Numbers, t.Null, t.bytes, t.ends = t.Numbers[:0], t.Null[:0], t.bytes[:0], t.ends[:0]
	i := f.schema.Index(column)
	if i < 0 {
		t.Numbers = append(t.Numbers, make([]uint32, f.GroupRows(group))...)
		for range t.Numbers {
			t.Null = append(t.Null, true)
		}
		return nil
	}
	if kind := f.schema.Fields[i].Kind; kind != stream.String {
		return fmt.Errorf("read column %s: it is of kind %v, wanted is %v", column, kind, stream.String)
	}
	base := uint32(0) // of the numbers of the dictionary page
	r.dictionary = nil
	err := r.pages(f, group, i, func(p parquet.Page) error {
		if d := p.Dictionary(); d != nil && d != r.dictionary {
			r.dictionary, base = d, uint32(t.Len())
			data := d.Page().Data()
			bytes, ends := data.ByteArray()
			for n := range d.Len() {
				t.add(bytes[ends[n]:ends[n+1]])
			}
		}
		return t.page(p, base)
	})
	if err == nil && len(t.Numbers) != f.GroupRows(group) {
		err = fmt.Errorf("%w: it has %d values in %d rows", ErrDamaged, len(t.Numbers), f.GroupRows(group))
	}
	if err != nil {
		return fmt.Errorf("read column %s: %w", column, err)
	}
	return nil
}

// page appends the rows of a page.
func (t *Texts) page(p parquet.Page, base uint32) error {
	levels := p.DefinitionLevels()
	if p.NumNulls() == 0 {
		levels = nil
	}
	if len(levels) > 0 || len(t.Null) > 0 {
		t.Null = append(t.Null, make([]bool, len(t.Numbers)+int(p.NumValues())-len(t.Null))...)
	}
	data, next := p.Data(), 0
	var codes []int32
	var bytes []byte
	var ends []uint32
	if p.Dictionary() != nil {
		codes = data.Int32()
	} else {
		bytes, ends = data.ByteArray()
	}
	for i := range int(p.NumValues()) {
		switch {
		case len(levels) > 0 && levels[i] == 0:
			t.Null[len(t.Numbers)] = true
			t.Numbers = append(t.Numbers, 0)
			continue
		case codes != nil:
			number := base + uint32(codes[next])
			if int(number) >= t.Len() {
				return fmt.Errorf("a value has the number %d in a dictionary of %d", number, t.Len())
			}
			t.Numbers = append(t.Numbers, number)
		default:
			t.add(bytes[ends[next]:ends[next+1]])
			t.Numbers = append(t.Numbers, uint32(t.Len()-1))
		}
		next++
	}
	return nil
}

// pages calls read for each page of a column chunk, once the headers of all have been checked.
func (r *Reader) pages(f *File, group, field int, read func(parquet.Page) error) (err error) {
	defer guard("read pages", &err)
	if err := f.checkPages(group, f.leaves[field].index); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	pages := f.file.RowGroups()[group].ColumnChunks()[f.leaves[field].index].Pages()
	defer pages.Close()
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = read(page)
			parquet.Release(page)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
}
