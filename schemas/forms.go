package schemas

import "encoding/binary"

// forms are what the records that were read have in common. A program writes its records with the same names in the same
// order, and only the values differ. So what stands between the values of a record is remembered, and a record that has the
// same there is read without looking at a single name. It is compared to its last byte, so the result is that of
// record.scan, which reads all others.
//
// Many forms begin alike, so they are one tree of steps.
type forms struct {
	steps []step // steps[0] is none
	first int32
	fixed int // bytes of all fixed texts
	// Of the records tried since the last account, so many were of a known form; too few, and forms are left alone for a while.
	tried, known, rest int
}

// step is one way in which a record may go on: a fixed text, and a value behind it.
type step struct {
	fixed []byte // the quotes of a string are fixed
	// other is the step to try where this one does not fit, next the one behind its value; 0 is none.
	other, next int32
	place       int32 // of the value; the last one if nobody wants it
	value       valueKind
	more        *stepExtras // nil for most
}

type valueKind uint8

const (
	textValue valueKind = iota
	numberValue
	wordValue // true, false, null
	noValue   // the end of the record
)

// stepExtras is what else a step finds.
type stepExtras struct {
	collected bool // the value is an attribute
	entry     entry
	marks     []mark
}

// mark is where an object or an array that somebody wants begins or ends, inside of a fixed text.
type mark struct {
	at    int // bytes from the begin of the fixed text
	opens bool
	place int   // of the value; -1: it is an attribute
	entry entry // of an attribute that opens
	kind  token // of a value that opens
}

const (
	maxSteps   = 1024
	maxFixed   = 16 << 10
	maxOthers  = 16       // ways to go on at one point
	maxLearned = 16 << 10 // bytes of a record whose form is remembered

	// Forms pay as long as one record in two is known. account is how many are tried before that is asked, rests how
	// many are not tried if it is not so: what trying has cost in vain is little beside them.
	account = 1024
	rests   = 16 * account
)

// begin says whether the forms are to be tried with the next record, and learned from it.
func (f *forms) begin() bool {
	if f.rest > 0 {
		f.rest--
		return false
	}
	if f.tried == account {
		if f.known < account/2 {
			*f = forms{steps: f.steps[:0], rest: rests}
			return false
		}
		f.tried, f.known = 0, 0
	}
	f.tried++
	return true
}

// read fills the record if it is of a known form. Otherwise it leaves a record that has to be emptied.
func (f *forms) read(r *record) bool {
	b := r.text
	i := 0
	for at := f.first; at != 0; {
		s := &f.steps[at]
		from := i + len(s.fixed)
		if from > len(b) || !equal(b[i:from], s.fixed) {
			at = s.other
			continue
		}
		v := &r.values[s.place]
		var to int
		var kind token
		if s.value == textValue {
			to, kind = scanString(b, from)
			v.start, v.end = from, to
		} else {
			to, kind = s.scan(b, from, v)
		}
		if to < 0 {
			at = s.other
			continue
		}
		r.kinds[s.place] = kind
		if s.more != nil {
			s.more.find(r, i, v, kind)
		}
		if s.value == noValue {
			f.known++
			return true
		}
		i, at = to, s.next
	}
	return false
}

// scan reads the value of a step.
func (s *step) scan(b []byte, from int, v *scalar) (int, token) {
	switch {
	case s.value == noValue && from == len(b):
		return from, absent
	case from == len(b):
	case s.value == numberValue:
		return scanNumber(b, from, v)
	case s.value == wordValue && (b[from] == 'n' || b[from] == 't' || b[from] == 'f'):
		return scanValue(b, from, 0, v)
	}
	return -1, absent
}

// equal compares texts of one length. Most are so short that a call to compare them would cost more.
func equal(a, b []byte) bool {
	n := len(b)
	if n < 8 || n > 16 {
		return string(a) == string(b)
	}
	a = a[:n]
	return (binary.LittleEndian.Uint64(a)^binary.LittleEndian.Uint64(b))|(binary.LittleEndian.Uint64(a[n-8:])^binary.LittleEndian.Uint64(b[n-8:])) == 0
}

// find keeps what a step has beside a value of its own; the step began at the position.
func (m *stepExtras) find(r *record, began int, v *scalar, kind token) {
	for i := range m.marks {
		p := &m.marks[i]
		switch at := began + p.at; {
		case p.place >= 0 && p.opens:
			r.kinds[p.place], r.values[p.place].start = p.kind, at
		case p.place >= 0:
			r.values[p.place].end = at
		case p.opens:
			e := p.entry
			e.start = int32(at)
			r.entries = append(r.entries, e)
		default:
			r.entries[len(r.entries)-1].end = int32(at)
		}
	}
	if m.collected {
		e := m.entry
		e.start, e.end, e.kind = int32(v.start), int32(v.end), kind
		r.entries = append(r.entries, e)
	}
}
