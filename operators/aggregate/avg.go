package aggregate

import (
	"math"

	"github.com/tidewatch/tidewatch/stream"
)

// avg is the mean: a sum and the count of what it has summed.
func avg() function {
	return function{
		name: "avg", argument: number, result: stream.Float, empty: []uint64{noSum, 0},
		columns: []stream.Field{{Name: "sum", Kind: stream.Float}, {Name: "count", Kind: stream.Int}},
		add: func(words []uint64, in *input) {
			numbers := in.numbers[:len(in.at)]
			for i, a := range in.at {
				state := words[a : a+2]
				state[0] = math.Float64bits(math.Float64frombits(state[0]) + numbers[i])
				state[1]++
			}
		},
		merge: func(into, from []uint64) {
			mergeSum(into, from)
			into[1] += from[1]
		},
		value: func(words []uint64, at []uint32, out *stream.Column) {
			for _, a := range at {
				n := words[a+1]
				appendNumber(out, math.Float64frombits(words[a])/float64(n), n > 0)
			}
		},
		save: saveWords, load: loadWords,
	}
}
