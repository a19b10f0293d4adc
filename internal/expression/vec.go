package expression

import (
	"github.com/tidewatch/tidewatch/stream"
)

// vec is the value of a part of an expression in every row of a batch. Which slice is used follows from kind. The slices
// belong to the node that made them, or to the batch, and hold until the next evaluation.
type vec struct {
	kind   stream.Kind
	ints   []int64   // Int, Timestamp
	floats []float64 // Float
	bools  []bool    // Bool; false where null, so that a condition may ignore null
	ids    []uint32  // String: numbers in dict
	dict   *stream.Dict
	null   []bool // empty when no row is null
}

// node is a part of a compiled expression. It keeps its buffers and is used by one task.
type node interface {
	eval(b *stream.Batch) vec
}

// resize returns s with length n and undefined content.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/4)
	}
	return s[:n]
}

// columnNode is a column of the batch.
type columnNode struct {
	index int
	bools []bool
}

func (n *columnNode) eval(b *stream.Batch) vec {
	c := &b.Cols[n.index]
	v := vec{kind: c.Kind, ints: c.Ints, floats: c.Floats, ids: c.IDs, dict: c.Dict, null: c.Null}
	if c.Kind == stream.Bool {
		n.bools = resize(n.bools, len(c.Ints))
		for i, x := range c.Ints {
			n.bools[i] = x != 0
		}
		clearWhere(n.bools, c.Null)
		v.bools, v.ints = n.bools, nil
	}
	return v
}

// clearWhere makes dst false in the rows that are null.
func clearWhere(dst, null []bool) {
	for i, isNull := range null {
		if isNull {
			dst[i] = false
		}
	}
}

// eitherNull writes the rows in which a or b is null into buf, and returns it, or an empty slice if there are none.
func eitherNull(buf, a, b []bool) []bool {
	switch {
	case len(a) == 0:
		return append(buf[:0], b...)
	case len(b) == 0:
		return append(buf[:0], a...)
	}
	buf = resize(buf, len(a))
	for i := range a {
		buf[i] = a[i] || b[i]
	}
	return buf
}

// constNode is a value that is the same in every row.
type constNode struct {
	kind   stream.Kind
	value  any // int64, float64, bool, string or stream.Time, as kind says, or nil
	filled vec // the value repeated, as long as the longest batch so far
}

func (n *constNode) eval(b *stream.Batch) vec {
	v, rows := &n.filled, b.Len()
	v.kind = n.kind
	switch x := n.value.(type) {
	case nil:
		n.fillNull(rows)
	case int64:
		v.ints = repeat(v.ints, x, rows)
	case stream.Time:
		v.ints = repeat(v.ints, int64(x), rows)
	case float64:
		v.floats = repeat(v.floats, x, rows)
	case bool:
		v.bools = repeat(v.bools, x, rows)
	case string:
		if v.dict == nil {
			v.dict = stream.NewDict()
		}
		v.ids = repeat(v.ids, v.dict.ID([]byte(x)), rows)
	}
	return v.first(rows)
}

func (n *constNode) fillNull(rows int) {
	v := &n.filled
	v.null = repeat(v.null, true, rows)
	switch n.kind {
	case stream.Float:
		v.floats = repeat(v.floats, 0, rows)
	case stream.Bool:
		v.bools = repeat(v.bools, false, rows)
	case stream.String:
		if v.dict == nil {
			v.dict = stream.NewDict()
		}
		v.ids = repeat(v.ids, v.dict.ID(nil), rows)
	default:
		v.ints = repeat(v.ints, 0, rows)
	}
}

// repeat makes s at least n long; what is there already has the same value.
func repeat[T any](s []T, x T, n int) []T {
	for len(s) < n {
		s = append(s, x)
	}
	return s
}

func (v *vec) first(n int) vec {
	f := vec{kind: v.kind, dict: v.dict}
	f.ints, f.floats, f.bools = head(v.ints, n), head(v.floats, n), head(v.bools, n)
	f.ids, f.null = head(v.ids, n), head(v.null, n)
	return f
}

func head[T any](s []T, n int) []T { return s[:min(n, len(s))] }

// castNode turns Int into Float.
type castNode struct {
	of     node
	floats []float64
}

func (n *castNode) eval(b *stream.Batch) vec {
	v := n.of.eval(b)
	n.floats = resize(n.floats, len(v.ints))
	for i, x := range v.ints {
		n.floats[i] = float64(x)
	}
	return vec{kind: stream.Float, floats: n.floats, null: v.null}
}
