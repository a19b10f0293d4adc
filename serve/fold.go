package serve

import (
	"math"
	"slices"

	"github.com/tidewatch/tidewatch/stream"
)

// folded is a group with its points.
type folded struct {
	key    []label
	text   string // the key, comparable
	points Points
}

// fold makes buckets and groups of windows. Groups come sorted by their labels, points by time. Only the windows that the
// result holds are counted, so its range must consist of whole buckets.
func (p *foldPlan) fold(r *RollupResult) []folded {
	at := map[string]int{}
	var groups []group
	for i := range r.Series {
		s := &r.Series[i]
		if !p.passes(s) {
			continue
		}
		key := make([]label, len(p.keep))
		for k, g := range p.keep {
			key[k] = label{s.Labels[g], s.Null[g]}
		}
		text := keyText(key)
		j, ok := at[text]
		if !ok {
			j = len(groups)
			at[text] = j
			groups = append(groups, group{key: key, text: text})
		}
		groups[j].members = append(groups[j].members, s)
	}
	out := make([]folded, 0, len(groups))
	for i := range groups {
		if points := p.points(groups[i].members); len(points.Start) > 0 {
			out = append(out, folded{groups[i].key, groups[i].text, points})
		}
	}
	slices.SortFunc(out, func(a, b folded) int { return compareLabels(a.key, b.key) })
	return out
}

// group are the series that become one.
type group struct {
	key     []label
	text    string
	members []*RollupSeries
}

func keyText(key []label) string {
	var b []byte
	for _, l := range key {
		if l.null {
			b = append(b, 0)
			continue
		}
		b = append(append(b, 1), l.text...)
		b = append(b, 0)
	}
	return string(b)
}

func (p *foldPlan) points(members []*RollupSeries) Points {
	if p.samples {
		members = p.sampled(members)
	}
	if !p.merges && len(members) == 1 {
		return Points{members[0].Start, members[0].Columns[:len(p.columns)]}
	}
	var starts []stream.Time
	for _, m := range members {
		for _, t := range m.Start {
			if b := t.Floor(p.step); len(starts) == 0 || starts[len(starts)-1] != b {
				starts = append(starts, b)
			}
		}
	}
	slices.Sort(starts)
	starts = slices.Compact(starts)
	out := Points{Start: starts, Columns: make([]stream.Column, len(p.columns))}
	for k := range p.columns {
		out.Columns[k] = p.column(k, members, starts)
	}
	return out
}

// sampled keeps the windows that begin with a bucket.
func (p *foldPlan) sampled(members []*RollupSeries) (out []*RollupSeries) {
	for _, m := range members {
		all := Points{m.Start, m.Columns}
		var rows []int
		for i, t := range m.Start {
			if t.Floor(p.step) == t {
				rows = append(rows, i)
			}
		}
		kept := all.pick(rows)
		out = append(out, &RollupSeries{m.Labels, m.Null, kept.Start, kept.Columns})
	}
	return out
}

// cell gathers the values of one point.
type cell struct {
	n      int // values so far
	ints   int64
	float  float64 // sum, extreme, or sum of weighted values
	weight float64
}

// column computes one column of a group: for each bucket over all windows and members in it.
func (p *foldPlan) column(k int, members []*RollupSeries, starts []stream.Time) stream.Column {
	c := &p.columns[k]
	cells := make([]cell, len(starts))
	for _, m := range members {
		values, at := &m.Columns[k], 0
		var weights *stream.Column
		if c.weight >= 0 {
			weights = &m.Columns[c.weight]
		}
		for i, t := range m.Start {
			b := t.Floor(p.step)
			for starts[at] < b {
				at++
			}
			if !values.IsNull(i) {
				cells[at].add(c, values, weights, i)
			}
		}
	}
	out := stream.Column{Kind: c.kind}
	for i := range cells {
		cells[i].append(c, &out)
	}
	return out
}

// add takes a value in. The first one is kept as it is, so that a point of one window is that window.
func (x *cell) add(c *foldColumn, values, weights *stream.Column, i int) {
	if c.kind == stream.Int {
		x.addInt(c.function, values.Ints[i])
		return
	}
	v := values.Floats[i]
	x.n++
	switch c.function {
	case minOf:
		if x.n == 1 || v < x.float || math.IsNaN(v) {
			x.float = v
		}
	case maxOf:
		if x.n == 1 || v > x.float || math.IsNaN(v) {
			x.float = v
		}
	case avgOf:
		x.average(v, number(weights, i))
	default:
		x.float += v
	}
}

func (x *cell) addInt(function string, v int64) {
	x.n++
	switch {
	case function == minOf && x.n > 1:
		x.ints = min(x.ints, v)
	case function == maxOf && x.n > 1:
		x.ints = max(x.ints, v)
	case function == minOf || function == maxOf:
		x.ints = v
	default:
		x.ints += v
	}
}

// average keeps the weighted mean itself rather than a sum of products: so equal values stay what they are, and nothing
// overflows. (West's update of a weighted mean.)
func (x *cell) average(v, weight float64) {
	if x.n == 1 {
		x.float, x.weight = v, weight
		return
	}
	if x.weight += weight; x.weight > 0 {
		x.float += (v - x.float) * (weight / x.weight)
	}
}

func (x *cell) append(c *foldColumn, out *stream.Column) {
	switch {
	case x.n == 0 && c.function != countOf && c.function != countIf:
		out.AppendNull()
	case c.kind == stream.Int:
		out.AppendInt(x.ints)
	default:
		out.AppendFloat(x.float)
	}
}

func number(c *stream.Column, i int) float64 {
	switch {
	case c == nil || c.IsNull(i):
		return 0
	case c.Kind == stream.Int:
		return float64(c.Ints[i])
	}
	return c.Floats[i]
}
