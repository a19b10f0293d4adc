package window

import (
	"github.com/tidewatch/tidewatch/stream"
)

// Advance implements stream.Operator.
func (m *Merge) Advance(to stream.Advance, out stream.Emitter) error {
	m.advance(to)
	at := to.At
	if m.closesAhead() {
		at = versionBefore(at)
	}
	if err := m.revise(at, out); err != nil {
		return err
	}
	if err := m.close(to, at, out); err != nil {
		return err
	}
	if err := m.revise(to.At, out); err != nil { // what has been closed just now
		return err
	}
	for _, p := range m.list {
		if p.until > m.record {
			break
		}
		if err := m.emit(p, allSlots(), emission{phase: stream.Final, version: to.At}, out); err != nil {
			return err
		}
	}
	m.drop(m.groups)
	return nil
}

// closesAhead reports whether a window closes now that has partials from after a source closed it.
func (m *Merge) closesAhead() bool {
	for _, p := range m.list {
		if p.end <= m.mark && !p.closed && !p.sources.ahead.empty() {
			return true
		}
	}
	return false
}

// versionBefore is the version one record or step earlier.
func versionBefore(v stream.Version) stream.Version {
	if v.Step > 0 {
		return stream.Version{Offset: v.Offset, Step: v.Step - 1}
	}
	return stream.Version{Offset: v.Offset - 1}
}

func (m *Merge) revise(at stream.Version, out stream.Emitter) error {
	for _, p := range m.list {
		if p.revised.empty() {
			continue
		}
		if err := m.emit(p, &p.revised, emission{stream.Revised, at, p.end > m.record}, out); err != nil {
			return err
		}
		p.dirty.subtract(&p.revised)
		p.revised = slotSet{}
	}
	return nil
}

func (m *Merge) close(to stream.Advance, at stream.Version, out stream.Emitter) error {
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
		p.closed, p.dirty, p.revised = true, slotSet{}, p.sources.ahead
		p.sources.ahead = slotSet{}
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
