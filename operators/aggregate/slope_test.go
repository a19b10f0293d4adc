package aggregate_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/operators/aggregate"
	"github.com/tidewatch/tidewatch/stream"
)

func slopeSet(t interface{ Fatal(args ...any) }) *aggregate.Set {
	s, err := aggregate.Compile([]aggregate.Spec{{Name: "growth", Function: "slope", Column: "value"}}, events)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// textbookSlope is the slope an hour by the formula of the textbook, with times that begin near 0.
func textbookSlope(rows []row, origin stream.Time) (slope float64, known bool) {
	var n, st, sv float64
	for _, r := range rows {
		n, st, sv = n+1, st+r.at.Sub(origin).Hours(), sv+*r.value
	}
	var products, squares float64
	for _, r := range rows {
		d := r.at.Sub(origin).Hours() - st/n
		products, squares = products+d*(*r.value-sv/n), squares+d*d
	}
	return products / squares, squares > 0
}

// TestSlope: folded in one go, or as parts that are carried and merged, it is the slope of the textbook.
func TestSlope(t *testing.T) {
	s := slopeSet(t)
	origin := stream.TimeOf(time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC))
	rapid.Check(t, func(t *rapid.T) {
		var all []row
		merged := s.AppendEmpty(nil)
		for range rapid.IntRange(1, 4).Draw(t, "parts") {
			var rows []row
			for range rapid.IntRange(0, 20).Draw(t, "rows") {
				v := rapid.Float64Range(-100, 100).Draw(t, "value")
				rows = append(rows, row{at: origin.Add(time.Duration(rapid.IntRange(0, 3600).Draw(t, "at")) * time.Second), value: &v})
			}
			words := s.AppendEmpty(nil)
			addTo(s, words, rows)
			s.Merge(merged, carried(s, words)[0])
			all = append(all, rows...)
		}
		got := results(s, merged)[0][0]
		want, known := textbookSlope(all, origin)
		if !known {
			if got != nil {
				t.Fatalf("got %v of points of one time, want null", got)
			}
			return
		}
		if v, ok := got.(float64); !ok || math.Abs(v-want) > 1e-5*(1+math.Abs(want)) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func TestSlopeOfALine(t *testing.T) {
	s := slopeSet(t)
	var rows []row
	origin := stream.TimeOf(time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC))
	for i := range 60 {
		v := 0.3 + 0.2*float64(i)/60
		rows = append(rows, row{at: origin.Add(time.Duration(i) * time.Minute), value: &v})
	}
	words := s.AppendEmpty(nil)
	addTo(s, words, rows)
	if got := results(s, words)[0][0].(float64); math.Abs(got-0.2) > 1e-9 {
		t.Errorf("a line that rises by 0.2 an hour has slope %v", got)
	}
}
