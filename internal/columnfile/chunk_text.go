package columnfile

import (
	"bytes"
	"encoding/binary"
	"slices"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/format"

	"github.com/tidewatch/tidewatch/stream"
)

const (
	// dictionaryLimit is the size up to which readers get a dictionary.
	dictionaryLimit = 4 << 20
	// pageLimit is about how many bytes of text go into a page.
	pageLimit = 1 << 20
	// boundLimit is the length up to which a text is a bound. Longer ones (attributes) help nobody to skip.
	boundLimit = 64
)

// textScratch gives the strings of a chunk numbers of their own, in order of first sight: the numbers of the column's
// dictionary depend on rows of other chunks, and on how often the task was restarted.
type textScratch struct {
	local []uint32 // by the column's number: 1 + number in the chunk; all 0 between two chunks
	seen  []uint32 // by number in the chunk: the column's number
	codes []int32  // by row
	texts []byte
	ends  []uint32
}

func (k *chunk) strings(rows []uint32) error {
	s, c := &k.w.text, k.column
	if len(rows) == 0 {
		return k.emptyPage()
	}
	size := s.number(c.Dict, c.IDs, rows)
	defer s.forget()
	k.meta.Statistics.DistinctCount = int64(len(s.seen))
	if size <= boundLimit*len(s.seen) { // else some bound is longer, or hardly worth the search
		k.textBounds()
	}
	if size > dictionaryLimit || len(s.seen) > max(16, len(rows)/2) {
		return k.plainText(rows)
	}
	w := k.w
	w.body = w.body[:0]
	for _, id := range s.seen {
		text := valid(c.Dict.Bytes(id))
		w.body = binary.LittleEndian.AppendUint32(w.body, uint32(len(text)))
		w.body = append(w.body, text...)
	}
	if err := k.dictionary(len(s.seen)); err != nil {
		return err
	}
	var err error
	if w.body, err = new(rle.DictionaryEncoding).EncodeInt32(w.body[:0], s.codes); err != nil {
		return err
	}
	return k.page(int(k.meta.NumValues), int(k.meta.Statistics.NullCount), format.RLEDictionary)
}

// number fills seen and codes, and returns the bytes of all distinct strings.
func (s *textScratch) number(d *stream.Dict, ids, rows []uint32) (size int) {
	if n := d.Len(); n > len(s.local) {
		s.local = append(s.local, make([]uint32, n-len(s.local))...)
	}
	s.seen, s.codes = s.seen[:0], slices.Grow(s.codes[:0], len(rows))[:len(rows)]
	for i, r := range rows {
		id := ids[r]
		n := s.local[id]
		if n == 0 {
			s.seen = append(s.seen, id)
			n = uint32(len(s.seen))
			s.local[id] = n
			size += len(d.Bytes(id))
		}
		s.codes[i] = int32(n - 1)
	}
	return size
}

func (s *textScratch) forget() {
	for _, id := range s.seen {
		s.local[id] = 0
	}
}

// textBounds sets the bounds if both are short. The distinct values are enough to find them.
func (k *chunk) textBounds() {
	s, d := &k.w.text, k.column.Dict
	low := valid(d.Bytes(s.seen[0]))
	high := low
	for _, id := range s.seen[1:] {
		text := valid(d.Bytes(id))
		if bytes.Compare(text, low) < 0 {
			low = text
		} else if bytes.Compare(text, high) > 0 {
			high = text
		}
	}
	if len(low) <= boundLimit && len(high) <= boundLimit {
		k.bounds(append([]byte{}, low...), append([]byte{}, high...))
	}
}

// plainText writes strings that hardly repeat, in pages of a limited size.
func (k *chunk) plainText(valued []uint32) error {
	s, c, w := &k.w.text, k.column, k.w
	nullable := k.meta.Statistics.NullCount > 0
	bits, row := slices.Clone(w.bits), 0 // which rows have a value
	for lo := 0; lo < len(valued); {
		s.texts, s.ends = s.texts[:0], append(s.ends[:0], 0)
		hi := lo
		for hi < len(valued) && (hi == lo || len(s.texts) < pageLimit) {
			s.texts = append(s.texts, valid(c.Dict.Bytes(c.IDs[valued[hi]]))...)
			s.ends = append(s.ends, uint32(len(s.texts)))
			hi++
		}
		values, nulls := hi-lo, 0
		switch {
		case nullable:
			from := row
			row = behind(bits, row, hi-lo, hi == len(valued))
			values, nulls = row-from, row-from-(hi-lo)
			var err error
			if w.levels, err = (&rle.Encoding{BitWidth: 1}).EncodeLevels(w.levels[:0], bits[from:row]); err != nil {
				return err
			}
		case !c.Required:
			w.levels = appendRun(w.levels[:0], values)
		}
		var err error
		if w.body, err = new(delta.LengthByteArrayEncoding).EncodeByteArray(w.body[:0], s.texts, s.ends); err != nil {
			return err
		}
		if err := k.page(values, nulls, format.DeltaLengthByteArray); err != nil {
			return err
		}
		lo = hi
	}
	return nil
}

// behind is the row behind the next n values from row on; the last page takes the nulls at the end too.
func behind(bits []byte, row, n int, last bool) int {
	if last {
		return len(bits)
	}
	for ; n > 0; row++ {
		n -= int(bits[row])
	}
	return row
}

// valid replaces what is not UTF-8: readers refuse a whole file for one bad string.
func valid(text []byte) []byte {
	if utf8.Valid(text) {
		return text
	}
	return bytes.ToValidUTF8(text, []byte("\uFFFD"))
}
