package window

import (
	"errors"
	"slices"

	"github.com/tidewatch/tidewatch/stream"
)

// progress is what a Merge has read of the progress of a source partition.
type progress struct {
	known        bool
	at           stream.Version // of the newest entry
	mark, record stream.Time
	closes       []tick // idle ticks that moved the mark, of windows that are not closed yet
	finals       []tick // those that moved the mark by records, of windows that are not final yet
}

// tick is an idle tick that took a mark across the instants after from, up to to. step is the version's from then on.
type tick struct {
	from, to stream.Time
	step     uint32
}

// newer is the order of a source's versions. The step comes first: a state that knows more control records is right about
// what they have closed, however far one has read that does not know them. For states that know all of them the order is
// that of Version.Compare.
func newer(v, w stream.Version) bool {
	if v.Step != w.Step {
		return v.Step > w.Step
	}
	return v.Offset > w.Offset
}

// learn takes a row of progress. A source claims an epoch at the version of each tick before it reads on, and its progress
// arrives in order, so a step that is higher than before names the tick that moved the marks. The first row of a source
// may be of any age: nothing is known of what came before it.
func (m *Merge) learn(b *stream.Batch, i int) {
	at := versionAt(b, i)
	source := int(b.Cols[stream.EntrySource].Ints[i])
	for len(m.progress) <= source {
		m.progress = append(m.progress, progress{mark: stream.NoTime, record: stream.NoTime})
	}
	p := &m.progress[source]
	if p.known && !newer(at, p.at) {
		return
	}
	mark, record := max(p.mark, timeAt(b, stream.EntryMark, i)), max(p.record, timeAt(b, stream.EntryRecordMark, i))
	if p.known && at.Step > p.at.Step {
		p.closes = append(p.closes, tick{p.mark, mark, at.Step})
		p.finals = append(p.finals, tick{p.record, record, at.Step})
	}
	p.known, p.at, p.mark, p.record = true, at, mark, record
}

func versionAt(b *stream.Batch, i int) stream.Version {
	return stream.Version{Offset: b.Cols[stream.EntryOffset].Ints[i], Step: uint32(b.Cols[stream.EntryStep].Ints[i])}
}

func timeAt(b *stream.Batch, col, i int) stream.Time {
	if b.Cols[col].IsNull(i) {
		return stream.NoTime
	}
	return stream.Time(b.Cols[col].Ints[i])
}

// closing returns for each source the step that a partial from before the closing must have, if a tick closed the window;
// nil if no tick did. It is valid until the next call of closing or finishing.
func (m *Merge) closing(p *pane) []uint32 {
	return m.stepsAt(p.end, func(s *progress) []tick { return s.closes })
}

// finishing is the same for all partials of a window that is final.
func (m *Merge) finishing(p *pane) []uint32 {
	return m.stepsAt(p.until, func(s *progress) []tick { return s.finals })
}

func (m *Merge) stepsAt(t stream.Time, ticks func(*progress) []tick) []uint32 {
	m.steps = m.steps[:0]
	some := false
	for i := range m.progress {
		var step uint32
		for _, k := range ticks(&m.progress[i]) {
			if k.from < t && t <= k.to {
				step, some = k.step, true
			}
		}
		m.steps = append(m.steps, step)
	}
	if !some {
		return nil
	}
	return m.steps
}

// forgetTicks drops those that no undecided window needs.
func (m *Merge) forgetTicks() {
	for i := range m.progress {
		p := &m.progress[i]
		p.closes = slices.DeleteFunc(p.closes, func(k tick) bool { return k.to <= max(k.from, m.mark) })
		p.finals = slices.DeleteFunc(p.finals, func(k tick) bool { return k.to <= max(k.from, m.record) })
	}
}

func (m *Merge) snapshotProgress(w *stream.StateWriter) {
	w.Uint(uint64(len(m.progress)))
	for i := range m.progress {
		p := &m.progress[i]
		known := uint64(0)
		if p.known {
			known = 1
		}
		w.Uint(known)
		w.Int(p.at.Offset)
		w.Uint(uint64(p.at.Step))
		w.Int(int64(p.mark))
		w.Int(int64(p.record))
		for _, ticks := range [][]tick{p.closes, p.finals} {
			w.Uint(uint64(len(ticks)))
			for _, k := range ticks {
				w.Int(int64(k.from))
				w.Int(int64(k.to))
				w.Uint(uint64(k.step))
			}
		}
	}
}

func (m *Merge) restoreProgress(r *stream.StateReader) error {
	for range r.Len(7) {
		p := progress{known: r.Uint() == 1, at: stream.Version{Offset: r.Int(), Step: uint32(r.Uint())}}
		p.mark, p.record = stream.Time(r.Int()), stream.Time(r.Int())
		for _, ticks := range []*[]tick{&p.closes, &p.finals} {
			for range r.Len(3) {
				*ticks = append(*ticks, tick{stream.Time(r.Int()), stream.Time(r.Int()), uint32(r.Uint())})
			}
		}
		if r.Err() != nil {
			return errors.Join(r.Err(), errors.New("restore windows: the progress of the sources"))
		}
		m.progress = append(m.progress, p)
	}
	return r.Err()
}
