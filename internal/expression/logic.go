package expression

import "github.com/tidewatch/tidewatch/stream"

// logicNode is `and` or `or`. Both sides are always evaluated: nothing in an expression has an effect or fails.
type logicNode struct {
	or          bool
	left, right node
	out         []bool
}

func (n *logicNode) eval(b *stream.Batch) vec {
	l, r := n.left.eval(b), n.right.eval(b)
	n.out = resize(n.out, b.Len())
	right := r.bools[:len(l.bools)]
	if n.or {
		for i, x := range l.bools {
			n.out[i] = x || right[i]
		}
	} else {
		for i, x := range l.bools {
			n.out[i] = x && right[i]
		}
	}
	return vec{kind: stream.Bool, bools: n.out}
}

// notNode is `not`: true where its operand is false or null.
type notNode struct {
	of  node
	out []bool
}

func (n *notNode) eval(b *stream.Batch) vec {
	v := n.of.eval(b)
	n.out = resize(n.out, b.Len())
	for i, x := range v.bools {
		n.out[i] = !x
	}
	return vec{kind: stream.Bool, bools: n.out}
}

// chooseNode is `c ? a : b`, and `a ?? b` where cond is nil. Both branches have its kind.
type chooseNode struct {
	kind    stream.Kind
	cond    node // nil: where yes is not null
	yes, no node
	take    []bool
	out     vec
	fromYes translation
	fromNo  translation
	own     *stream.Dict
}

func (n *chooseNode) eval(b *stream.Batch) vec {
	yes, no := n.yes.eval(b), n.no.eval(b)
	take := n.choice(b, yes.null)
	n.out.kind = n.kind
	switch n.kind {
	case stream.Float:
		n.out.floats = choose(n.out.floats, take, yes.floats, no.floats)
	case stream.Bool:
		n.out.bools = choose(n.out.bools, take, yes.bools, no.bools)
	case stream.String:
		n.strings(take, yes, no)
	default:
		n.out.ints = choose(n.out.ints, take, yes.ints, no.ints)
	}
	n.out.null = chooseNull(n.out.null, take, yes.null, no.null)
	return n.out
}

func (n *chooseNode) choice(b *stream.Batch, null []bool) []bool {
	if n.cond != nil {
		return n.cond.eval(b).bools
	}
	n.take = resize(n.take, b.Len())
	for i := range n.take {
		n.take[i] = len(null) == 0 || !null[i]
	}
	return n.take
}

// choose fills dst row by row from a or b. A side without values (the constant nil) leaves a zero.
func choose[T any](dst []T, take []bool, a, b []T) []T {
	dst = resize(dst, len(take))
	var zero T
	for i, yes := range take {
		switch {
		case yes && i < len(a):
			dst[i] = a[i]
		case !yes && i < len(b):
			dst[i] = b[i]
		default:
			dst[i] = zero
		}
	}
	return dst
}

func chooseNull(dst, take, a, b []bool) []bool {
	if len(a) == 0 && len(b) == 0 {
		return dst[:0]
	}
	return choose(dst, take, a, b)
}

// maxOwnStrings bounds the dictionary that a node keeps for strings of several origins.
const maxOwnStrings = 1 << 16

func (n *chooseNode) strings(take []bool, yes, no vec) {
	switch {
	case n.own == nil:
		n.own = stream.NewDict()
	case n.own.Len() > maxOwnStrings:
		n.own.Reset()
	}
	n.fromYes.between(yes.dict, n.own)
	n.fromNo.between(no.dict, n.own)
	n.out.dict, n.out.ids = n.own, resize(n.out.ids, len(take))
	for i, first := range take {
		switch {
		case first && yes.dict != nil:
			n.out.ids[i] = n.fromYes.id(yes.ids[i])
		case !first && no.dict != nil:
			n.out.ids[i] = n.fromNo.id(no.ids[i])
		default:
			n.out.ids[i] = n.own.ID(nil)
		}
	}
}

// translation turns the numbers of one dictionary into those of another, looking each up once.
type translation struct {
	src, dst       *stream.Dict
	srcGen, dstGen uint64
	table          []uint32 // by number in src: 1 + number in dst, 0 unknown
}

// between prepares for a batch. src may be nil where no row has a string.
func (t *translation) between(src, dst *stream.Dict) {
	if src == nil {
		return
	}
	if t.src != src || t.dst != dst || t.srcGen != src.Generation() || t.dstGen != dst.Generation() {
		t.src, t.dst, t.srcGen, t.dstGen = src, dst, src.Generation(), dst.Generation()
		t.table = t.table[:0]
	}
	for len(t.table) < src.Len() {
		t.table = append(t.table, 0)
	}
}

func (t *translation) id(id uint32) uint32 {
	if to := t.table[id]; to != 0 {
		return to - 1
	}
	to := t.dst.ID(t.src.Bytes(id))
	t.table[id] = to + 1
	return to
}
