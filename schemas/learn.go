package schemas

import (
	"bytes"
	"slices"
)

// learner walks over a record that record.scan has found good, in the same way, and writes down its form.
type learner struct {
	text   []byte
	record *record // its arena takes the names that have to be rewritten
	began  int     // where the fixed text began that goes on
	steps  []step
	marks  []mark // in the fixed text that goes on
	wanted []int  // the places of the values that came
	again  bool   // one came twice: the last one counts, which steps cannot say
}

// learn remembers the form of a record that was read just now, unless there is no room.
func (f *forms) learn(r *record, root *node) {
	if len(r.text) > maxLearned || len(f.steps) >= maxSteps || f.fixed >= maxFixed {
		return
	}
	l := learner{text: r.text, record: r}
	l.object(root, space(r.text, 0)+1)
	l.step(len(r.text), noValue, -1)
	if !l.again {
		f.add(l.steps)
	}
}

// add grows the tree by a path.
func (f *forms) add(path []step) {
	if len(f.steps) == 0 {
		f.steps = append(f.steps, step{})
	}
	from := &f.first
	for i := range path {
		s := &path[i]
		others := 0
		for *from != 0 && !f.steps[*from].same(s) {
			from = &f.steps[*from].other
			others++
		}
		if *from == 0 {
			if others == maxOthers {
				return
			}
			s.fixed = bytes.Clone(s.fixed)
			f.fixed += len(s.fixed)
			*from = int32(len(f.steps))
			f.steps = append(f.steps, *s)
		}
		from = &f.steps[*from].next
	}
}

func (s *step) same(t *step) bool {
	return s.value == t.value && bytes.Equal(s.fixed, t.fixed)
}

// step ends the fixed text with the begin of a value.
func (l *learner) step(until int, value valueKind, place int) *step {
	if place < 0 {
		place = len(l.record.kinds) - 1 // so that reading need not ask
	}
	s := step{fixed: l.text[l.began:until], value: value, place: int32(place)}
	if len(l.marks) > 0 {
		s.more = &stepExtras{marks: l.marks}
		l.marks = nil
	}
	l.steps = append(l.steps, s)
	return &l.steps[len(l.steps)-1]
}

// object walks from behind the brace to behind the other one. Nothing is wanted of it if the node is nil.
func (l *learner) object(n *node, i int) int {
	b := l.text
	if i = space(b, i); b[i] == '}' {
		return i + 1
	}
	for more := true; more; {
		start := i + 1
		end, kind := scanString(b, start)
		i = colon(b, end)
		if n == nil {
			i = l.value(i, -1, nil)
		} else {
			key := b[start:end]
			if kind == coded {
				key = l.record.rewrite(key)
			}
			i = l.member(n, n.keys.find(key, 0, len(key)), i, key)
		}
		i, more = next(b, i, '}')
	}
	return i
}

// member is record.member.
func (l *learner) member(n *node, found, i int, key []byte) int {
	var t target
	if found >= 0 {
		t = n.targets[found]
	} else {
		t.place = -1
	}
	var collected *entry
	if n.collect && !t.known {
		collected = &entry{key: bytes.Clone(key), top: n.top}
	}
	if found >= 0 {
		l.again = l.again || slices.Contains(l.wanted, t.place)
		l.wanted = append(l.wanted, t.place)
	}
	if t.child == nil {
		return l.value(i, t.place, collected)
	}
	switch b := l.text; {
	case b[i] == '{' && !t.first:
		return l.composite(i, object, t.place, collected, func(i int) int { return l.object(t.child, i) })
	case b[i] == '[' && t.first:
		return l.composite(i, array, t.place, collected, func(i int) int { return l.array(t.child, i) })
	}
	return l.value(i, t.place, collected)
}

// array walks from behind the bracket to behind the other one; the node is that of the first element.
func (l *learner) array(n *node, i int) int {
	b := l.text
	if i = space(b, i); b[i] == ']' {
		return i + 1
	}
	for more := true; more; n = nil {
		if n != nil && b[i] == '{' {
			i = l.object(n, i+1)
		} else {
			i = l.value(i, -1, nil)
		}
		i, more = next(b, i, ']')
	}
	return i
}

// value walks over a value that is wanted whole, or not at all.
func (l *learner) value(i, place int, collected *entry) int {
	b := l.text
	switch b[i] {
	case '{':
		return l.composite(i, object, place, collected, func(i int) int { return l.object(nil, i) })
	case '[':
		return l.composite(i, array, place, collected, func(i int) int { return l.array(nil, i) })
	}
	var s scalar
	to, kind := scanValue(b, i, 0, &s)
	until, value := i, wordValue
	switch kind {
	case plain, coded:
		until, value = i+1, textValue
	case number, wideNumber:
		value = numberValue
	case absent, null, truth, falsity, object, array:
	}
	step := l.step(until, value, place)
	if collected != nil {
		if step.more == nil {
			step.more = new(stepExtras)
		}
		step.more.collected, step.more.entry = true, *collected
	}
	if l.began = to; value == textValue {
		l.began--
	}
	return to
}

// composite walks over an object or an array, and marks where it begins and ends if somebody wants it.
func (l *learner) composite(i int, kind token, place int, collected *entry, walk func(i int) int) int {
	if place >= 0 {
		l.marks = append(l.marks, mark{at: i - l.began, opens: true, place: place, kind: kind})
	}
	if collected != nil {
		e := *collected
		e.kind = kind
		l.marks = append(l.marks, mark{at: i - l.began, opens: true, place: -1, entry: e})
	}
	i = walk(i + 1)
	if place >= 0 {
		l.marks = append(l.marks, mark{at: i - l.began, place: place})
	}
	if collected != nil {
		l.marks = append(l.marks, mark{at: i - l.began, place: -1})
	}
	return i
}
