package window

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/tidewatch/tidewatch/operators/table"
	"github.com/tidewatch/tidewatch/stream"
)

// stateVersion is that of the section "windows". Its body begins with the shape of a window, so that a snapshot of another
// declaration is refused, and the progress; then the windows in order of time. A window is its start, whether it is closed,
// the slots that are dirty and revised, and the groups of its cells in the order of the cells. What follows depends on the
// operator: the words of the cells, one column after the other, or the entries of a Merge. At the end is what a Merge knows
// of its sources.
const stateVersion = 1

// windowBytes is the least that a window takes in a snapshot: a snapshot cannot claim to hold more than it does.
const windowBytes = 2 + 2*33 + 1

// snapshot writes the groups and the windows; rest writes what is special about a pane.
func (ps *panes) snapshot(w *stream.StateWriter, l *layout, groups *table.Groups, rest func(p *pane)) {
	groups.Snapshot(w)
	w.Section("windows", stateVersion)
	w.Int(int64(l.size))
	w.Int(int64(l.lateness))
	w.Uint(uint64(l.words))
	w.Int(int64(ps.mark))
	w.Int(int64(ps.record))
	w.Uint(uint64(len(ps.list)))
	for _, p := range ps.list {
		w.Int(int64(p.start))
		closed := uint64(0)
		if p.closed {
			closed = 1
		}
		w.Uint(closed)
		p.dirty.snapshot(w)
		p.revised.snapshot(w)
		w.Uint(uint64(p.cells.Len()))
		w.Cut() // a window that changes no more stays the same while others before it go
		for _, g := range p.cells.Keys() {
			w.Uint(uint64(g))
		}
		rest(p)
	}
}

// restore reads what snapshot wrote into an operator without state.
func (ps *panes) restore(r *stream.StateReader, l *layout, groups *table.Groups, rest func(p *pane) error) error {
	if err := groups.Restore(r); err != nil {
		return err
	}
	if version, _ := r.Section("windows"); version != stateVersion {
		return fmt.Errorf("restore windows: section version %d, want %d", version, stateVersion)
	}
	size, lateness, words := r.Int(), r.Int(), r.Uint()
	if r.Err() == nil && (size != int64(l.size) || lateness != int64(l.lateness) || words != uint64(l.words)) {
		return fmt.Errorf("restore windows: the snapshot is of windows of %v with lateness %v and %d words a cell, not %v, %v and %d: "+
			"it belongs to another pipeline version", time.Duration(size), time.Duration(lateness), words,
			time.Duration(l.size), time.Duration(l.lateness), l.words)
	}
	ps.mark, ps.record = stream.Time(r.Int()), stream.Time(r.Int())
	for range r.Len(windowBytes) {
		p, err := ps.restorePane(r, l)
		if err != nil {
			return err
		}
		if err := p.restoreCells(r, groups); err != nil {
			return err
		}
		if err := rest(p); err != nil {
			return err
		}
	}
	if err := r.Err(); err != nil {
		return err
	}
	return groups.Check()
}

func (ps *panes) restorePane(r *stream.StateReader, l *layout) (*pane, error) {
	at := stream.Time(r.Int())
	end, until, ok := l.window(at)
	n := len(ps.list)
	if r.Err() != nil || !ok || n > 0 && ps.list[n-1].start >= at {
		return nil, errors.Join(r.Err(), fmt.Errorf("restore windows: a window starts at %v", at))
	}
	p := ps.open(at, end, until)
	p.closed = r.Uint() == 1
	if err := p.dirty.restore(r); err != nil {
		return nil, err
	}
	return p, p.revised.restore(r)
}

// restoreCells reads the groups of the cells.
func (p *pane) restoreCells(r *stream.StateReader, groups *table.Groups) error {
	ids := make([]uint32, r.Len(1))
	for i := range ids {
		g := r.Uint()
		if r.Err() != nil || !groups.Has(g) {
			return errors.Join(r.Err(), fmt.Errorf("restore windows: group %d of the window at %v", g, p.start))
		}
		ids[i] = uint32(g)
	}
	if !p.cells.Fill(ids) {
		return fmt.Errorf("restore windows: a group is there twice in the window at %v", p.start)
	}
	groups.Retain(p.cells.Keys())
	return nil
}

// writeWords writes cells of so many words each, column by column, which packs better than cell by cell.
func writeWords(w *stream.StateWriter, words []uint64, size int) {
	for k := range size {
		w.Every(words, k, size)
	}
}

// readWords reads n cells.
func readWords(r *stream.StateReader, n, size int) ([]uint64, error) {
	var words []uint64
	for k := range size {
		column := r.Column()
		if len(column) != 8*n {
			return nil, errors.Join(r.Err(), fmt.Errorf("restore windows: %d words for %d cells", len(column)/8, n))
		}
		if k == 0 { // now it is sure that there are so many
			words = make([]uint64, n*size)
		}
		for i := range n {
			words[i*size+k] = binary.LittleEndian.Uint64(column[8*i:])
		}
	}
	return words, nil
}

// Snapshot implements stream.Operator.
func (f *folder) Snapshot(w *stream.StateWriter) error {
	f.snapshot(w, f.layout, f.groups, func(p *pane) {
		writeWords(w, p.words, f.words)
		p.changes.snapshot(w)
		p.after.snapshot(w)
	})
	return nil
}

// Restore implements stream.Operator.
func (f *folder) Restore(r *stream.StateReader) error {
	return f.restore(r, f.layout, f.groups, func(p *pane) (err error) {
		if p.words, err = readWords(r, p.cells.Len(), f.words); err != nil {
			return err
		}
		if err := p.changes.restore(r, p.cells.Len()); err != nil {
			return err
		}
		return p.after.restore(r, p.cells.Len())
	})
}

// Snapshot implements stream.Operator.
func (m *Merge) Snapshot(w *stream.StateWriter) error {
	m.snapshot(w, m.layout, m.groups, func(p *pane) {
		s := &p.sources
		w.Uint(uint64(s.index.Len()))
		for i, k := range s.index.Keys() {
			w.Uint(uint64(cellOf(k)))
			w.Uint(k & (1<<32 - 1))
			w.Int(s.versions[i].Offset)
			w.Uint(uint64(s.versions[i].Step))
		}
		writeWords(w, s.words, m.words)
	})
	m.snapshotProgress(w)
	m.snapshotRaises(w)
	return nil
}

// Restore implements stream.Operator.
func (m *Merge) Restore(r *stream.StateReader) error {
	err := m.restore(r, m.layout, m.groups, func(p *pane) error { return p.sources.restore(r, p.cells.Len(), m.words) })
	if err != nil {
		return err
	}
	if err := m.restoreProgress(r); err != nil {
		return err
	}
	return m.restoreRaises(r)
}

func (s *sources) restore(r *stream.StateReader, cells, size int) error {
	s.head = make([]uint32, cells)
	n := r.Len(4)
	for i := range n {
		cell, low := r.Uint(), r.Uint()
		at := stream.Version{Offset: r.Int(), Step: uint32(r.Uint())}
		key := cell<<32 | low
		if r.Err() != nil || cell >= uint64(cells) || low>>32 != 0 || at.Offset < noVersion.Offset || int(s.index.Add(key)) != i {
			return errors.Join(r.Err(), fmt.Errorf("restore windows: partial %d of %d", i, n))
		}
		s.versions = append(s.versions, at)
		s.next = append(s.next, s.head[cell])
		s.head[cell] = uint32(len(s.next))
	}
	var err error
	s.words, err = readWords(r, n, size)
	return err
}
