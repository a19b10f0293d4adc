package window

import (
	"fmt"

	"github.com/tidewatch/tidewatch/stream"
)

// Fold is the first stage of a re-keyed window: it folds the events of one source partition, of whatever groups, and emits
// partials: the states of the groups that have changed, as absolute values with the version of the source. It counts late
// and revising events like Tumbling, and is used from the task's goroutine.
//
// An Advance emits what has changed in the windows that it closes or finishes, before it does so. So the newest partial
// that does not say AfterClose is the group's state exactly at the source's own closing of the window. Other windows wait
// for Publish: what they emitted now would soon be replaced.
//
// An idle tick is known to the owner that claimed it, but perhaps not to one that was overtaken and goes on for a while. So
// the Advance of a tick emits everything that it closes or finishes, changed or not: these partials know the tick, which
// their version says, and a Merge takes them instead of whatever the other owner sends.
type Fold struct {
	folder
	out    *stream.Batch
	before []uint32 // scratch of confirm
	rowIDs []uint32
	rowAt  []uint32
}

// NewFold returns the first stage over events of the schema in.
func NewFold(cfg *Config, in *stream.Schema) (*Fold, error) {
	inner, err := newFolder(cfg, in)
	if err != nil {
		return nil, err
	}
	f := &Fold{folder: inner, out: stream.NewBatch(inner.partial)}
	f.groups.Bind(f.out)
	f.touch = func(p *pane, _, cells []uint32) {
		p.changes.note(cells, p.cells.Len())
		if p.closed {
			p.after.note(cells, p.cells.Len())
		}
	}
	return f, nil
}

// Advance implements stream.Operator.
func (f *Fold) Advance(to stream.Advance, out stream.Emitter) error {
	mark, record := max(f.mark, to.Mark), max(f.record, to.RecordMark)
	for _, p := range f.list {
		if p.until <= record || !p.closed && p.end <= mark {
			if err := f.show(p, to.At, out); err != nil {
				return err
			}
		}
	}
	f.advance(to)
	if to.Provisional {
		if err := f.confirm(to.At, out); err != nil {
			return err
		}
	}
	for _, p := range f.list {
		p.closed = p.closed || p.end <= f.mark
	}
	f.drop(f.groups)
	return nil
}

// Publish implements stream.Publisher.
func (f *Fold) Publish(at stream.Version, out stream.Emitter) error {
	for _, p := range f.list {
		if err := f.show(p, at, out); err != nil {
			return err
		}
	}
	return nil
}

// show emits the cells of a window that have changed since they were emitted.
func (f *Fold) show(p *pane, at stream.Version, out stream.Emitter) error {
	if p.again {
		if err := f.whole(p, at, out); err != nil {
			return err
		}
	} else if err := f.emit(p, p.changes.list, emission{version: at, after: p.closed}, out); err != nil {
		return err
	}
	p.changes.reset()
	p.again = false
	return nil
}

// confirm emits the windows that a tick closes or finishes.
func (f *Fold) confirm(at stream.Version, out stream.Emitter) error {
	for _, p := range f.list {
		if (p.closed || p.end > f.mark) && p.until > f.record {
			continue
		}
		if err := f.whole(p, at, out); err != nil {
			return err
		}
	}
	return nil
}

// whole emits all cells of a window: those that have not changed since it was closed, as they were then, and those that have.
func (f *Fold) whole(p *pane, at stream.Version, out stream.Emitter) error {
	f.before = f.before[:0]
	for c := range uint32(p.cells.Len()) {
		if !p.after.has(c) {
			f.before = append(f.before, c)
		}
	}
	if err := f.emit(p, f.before, emission{version: at}, out); err != nil {
		return err
	}
	return f.emit(p, p.after.list, emission{version: at, after: true}, out)
}

// emit sends cells in batches.
func (f *Fold) emit(p *pane, cells []uint32, e emission, out stream.Emitter) error {
	for len(cells) > 0 {
		n := min(len(cells), emitRows)
		if err := f.batch(p, cells[:n], e, out); err != nil {
			return err
		}
		cells = cells[n:]
	}
	return nil
}

func (f *Fold) batch(p *pane, cells []uint32, e emission, out stream.Emitter) error {
	b, groups, slots := f.out, p.cells.Keys(), f.groups.Slots()
	b.Reset()
	b.Phase, b.Window, b.Version, b.AfterClose = stream.Partial, p.window(), e.version, e.after
	f.rowIDs, f.rowAt = f.rowIDs[:0], f.rowAt[:0]
	for _, c := range cells {
		g := groups[c]
		f.rowIDs, f.rowAt = append(f.rowIDs, g), append(f.rowAt, c*uint32(f.words))
		b.Slot = append(b.Slot, slots[g])
	}
	f.groups.AppendColumns(f.rowIDs, b.Cols)
	rest := b.Cols[len(f.keys):]
	f.set.AppendState(p.words, f.rowAt, rest)
	if f.evidence {
		appendEvidence(p.words[f.set.Words():], f.rowAt, rest[len(rest)-evidenceWords:])
	}
	b.SetLen(len(cells))
	return out.Emit(b)
}

// changes are cells of a pane that have changed, in the order of their first change.
type changes struct {
	list  []uint32
	noted []uint64 // bits, by cell
}

func (c *changes) note(cells []uint32, total int) {
	for len(c.noted) < (total+63)/64 {
		c.noted = append(c.noted, 0)
	}
	for _, n := range cells {
		if word, bit := &c.noted[n/64], uint64(1)<<(n%64); *word&bit == 0 {
			*word |= bit
			c.list = append(c.list, n)
		}
	}
}

func (c *changes) has(cell uint32) bool {
	return int(cell/64) < len(c.noted) && c.noted[cell/64]>>(cell%64)&1 != 0
}

func (c *changes) reset() {
	if 16*len(c.list) > len(c.noted) {
		clear(c.noted)
	} else {
		for _, n := range c.list {
			c.noted[n/64] = 0
		}
	}
	c.list = c.list[:0]
}

func (c *changes) bytes() int64 { return int64(4*cap(c.list) + 8*cap(c.noted)) }

func (c *changes) snapshot(w *stream.StateWriter) {
	w.Uint(uint64(len(c.list)))
	for _, n := range c.list {
		w.Uint(uint64(n))
	}
}

// restore reads the cells in their order.
func (c *changes) restore(r *stream.StateReader, total int) error {
	c.note(nil, total)
	for range r.Len(1) {
		n := r.Uint()
		if n >= uint64(total) || c.noted[n/64]>>(n%64)&1 != 0 {
			return fmt.Errorf("restore windows: changed cell %d of %d", n, total)
		}
		c.note([]uint32{uint32(n)}, total)
	}
	return r.Err()
}
