package alerts

import (
	"cmp"
	"slices"

	"github.com/tidewatch/tidewatch/stream"
)

// touch is a revised row of a group that has an episode.
type touch struct {
	key      string
	end      stream.Time
	hash     uint64
	holds    bool
	value    *float64
	evidence []Evidence
}

// touch notes the rows of a revised window that may matter. They are settled together, because only the newest row of a
// window counts, however often it came.
func (o *Operator) touch(b *stream.Batch) {
	if len(o.groups) == 0 {
		return
	}
	o.pass = o.rows.when.Bool(b, o.pass)
	for i := range b.Len() {
		if o.kept[slotOf(b, i)] == 0 {
			continue
		}
		o.key = stream.AppendKey(o.key[:0], b, o.rows.groups, i)
		g := o.groups[string(o.key)]
		if g == nil || g.at(b.Window.End) == nil {
			continue
		}
		o.touches = append(o.touches, touch{
			key: g.key, end: b.Window.End, hash: o.rows.hash(b, i), holds: o.pass[i],
			value: o.rows.valueOf(b, i), evidence: o.rows.evidenceOf(b, i),
		})
	}
}

// settle marks the alerts whose rows have changed. A slot comes complete, so most of its rows have not.
func (o *Operator) settle() {
	slices.SortStableFunc(o.touches, func(a, b touch) int {
		return cmp.Or(cmp.Compare(a.end, b.end), cmp.Compare(a.key, b.key))
	})
	for i, t := range o.touches {
		if next := i + 1; next < len(o.touches) && o.touches[next].end == t.end && o.touches[next].key == t.key {
			continue // there is a newer one
		}
		g := o.groups[t.key]
		if e := g.at(t.end); e != nil && e.revise(t.end, t.hash) {
			o.mark(g, e, t)
		}
	}
	clear(o.touches)
	o.touches = o.touches[:0]
}

// revise notes the window's new row, and reports whether it differs from the one before.
func (e *episode) revise(end stream.Time, hash uint64) bool {
	i, found := slices.BinarySearchFunc(e.rows, end, func(r judgedRow, end stream.Time) int { return cmp.Compare(r.end, end) })
	if found && e.rows[i].hash == hash {
		return false
	}
	if !found {
		e.rows = slices.Insert(e.rows, i, judgedRow{end: end})
	}
	e.rows[i].hash = hash
	return true
}

// mark notes the transition of a revision. The alert's value changes if it is the one of the window that the alert shows.
func (o *Operator) mark(g *group, e *episode, t touch) {
	e.revision++
	if e.shown.window.End == t.end {
		e.shown.value = t.value
	}
	window := stream.Window{Start: t.end.Add(-o.cfg.WindowSize), End: t.end}
	o.note(g, e, transitionOf{from: e.state, window: window, holds: t.holds, value: t.value, evidence: t.evidence})
}
