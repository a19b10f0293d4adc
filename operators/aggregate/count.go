package aggregate

import "github.com/tidewatch/tidewatch/stream"

// count is the number of rows, or of rows with a value in the column.
func count() function {
	return function{
		name: "count", argument: optional, result: stream.Int, empty: []uint64{0},
		columns: []stream.Field{{Name: "count", Kind: stream.Int}},
		add: func(words []uint64, in *input) {
			for _, a := range in.at {
				words[a]++
			}
		},
		merge: func(into, from []uint64) { into[0] += from[0] },
		value: func(words []uint64, at []uint32, out *stream.Column) {
			for _, a := range at {
				out.AppendInt(int64(words[a]))
			}
		},
		save: saveWords, load: loadWords,
	}
}

// countIf is the number of rows in which a Bool column is true.
func countIf() function {
	f := count()
	f.name, f.argument = "count_if", truth
	f.add = func(words []uint64, in *input) {
		for i, a := range in.at {
			words[a] += uint64(in.column.Ints[in.rows[i]])
		}
	}
	return f
}
