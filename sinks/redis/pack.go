package redis

import (
	"encoding/binary"
	"math"

	"github.com/klauspost/compress/s2"

	"github.com/tidewatch/tidewatch/stream"
)

// A block is: the version, a form byte, a body.
//
//	form    low four bits: 1; 0x10: the body is compressed with S2; 0x20: a tombstone, which has no body
//	body    length of the window in ns, number of rows, number of columns, then each column
//	column  kind in the low four bits, 0x10: decimals, 0x80: some rows are null; then one bit a row if so; then values
//	int     (also bool, timestamp) difference to the row before
//	float   eight bytes; or of decimals: the exponent, then the difference of the mantissa to the row before
//	string  length of the prefix shared with the row before, length of the rest, the rest
//
// Numbers are unsigned varints, differences signed ones. A null row holds a zero.
const (
	formRows       = 1
	formCompressed = 0x10
	formTombstone  = 0x20
	formMask       = 0x0f

	columnDecimal = 0x10
	columnNulls   = 0x80
	kindMask      = 0x0f
)

// compressFrom is the size of a body from which compression is tried, and compressEvery how many blocks are spared after
// one that did not get a fifth smaller. Small bodies and unlike values do not pay the microseconds.
const (
	compressFrom  = 2048
	compressEvery = 64
)

// packer turns rows into blocks. It belongs to one goroutine and keeps its memory.
type packer struct {
	body, small []byte
	exponents   []int // by column: the exponent of the block before, where the search starts
	spare       int   // blocks that are not worth a try to compress
}

// pack returns the block of rows lo to hi. It is valid until the next call.
func (p *packer) pack(b *stream.Batch, lo, hi int) []byte {
	if len(p.exponents) != len(b.Cols) {
		p.exponents = make([]int, len(b.Cols))
	}
	dst := appendVersion(p.body[:0], b.Version)
	dst = append(dst, formRows)
	dst = binary.AppendUvarint(dst, uint64(b.Window.End-b.Window.Start))
	dst = binary.AppendUvarint(dst, uint64(hi-lo))
	dst = binary.AppendUvarint(dst, uint64(len(b.Cols)))
	for i := range b.Cols {
		dst = p.column(dst, &b.Cols[i], i, lo, hi)
	}
	p.body = dst
	return p.compress(dst)
}

func (p *packer) compress(block []byte) []byte {
	body := block[versionSize+1:]
	if len(body) < compressFrom {
		return block
	}
	if p.spare > 0 {
		p.spare--
		return block
	}
	const head = versionSize + 1
	if need := head + s2.MaxEncodedLen(len(body)); cap(p.small) < need {
		p.small = make([]byte, need)
	}
	p.small = p.small[:cap(p.small)]
	copy(p.small, block[:head])
	n := len(s2.Encode(p.small[head:], body))
	if n > len(body)*4/5 {
		p.spare = compressEvery
		return block
	}
	p.small[versionSize] |= formCompressed
	return p.small[:head+n]
}

func (p *packer) column(dst []byte, c *stream.Column, at, lo, hi int) []byte {
	head := byte(c.Kind)
	nulls := c.Null
	if len(nulls) > 0 {
		nulls = nulls[lo:hi]
		head |= columnNulls
	}
	if c.Kind == stream.Float {
		values := c.Floats[lo:hi]
		exp, ok := p.exponent(values, at)
		if !ok {
			dst = appendNulls(append(dst, head), nulls)
			return appendFloats(dst, values)
		}
		dst = appendNulls(append(dst, head|columnDecimal), nulls)
		return appendDecimals(append(dst, byte(exp)), values, exp)
	}
	dst = appendNulls(append(dst, head), nulls)
	if c.Kind == stream.String {
		return appendTexts(dst, c.Dict, c.IDs[lo:hi])
	}
	return appendInts(dst, c.Ints[lo:hi])
}

// exponent searches where it was found before: values of a column look alike. After a failure the first value decides
// alone whether a search is worth it.
func (p *packer) exponent(values []float64, at int) (int, bool) {
	if len(values) == 0 {
		return 0, true
	}
	first, ok := decimalExponent(values[:1], 0)
	if !ok {
		return 0, false
	}
	exp, ok := decimalExponent(values, max(first, p.exponents[at]))
	if !ok && p.exponents[at] > first { // the guess was too high for large values
		exp, ok = decimalExponent(values, first)
	}
	if ok {
		p.exponents[at] = exp
	}
	return exp, ok
}

func appendNulls(dst []byte, nulls []bool) []byte {
	for i := 0; i < len(nulls); i += 8 {
		var bits byte
		for j, null := range nulls[i:min(i+8, len(nulls))] {
			if null {
				bits |= 1 << j
			}
		}
		dst = append(dst, bits)
	}
	return dst
}

func appendInts(dst []byte, values []int64) []byte {
	var before int64
	for _, v := range values {
		dst = binary.AppendVarint(dst, v-before)
		before = v
	}
	return dst
}

func appendFloats(dst []byte, values []float64) []byte {
	for _, v := range values {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
	}
	return dst
}

func appendDecimals(dst []byte, values []float64, exp int) []byte {
	var before int64
	for _, v := range values {
		m, _ := mantissa(v, exp)
		dst = binary.AppendVarint(dst, m-before)
		before = m
	}
	return dst
}

func appendTexts(dst []byte, d *stream.Dict, ids []uint32) []byte {
	var before []byte
	for i, id := range ids {
		if i > 0 && id == ids[i-1] {
			dst = binary.AppendUvarint(dst, uint64(len(before)))
			dst = append(dst, 0)
			continue
		}
		text := d.Bytes(id)
		n := shared(before, text)
		dst = binary.AppendUvarint(dst, uint64(n))
		dst = binary.AppendUvarint(dst, uint64(len(text)-n))
		dst = append(dst, text[n:]...)
		before = text
	}
	return dst
}

// shared is the length of the common prefix.
func shared(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
