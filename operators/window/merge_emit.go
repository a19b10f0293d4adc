package window

import (
	"github.com/tidewatch/tidewatch/stream"
)

// Advance implements stream.Operator.
func (m *Merge) Advance(to stream.Advance, out stream.Emitter) error {
	m.advance(to)
	if err := m.close(to, out); err != nil {
		return err
	}
	if err := m.finish(to.At, out); err != nil {
		return err
	}
	m.drop(m.groups)
	m.forgetTicks()
	return nil
}

// close emits the windows whose end the mark has passed.
func (m *Merge) close(to stream.Advance, out stream.Emitter) error {
	at := stream.Version{Offset: to.At.Offset - 1, Step: to.At.Step}
	for _, p := range m.list {
		if p.end > m.mark {
			break
		}
		if p.closed {
			continue
		}
		e := emission{phase: stream.Closed, version: at, provisional: to.Provisional || p.end > m.record}
		steps := m.closing(p)
		if err := m.emit(p, allSlots(), &part{beforeOnly: true, steps: steps}, e, out); err != nil {
			return err
		}
		p.closed = true
		p.dirty = m.slotsOf(p, func(key uint64, v stream.Version) bool { return isAfter(key) || !knows(steps, key, v) })
	}
	return nil
}

// slotsOf are the slots with a partial of the kind.
func (m *Merge) slotsOf(p *pane, is func(key uint64, v stream.Version) bool) (slots slotSet) {
	slotOf, groups := m.groups.Slots(), p.cells.Keys()
	for i, k := range p.sources.index.Keys() {
		if is(k, p.sources.versions[i]) {
			slots.add(slotOf[groups[cellOf(k)]])
		}
	}
	return slots
}

// finish emits the last values of the windows that are final now, first those that displays or rules have seen otherwise.
func (m *Merge) finish(at stream.Version, out stream.Emitter) error {
	for _, p := range m.list {
		if p.until > m.record {
			break
		}
		steps := m.finishing(p)
		revised := m.slotsOf(p, func(key uint64, v stream.Version) bool { return isAfter(key) && v != noVersion && knows(steps, key, v) })
		shown := m.slotsOf(p, func(key uint64, v stream.Version) bool { return !knows(steps, key, v) })
		shown.unite(&p.dirty)
		shown.subtract(&revised)
		if err := m.emit(p, &shown, &part{steps: steps}, emission{phase: stream.Live, version: at}, out); err != nil {
			return err
		}
		if err := m.erase(p, at, out); err != nil {
			return err
		}
		if err := m.emit(p, &revised, &part{steps: steps}, emission{phase: stream.Revised, version: at}, out); err != nil {
			return err
		}
		if err := m.emit(p, allSlots(), &part{steps: steps}, emission{phase: stream.Final, version: at}, out); err != nil {
			return err
		}
	}
	return nil
}

// Publish implements stream.Publisher.
func (m *Merge) Publish(at stream.Version, out stream.Emitter) error {
	for _, p := range m.list {
		if p.dirty.empty() && p.gone.empty() { // closing a window shows what is left, and erases nothing
			continue
		}
		if err := m.emit(p, &p.dirty, &part{}, emission{phase: stream.Live, version: at, provisional: p.closed && p.end > m.record}, out); err != nil {
			return err
		}
		p.dirty = slotSet{}
		if err := m.erase(p, at, out); err != nil {
			return err
		}
	}
	return nil
}

// emit sends the slots of the mask. A group without a partial that counts has no row.
func (m *Merge) emit(p *pane, mask *slotSet, of *part, e emission, out stream.Emitter) error {
	if !out.Wants(e.phase) {
		return nil
	}
	w := &m.writer
	for cells, at := w.next(p, mask, 0); len(cells) > 0; cells, at = w.next(p, mask, at) {
		groups := p.cells.Keys()
		w.begin()
		m.merged = m.merged[:0]
		for _, c := range cells {
			begin := uint32(len(m.merged))
			partition, ok := m.merge(&p.sources, c, of)
			if !ok {
				continue
			}
			w.ids, w.at = append(w.ids, groups[c]), append(w.at, begin)
			if m.evidence {
				w.partitions = append(w.partitions, partition)
			}
		}
		if err := w.emit(p, e, m.merged, out); err != nil {
			return err
		}
	}
	return nil
}

// merge appends the value of a cell to merged. The evidence is that of the source with the latest last record, and the
// partition is that source; of equals the lowest.
func (m *Merge) merge(s *sources, cell uint32, of *part) (partition int64, ok bool) {
	m.picked = s.pick(cell, of, m.picked)
	if len(m.picked) == 0 {
		return 0, false
	}
	begin := len(m.merged)
	m.merged = m.appendEmpty(m.merged)
	into := m.merged[begin:]
	latest := stream.NoTime
	for _, key := range m.picked {
		from := s.words[int(uint32(key))*m.words:][:m.words]
		m.set.Merge(into, from)
		if !m.evidence {
			continue
		}
		e := from[m.set.Words():]
		if t := stream.Time(e[lastTime]); t > latest || latest == stream.NoTime {
			latest, partition = t, int64(key>>33)
			copy(into[m.set.Words():], e)
		}
	}
	return partition, true
}
