package expression

import (
	"math"

	"github.com/tidewatch/tidewatch/stream"
)

// arithmeticNode is a binary operator on two parts of the same kind: Int or Float for + - *, Int for %, Float for / and **.
type arithmeticNode struct {
	op          string
	left, right node
	out         vec
}

func (n *arithmeticNode) eval(b *stream.Batch) vec {
	l, r := n.left.eval(b), n.right.eval(b)
	n.out.kind = l.kind
	n.out.null = eitherNull(n.out.null, l.null, r.null)
	if l.kind == stream.Int {
		n.out.ints = resize(n.out.ints, len(l.ints))
		n.integers(n.out.ints, l.ints, r.ints[:len(l.ints)])
	} else {
		n.out.floats = resize(n.out.floats, len(l.floats))
		n.reals(n.out.floats, l.floats, r.floats[:len(l.floats)])
	}
	return n.out
}

func (n *arithmeticNode) integers(dst, xs, ys []int64) {
	switch n.op {
	case "+":
		for i, x := range xs {
			dst[i] = x + ys[i]
		}
	case "-":
		for i, x := range xs {
			dst[i] = x - ys[i]
		}
	case "*":
		for i, x := range xs {
			dst[i] = x * ys[i]
		}
	case "%":
		for i, x := range xs {
			if ys[i] == 0 {
				n.setNull(i, len(xs))
				continue
			}
			dst[i] = x % ys[i]
		}
	}
}

func (n *arithmeticNode) reals(dst, xs, ys []float64) {
	switch n.op {
	case "+":
		for i, x := range xs {
			dst[i] = x + ys[i]
		}
	case "-":
		for i, x := range xs {
			dst[i] = x - ys[i]
		}
	case "*":
		for i, x := range xs {
			dst[i] = x * ys[i]
		}
	case "/":
		for i, x := range xs {
			if ys[i] == 0 {
				n.setNull(i, len(xs))
				continue
			}
			dst[i] = x / ys[i]
		}
	case "**":
		for i, x := range xs {
			dst[i] = math.Pow(x, ys[i])
		}
	}
}

func (n *arithmeticNode) setNull(i, rows int) {
	if len(n.out.null) == 0 {
		n.out.null = resize(n.out.null, rows)
		clear(n.out.null)
	}
	n.out.null[i] = true
}

// negateNode is the sign.
type negateNode struct {
	of  node
	out vec
}

func (n *negateNode) eval(b *stream.Batch) vec {
	v := n.of.eval(b)
	n.out.kind, n.out.null = v.kind, v.null
	n.out.ints, n.out.floats = resize(n.out.ints, len(v.ints)), resize(n.out.floats, len(v.floats))
	for i, x := range v.ints {
		n.out.ints[i] = -x
	}
	for i, x := range v.floats {
		n.out.floats[i] = -x
	}
	return n.out
}
