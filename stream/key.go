package stream

import (
	"encoding/binary"
	"math"
)

// AppendKey appends the canonical bytes of row i of the columns to dst: the key of a group. Equal values have equal
// bytes in every run and on every machine, and no two different groups share them. A null differs from an empty string.
func AppendKey(dst []byte, b *Batch, cols []int, i int) []byte {
	for _, c := range cols {
		col := &b.Cols[c]
		switch {
		case col.IsNull(i):
			dst = append(dst, 0)
		case col.Kind == String:
			s := col.Dict.Bytes(col.IDs[i])
			dst = append(dst, 1)
			dst = binary.AppendUvarint(dst, uint64(len(s)))
			dst = append(dst, s...)
		case col.Kind == Float:
			dst = append(dst, 2)
			dst = AppendFloatBits(dst, col.Floats[i])
		default:
			dst = append(dst, 3)
			dst = binary.AppendVarint(dst, col.Ints[i])
		}
	}
	return dst
}

// SlotOf is the hash range of a group's key: 64-bit FNV-1a, its bytes folded into one. It names Redis fields and
// internal partitions, so it never changes.
func SlotOf(key []byte) uint8 {
	h := HashProducer(key)
	h ^= h >> 32
	h ^= h >> 16
	h ^= h >> 8
	return uint8(h)
}

// AppendFloatBits appends the eight bytes of a float, with one form for zero and one for NaN, so that equal values have
// equal bytes.
func AppendFloatBits(dst []byte, v float64) []byte {
	switch {
	case v == 0:
		v = 0
	case v != v:
		v = math.NaN()
	}
	return binary.BigEndian.AppendUint64(dst, math.Float64bits(v))
}
