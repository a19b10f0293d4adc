package window

import (
	"errors"

	"github.com/tidewatch/tidewatch/stream"
)

// raise is a quarantine of a source: what it has sent beyond the version's offset with a lower step counted the record that is
// set aside by now, or what an owner made of the log after it. The source has sent again all that it holds.
type raise struct {
	source int
	at     stream.Version
	swept  bool // what was held is dropped
}

// raise takes a row of a quarantine. They come again, as all that is revealed.
func (m *Merge) raise(b *stream.Batch, i int) {
	r := raise{source: int(b.Cols[stream.EntrySource].Ints[i]), at: versionAt(b, i)}
	for _, known := range m.raises {
		if known.source == r.source && known.at == r.at {
			return
		}
	}
	m.raises = append(m.raises, r)
}

func (r *raise) voids(source int, v stream.Version) bool {
	return source == r.source && v.Offset > r.at.Offset && v.Step < r.at.Step
}

func (m *Merge) isVoid(source int, v stream.Version) bool {
	for i := range m.raises {
		if m.raises[i].voids(source, v) {
			return true
		}
	}
	return false
}

// annul drops what is held of void partials. Their slots are shown again, and those that are empty then are erased.
func (m *Merge) annul() {
	for i := range m.raises {
		r := &m.raises[i]
		if r.swept {
			continue
		}
		r.swept = true
		for _, p := range m.list {
			m.annulIn(p, r)
		}
	}
}

func (m *Merge) annulIn(p *pane, r *raise) {
	slotOf, groups, s := m.groups.Slots(), p.cells.Keys(), &p.sources
	for i, key := range s.index.Keys() {
		if s.versions[i] == noVersion || !r.voids(int(uint32(key)>>1), s.versions[i]) {
			continue
		}
		s.versions[i] = noVersion
		slot := slotOf[groups[cellOf(key)]]
		p.dirty.add(slot)
		p.gone.add(slot)
	}
}

// erase tells which slots of a window have become empty. Such a batch has no rows.
func (m *Merge) erase(p *pane, at stream.Version, out stream.Emitter) error {
	if p.gone.empty() {
		return nil
	}
	held := m.slotsOf(p, func(_ uint64, v stream.Version) bool { return v != noVersion })
	p.gone.subtract(&held)
	b := m.writer.out
	b.Reset()
	b.Phase, b.Window, b.Version = stream.Live, p.window(), at
	for slot := range stream.Slots {
		if p.gone.has(uint8(slot)) {
			b.Gone = append(b.Gone, uint8(slot))
		}
	}
	p.gone = slotSet{}
	return out.Emit(b)
}

// snapshotRaises writes nothing where nothing was ever quarantined.
func (m *Merge) snapshotRaises(w *stream.StateWriter) {
	if len(m.raises) == 0 {
		return
	}
	w.Section("raises", 1)
	w.Uint(uint64(len(m.raises)))
	for _, r := range m.raises {
		w.Uint(uint64(r.source))
		w.Int(r.at.Offset)
		w.Uint(uint64(r.at.Step))
	}
	for _, p := range m.list {
		p.gone.snapshot(w)
	}
}

func (m *Merge) restoreRaises(r *stream.StateReader) error {
	version, ok := r.Section("raises")
	if !ok {
		return nil
	}
	if version != 1 {
		return errors.New("restore windows: what the sources have quarantined is of a newer version")
	}
	for range r.Len(3) {
		at := raise{source: int(r.Uint()), swept: true}
		at.at = stream.Version{Offset: r.Int(), Step: uint32(r.Uint())}
		m.raises = append(m.raises, at)
	}
	for _, p := range m.list {
		if err := p.gone.restore(r); err != nil {
			return err
		}
	}
	return r.Err()
}
