package serve

import (
	"math"
	"slices"

	"github.com/tidewatch/tidewatch/stream"
)

// MetricsDelta says how an answer has changed: points to put or to replace by their time. Points before From are over, and
// so are series without points.
type MetricsDelta struct {
	From            Instant       `json:"from"`
	To              Instant       `json:"to"`
	Step            Span          `json:"step"`
	CompleteThrough *Instant      `json:"complete_through"`
	SeriesTotal     int           `json:"series_total"`
	Series          []MetricsLine `json:"series" doc:"Only those with new points, and only the new points."`
	Outputs         []OutputDelta `json:"outputs"`
}

// OutputDelta is how far an output has got.
type OutputDelta struct {
	Pipeline        string   `json:"pipeline"`
	Output          string   `json:"output"`
	CompleteThrough *Instant `json:"complete_through"`
}

// deltaOf is nil if nothing has changed. It is not possible if something has gone that is not over.
func deltaOf(old, now *MetricsAnswer) (d *MetricsDelta, possible bool) {
	d = &MetricsDelta{
		From: now.From, To: now.To, Step: now.Step, CompleteThrough: now.CompleteThrough, SeriesTotal: now.SeriesTotal,
		Series: []MetricsLine{}, Outputs: []OutputDelta{},
	}
	if old.Step != now.Step || len(old.Outputs) != len(now.Outputs) {
		return nil, false
	}
	same := old.From == now.From && old.To == now.To && old.SeriesTotal == now.SeriesTotal && equalInstants(old.CompleteThrough, now.CompleteThrough)
	for i := range now.Outputs {
		o := &now.Outputs[i]
		d.Outputs = append(d.Outputs, OutputDelta{o.Pipeline, o.Output, o.CompleteThrough})
		same = same && equalInstants(o.CompleteThrough, old.Outputs[i].CompleteThrough)
	}
	before := map[string]*MetricsLine{}
	for i := range old.Series {
		before[old.Series[i].key()] = &old.Series[i]
	}
	for i := range now.Series {
		line := &now.Series[i]
		key := line.key()
		changed, possible := line.since(before[key], stream.Time(now.From))
		if !possible {
			return nil, false
		}
		delete(before, key)
		if len(changed.Points.Start) > 0 {
			d.Series = append(d.Series, changed)
		}
	}
	for _, gone := range before {
		if n := len(gone.Points.Start); n > 0 && gone.Points.Start[n-1] >= stream.Time(now.From) {
			return nil, false
		}
	}
	if same && len(d.Series) == 0 {
		return nil, true
	}
	return d, true
}

func equalInstants(a, b *Instant) bool { return a == b || a != nil && b != nil && *a == *b }

// key is what tells series of an answer apart.
func (l *MetricsLine) key() string {
	b := append([]byte(l.Pipeline+"\x00"+l.Output), 0)
	for _, k := range sortedKeys(l.Labels) {
		b = append(append(append(append(b, k...), 1), l.Labels[k]...), 0)
	}
	return string(b)
}

// since is the series with the points that are not in old as they are now. It is not possible if a point has gone that is
// not before from.
func (l *MetricsLine) since(old *MetricsLine, from stream.Time) (changed MetricsLine, possible bool) {
	changed = *l
	if old == nil {
		return changed, true
	}
	was, is := &old.Points, &l.Points
	var rows []int
	i := was.before(from)
	for j, t := range is.Start {
		if i < len(was.Start) && was.Start[i] < t {
			return changed, false
		}
		if i < len(was.Start) && was.Start[i] == t {
			if !samePoint(was, i, is, j) {
				rows = append(rows, j)
			}
			i++
			continue
		}
		rows = append(rows, j)
	}
	if i < len(was.Start) {
		return changed, false
	}
	changed.Points = is.pick(rows)
	return changed, true
}

func samePoint(a *Points, i int, b *Points, j int) bool {
	for k := range a.Columns {
		x, y := &a.Columns[k], &b.Columns[k]
		if x.IsNull(i) != y.IsNull(j) {
			return false
		}
		if x.IsNull(i) {
			continue
		}
		if x.Kind == stream.Float && math.Float64bits(x.Floats[i]) != math.Float64bits(y.Floats[j]) || x.Kind != stream.Float && x.Ints[i] != y.Ints[j] {
			return false
		}
	}
	return true
}

// pick copies some points.
func (p *Points) pick(rows []int) Points {
	if len(rows) == len(p.Start) {
		return *p
	}
	if n := len(rows); n > 0 && rows[n-1]-rows[0] == n-1 {
		return p.slice(rows[0], rows[n-1]+1)
	}
	out := Points{Columns: make([]stream.Column, len(p.Columns))}
	for k := range p.Columns {
		out.Columns[k].Kind = p.Columns[k].Kind
	}
	for _, i := range rows {
		out.Start = append(out.Start, p.Start[i])
		for k := range p.Columns {
			out.Columns[k].AppendFrom(&p.Columns[k], i)
		}
	}
	out.Start = slices.Clip(out.Start)
	return out
}
