package aggregate

import (
	"math"

	"github.com/tidewatch/tidewatch/stream"
)

// first is the number of the row with the lowest event time; of equals that of the record that the log has first, and of
// the lowest partition.
func first() function {
	return end("first", stream.MaxTime, func(t, held stream.Time) bool { return t < held })
}

// last is the number of the row with the highest event time; of equals that of the record that the log has last, and of
// the highest partition.
func last() function {
	return end("last", stream.NoTime, func(t, held stream.Time) bool { return t >= held })
}

// end keeps the number at one end of the window, with its time.
func end(name string, none stream.Time, better func(t, held stream.Time) bool) function {
	return function{
		name: name, argument: number, result: stream.Float, empty: []uint64{uint64(none), 0},
		columns: []stream.Field{{Name: "time", Kind: stream.Int}, {Name: name, Kind: stream.Float}},
		add: func(words []uint64, in *input) {
			for i, a := range in.at {
				if t := in.batch.Time[in.rows[i]]; better(t, stream.Time(words[a])) {
					words[a], words[a+1] = uint64(t), math.Float64bits(in.numbers[i])
				}
			}
		},
		merge: func(into, from []uint64) {
			if t := stream.Time(from[0]); t != none && better(t, stream.Time(into[0])) {
				into[0], into[1] = from[0], from[1]
			}
		},
		value: func(words []uint64, at []uint32, out *stream.Column) {
			for _, a := range at {
				appendNumber(out, math.Float64frombits(words[a+1]), stream.Time(words[a]) != none)
			}
		},
		save: saveWords, load: loadWords,
	}
}
