package rekey

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tidewatch/tidewatch/stream"
)

// Marker is the progress of a second stage: the lowest of the progress of all source partitions, of which it learns by
// mark records. It implements stream.Marker. Repeated and older mark records change nothing. How many sources there are each of
// them says, so where a topic gets more partitions the first task that reads one of those tells, with its first claim and before its
// first record: progress waits for it from then on.
//
// Where an idle tick has taken a source ahead of its records, windows close there before older ones are final. In which
// order the second stage does both must not depend on how fast it has read each source. So a time becomes final by records
// only once every source's tick that was ahead when its own records passed that time is reached by all marks: the progress
// by records waits for that, and Turn leads along the same path whatever was read together.
type Marker struct {
	sources      int // the most that any of them has said; 0 until one has
	known        []source
	leads        []lead // by from
	mark, record stream.Time
}

type source struct{ mark, record stream.Time }

// lead is an idle tick that was ahead of its source's records: times after from, up to to, become final by records after
// windows up to to were closed.
type lead struct{ from, to stream.Time }

// NewMarker knows nothing yet.
func NewMarker() *Marker { return &Marker{mark: stream.NoTime, record: stream.NoTime} }

// Fold implements stream.Marker.
func (m *Marker) Fold(b *stream.Batch, lo int, mark, record stream.Time) int {
	kinds := b.Cols[stream.EntryKind].Ints
	for i := lo; i < b.Len(); i++ {
		b.Mark = append(b.Mark, m.record)
		if kinds[i] != stream.MarkEntry { // a mark record is one row
			continue
		}
		before, recordBefore := m.mark, m.record
		m.learn(b, i)
		known := before == stream.NoTime && m.mark != stream.NoTime || recordBefore == stream.NoTime && m.record != stream.NoTime
		if known || m.mark >= mark || m.record >= record {
			return i + 1
		}
	}
	return b.Len()
}

func (m *Marker) learn(b *stream.Batch, i int) {
	at := int(b.Cols[stream.EntrySource].Ints[i])
	for len(m.known) <= at {
		m.known = append(m.known, source{stream.NoTime, stream.NoTime})
	}
	s := &m.known[at]
	s.mark, s.record = max(s.mark, timeAt(b, stream.EntryMark, i)), max(s.record, timeAt(b, stream.EntryRecordMark, i))
	m.sources = max(m.sources, int(b.Cols[stream.EntrySources].Ints[i]))
	m.leads = slices.DeleteFunc(m.leads, func(l lead) bool { return l.to <= m.mark })
	if s.mark > s.record {
		m.lead(lead{s.record, s.mark})
	}
	m.fold()
}

// lead notes a tick that is ahead, unless it is covered by another one. Ticks of a silent source follow each other.
func (m *Marker) lead(l lead) {
	if l.to <= m.mark || slices.ContainsFunc(m.leads, func(o lead) bool { return o.from <= l.from && o.to >= l.to }) {
		return
	}
	m.leads = slices.DeleteFunc(m.leads, func(o lead) bool { return o.from >= l.from && o.to <= l.to })
	at, _ := slices.BinarySearchFunc(m.leads, l.from, func(o lead, from stream.Time) int { return cmp.Compare(o.from, from) })
	m.leads = slices.Insert(m.leads, at, l)
}

func timeAt(b *stream.Batch, col, i int) stream.Time {
	if b.Cols[col].IsNull(i) {
		return stream.NoTime
	}
	return stream.Time(b.Cols[col].Ints[i])
}

// fold takes the lowest. As long as the set or one of its members is unknown, so is the progress.
func (m *Marker) fold() {
	if m.sources == 0 || len(m.known) < m.sources {
		return
	}
	mark, record := stream.MaxTime, stream.MaxTime
	for _, s := range m.known[:m.sources] {
		if s.mark == stream.NoTime {
			return
		}
		mark, record = min(mark, s.mark), min(record, s.record)
	}
	m.mark = max(m.mark, mark)
	for _, l := range m.leads {
		if l.to > m.mark {
			record = min(record, l.from)
		}
	}
	m.record = max(m.record, record)
}

// Marks implements stream.Marker.
func (m *Marker) Marks() (mark, record stream.Time) { return m.mark, m.record }

// Turn implements stream.Marker.
func (m *Marker) Turn(mark, record stream.Time) (stream.Time, stream.Time) {
	if record == m.record {
		return m.mark, record
	}
	next := m.record
	for _, l := range m.leads {
		if l.from > record {
			next = min(next, l.from)
			break
		}
		if l.to > record && l.to > mark {
			mark, next = l.to, record
		}
	}
	return max(mark, next), next
}

// Tick implements stream.Marker: idle ticks are taken by the first stage only.
func (m *Marker) Tick(mark stream.Time) { m.mark = max(m.mark, mark) }

// Snapshot implements stream.Marker.
func (m *Marker) Snapshot(w *stream.StateWriter) error {
	w.Section("sources", 1)
	w.Uint(uint64(m.sources))
	w.Int(int64(m.mark))
	w.Int(int64(m.record))
	w.Uint(uint64(len(m.known)))
	for _, s := range m.known {
		w.Int(int64(s.mark))
		w.Int(int64(s.record))
	}
	w.Uint(uint64(len(m.leads)))
	for _, l := range m.leads {
		w.Int(int64(l.from))
		w.Int(int64(l.to))
	}
	return nil
}

// Restore implements stream.Marker.
func (m *Marker) Restore(r *stream.StateReader) error {
	if version, _ := r.Section("sources"); version != 1 {
		return fmt.Errorf("restore source marks: section version %d, want 1", version)
	}
	m.sources, m.mark, m.record = int(r.Uint()), stream.Time(r.Int()), stream.Time(r.Int())
	m.known = make([]source, r.Len(2))
	for i := range m.known {
		m.known[i] = source{stream.Time(r.Int()), stream.Time(r.Int())}
	}
	for range r.Len(2) {
		m.leads = append(m.leads, lead{stream.Time(r.Int()), stream.Time(r.Int())})
	}
	return r.Err()
}
