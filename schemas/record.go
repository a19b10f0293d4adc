package schemas

import (
	"bytes"
	"slices"
)

// node says what is wanted of an object: which names, and where their values go. A tree of nodes is a projection.
type node struct {
	keys    keys
	targets []target
	// collect keeps the other members too: they are attributes. Members with a known target are none.
	collect bool
	top     bool
	lo, hi  int // places of this node and of those below: an object that comes again begins anew
}

// target is what becomes of one member of an object.
type target struct {
	place int   // index of the value
	child *node // what is wanted of the value if it is an object
	first bool  // child describes the first element of an array
	known bool  // it is a field, so no attribute
}

// record is what was found in one text: the values at their places, still as text. It is filled again and again.
type record struct {
	text    []byte
	kinds   []token  // by place; absent unless found. One more is where forms leave what nobody wants
	values  []scalar // parallel to kinds
	entries []entry  // the collected members
	arena   []byte   // texts that had to be rewritten; cleared with every record
	scratch []byte
	forms   forms
}

// entry is an attribute.
type entry struct {
	key        []byte // in the text or the arena
	start, end int32  // of the value; a text has at most a gigabyte
	kind       token
	top        bool // it stood beside the fields
}

func newRecord(places int) record {
	return record{kinds: make([]token, places+1), values: make([]scalar, places+1)}
}

// read fills the record from the whole text, which must be one object. The result is negative if it is not (see scan.go).
func (r *record) read(text []byte, root *node) int {
	r.text = text
	learns := r.forms.begin()
	if learns {
		r.empty()
		if r.forms.read(r) {
			return len(text)
		}
	}
	r.empty()
	i := r.scan(root)
	if learns && i > 0 {
		r.forms.learn(r, root)
	}
	return i
}

func (r *record) empty() {
	r.entries, r.arena = r.entries[:0], r.arena[:0]
	clear(r.kinds)
}

// scan reads a text of any form.
func (r *record) scan(root *node) int {
	text := r.text
	i := space(text, 0)
	if i >= len(text) || text[i] != '{' {
		return ^i
	}
	if i = r.object(root, i+1, 1); i < 0 {
		return i
	}
	if i = space(text, i); i < len(text) {
		return ^i
	}
	return i
}

// object reads the members of an object from behind its brace.
func (r *record) object(n *node, i, depth int) int {
	b := r.text
	if depth > maxDepth {
		return tooDeep
	}
	if i = space(b, i); i < len(b) && b[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(b) || b[i] != '"' {
			return ^i
		}
		start := i + 1
		end, tok := scanString(b, start)
		if end < 0 {
			return end
		}
		if i = colon(b, end); i < 0 {
			return i
		}
		if tok == plain {
			i = r.member(n, n.keys.find(b, start, end), i, depth, b[start:end])
		} else {
			key := r.rewrite(b[start:end])
			i = r.member(n, n.keys.find(key, 0, len(key)), i, depth, key)
		}
		if i < 0 {
			return i
		}
		var more bool
		if i, more = next(b, i, '}'); !more {
			return i
		}
	}
}

// member reads the value of a member: found is the number of its key among those of the node, or -1.
func (r *record) member(n *node, found, i, depth int, key []byte) int {
	if found < 0 {
		if !n.collect {
			return skipValue(r.text, i, depth)
		}
		return r.collect(entry{key: key, top: n.top}, i, depth)
	}
	t := &n.targets[found]
	if t.child != nil {
		i = r.descend(t, i, depth)
	} else {
		i, r.kinds[t.place] = scanValue(r.text, i, depth, &r.values[t.place])
	}
	if n.collect && !t.known && i > 0 {
		v := &r.values[t.place]
		r.entries = append(r.entries, entry{key, int32(v.start), int32(v.end), r.kinds[t.place], n.top})
	}
	return i
}

// collect scans the value of an attribute and keeps both.
func (r *record) collect(e entry, i, depth int) int {
	var v scalar
	i, e.kind = scanValue(r.text, i, depth, &v)
	e.start, e.end = int32(v.start), int32(v.end)
	r.entries = append(r.entries, e)
	return i
}

// descend reads a value with a node of its own.
func (r *record) descend(t *target, i, depth int) int {
	b := r.text
	r.forget(t.child)
	s := scalar{start: i}
	var tok token
	switch {
	case i < len(b) && b[i] == '{' && !t.first:
		tok = object
		i = r.object(t.child, i+1, depth+1)
		s.end = i
	case i < len(b) && b[i] == '[' && t.first:
		tok = array
		i = r.firstOf(t.child, i+1, depth+1)
		s.end = i
	default:
		i, tok = scanValue(b, i, depth, &s)
	}
	r.kinds[t.place], r.values[t.place] = tok, s
	return i
}

