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
		e := emission{stream.Closed, at, to.Provisional || p.end > m.record}
		if err := m.emit(p, allSlots(), e, out); err != nil {
			return err
		}
		p.closed, p.dirty = true, m.behind(p)
	}
	return nil
}

// behind are the slots with partials from after the sources had closed the window.
func (m *Merge) behind(p *pane) (slots slotSet) {
	slotOf, groups := m.groups.Slots(), p.cells.Keys()
	for _, k := range p.sources.index.Keys() {
		if isAfter(k) {
			slots.add(slotOf[groups[cellOf(k)]])
		}
	}
	return slots
}

// finish emits the last values of the windows that are final now, first those that rules have seen otherwise.
func (m *Merge) finish(at stream.Version, out stream.Emitter) error {
	for _, p := range m.list {
		if p.until > m.record {
			break
		}
		revised := m.behind(p)
		if err := m.emit(p, &revised, emission{phase: stream.Revised, version: at}, out); err != nil {
			return err
		}
		if err := m.emit(p, allSlots(), emission{phase: stream.Final, version: at}, out); err != nil {
			return err
		}
	}
	return nil
}

// Publish implements stream.Publisher.
func (m *Merge) Publish(at stream.Version, out stream.Emitter) error {
	for _, p := range m.list {
		if p.dirty.empty() {
			continue
		}
		if err := m.emit(p, &p.dirty, emission{stream.Live, at, p.closed && p.end > m.record}, out); err != nil {
			return err
		}
		p.dirty = slotSet{}
	}
	return nil
}

// emit sends the slots of the mask. A group without a partial that counts has no row.
func (m *Merge) emit(p *pane, mask *slotSet, e emission, out stream.Emitter) error {
	w := &m.writer
	for cells, at := w.next(p, mask, 0); len(cells) > 0; cells, at = w.next(p, mask, at) {
		groups := p.cells.Keys()
		w.begin()
		m.merged = m.merged[:0]
		for _, c := range cells {
			begin := uint32(len(m.merged))
			partition, ok := m.merge(&p.sources, c, e.phase == stream.Closed)
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
func (m *Merge) merge(s *sources, cell uint32, beforeOnly bool) (partition int64, ok bool) {
	m.picked = s.pick(cell, beforeOnly, m.picked)
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
