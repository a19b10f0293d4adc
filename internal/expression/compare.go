package expression

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/tidewatch/tidewatch/stream"
)

// comparison is one of the six operators.
type comparison uint8

const (
	equal comparison = iota
	notEqual
	less
	lessEqual
	greater
	greaterEqual
)

var comparisons = map[string]comparison{
	"==": equal, "!=": notEqual, "<": less, "<=": lessEqual, ">": greater, ">=": greaterEqual,
}

// flipped is the operator for exchanged operands.
func (op comparison) flipped() comparison {
	switch op {
	case less:
		return greater
	case lessEqual:
		return greaterEqual
	case greater:
		return less
	case greaterEqual:
		return lessEqual
	case equal, notEqual:
	}
	return op
}

// holds tells the verdict for operands that cmp.Compare has ordered. Not for NaN.
func (op comparison) holds(order int) bool {
	switch op {
	case equal:
		return order == 0
	case notEqual:
		return order != 0
	case less:
		return order < 0
	case lessEqual:
		return order <= 0
	case greater:
		return order > 0
	case greaterEqual:
	}
	return order >= 0
}

// compareConst compares every x with c.
func compareConst[T cmp.Ordered](op comparison, dst []bool, xs []T, c T) {
	switch op {
	case equal:
		for i, x := range xs {
			dst[i] = x == c
		}
	case notEqual:
		for i, x := range xs {
			dst[i] = x != c
		}
	case less:
		for i, x := range xs {
			dst[i] = x < c
		}
	case lessEqual:
		for i, x := range xs {
			dst[i] = x <= c
		}
	case greater:
		for i, x := range xs {
			dst[i] = x > c
		}
	case greaterEqual:
		for i, x := range xs {
			dst[i] = x >= c
		}
	}
}

// compareEach compares row by row.
func compareEach[T cmp.Ordered](op comparison, dst []bool, xs, ys []T) {
	ys = ys[:len(xs)]
	switch op {
	case equal:
		for i, x := range xs {
			dst[i] = x == ys[i]
		}
	case notEqual:
		for i, x := range xs {
			dst[i] = x != ys[i]
		}
	case less:
		for i, x := range xs {
			dst[i] = x < ys[i]
		}
	case lessEqual:
		for i, x := range xs {
			dst[i] = x <= ys[i]
		}
	case greater:
		for i, x := range xs {
			dst[i] = x > ys[i]
		}
	case greaterEqual:
		for i, x := range xs {
			dst[i] = x >= ys[i]
		}
	}
}

// compareConstNode compares a number or timestamp with a constant. Strings have stringNode.
type compareConstNode struct {
	op    comparison
	of    node
	value any
	out   []bool
}

func (n *compareConstNode) eval(b *stream.Batch) vec {
	v := n.of.eval(b)
	n.out = resize(n.out, b.Len())
	switch c := n.value.(type) {
	case int64:
		compareConst(n.op, n.out, v.ints, c)
	case stream.Time:
		compareConst(n.op, n.out, v.ints, int64(c))
	case float64:
		compareConst(n.op, n.out, v.floats, c)
	}
	clearWhere(n.out, v.null)
	return vec{kind: stream.Bool, bools: n.out}
}

// compareNode compares two parts of the same kind.
type compareNode struct {
	op          comparison
	left, right node
	out         []bool
}

func (n *compareNode) eval(b *stream.Batch) vec {
	l, r := n.left.eval(b), n.right.eval(b)
	n.out = resize(n.out, b.Len())
	switch l.kind {
	case stream.Float:
		compareEach(n.op, n.out, l.floats, r.floats)
	case stream.Bool:
		for i, x := range l.bools {
			n.out[i] = (x == r.bools[i]) == (n.op == equal)
		}
	case stream.String:
		n.strings(l, r)
	default:
		compareEach(n.op, n.out, l.ints, r.ints)
	}
	clearWhere(n.out, l.null)
	clearWhere(n.out, r.null)
	return vec{kind: stream.Bool, bools: n.out}
}

func (n *compareNode) strings(l, r vec) {
	if l.dict == r.dict && (n.op == equal || n.op == notEqual) {
		compareEach(n.op, n.out, l.ids, r.ids)
		return
	}
	for i, id := range l.ids {
		n.out[i] = n.op.holds(bytes.Compare(l.dict.Bytes(id), r.dict.Bytes(r.ids[i])))
	}
}

// nullNode asks whether a part is null, or is not.
type nullNode struct {
	of   node
	want bool // the verdict for null
	out  []bool
}

func (n *nullNode) eval(b *stream.Batch) vec {
	v := n.of.eval(b)
	n.out = resize(n.out, b.Len())
	if len(v.null) == 0 {
		for i := range n.out {
			n.out[i] = !n.want
		}
		return vec{kind: stream.Bool, bools: n.out}
	}
	for i, isNull := range v.null {
		n.out[i] = isNull == n.want
	}
	return vec{kind: stream.Bool, bools: n.out}
}

// inNumbersNode asks whether a number is one of a few.
type inNumbersNode struct {
	of     node
	ints   []int64
	floats []float64
	out    []bool
}

func (n *inNumbersNode) eval(b *stream.Batch) vec {
	v := n.of.eval(b)
	n.out = resize(n.out, b.Len())
	if v.kind == stream.Float {
		inList(n.out, v.floats, n.floats)
	} else {
		inList(n.out, v.ints, n.ints)
	}
	clearWhere(n.out, v.null)
	return vec{kind: stream.Bool, bools: n.out}
}

func inList[T comparable](dst []bool, xs, list []T) {
	for i, x := range xs {
		dst[i] = slices.Contains(list, x)
	}
}
