package aggregate

import (
	"math"

	"github.com/tidewatch/tidewatch/stream"
)

// minimum begins with +Inf, which no value is.
func minimum() function {
	return extreme("min", math.Inf(1), func(words []uint64, in *input) {
		numbers := in.numbers[:len(in.at)]
		for i, a := range in.at {
			if v := numbers[i]; v < math.Float64frombits(words[a]) {
				words[a] = math.Float64bits(v)
			}
		}
	}, func(into, from []uint64) {
		if math.Float64frombits(from[0]) < math.Float64frombits(into[0]) {
			into[0] = from[0]
		}
	})
}

// maximum begins with -Inf.
func maximum() function {
	return extreme("max", math.Inf(-1), func(words []uint64, in *input) {
		numbers := in.numbers[:len(in.at)]
		for i, a := range in.at {
			if v := numbers[i]; v > math.Float64frombits(words[a]) {
				words[a] = math.Float64bits(v)
			}
		}
	}, func(into, from []uint64) {
		if math.Float64frombits(from[0]) > math.Float64frombits(into[0]) {
			into[0] = from[0]
		}
	})
}

func extreme(name string, none float64, add func([]uint64, *input), merge func(into, from []uint64)) function {
	return function{
		name: name, argument: number, result: stream.Float, empty: []uint64{math.Float64bits(none)},
		columns: []stream.Field{{Name: name, Kind: stream.Float}},
		add:     add,
		merge:   merge,
		value: func(words []uint64, at []uint32, out *stream.Column) {
			for _, a := range at {
				appendNumber(out, math.Float64frombits(words[a]), true)
			}
		},
		save: saveWords, load: loadWords,
	}
}
