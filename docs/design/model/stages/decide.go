package stages

// The pure part: marks, partials, and what stage 2 decides from the internal topic it has read.

// The size of the input: source partitions, records of each, windows.
const (
	Sources = 3
	Records = 4
	Windows = 3
)

const (
	grid    = 10 // cuts are the window ends
	lastCut = 30
	// tickMark is how far an idle tick carries a source's mark.
	tickMark = 20
	joiner   = 2 // the source partition that may join later
)

// logs holds the event times of each source partition. Window w is [10w, 10w+10).
var logs = [Sources][Records]uint8{{5, 12, 7, 31}, {6, 21, 14, 33}, {8, 13, 23, 32}}

// markAt is the mark of a source after n records; tickAt is 1 + the offset at which an idle tick took effect.
func markAt(p, n, tickAt uint8) (mark uint8) {
	for _, t := range logs[p][:n] {
		mark = max(mark, t)
	}
	if tickAt != 0 && n >= tickAt-1 {
		mark = max(mark, tickMark)
	}
	return mark
}

// partial is the aggregate of one window over the first n records of a source.
func partial(p, w, n uint8) (value uint8) {
	for i, t := range logs[p][:n] {
		if t/10 == w {
			value |= 1 << i
		}
	}
	return value
}

// Entry is one record of the internal topic.
type Entry struct {
	Kind, Source   uint8
	Window, Offset uint8 // a partial folds the first Offset records; an event is record Offset
	From, Thru     uint8 // mark steps of the offsets From..Thru
	Tick, Set      uint8 // in a mark: 1 + offset of the tick; the cut from which the joiner counts
	Label          uint8 // only for the mutation that stamps rows with the emitter's mark
}

const (
	noEntry = iota
	aPartial
	anEvent
	aMark
)

// Decision is one line of the output: an event taken (Kind 0) or the value of a window (Kind 1), at a cut.
type Decision struct{ Kind, Cut, A, B uint8 }

// stage2 is the state of the stage-2 task.
type stage2 struct {
	m         *Model
	partials  [Sources][Windows][Records + 1]bool
	events    [Sources][Records]bool
	labels    [Sources][Records]uint8
	steps     [Sources][Records + 1]bool // offsets whose mark is known
	tick      [Sources]uint8
	set       uint8
	seen      [Sources]bool
	nextCut   uint8
	taken     [Sources]uint8 // events decided
	decided   [Windows]uint8
	decisions []Decision
}

func newStage2(m *Model) *stage2 { return &stage2{m: m, nextCut: grid} }

func (s *stage2) read(e Entry) {
	p := e.Source
	s.seen[p] = true
	switch e.Kind {
	case aPartial:
		s.partials[p][e.Window][e.Offset] = true
	case anEvent:
		if s.m.DecideOnArrival || s.m.NoDedup && s.events[p][e.Offset] {
			s.decisions = append(s.decisions, Decision{0, s.nextCut, p, e.Offset})
		}
		s.events[p][e.Offset], s.labels[p][e.Offset] = true, e.Label
	case aMark:
		for n := e.From; n <= e.Thru; n++ {
			s.steps[p][n] = true
		}
		s.tick[p] = max(s.tick[p], e.Tick)
		s.set = max(s.set, e.Set)
	}
	for s.decideCut() {
	}
}

// member reports whether the source counts at the cut.
func (s *stage2) member(p, cut uint8) bool {
	switch {
	case p >= s.m.Sources:
		return false
	case p != joiner:
		return true
	case s.m.SetByArrival:
		return s.seen[p]
	}
	return s.set != 0 && cut >= s.set
}

// cutOffset is the first offset at which the source's mark has passed the cut.
func (s *stage2) cutOffset(p, cut uint8) (uint8, bool) {
	for n := range uint8(Records + 1) {
		if s.steps[p][n] && markAt(p, n, s.tick[p]) >= cut {
			return n, true
		}
	}
	return 0, false
}

func (s *stage2) newest(p, w, at uint8) uint8 {
	if s.m.NewestPartial {
		at = Records
	}
	for n := int(at); n >= 0; n-- {
		if s.partials[p][w][n] {
			return partial(p, w, uint8(n))
		}
	}
	return 0
}

func (s *stage2) label(p, o uint8) uint8 {
	if s.m.LabelByEmitter {
		return s.labels[p][o]
	}
	return markAt(p, o, s.tick[p])
}

// decideCut decides the next cut if the marks of all sources of its set have passed it.
func (s *stage2) decideCut() bool {
	cut := s.nextCut
	if cut > lastCut {
		return false
	}
	var at [Sources]uint8
	for p := range uint8(Sources) {
		if s.member(p, cut) {
			var passed bool
			if at[p], passed = s.cutOffset(p, cut); !passed {
				return false
			}
		}
	}
	if !s.m.DecideOnArrival {
		s.takeEvents(cut, &at)
	}
	for w := uint8(0); w < Windows && (w+1)*grid <= cut; w++ {
		s.decideWindow(w, cut, &at)
	}
	s.nextCut += grid
	return true
}

// takeEvents decides the events of the cut in the order of (mark, source partition, offset).
func (s *stage2) takeEvents(cut uint8, at *[Sources]uint8) {
	for {
		best, bestLabel := uint8(Sources), uint8(255)
		for p := range uint8(Sources) {
			if s.taken[p] < at[p] && s.events[p][s.taken[p]] && s.label(p, s.taken[p]) < bestLabel {
				best, bestLabel = p, s.label(p, s.taken[p])
			}
		}
		if best == Sources {
			return
		}
		s.decisions = append(s.decisions, Decision{0, cut, best, s.taken[best]})
		s.taken[best]++
	}
}

// decideWindow merges the partials of the window and decides, if the value is new.
func (s *stage2) decideWindow(w, cut uint8, at *[Sources]uint8) {
	merged, some := uint32(7), false
	for p := range uint8(Sources) {
		v := uint8(0)
		if s.member(p, cut) {
			v = s.newest(p, w, at[p])
		}
		merged, some = merged*31+uint32(v)+1, some || v != 0
	}
	if value := uint8(merged%251) + 1; some && value != s.decided[w] {
		s.decided[w] = value
		s.decisions = append(s.decisions, Decision{1, cut, w, value})
	}
}

// oracle decides from the complete logs and the claimed control records.
func (m *Model) oracle(s *State) []Decision {
	clean := &Model{Config{Sources: m.Sources}}
	o := newStage2(clean)
	for p := range m.Sources {
		for n := range m.Records {
			o.read(Entry{Kind: anEvent, Source: p, Offset: n})
		}
		for w := range uint8(Windows) {
			for n := range m.Records + 1 {
				o.read(Entry{Kind: aPartial, Source: p, Window: w, Offset: n})
			}
		}
	}
	for i := range m.Sources { // the set first: it is claimed before source 0 passes its cut
		p := m.Sources - 1 - i
		r := &s.Rows[p]
		o.set = s.Rows[0].Set
		o.read(Entry{Kind: aMark, Source: p, Thru: m.Records, Tick: r.Tick, Set: r.Set})
	}
	return o.decisions
}
