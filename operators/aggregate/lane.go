package aggregate

import "github.com/tidewatch/tidewatch/stream"

// lane is one column of the events on its way into the functions that read it: rows without a usable value are taken out
// once, and numbers are converted once, however many functions follow.
type lane struct {
	index int // of the column
	input input
	// Scratch of input, kept because input may alias the caller's slices.
	at      []uint32
	rows    []int32
	numbers []float64
}

// laneOf is the lane of a column; functions of the same column share it.
func (s *Set) laneOf(column int) int {
	for i := range s.lanes {
		if s.lanes[i].index == column {
			return i
		}
	}
	s.lanes = append(s.lanes, lane{index: column})
	return len(s.lanes) - 1
}

// gather fills the lane's input.
func (l *lane) gather(b *stream.Batch, at []uint32, rows []int32) {
	c := &b.Cols[l.index]
	l.grow(len(rows))
	var n int
	switch {
	case c.Kind == stream.Float:
		n = l.floats(c, at, rows)
	case c.Kind == stream.Int:
		n = l.ints(c, at, rows)
	case len(c.Null) == 0:
		l.input = input{at: at, rows: rows, batch: b, column: c}
		return
	default:
		n = l.values(c, at, rows)
	}
	l.input = input{at: l.at[:n], rows: l.rows[:n], batch: b, column: c, numbers: l.numbers[:n]}
}

func (l *lane) grow(n int) {
	if cap(l.at) < n {
		l.at, l.rows, l.numbers = make([]uint32, n), make([]int32, n), make([]float64, n)
	}
	l.at, l.rows, l.numbers = l.at[:n], l.rows[:n], l.numbers[:n]
}

func (l *lane) floats(c *stream.Column, at []uint32, rows []int32) (n int) {
	for i, r := range rows {
		v := c.Floats[r]
		l.at[n], l.rows[n], l.numbers[n] = at[i], r, v+0 // -0 becomes 0
		if finite(v) && (len(c.Null) == 0 || !c.Null[r]) {
			n++
		}
	}
	return n
}

func (l *lane) ints(c *stream.Column, at []uint32, rows []int32) (n int) {
	for i, r := range rows {
		l.at[n], l.rows[n], l.numbers[n] = at[i], r, float64(c.Ints[r])
		if len(c.Null) == 0 || !c.Null[r] {
			n++
		}
	}
	return n
}

func (l *lane) values(c *stream.Column, at []uint32, rows []int32) (n int) {
	for i, r := range rows {
		l.at[n], l.rows[n] = at[i], r
		if !c.Null[r] {
			n++
		}
	}
	return n
}
