package window

import "github.com/tidewatch/tidewatch/stream"

// A limit bounds the groups of a window. The first so many that come get a cell of their own; the rows of all others are counted
// together in one more, the other group. Which come first follows from the log alone, so every run decides the same. A group
// that finds no room leaves no trace, neither a number nor its strings.

// OtherGroup is what the String columns of the other group say; its other columns are null.
const OtherGroup = "(other)"

// crowded reports whether a window that the admitted rows go to may have no room for all their groups.
func (f *folder) crowded() bool {
	if f.most == 0 {
		return false
	}
	var last *pane
	for _, p := range f.admitted.owners {
		if p != last && p.cells.Len()+len(f.admitted.rows) > f.most {
			return true
		}
		last = p
	}
	return false
}

// resolveCrowded finds the groups of the admitted rows one by one, and makes the cells of new ones.
func (f *folder) resolveCrowded(b *stream.Batch) {
	for i, row := range f.admitted.rows {
		p, at := f.admitted.owners[i], f.admitted.ids[i:i+1]
		id, known := f.groups.Find(b, f.by, int(row))
		if known {
			_, known = p.cells.Find(id)
		}
		switch {
		case known:
			at[0] = id
		case p.cells.Len() < f.most:
			f.groups.Resolve(b, f.by, f.admitted.rows[i:i+1], at)
			f.addCell(p, at[0])
		default:
			f.overflow++
			at[0] = f.groups.Other(OtherGroup)
			f.addCell(p, at[0])
		}
	}
}

// addCell gives a group a cell in the pane, if it has none.
func (f *folder) addCell(p *pane, id uint32) {
	if _, has := p.cells.Find(id); has {
		return
	}
	p.cells.Add(id)
	f.groups.Retain([]uint32{id})
	p.words = f.appendEmpty(p.words)
}

// Limits implements stream.Limited.
func (f *folder) Limits() (most, groups, overflow int64) {
	for _, p := range f.list {
		groups = max(groups, int64(p.cells.Len()))
	}
	return int64(f.most), groups, f.overflow
}
