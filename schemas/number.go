package schemas

import (
	"encoding/binary"
	"math"
	"strconv"
	"unsafe"
)

// scalar is where a value stands in the text, and what the scanner found out about a number on its way: it is
// mantissa·10^exp if exact, with the sign in front.
type scalar struct {
	start, end int
	mantissa   uint64
	exp        int
	negative   bool
	exact      bool
}

// maxDigits fit a mantissa of 64 bits whatever they are.
const maxDigits = 19

// wideExponent is the power of ten below which every number is a float: the largest is 1.8·10^308.
const wideExponent = 308

// scanNumber reads a number by the grammar of JSON.
func scanNumber(b []byte, i int, s *scalar) (int, token) {
	s.start, s.exp = i, 0
	if s.negative = b[i] == '-'; s.negative {
		i++
	}
	first := i
	m, i := digits(b, i, 0)
	whole := i - first
	switch {
	case whole == 0:
		return ^i, number
	case whole > 1 && b[first] == '0':
		return ^(first + 1), number
	}
	count := whole
	if i < len(b) && b[i] == '.' {
		point := i + 1
		if m, i = digits(b, point, m); i == point {
			return ^i, number
		}
		s.exp = point - i
		count += i - point
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		e, next := exponent(b, i+1)
		if next < 0 {
			return next, number
		}
		s.exp += e
		whole += e
		i = next
	}
	s.end, s.mantissa, s.exact = i, m, count <= maxDigits
	if whole > wideExponent {
		return i, wideNumber
	}
	return i, number
}

// digits goes on with m over a run of digits, which may overflow: the caller counts them.
func digits(b []byte, i int, m uint64) (uint64, int) {
	for i+8 <= len(b) {
		w := binary.LittleEndian.Uint64(b[i:])
		if !eightDigits(w) {
			break
		}
		m = m*1e8 + parseEight(w)
		i += 8
	}
	for i < len(b) {
		c := b[i] - '0'
		if c > 9 {
			break
		}
		m = m*10 + uint64(c)
		i++
	}
	return m, i
}

// eightDigits tests all bytes of w at once: the upper half of each is 3, and stays 3 when 6 is added to the lower half.
func eightDigits(w uint64) bool {
	return w&(ones*0xf0) == ones*0x30 && (w+ones*6)&(ones*0xf0) == ones*0x30
}

// parseEight folds eight digits in three steps: pairs, then fours, then all (after Daniel Lemire, "Quickly parsing eight
// digits", 2018).
func parseEight(w uint64) uint64 {
	const mask, mul1, mul2 = 0x000000ff000000ff, 100 + 1000000<<32, 1 + 10000<<32
	w -= ones * '0'
	w = w*10 + w>>8
	return (w&mask*mul1 + w>>16&mask*mul2) >> 32
}

// exponent reads from behind the letter. One that is far out of any range is held at a million.
func exponent(b []byte, i int) (e, next int) {
	negative := false
	if i < len(b) && (b[i] == '+' || b[i] == '-') {
		negative = b[i] == '-'
		i++
	}
	first := i
	for i < len(b) && b[i]-'0' <= 9 {
		e = min(e*10+int(b[i]-'0'), 1e6)
		i++
	}
	if i == first {
		return 0, ^i
	}
	if negative {
		e = -e
	}
	return e, i
}

// tens are the powers of ten that a float holds exactly. Only read.
var tens = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// float is the nearest float, as strconv.ParseFloat has it; ok is false if the number is too large.
//
// A mantissa of 53 bits and a power of ten up to 22 are both exact, so one operation rounds once and right (William
// Clinger, "How to read floating point numbers accurately", 1990).
func (s *scalar) float(b []byte) (_ float64, ok bool) {
	if !s.exact || s.mantissa >= 1<<53 || s.exp < -22 || s.exp > 22 {
		// ParseFloat does not keep its argument; converting it would allocate for long numbers.
		f, err := strconv.ParseFloat(unsafe.String(&b[s.start], s.end-s.start), 64)
		return f, err == nil
	}
	f := float64(s.mantissa)
	if s.exp < 0 {
		f /= tens[-s.exp]
	} else {
		f *= tens[s.exp]
	}
	if s.negative {
		f = -f
	}
	return f, true
}

// int is the value of a number without fraction and exponent; ok is false for others and for those out of range.
func (s *scalar) int(b []byte) (_ int64, ok bool) {
	for _, c := range b[s.start:s.end] {
		if c == '.' || c|0x20 == 'e' {
			return 0, false
		}
	}
	switch {
	case !s.exact:
		return 0, false
	case s.negative && s.mantissa <= 1<<63:
		return -int64(s.mantissa), true
	case s.negative || s.mantissa > math.MaxInt64:
		return 0, false
	}
	return int64(s.mantissa), true
}

// decimal is the number as mantissa·10^exp with at most 19 digits; further ones are cut off.
func (s *scalar) decimal(b []byte) (mantissa uint64, exp int) {
	if s.exact {
		return s.mantissa, s.exp
	}
	taken, fraction := 0, false
	for i := s.start; i < s.end; i++ {
		c := b[i]
		switch {
		case c == '.':
			fraction = true
		case c|0x20 == 'e':
			e, _ := exponent(b[:s.end], i+1)
			return mantissa, exp + e
		case c == '-':
		case taken < maxDigits:
			if mantissa = mantissa*10 + uint64(c-'0'); mantissa > 0 {
				taken++
			}
			if fraction {
				exp--
			}
		case !fraction:
			exp++
		}
	}
	return mantissa, exp
}
