package aggregate

import (
	"math"

	"github.com/tidewatch/tidewatch/stream"
)

// noSum is the sum that has seen nothing: -0. Adding a number that is not -0 never gives -0 (IEEE 754, round to nearest), and
// -0 changes no number that it is added to. So "nothing yet" needs neither a second word nor a branch.
const noSum = uint64(1) << 63

func sum() function {
	return function{
		name: "sum", argument: number, result: stream.Float, empty: []uint64{noSum},
		columns: []stream.Field{{Name: "sum", Kind: stream.Float}},
		add:     addSum,
		merge:   mergeSum,
		value: func(words []uint64, at []uint32, out *stream.Column) {
			for _, a := range at {
				w := words[a]
				appendNumber(out, math.Float64frombits(w), w != noSum)
			}
		},
		save: saveWords, load: loadWords,
	}
}

func addSum(words []uint64, in *input) {
	numbers := in.numbers[:len(in.at)]
	for i, a := range in.at {
		words[a] = math.Float64bits(math.Float64frombits(words[a]) + numbers[i])
	}
}

func mergeSum(into, from []uint64) {
	into[0] = math.Float64bits(math.Float64frombits(into[0]) + math.Float64frombits(from[0]))
}
