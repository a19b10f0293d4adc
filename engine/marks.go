package engine

import (
	"fmt"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

const (
	witnessWindow = 1000 // records among which witnesses for a jump are looked for
	witnessCount  = 8    // records ahead that it takes

	// idleGrace is the least time that a silent partition keeps windows open for its own late records.
	idleGrace = 10 * time.Minute
)

// frontMarker folds the progress of a partition: the highest believable event time, less the allowed disorder.
//
// One record with a time in the future must not carry the mark with it. A record at most maxJump ahead of the front moves
// it alone. A larger jump takes eight of the last thousand records, from at least two producers if the thousand have two;
// the front then moves to the lowest of the newest eight.
//
// An idle tick moves the progress, but not that by records, which decides what is late, except by what has been idle for
// longer than the grace: without a bound, one silent partition would keep every window of a re-keyed pipeline open.
type frontMarker struct {
	outOfOrder, maxJump time.Duration
	grace               time.Duration
	front               stream.Time // NoTime before the first event
	tick                stream.Time // progress given by idle ticks
	times               [witnessWindow]stream.Time
	producers           [witnessWindow]uint64
	seen                int64
	ahead               int64 // records so far that were refused as too far ahead
}

func newFrontMarker(t Time) *frontMarker {
	return &frontMarker{outOfOrder: t.OutOfOrder, maxJump: t.MaxJump, grace: max(10*t.Lateness, idleGrace), front: stream.NoTime, tick: stream.NoTime}
}

// Fold implements stream.Marker.
func (m *frontMarker) Fold(b *stream.Batch, lo int, _, until stream.Time) int {
	mark := m.record()
	at := m.seen % witnessWindow
	for i := lo; i < b.Len(); i++ {
		b.Mark = append(b.Mark, mark)
		t := b.Time[i]
		m.times[at] = t
		if len(b.Producer) > 0 {
			m.producers[at] = b.Producer[i]
		}
		m.seen++
		if at++; at == witnessWindow {
			at = 0
		}
		if t <= m.front {
			continue
		}
		known := m.front != stream.NoTime
		if !m.move(t) {
			continue
		}
		if mark = m.record(); mark >= until || !known {
			return i + 1
		}
	}
	return b.Len()
}

// move lets the record's time move the front, if it may.
func (m *frontMarker) move(t stream.Time) bool {
	if m.front == stream.NoTime || t.Sub(m.front) <= m.maxJump {
		m.front = t
		return true
	}
	m.ahead++
	to, ok := m.witnessed()
	if ok && to > m.front {
		m.front = to
	}
	return ok
}

// witnessed looks through the last thousand records for eight that are ahead, newest first.
func (m *frontMarker) witnessed() (lowest stream.Time, ok bool) {
	var found int
	var ahead, all two
	lowest = stream.MaxTime
	for k := int64(1); k <= min(m.seen, witnessWindow); k++ {
		i := (m.seen - k) % witnessWindow
		all.add(m.producers[i])
		if m.times[i].Sub(m.front) <= m.maxJump {
			continue
		}
		if ahead.add(m.producers[i]); found < witnessCount || ahead.n < 2 {
			lowest = min(lowest, m.times[i])
		}
		found++
	}
	return lowest, found >= witnessCount && (ahead.n >= 2 || all.n < 2)
}

// two counts distinct producers up to two.
type two struct {
	n     int
	first uint64
}

func (t *two) add(p uint64) {
	switch {
	case t.n == 0:
		t.n, t.first = 1, p
	case t.n == 1 && p != t.first:
		t.n = 2
	}
}

func (m *frontMarker) record() stream.Time {
	return max(m.front.Add(-m.outOfOrder), m.tick.Add(-m.grace))
}

// Marks implements stream.Marker.
func (m *frontMarker) Marks() (mark, record stream.Time) {
	record = m.record()
	return max(record, m.tick), record
}

// Turn implements stream.Marker: a record moves both, as far as no tick was ahead, and a tick is one step.
func (m *frontMarker) Turn(_, _ stream.Time) (mark, record stream.Time) { return m.Marks() }

// Tick implements stream.Marker.
func (m *frontMarker) Tick(mark stream.Time) { m.tick = max(m.tick, mark) }

// Snapshot implements stream.Marker.
func (m *frontMarker) Snapshot(w *stream.StateWriter) error {
	w.Section("front", 1)
	w.Int(int64(m.front))
	w.Int(int64(m.tick))
	w.Int(m.seen)
	w.Int(m.ahead)
	n := min(m.seen, witnessWindow)
	w.Uint(uint64(n))
	for i := range n {
		w.Int(int64(m.times[i]))
		w.Uint(m.producers[i])
	}
	return nil
}

// Restore implements stream.Marker.
func (m *frontMarker) Restore(r *stream.StateReader) error {
	if version, _ := r.Section("front"); version != 1 {
		return fmt.Errorf("restore marks: section version %d, want 1", version)
	}
	m.front, m.tick, m.seen, m.ahead = stream.Time(r.Int()), stream.Time(r.Int()), r.Int(), r.Int()
	n := r.Len(2)
	if n > witnessWindow {
		return fmt.Errorf("restore marks: %d witnesses, at most %d", n, witnessWindow)
	}
	for i := range n {
		m.times[i], m.producers[i] = stream.Time(r.Int()), r.Uint()
	}
	return r.Err()
}
