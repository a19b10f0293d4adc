package aggregate

import (
	"math"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// The words of a slope: how many rows, their mean time in seconds and mean value, and the sums of the products of the
// deviations from both means, and of the squared deviations of the times.
const (
	slopeCount = iota
	slopeTime
	slopeValue
	slopeProducts
	slopeSquares
	slopeWords
)

// slope is how much a number changes an hour: the slope of the line with the least squares through the points of event
// time and value. It keeps means and centred sums, which are updated point by point and merged in pairs without losing
// digits to the size of the times (Chan, Golub, LeVeque: Updating Formulae and a Pairwise Algorithm for Computing Sample
// Variances, 1979). Points of one time have no slope, and give null.
func slope() function {
	return function{
		name: "slope", argument: number, result: stream.Float, empty: make([]uint64, slopeWords),
		columns: []stream.Field{
			{Name: "count", Kind: stream.Int},
			{Name: "time", Kind: stream.Float},
			{Name: "value", Kind: stream.Float},
			{Name: "products", Kind: stream.Float},
			{Name: "squares", Kind: stream.Float},
		},
		add: func(words []uint64, in *input) {
			for i, a := range in.at {
				at := float64(in.batch.Time[in.rows[i]]) / float64(time.Second)
				mergeSlope(words[a:], &line{n: 1, time: at, value: in.numbers[i]})
			}
		},
		merge: func(into, from []uint64) {
			l := lineOf(from)
			mergeSlope(into, &l)
		},
		value: func(words []uint64, at []uint32, out *stream.Column) {
			for _, a := range at {
				l := lineOf(words[a:])
				appendNumber(out, l.products/l.squares*time.Hour.Seconds(), l.squares > 0)
			}
		},
		save: saveWords, load: loadWords,
	}
}

// line is the state of a slope.
type line struct {
	n                              uint64
	time, value, products, squares float64
}

func lineOf(words []uint64) line {
	return line{
		words[slopeCount], math.Float64frombits(words[slopeTime]), math.Float64frombits(words[slopeValue]),
		math.Float64frombits(words[slopeProducts]), math.Float64frombits(words[slopeSquares]),
	}
}

// mergeSlope folds the points of l into a state.
func mergeSlope(into []uint64, l *line) {
	if l.n == 0 {
		return
	}
	m := *l
	if held := lineOf(into); held.n > 0 {
		m.n = held.n + l.n
		share := float64(l.n) / float64(m.n)
		dt, dv := l.time-held.time, l.value-held.value
		weight := float64(held.n) * share
		m.time, m.value = held.time+float64(dt*share), held.value+float64(dv*share)
		m.products = held.products + l.products + float64(dt*dv*weight)
		m.squares = held.squares + l.squares + float64(dt*dt*weight)
	}
	into[slopeCount] = m.n
	for i, v := range [...]float64{m.time, m.value, m.products, m.squares} {
		into[slopeTime+i] = math.Float64bits(v)
	}
}
