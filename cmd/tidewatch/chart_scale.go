package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// scale is the range of the values axis; high is above low.
type scale struct{ low, high float64 }

// scaleOf is a range with round ends that holds all values, and zero unless the values lie far from it.
func scaleOf(low, high float64) scale {
	if low > 0 && low < 0.7*high {
		low = 0
	}
	if high < 0 && high > 0.7*low {
		high = 0
	}
	if high == low {
		switch {
		case low == 0:
			high = 1
		case low > 0:
			low = 0
		default:
			high = 0
		}
	}
	step := roundUp((high - low) / 4)
	return scale{math.Floor(low/step) * step, math.Ceil(high/step) * step}
}

// roundUp is the next number of the form 1, 2, 2.5 or 5 times a power of ten.
func roundUp(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 2.5, 5} {
		if v <= m*power*(1+1e-9) {
			return m * power
		}
	}
	return 10 * power
}

// labels are the texts beside the rows, from the top; most are empty.
func (s scale) labels(rows int, unit string) []string {
	out := make([]string, rows)
	for _, r := range []int{0, rows / 2, rows - 1} {
		// The label stands beside the dot in the middle of its row, but for the ends.
		v := s.high - (s.high-s.low)*float64(r)/float64(rows-1)
		out[r] = formatValue(v, unit)
	}
	return out
}

// formatValue writes a value for people in at most ten characters: shares as percentages, bytes and large numbers with
// their prefix.
func formatValue(v float64, unit string) string {
	switch unit {
	case "1":
		return prefixed(math.Round(v*1000)/10, 1000, []string{"", "k", "M"}) + "%"
	case "By":
		return prefixed(v, 1024, []string{" B", "KiB", "MiB", "GiB", "TiB", "PiB"})
	}
	if unit == "ms" && math.Abs(v) >= 1000 {
		v, unit = v/1000, "s"
	}
	return prefixed(v, 1000, []string{"", "k", "M", "G", "T", "P"}) + shortUnit(unit)
}

func shortUnit(unit string) string {
	if unit == "ms" || unit == "s" {
		return " " + unit
	}
	return ""
}

func prefixed(v, base float64, names []string) string {
	k := 0
	for ; math.Abs(v) >= base && k < len(names)-1; k++ {
		v /= base
	}
	size, digits := math.Abs(v), 3
	switch {
	case size < 0.001 && size > 0, size >= base:
		return fmt.Sprintf("%.0e", v) + names[k]
	case size >= 1000:
		digits = 0
	case size >= 10:
		digits = 1
	}
	text := strconv.FormatFloat(v, 'f', digits, 64)
	if digits > 0 {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text + names[k]
}
