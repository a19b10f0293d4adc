package columnfile

import (
	"math/bits"
	"slices"
)

const (
	digitBits = 11
	digits    = 1 << digitBits
)

// Order returns the row numbers in order of time; rows of equal time stay in the order they are in. It is a radix sort by
// 11 bits from the lowest up (Knuth, volume 3, 5.2.5): the span of a part is short, so few passes are needed. Events
// mostly come in order, which is seen first.
func Order[T ~int64](times []T) []uint32 {
	rows := make([]uint32, len(times))
	for i := range rows {
		rows[i] = uint32(i)
	}
	if slices.IsSorted(times) {
		return rows
	}
	low, high := slices.Min(times), slices.Max(times)
	other := make([]uint32, len(times))
	width := bits.Len64(uint64(high) - uint64(low))
	for shift := 0; shift < width; shift += digitBits {
		if pass(times, uint64(low), shift, rows, other) {
			rows, other = other, rows
		}
	}
	return rows
}

// pass sorts rows into out by one digit, and reports false where all rows have the same.
func pass[T ~int64](times []T, low uint64, shift int, rows, out []uint32) bool {
	var starts [digits]uint32
	for _, t := range times {
		starts[digit(t, low, shift)]++
	}
	if starts[digit(times[0], low, shift)] == uint32(len(times)) {
		return false
	}
	var sum uint32
	for d, n := range starts {
		starts[d] = sum
		sum += n
	}
	for _, r := range rows {
		d := digit(times[r], low, shift)
		out[starts[d]] = r
		starts[d]++
	}
	return true
}

func digit[T ~int64](t T, low uint64, shift int) uint64 {
	return (uint64(t) - low) >> shift & (digits - 1)
}
