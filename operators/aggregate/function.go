package aggregate

import (
	"math"

	"github.com/tidewatch/tidewatch/stream"
)

// function is one aggregate function. Its state in a cell is len(empty) words; words[at[i]:] is where the state of the
// i-th cell begins, so a function knows nothing of the other functions of the cell.
type function struct {
	name     string
	argument argument
	limit    int // of a function that takes one, count_distinct
	result   stream.Kind
	empty    []uint64       // the state that has seen nothing
	columns  []stream.Field // that carry the state to the next stage; names are suffixes

	// add folds rows into cells; a cell may occur many times.
	add func(words []uint64, in *input)
	// merge folds the state from into the state into.
	merge func(into, from []uint64)
	// value appends the results of cells.
	value func(words []uint64, at []uint32, out *stream.Column)
	// save appends the states of cells to columns, load reads the state in a row.
	save func(words []uint64, at []uint32, out []stream.Column)
	load func(in []stream.Column, row int, state []uint64)
}

// argument says what column a function takes.
type argument uint8

const (
	number   argument = iota // Int or Float
	optional                 // none, or a column of any kind
	truth                    // Bool
	value                    // any kind
)

func (f *function) usage() string {
	switch {
	case f.argument == optional:
		return f.name + "() or " + f.name + "(column)"
	case f.limit > 0:
		return f.name + "(column) or " + f.name + "(column, limit)"
	}
	return f.name + "(column)"
}

func (f *function) accepts(k stream.Kind) bool {
	switch f.argument {
	case number:
		return isNumber(k)
	case truth:
		return k == stream.Bool
	case optional, value:
	}
	return true
}

// needs says what kind of column the function takes, for messages.
func (f *function) needs() string {
	if f.argument == truth {
		return "a column that is true or false"
	}
	return "a column of numbers"
}

func isNumber(k stream.Kind) bool { return k == stream.Int || k == stream.Float }

// input is a run of rows with a usable value: not null, and finite if it is a number.
type input struct {
	at      []uint32 // where the state of the row's cell begins
	rows    []int32  // in the batch
	batch   *stream.Batch
	column  *stream.Column
	numbers []float64 // of numeric columns, parallel to at; never -0
}

// saveWords and loadWords carry a state whose columns are its words.
func saveWords(words []uint64, at []uint32, out []stream.Column) {
	for k := range out {
		c := &out[k]
		for _, a := range at {
			appendWord(c, words[int(a)+k])
		}
	}
}

func appendWord(c *stream.Column, w uint64) {
	if c.Kind == stream.Float {
		c.AppendFloat(math.Float64frombits(w))
		return
	}
	c.AppendInt(int64(w))
}

func loadWords(in []stream.Column, row int, state []uint64) {
	for k := range in {
		if c := &in[k]; c.Kind == stream.Float {
			state[k] = math.Float64bits(c.Floats[row])
		} else {
			state[k] = uint64(c.Ints[row])
		}
	}
}

// appendNumber appends a result; what is not finite is null, since no output could carry it.
func appendNumber(out *stream.Column, v float64, known bool) {
	if !known || !finite(v) {
		out.AppendNull()
		return
	}
	out.AppendFloat(v)
}

// finite reports whether v is neither NaN nor an infinity: those have all exponent bits set.
func finite(v float64) bool {
	const exponent = 0x7ff << 52
	return math.Float64bits(v)&exponent != exponent
}
