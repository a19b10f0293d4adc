package redis

import "math"

// Measurements are mostly decimals with few digits: 12.512 is the integer 12512 over 1000. A column whose values all are
// such quotients with the same power of ten is kept as integers, which take two or three bytes instead of eight. The idea
// is that of ALP (Afroozeh and others, SIGMOD 2023), without its vectors and exceptions.

// powers are exact as floats, and quotients by them are rounded correctly, so that decoding is exact and the same
// everywhere.
var powers = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6}

// maxMantissa is where floats stop being able to tell neighbouring integers apart.
const maxMantissa = 1 << 53

// mantissa returns m with m/10^exp == v to the bit, if there is one.
func mantissa(v float64, exp int) (m int64, ok bool) {
	scaled := math.Round(v * powers[exp])
	if !(math.Abs(scaled) < maxMantissa) {
		return 0, false
	}
	m = int64(scaled)
	return m, math.Float64bits(float64(m)/powers[exp]) == math.Float64bits(v)
}

// decimalExponent finds the lowest exponent that fits all values, starting from a guess that fitted before.
func decimalExponent(values []float64, guess int) (exp int, ok bool) {
	for exp = guess; exp < len(powers); exp++ {
		if fits(values, exp) {
			return exp, true
		}
	}
	return 0, false
}

func fits(values []float64, exp int) bool {
	for _, v := range values {
		if _, ok := mantissa(v, exp); !ok {
			return false
		}
	}
	return true
}
