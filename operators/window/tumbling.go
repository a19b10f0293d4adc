package window

import (
	"github.com/tidewatch/tidewatch/stream"
)

// Tumbling folds the events of a keyed source into windows that follow each other. It is a stream.Operator that emits
// rollup rows, and late events; the package comment says when. It is used from the task's goroutine.
type Tumbling struct {
	folder
	writer    writer
	partition int64
}

// NewTumbling returns a window over events of the schema in. The error names the column that is unknown and those that
// there are.
func NewTumbling(cfg *Config, in *stream.Schema) (*Tumbling, error) {
	f, err := newFolder(cfg, in)
	if err != nil {
		return nil, err
	}
	t := &Tumbling{folder: f, writer: newWriter(f.layout, f.groups), partition: int64(cfg.Partition)}
	t.touch = t.touchSlots
	return t, nil
}

// touchSlots implements folder.touch: rows leave by slot.
func (t *Tumbling) touchSlots(p *pane, groups, _ []uint32) {
	slots := t.groups.Slots()
	var changed slotSet
	for _, g := range groups {
		changed.add(slots[g])
	}
	p.dirty.unite(&changed)
	if p.closed {
		p.revised.unite(&changed)
	}
}

// Advance implements stream.Operator.
func (t *Tumbling) Advance(to stream.Advance, out stream.Emitter) error {
	t.advance(to)
	if err := t.close(to, out); err != nil {
		return err
	}
	if err := t.finish(to.At, out); err != nil {
		return err
	}
	t.drop(t.groups)
	return nil
}

// finish emits the last values of the windows that are final now, first those that rules have seen otherwise.
func (t *Tumbling) finish(at stream.Version, out stream.Emitter) error {
	for _, p := range t.list {
		if p.until > t.record {
			break
		}
		if err := t.emit(p, &p.revised, emission{phase: stream.Revised, version: at}, out); err != nil {
			return err
		}
		if err := t.emit(p, allSlots(), emission{phase: stream.Final, version: at}, out); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tumbling) close(to stream.Advance, out stream.Emitter) error {
	for _, p := range t.list {
		if p.end > t.mark {
			break
		}
		if p.closed {
			continue
		}
		p.closed, p.dirty = true, slotSet{}
		e := emission{phase: stream.Closed, version: to.At, provisional: to.Provisional || p.end > t.record}
		if err := t.emit(p, allSlots(), e, out); err != nil {
			return err
		}
	}
	return nil
}

// Publish implements stream.Publisher.
func (t *Tumbling) Publish(at stream.Version, out stream.Emitter) error {
	for _, p := range t.list {
		if p.dirty.empty() {
			continue
		}
		e := emission{phase: stream.Live, version: at, provisional: p.closed && p.end > t.record}
		if err := t.emit(p, &p.dirty, e, out); err != nil {
			return err
		}
		p.dirty = slotSet{}
	}
	return nil
}

// emit sends the slots of the mask.
func (t *Tumbling) emit(p *pane, mask *slotSet, e emission, out stream.Emitter) error {
	if !out.Wants(e.phase) {
		return nil
	}
	w := &t.writer
	for cells, at := w.next(p, mask, 0); len(cells) > 0; cells, at = w.next(p, mask, at) {
		groups := p.cells.Keys()
		w.begin()
		for _, c := range cells {
			w.ids, w.at = append(w.ids, groups[c]), append(w.at, c*uint32(t.words))
			if t.evidence {
				w.partitions = append(w.partitions, t.partition)
			}
		}
		if err := w.emit(p, e, p.words, out); err != nil {
			return err
		}
	}
	return nil
}
