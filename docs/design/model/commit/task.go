package commit

// The pure part: what a task has computed depends only on the records and the control records it has seen.

// Windows of the log, and how often each may be decided.
const (
	Windows   = 2
	Revisions = 4
)

const (
	lateness = 3
	// tickMark is how far the idle tick carries the provisional mark: past the end of every window.
	tickMark = 25
	// lateKey is the Redis key of the count of records beyond the lateness; keys below it are windows.
	lateKey  = Windows
	liveKeys = Windows + 1
)

// events holds the event time of each record. Windows are [0,10) and [10,20).
// 8 revises window 0 late, 14 makes window 0 final, 5 is beyond the lateness, 24 makes window 1 final.
var events = []uint8{4, 11, 8, 14, 5, 24}

// Kinds of control record.
const (
	noControl = iota
	tick      // an idle tick: closes windows provisionally
	table     // a new enrichment table: enriches every window that is not final, and all later records
	controls
)

// Content bits above the record bits.
const (
	enriched    = 1 << 6
	provisional = 1 << 7
)

// Task is the state of a task: offset, mark, ledger and groups.
type Task struct {
	Offset, Step, Mark uint8
	Count              [Windows]uint8            // live value: the set of records counted; depends on records alone
	CountVersion       [liveKeys]uint8           // version of each live key
	Late               uint8                     // the set of records beyond the lateness
	Rich               [Windows]uint8            // enriched value and provisional flag; depends on control records
	RichVersion        [Windows]uint8            //
	Decisions          [Windows][Revisions]uint8 // content of each alert transition
	Revision           [Windows]uint8            // number of transitions decided
	Final              [Windows]uint8            // content of the Parquet row, written once the records' mark is past it; 0 before
	AppliedAt          [controls]uint8           // 1 + version at which the control took effect; 0 never
}

// version is the stamp of every output. Four steps an offset are enough for two control records.
func (t *Task) version() uint8 { return t.Offset*4 + t.Step }

func windowEnd(w int) uint8 { return uint8(w+1) * 10 }

func (t *Task) isFinal(w int) bool { return t.Mark >= windowEnd(w)+lateness }

// closed reports whether the window was decided: by the records' mark or by an idle tick.
func (t *Task) closed(w int) bool {
	return t.Mark >= windowEnd(w) || t.AppliedAt[tick] != 0 && tickMark >= windowEnd(w)
}

func (t *Task) decide(w int, flags uint8) {
	content := t.Count[w] | flags
	if t.Rich[w]&^provisional != 0 {
		content |= enriched
	}
	t.Decisions[w][t.Revision[w]] = content
	t.Revision[w]++
}

// record processes the next record of the log and returns the live keys it changed.
func (t *Task) record() (changed uint8) {
	bit, time := uint8(1)<<t.Offset, events[t.Offset]
	w := int(time / 10)
	before := t.Mark
	t.Offset, t.Step = t.Offset+1, 0
	switch {
	case w >= Windows: // only moves the mark
	case t.isFinal(w):
		t.Late |= bit
		t.CountVersion[lateKey] = t.version()
		changed |= 1 << lateKey
	default:
		t.Count[w] |= bit
		t.CountVersion[w] = t.version()
		changed |= 1 << w
		if t.AppliedAt[table] != 0 {
			t.Rich[w] |= bit
			t.RichVersion[w] = t.version()
		}
		if t.closed(w) {
			var flags uint8
			if t.Mark < windowEnd(w) {
				flags = provisional
			}
			t.decide(w, flags)
		}
	}
	t.Mark = max(t.Mark, time)
	for w := range Windows {
		if before < windowEnd(w) && t.Mark >= windowEnd(w) && t.Count[w] != 0 {
			t.decide(w, 0)
		}
		if before < windowEnd(w)+lateness && t.isFinal(w) && t.Count[w] != 0 {
			t.Final[w] = t.Count[w]
			if t.Rich[w]&^provisional != 0 {
				t.Final[w] |= enriched
			}
		}
	}
	return changed
}

// control lets a control record take effect at the present offset.
func (t *Task) control(kind uint8) {
	t.Step++
	for w := range Windows {
		open := t.Mark < windowEnd(w) && t.Count[w] != 0
		switch {
		case kind == tick && open:
			t.Rich[w] |= provisional
			t.RichVersion[w] = t.version()
			t.decide(w, provisional)
		case kind == table && !t.isFinal(w) && t.Count[w] != 0:
			t.Rich[w] |= t.Count[w]
			t.RichVersion[w] = t.version()
		}
	}
	t.AppliedAt[kind] = t.version() + 1
}

// oracle is the task after an undisturbed run over n records with the control records applied where done says.
func oracle(n uint8, appliedAt [controls]uint8) Task {
	var t Task
	for {
		for again := true; again; {
			again = false
			for kind := uint8(1); kind < controls; kind++ {
				if t.AppliedAt[kind] == 0 && appliedAt[kind] == t.version()+2 {
					t.control(kind)
					again = true
				}
			}
		}
		if t.Offset == n {
			return t
		}
		t.record()
	}
}

// fingerprint stands for the bytes of a state slice.
func (t *Task) fingerprint() uint8 {
	h := uint32(2166136261)
	mix := func(b uint8) { h = (h ^ uint32(b)) * 16777619 }
	mix(t.version())
	mix(t.Mark)
	mix(t.AppliedAt[tick])
	mix(t.AppliedAt[table])
	for w := range Windows {
		mix(t.Count[w])
		mix(t.Rich[w])
		mix(t.Revision[w])
	}
	return uint8(h>>24) | 1
}
