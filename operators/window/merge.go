package window

import (
	"fmt"
	"slices"
	"time"

	"github.com/tidewatch/tidewatch/operators/table"
	"github.com/tidewatch/tidewatch/stream"
)

// MergeConfig declares the second stage of a re-keyed window.
type MergeConfig struct {
	Config
	In *stream.Schema // of the events that the first stage folds
}

// Merge is the second stage of a re-keyed window: it reads entries of the internal topic (stream.EntrySchema of the
// PartialSchema) and emits rollup rows as Tumbling does, of all source partitions together. States are always merged anew,
// in the order of the source partitions, so that floating sums do not depend on the order of arrival. It is used from the
// task's goroutine.
//
// For each group, window and source it keeps the newest partial, and beside it the newest from before the source itself had
// closed the window. The value Closed at a cut is made of the latter, so it depends on the logs of the sources and not on
// how fast each was read. Slots with partials from after are revised, which shows when the window becomes final: all of
// them have come by then.
//
// A partial that is not newer than the one that is held is a repeat and changes nothing. Neither does a newer one with the
// same state, which a source sends that runs again over what it had sent at another version.
//
// Where an idle tick has closed a window at a source, only partials that know the tick count in the value Closed; where one
// has finished it, only those count in the last value. The source sends all of them again with the tick (see Fold). An
// overtaken owner that does not know the tick may go on sending what it takes for an open window: that is older (see
// newer), and if nothing else is known of the group, it does not count. Displays may show such a group for a while.
//
// Two values of a slot never leave under one version, since receivers take only what is newer. Displays have seen partials
// that a closed window does not count, and must see them again; so Closed rows carry the version before the record that
// moved the mark. That is true to them: a record of progress changes no state.
type Merge struct {
	*layout
	panes
	groups *table.Groups
	writer writer
	by     []int // group columns of an entry

	admitted admitted
	cells    []uint32 // of the rows being taken
	entries  []uint32
	keysOf   []uint64 // of the entries
	state    []uint64 // of one row
	merged   []uint64 // of the rows being emitted
	picked   []uint64
	progress []progress // by source partition
	raises   []raise
	steps    []uint32 // of closing and finishing
	touched  uint64   // sum of what was read ahead, so that reading it is not optimized away
}

// NewMerge returns the second stage.
func NewMerge(cfg *MergeConfig) (*Merge, error) {
	l, err := newLayout(&cfg.Config, cfg.In)
	if err != nil {
		return nil, err
	}
	groups, err := l.newGroups()
	if err != nil {
		return nil, err
	}
	m := &Merge{layout: l, panes: newPanes(), groups: groups, writer: newWriter(l, groups), state: make([]uint64, l.words)}
	for i := range l.keys {
		m.by = append(m.by, stream.EntryColumns+i)
	}
	m.admitted = newAdmitted()
	m.cells, m.entries, m.keysOf = make([]uint32, portion), make([]uint32, portion), make([]uint64, portion)
	return m, nil
}

// Grids implements stream.Gridded.
func (m *Merge) Grids() stream.Grids { return m.grids() }

// Size implements stream.Sized.
func (m *Merge) Size() (bytes, groups int64) {
	return m.bytes() + m.groups.Size(), int64(m.groups.Live())
}

// Process implements stream.Operator: it takes entries. They are no events, so nothing is counted.
func (m *Merge) Process(b *stream.Batch, _ stream.Emitter) error {
	for lo := 0; lo < b.Len(); lo += portion {
		if err := m.admit(b, lo, min(lo+portion, b.Len())); err != nil {
			return fmt.Errorf("merge partials: %w", err)
		}
		m.groups.Resolve(b, m.by, m.admitted.rows, m.admitted.ids)
		m.admitted.byPane(func(p *pane, rows []int32, ids []uint32) { m.take(p, b, rows, ids) })
		m.annul()
	}
	return nil
}

// admit finds the panes of the partials. One for a window that is gone is a repeat.
func (m *Merge) admit(b *stream.Batch, lo, hi int) error {
	m.admitted.reset()
	kinds, starts, ends := b.Cols[stream.EntryKind].Ints, b.Cols[stream.EntryStart].Ints, b.Cols[stream.EntryEnd].Ints
	sources := b.Cols[stream.EntrySource].Ints
	var p *pane
	for i := lo; i < hi; i++ {
		if s := sources[i]; s < 0 || s > maxSource {
			return fmt.Errorf("offset %d: the source partition is %d", b.Offset[i], s)
		}
		switch {
		case kinds[i] == stream.RaiseEntry:
			m.raise(b, i)
			continue
		case kinds[i] != stream.PartialEntry:
			m.learn(b, i)
			continue
		case len(m.raises) > 0 && m.isVoid(int(sources[i]), versionAt(b, i)):
			continue
		}
		start := stream.Time(starts[i])
		if p == nil || p.start != start {
			end, until, ok := m.window(start)
			if !ok || end != stream.Time(ends[i]) {
				return fmt.Errorf("offset %d: a partial of the window from %v to %v, but windows are %v long and begin every %v", b.Offset[i],
					start, stream.Time(ends[i]), time.Duration(m.size), time.Duration(m.every))
			}
			if until <= m.record {
				continue
			}
			if p = m.at(start); p == nil {
				p = m.open(start, end, until)
				p.closed = end <= m.mark
			}
		}
		m.admitted.add(i, p)
	}
	return nil
}

// take applies partials of one pane.
func (m *Merge) take(p *pane, b *stream.Batch, rows []int32, ids []uint32) {
	cells, entries, keys := m.cells[:len(rows)], m.entries[:len(rows)], m.keysOf[:len(rows)]
	before := p.cells.Len()
	p.cells.Resolve(ids, cells)
	added := p.cells.Keys()[before:]
	m.groups.Retain(added)
	for range added {
		p.sources.head = append(p.sources.head, 0)
	}
	from, after := b.Cols[stream.EntrySource].Ints, b.Cols[stream.EntryAfterClose].Ints
	for i, r := range rows {
		keys[i] = entryKey(cells[i], uint32(from[r]), after[r] != 0)
	}
	before = p.sources.index.Len()
	p.sources.index.Resolve(keys, entries)
	p.sources.link(before, m.words)
	m.touched += p.sources.touch(entries, m.words)
	slots := m.groups.Slots()
	for i, r := range rows {
		if m.replace(p, entries[i], b, int(r)) {
			p.dirty.add(slots[ids[i]])
		}
	}
}

// replace puts a newer partial into an entry and reports whether the state is another one, or may have become the newer
// one of the two entries of the source because it knows more control records.
func (m *Merge) replace(p *pane, entry uint32, b *stream.Batch, r int) bool {
	s := &p.sources
	at := versionAt(b, r)
	held := s.versions[entry]
	if held != noVersion && !newer(at, held) {
		return false
	}
	s.versions[entry] = at
	state := b.Cols[stream.EntryColumns+len(m.keys):]
	m.set.LoadState(state, r, m.state)
	if m.evidence {
		loadEvidence(state[len(state)-evidenceWords:], r, m.state[m.set.Words():])
	}
	words := s.words[int(entry)*m.words:][:m.words]
	if held != noVersion && held.Step == at.Step && slices.Equal(words, m.state) {
		return false
	}
	copy(words, m.state)
	return true
}
