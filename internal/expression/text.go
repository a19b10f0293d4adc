package expression

import "github.com/tidewatch/tidewatch/stream"

// stringNode evaluates a function of one string column once per distinct string. What it has found is kept by the
// string's number, for a few dictionaries, because sources may fill batches of several in turn.
type stringNode struct {
	of     node
	make   func() results
	tables [dictsKept]*stringTable // most recently used first
	out    vec
}

const dictsKept = 4

// stringTable is what is known for one dictionary.
type stringTable struct {
	dict       *stream.Dict
	generation uint64
	results    results
}

// results are the values of a function, by the number of its argument.
type results interface {
	// extend computes the values of all strings up to dict.Len().
	extend(dict *stream.Dict)
	// gather writes the values of the rows to out, as if no string were null.
	gather(ids []uint32, out *vec)
	// gatherNull corrects row i, whose string is null.
	gatherNull(i int, out *vec)
	reset()
}

func (n *stringNode) eval(b *stream.Batch) vec {
	v := n.of.eval(b)
	t := n.table(v.dict)
	t.results.extend(v.dict)
	t.results.gather(v.ids, &n.out)
	for i, isNull := range v.null {
		if isNull {
			t.results.gatherNull(i, &n.out)
		}
	}
	return n.out
}

// table finds the table of the dictionary and moves it to the front.
func (n *stringNode) table(d *stream.Dict) *stringTable {
	at := 0
	for at < dictsKept-1 && n.tables[at] != nil && n.tables[at].dict != d {
		at++
	}
	t := n.tables[at]
	copy(n.tables[1:at+1], n.tables[:at])
	if t == nil {
		t = &stringTable{results: n.make()}
	}
	n.tables[0] = t
	if t.dict != d || t.generation != d.Generation() {
		t.dict, t.generation = d, d.Generation()
		t.results.reset()
	}
	return t
}

// verdicts are the results of a predicate; it is false for null.
type verdicts struct {
	holds func(s []byte) bool
	table []bool
}

func (r *verdicts) reset() { r.table = r.table[:0] }

func (r *verdicts) extend(dict *stream.Dict) {
	for id := len(r.table); id < dict.Len(); id++ {
		r.table = append(r.table, r.holds(dict.Bytes(uint32(id))))
	}
}

func (r *verdicts) gather(ids []uint32, out *vec) {
	out.kind, out.bools = stream.Bool, resize(out.bools, len(ids))
	table := r.table
	for i, id := range ids {
		out.bools[i] = table[id]
	}
}

func (r *verdicts) gatherNull(i int, out *vec) { out.bools[i] = false }

// stringValues are the results of any other function. Row 0 of the table is for null, row 1+i for the string with number i.
type stringValues struct {
	call  func(s any, dst *stream.Column) // s is a string or nil
	table stream.Column
}

func newStringValues(kind stream.Kind, call func(s any, dst *stream.Column)) *stringValues {
	r := &stringValues{call: call, table: stream.Column{Kind: kind}}
	if kind == stream.String {
		r.table.Dict = stream.NewDict()
	}
	r.reset()
	return r
}

func (r *stringValues) reset() {
	r.table.Reset()
	if r.table.Dict != nil {
		r.table.Dict.Reset()
	}
	r.call(nil, &r.table)
}

func (r *stringValues) extend(dict *stream.Dict) {
	for id := r.table.Len() - 1; id < dict.Len(); id++ {
		r.call(string(dict.Bytes(uint32(id))), &r.table)
	}
}

func (r *stringValues) gather(ids []uint32, out *vec) {
	t := &r.table
	out.kind, out.dict, out.null = t.Kind, t.Dict, out.null[:0]
	switch t.Kind {
	case stream.Float:
		out.floats = gatherEach(out.floats, t.Floats, ids)
	case stream.String:
		out.ids = gatherEach(out.ids, t.IDs, ids)
	case stream.Bool:
		out.bools = resize(out.bools, len(ids))
		for i, id := range ids {
			out.bools[i] = t.Ints[id+1] != 0
		}
	default:
		out.ints = gatherEach(out.ints, t.Ints, ids)
	}
	if len(t.Null) > 0 {
		out.null = gatherEach(out.null, t.Null, ids)
	}
}

func gatherEach[T any](dst, table []T, ids []uint32) []T {
	dst = resize(dst, len(ids))
	for i, id := range ids {
		dst[i] = table[id+1]
	}
	return dst
}

func (r *stringValues) gatherNull(i int, out *vec) {
	t := &r.table
	switch t.Kind {
	case stream.Float:
		out.floats[i] = t.Floats[0]
	case stream.String:
		out.ids[i] = t.IDs[0]
	case stream.Bool:
		out.bools[i] = t.Ints[0] != 0
	default:
		out.ints[i] = t.Ints[0]
	}
	if len(out.null) > 0 {
		out.null[i] = t.Null[0]
	}
}