// firstOf reads an array, from behind its bracket, whose first element is wanted if it is an object.
func (r *record) firstOf(n *node, i, depth int) int {
	b := r.text
	if i = space(b, i); i >= len(b) || b[i] != '{' || depth > maxDepth {
		return skipArray(b, i, depth)
	}
	if i = r.object(n, i+1, depth+1); i < 0 {
		return i
	}
	for {
		var more bool
		if i, more = next(b, i, ']'); !more {
			return i
		}
		if i = skipValue(b, i, depth); i < 0 {
			return i
		}
	}
}

// forget drops what an earlier member of the same name has left: the last one counts.
func (r *record) forget(n *node) {
	clear(r.kinds[n.lo:n.hi])
	if n.collect && len(r.entries) > 0 {
		r.entries = slices.DeleteFunc(r.entries, func(e entry) bool { return !e.top })
	}
}

// rewrite resolves a coded string in the arena. The result stays valid when the arena grows.
func (r *record) rewrite(raw []byte) []byte {
	from := len(r.arena)
	r.arena = appendText(r.arena, raw)
	return r.arena[from:len(r.arena):len(r.arena)]
}

// textOf is a value as a column shows it: what a string says, and others as they are written. Absent values and null have
// no text.
func (r *record) textOf(kind token, s *scalar) []byte {
	from := len(r.arena)
	switch kind {
	case plain, number, wideNumber:
		return r.text[s.start:s.end]
	case coded:
		return r.rewrite(r.text[s.start:s.end])
	case truth, falsity:
		r.arena = append(r.arena, tokenNames[kind]...)
	case object, array:
		r.arena = appendCompact(r.arena, r.text[s.start:s.end])
	case absent, null:
		return nil
	}
	return r.arena[from:]
}

// at is textOf a place.
func (r *record) at(place int) []byte { return r.textOf(r.kinds[place], &r.values[place]) }

// present reports whether the place holds something beside null.
func (r *record) present(place int) bool { return r.kinds[place] > null }

// canonical writes the collected attributes as one JSON object: keys in byte order, each once, without nulls. It returns
// nil if none is left.
func (r *record) canonical() []byte {
	slices.SortStableFunc(r.entries, compareEntries)
	from := len(r.arena)
	separator := byte('{')
	for lo := 0; lo < len(r.entries); {
		hi := lo + 1
		for hi < len(r.entries) && bytes.Equal(r.entries[lo].key, r.entries[hi].key) {
			hi++
		}
		e := valid(r.entries[lo:hi])
		lo = hi
		if e.kind == null {
			continue
		}
		r.arena = appendQuoted(append(r.arena, separator), e.key)
		r.arena = append(r.arena, ':')
		r.appendValue(e)
		separator = ','
	}
	if separator == '{' {
		return nil
	}
	r.arena = append(r.arena, '}')
	return r.arena[from:]
}

// compareEntries orders by key, and those beside the fields behind those inside `attributes`.
func compareEntries(a, b entry) int {
	if c := bytes.Compare(a.key, b.key); c != 0 || a.top == b.top {
		return c
	}
	if b.top {
		return -1
	}
	return 1
}

// valid chooses among the entries of one name, in the order of compareEntries: the last that stands beside the fields, or,
// if that is null or there is none, the last inside `attributes`.
func valid(same []entry) *entry {
	last := &same[len(same)-1]
	if last.kind != null || !last.top {
		return last
	}
	for i := len(same) - 1; i >= 0; i-- {
		if !same[i].top {
			return &same[i]
		}
	}
	return last
}

func (r *record) appendValue(e *entry) {
	var raw []byte
	if e.kind > falsity {
		raw = r.text[e.start:e.end]
	}
	switch e.kind {
	case plain:
		r.arena = append(append(append(r.arena, '"'), raw...), '"')
	case coded:
		r.scratch = appendText(r.scratch[:0], raw)
		r.arena = appendQuoted(r.arena, r.scratch)
	case number, wideNumber:
		r.arena = append(r.arena, raw...)
	case truth, falsity:
		r.arena = append(r.arena, tokenNames[e.kind]...)
	case object, array:
		r.arena = appendCompact(r.arena, raw)
	case absent, null:
	}
}
