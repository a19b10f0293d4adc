package redis

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/tidewatch/tidewatch/stream"
)

// maxText bounds the bytes of all strings of a block, and of a decompressed body: shared prefixes and compression let a
// damaged block ask for far more than it holds.
const maxText = 16 << 20

// rows are the rows of one block. They belong to one goroutine and keep their memory from block to block.
type rows struct {
	version   stream.Version
	tombstone bool
	span      time.Duration // length of the window
	n         int
	columns   []values

	body []byte // decompressed
}

// values are one column of a block.
type values struct {
	kind   stream.Kind
	ints   []int64 // Int, Bool, Timestamp
	floats []float64
	text   []byte // of all rows, one after the other
	ends   []int  // of each row in text
	nulls  []bool // empty: none
}

func (v *values) isNull(i int) bool { return len(v.nulls) > 0 && v.nulls[i] }

// textOf is the string of row i, valid until the next block.
func (v *values) textOf(i int) []byte {
	if i == 0 {
		return v.text[:v.ends[0]]
	}
	return v.text[v.ends[i-1]:v.ends[i]]
}

var errDamaged = errors.New("it is damaged")

// unpack reads a block, whatever its bytes are.
func (r *rows) unpack(block []byte) error {
	if len(block) <= versionSize {
		return fmt.Errorf("read block of %d bytes: %w", len(block), errDamaged)
	}
	r.version, r.n, r.columns = versionOf(block), 0, r.columns[:0]
	form, body := block[versionSize], block[versionSize+1:]
	r.tombstone = form&formTombstone != 0
	if form&formMask != formRows {
		return fmt.Errorf("read block: its form is %d; a newer version of tidewatch wrote it", form&formMask)
	}
	if r.tombstone {
		return nil
	}
	if form&formCompressed != 0 {
		var err error
		if body, err = r.decompress(body); err != nil {
			return err
		}
	}
	in := input{rest: body, text: maxText}
	r.readBody(&in)
	if in.bad || len(in.rest) > 0 {
		return fmt.Errorf("read block: %w", errDamaged)
	}
	return nil
}

func (r *rows) decompress(body []byte) ([]byte, error) {
	if n, err := s2.DecodedLen(body); err != nil || n > maxText {
		return nil, fmt.Errorf("read compressed block: %w", errDamaged)
	}
	out, err := s2.Decode(r.body[:cap(r.body)], body)
	if err != nil {
		return nil, fmt.Errorf("read compressed block: %w", errDamaged)
	}
	r.body = out
	return out, nil
}

func (r *rows) readBody(in *input) {
	r.span = time.Duration(in.uvarint())
	n, columns := in.uvarint(), in.uvarint()
	// Every column takes a byte or more, and each of its values too.
	if columns > uint64(len(in.rest)) || n > uint64(len(in.rest)) || columns == 0 && n > 0 {
		in.bad = true
		return
	}
	r.n = int(n)
	r.columns = slices.Grow(r.columns, int(columns))[:columns]
	for i := range r.columns {
		r.columns[i].read(in, r.n)
	}
}

func (v *values) read(in *input, n int) {
	head := in.byte()
	v.kind = stream.Kind(head & kindMask)
	v.ints, v.floats, v.text, v.ends, v.nulls = v.ints[:0], v.floats[:0], v.text[:0], v.ends[:0], v.nulls[:0]
	if head&columnNulls != 0 {
		v.readNulls(in, n)
	}
	decimal := head&columnDecimal != 0
	switch {
	case decimal && v.kind != stream.Float:
		in.bad = true
	case decimal:
		v.readDecimals(in, n)
	case v.kind == stream.Float:
		v.readFloats(in, n)
	case v.kind == stream.String:
		v.readTexts(in, n)
	case v.kind == stream.Int, v.kind == stream.Bool, v.kind == stream.Timestamp:
		v.readInts(in, n)
	default:
		in.bad = true
	}
}

func (v *values) readNulls(in *input, n int) {
	bits := in.take((n + 7) / 8)
	for i := 0; i < n && !in.bad; i++ {
		v.nulls = append(v.nulls, bits[i/8]&(1<<(i%8)) != 0)
	}
}

func (v *values) readInts(in *input, n int) {
	var before int64
	for i := 0; i < n && !in.bad; i++ {
		before += in.varint()
		v.ints = append(v.ints, before)
	}
}

func (v *values) readFloats(in *input, n int) {
	if n > len(in.rest)/8 {
		in.bad = true
		return
	}
	for i := range n {
		v.floats = append(v.floats, math.Float64frombits(binary.LittleEndian.Uint64(in.rest[8*i:])))
	}
	in.take(8 * n)
}

func (v *values) readDecimals(in *input, n int) {
	exp := int(in.byte())
	if exp >= len(powers) {
		in.bad = true
		return
	}
	var before int64
	for i := 0; i < n && !in.bad; i++ {
		before += in.varint()
		v.floats = append(v.floats, float64(before)/powers[exp])
	}
}

func (v *values) readTexts(in *input, n int) {
	begin := 0
	for i := 0; i < n && !in.bad; i++ {
		keep, more := in.uvarint(), in.uvarint()
		end := len(v.text)
		if keep > uint64(end-begin) || more > uint64(len(in.rest)) || int(keep)+int(more) > in.text {
			in.bad = true
			return
		}
		in.text -= int(keep) + int(more)
		v.text = append(v.text, v.text[begin:begin+int(keep)]...)
		v.text = append(v.text, in.take(int(more))...)
		v.ends = append(v.ends, len(v.text))
		begin = end
	}
}

// input is the rest of a body. After the first mistake it is bad, and gives zeros.
type input struct {
	rest []byte
	text int // bytes of strings that may still be made
	bad  bool
}

func (in *input) byte() byte {
	if len(in.rest) == 0 {
		in.bad = true
		return 0
	}
	b := in.rest[0]
	in.rest = in.rest[1:]
	return b
}

func (in *input) take(n int) []byte {
	if n > len(in.rest) {
		in.bad, n = true, len(in.rest)
	}
	b := in.rest[:n]
	in.rest = in.rest[n:]
	return b
}

func (in *input) uvarint() uint64 {
	v, n := binary.Uvarint(in.rest)
	if n <= 0 {
		in.bad = true
		return 0
	}
	in.rest = in.rest[n:]
	return v
}

func (in *input) varint() int64 {
	v, n := binary.Varint(in.rest)
	if n <= 0 {
		in.bad = true
		return 0
	}
	in.rest = in.rest[n:]
	return v
}
