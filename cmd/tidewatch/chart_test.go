package main

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// TestChartsHoldEveryValue draws random series: nothing panics, no line is wider than asked for, every bucket with a value has
// a dot in its columns and every gap that is wide enough to be seen has none.
func TestChartsHoldEveryValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(1, 200).Draw(t, "width")
		n := rapid.IntRange(1, 300).Draw(t, "buckets")
		from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		m := &seriesAnswer{From: from, To: from.Add(time.Duration(n) * time.Minute)}
		s := series{Step: span(time.Minute), Columns: []string{"time", "v"}, Unit: rapid.SampledFrom([]string{"", "1", "By", "ms"}).Draw(t, "unit")}
		values := make([]float64, n)
		for i := range values {
			values[i] = math.NaN()
			if rapid.Bool().Draw(t, "there") {
				values[i] = rapid.Float64Range(-1e12, 1e12).Draw(t, "value")
				ms := strconv.FormatInt(from.Add(time.Duration(i)*time.Minute).UnixMilli(), 10)
				s.Points = append(s.Points, []json.Number{json.Number(ms), json.Number(strconv.FormatFloat(values[i], 'g', -1, 64))})
			}
		}
		m.Series = []series{s}
		var b strings.Builder
		if err := drawCharts(&b, m, width, false); err != nil {
			t.Fatal(err)
		}
		if len(s.Points) == 0 {
			if !strings.HasPrefix(b.String(), "no data") {
				t.Fatal(b.String())
			}
			return
		}
		lines := strings.Split(b.String(), "\n")[1:]
		plot := max(width-chartMargin, narrowest)
		for _, l := range lines[:chartRows+2] {
			if got := utf8.RuneCountInString(l); got > plot+chartMargin+len("Jan 02 15:04") {
				t.Fatalf("a line has %d characters at width %d: %q", got, width, l)
			}
		}
		for i, v := range values {
			drawn := false
			for x := i * plot / n; x <= i*plot/n; x++ {
				for _, l := range lines[:chartRows] {
					r := []rune(l)
					drawn = drawn || x+chartMargin < len(r) && r[x+chartMargin] != ' '
				}
			}
			if !math.IsNaN(v) && !drawn {
				t.Fatalf("bucket %d of %d is not drawn:\n%s", i, n, b.String())
			}
			if math.IsNaN(v) && drawn && plot%n == 0 {
				t.Fatalf("bucket %d of %d is empty, but drawn:\n%s", i, n, b.String())
			}
		}
	})
}

func TestLabelsFitTheMargin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Float64().Draw(t, "value")
		unit := rapid.SampledFrom([]string{"", "1", "By", "ms", "s", "{request}"}).Draw(t, "unit")
		if text := formatValue(v, unit); utf8.RuneCountInString(text) > chartMargin-2 {
			t.Fatalf("%v %s is %q", v, unit, text)
		}
	})
}

func TestValuesForPeople(t *testing.T) {
	for _, tc := range []struct {
		v          float64
		unit, want string
	}{
		{0.123, "1", "12.3%"},
		{0, "", "0"},
		{1234, "", "1.234k"},
		{12_345_678, "", "12.3M"},
		{3 << 30, "By", "3GiB"},
		{12.512, "ms", "12.5 ms"},
		{-5, "", "-5"},
		{-150_000.5, "ms", "-150 s"},
		{0.0000012, "", "1e-06"},
	} {
		if got := formatValue(tc.v, tc.unit); got != tc.want {
			t.Errorf("%v %s: %q, want %q", tc.v, tc.unit, got, tc.want)
		}
	}
}
