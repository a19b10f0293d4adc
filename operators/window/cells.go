package window

import (
	"fmt"

	"github.com/tidewatch/tidewatch/operators/table"
	"github.com/tidewatch/tidewatch/stream"
)

// folder folds events into panes: what Tumbling and Fold have in common.
type folder struct {
	*layout
	panes
	groups *table.Groups
	late   *stream.Batch
	// touch notes in a pane that the cells of the groups have changed.
	touch func(p *pane, groups, cells []uint32)

	most     int   // groups of a window; 0: no limit
	overflow int64 // rows counted in the other group, since the start
	admitted admitted
	spans    []span   // of the row being admitted
	cells    []uint32 // of the rows being folded
	cellAt   []uint32 // where their words begin
}

func newFolder(cfg *Config, in *stream.Schema) (folder, error) {
	l, err := newLayout(cfg, in)
	if err != nil {
		return folder{}, err
	}
	groups, err := l.newGroups()
	if err != nil {
		return folder{}, err
	}
	f := folder{layout: l, panes: newPanes(), groups: groups, late: stream.NewBatch(in)}
	f.most = cfg.MaxGroups
	f.admitted, f.cells, f.cellAt = newAdmitted(), make([]uint32, portion), make([]uint32, portion)
	return f, nil
}

// Process implements stream.Operator: it takes events. Late ones leave in the phase Late.
func (f *folder) Process(b *stream.Batch, out stream.Emitter) error {
	if b.Phase != stream.Event {
		return fmt.Errorf("fold into windows: the rows are %s, not events", b.Phase)
	}
	f.borrowDictionaries(b)
	var revised int64
	step := portion / f.overlap()
	for lo := 0; lo < b.Len(); lo += step {
		revised += f.admit(b, lo, min(lo+step, b.Len()))
		if f.crowded() {
			f.resolveCrowded(b)
		} else {
			f.groups.Resolve(b, f.by, f.admitted.rows, f.admitted.ids)
		}
		f.admitted.byPane(func(p *pane, rows []int32, ids []uint32) { f.fold(p, b, rows, ids) })
	}
	if revised > 0 {
		out.Count(stream.BucketRevised, revised)
	}
	if f.late.Len() == 0 {
		return nil
	}
	out.Count(stream.BucketLate, int64(f.late.Len()))
	return out.Emit(f.late)
}

// borrowDictionaries lets the late batch share the strings of the input, so that copying a row copies numbers.
func (f *folder) borrowDictionaries(b *stream.Batch) {
	f.late.Reset()
	f.late.Phase = stream.Late
	for c := range f.late.Cols {
		f.late.Cols[c].Dict = b.Cols[c].Dict
	}
}

// admit finds the panes of the rows and sets late ones aside. It returns how many rows revise a window.
func (f *folder) admit(b *stream.Batch, lo, hi int) (revised int64) {
	f.admitted.reset()
	var from, to stream.Time // the spans are those of no instant
	for i := lo; i < hi; i++ {
		if t := b.Time[i]; t < from || t >= to {
			f.spans, from, to = f.layout.spans(t, f.spans[:0])
			for k := range f.spans {
				f.spans[k].pane = f.at(f.spans[k].start)
			}
		}
		if len(f.spans) == 1 { // nearly every event takes this short way
			if s := &f.spans[0]; s.pane != nil && s.until > b.Mark[i] {
				if s.pane.closed {
					revised++
				}
				f.admitted.add(i, s.pane)
				continue
			}
		}
		accepted, revises := f.accept(i, b.Mark[i])
		switch {
		case !accepted:
			f.late.AppendRow(b, i)
		case revises:
			revised++
		}
	}
	return revised
}

// accept gives a row to the windows that hold it and are not final by its mark. It revises if one of them was closed.
func (f *folder) accept(row int, mark stream.Time) (accepted, revises bool) {
	for k := range f.spans {
		s := &f.spans[k]
		if s.until <= mark {
			continue
		}
		if s.pane == nil {
			s.pane = f.open(s.start, s.end, s.until)
			s.pane.closed = s.end <= max(mark, f.mark)
		}
		f.admitted.add(row, s.pane)
		accepted, revises = true, revises || s.pane.closed
	}
	return accepted, revises
}

// fold folds rows of one pane.
func (f *folder) fold(p *pane, b *stream.Batch, rows []int32, ids []uint32) {
	cells, at := f.cells[:len(rows)], f.cellAt[:len(rows)]
	before := p.cells.Len()
	p.cells.Resolve(ids, cells)
	if added := p.cells.Keys()[before:]; len(added) > 0 {
		f.groups.Retain(added)
		for range added {
			p.words = f.appendEmpty(p.words)
		}
	}
	for i, c := range cells {
		at[i] = c * uint32(f.words)
	}
	f.set.Add(p.words, at, b, rows)
	if f.evidence {
		addEvidence(p.words[f.set.Words():], at, b, rows)
	}
	f.touch(p, ids, cells)
}

func (l *layout) appendEmpty(words []uint64) []uint64 {
	words = l.set.AppendEmpty(words)
	if l.evidence {
		words = appendNoEvidence(words)
	}
	return words
}

// Grids implements stream.Gridded.
func (f *folder) Grids() stream.Grids { return f.grids() }

// Size implements stream.Sized.
func (f *folder) Size() (bytes, groups int64) {
	return f.bytes() + f.groups.Size(), int64(f.groups.Live())
}
