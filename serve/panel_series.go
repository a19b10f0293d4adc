package serve

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// replanEvery is how often a panel looks whether pipelines have changed, and tailEvery how often it reads the last bucket
// though nothing has been told: complete_through rises without a notice.
const (
	replanEvery = 5 * time.Second
	tailEvery   = 2 * time.Second
)

// seriesState is what a panel keeps of the series it shows: the folded windows of each output.
type seriesState struct {
	parts   []part
	read    []time.Time   // when each part was read
	until   []stream.Time // up to where
	planned time.Time
}

// empty is whether there is not one point yet.
func (st *seriesState) empty() bool {
	return !slices.ContainsFunc(st.parts, func(p part) bool { return len(p.lines) > 0 })
}

// refreshSeries reads what has changed, and tells the difference.
func (p *panel) refreshSeries(ctx context.Context, now time.Time) error {
	dirty := p.takeDirty()
	st := &p.series
	fresh := len(st.parts) == 0
	if fresh || now.Sub(st.planned) >= replanEvery {
		replaced, err := p.replan(ctx, now)
		if err != nil {
			return err
		}
		fresh = fresh || replaced
	}
	from, to := p.ask.bounds(now)
	span := asked{now, from, to}
	for i := range st.parts {
		low, touched := dirty[feedKey(&st.parts[i].plan.target.store)]
		if !touched {
			low = stream.MaxTime
		}
		if err := p.refreshPart(ctx, i, span, low); err != nil {
			return err
		}
	}
	answer, err := p.ask.assemble(st.parts, from, to)
	if err != nil {
		return err
	}
	return p.tell(now, answer, fresh)
}

// replan finds the outputs anew, and starts over if they are others than before.
func (p *panel) replan(ctx context.Context, now time.Time) (replaced bool, err error) {
	all, err := p.h.targets(ctx)
	if err != nil {
		return false, err
	}
	plans, err := p.ask.plan(all, now)
	if err != nil {
		return false, err
	}
	st := &p.series
	st.planned = now
	same := slices.EqualFunc(plans, st.parts, func(f *foldPlan, q part) bool { return f.equal(q.plan) })
	if same && len(plans) > 0 {
		return false, nil
	}
	st.parts, st.read, st.until = make([]part, len(plans)), make([]time.Time, len(plans)), make([]stream.Time, len(plans))
	outputs := make([]*RollupOutput, len(plans))
	for i, f := range plans {
		st.parts[i] = part{plan: f, through: stream.NoTime}
		outputs[i] = &f.target.store
	}
	p.h.follow(p, outputs)
	return true, nil
}

// equal reports whether both read the same in the same way.
func (p *foldPlan) equal(q *foldPlan) bool {
	return p.target.store.Instance == q.target.store.Instance && p.target.store.Name == q.target.store.Name && p.step == q.step &&
		slices.Equal(p.read, q.read) && slices.Equal(p.columns, q.columns)
}

// asked is the range of a question now.
type asked struct {
	now      time.Time
	from, to stream.Time
}

// refreshPart reads the part of one output that may have changed: what was told of begins at low.
func (p *panel) refreshPart(ctx context.Context, i int, a asked, low stream.Time) error {
	st := &p.series
	old := &st.parts[i]
	step := old.plan.step
	from, to, touched := a.from, a.to, low != stream.MaxTime
	// What was ahead of the clock when it was told of is read when it is due.
	tail := min(to.Add(-step), st.until[i])
	due := a.now.Sub(st.read[i]) >= tailEvery || ceil(st.until[i], step) != ceil(to, step)
	kind := "changed"
	switch {
	case st.read[i].IsZero() || touched && low == stream.NoTime:
		low, kind = from, "whole"
	case touched:
		low = min(low, tail)
	case due && p.ask.moves():
		low, kind = tail, "tail"
	default:
		old.trim(from.Floor(step))
		return nil
	}
	low = max(low, from)
	low = min(low.Floor(step), to)
	if low < to {
		read, err := p.h.s.evaluate(ctx, old.plan, low, to)
		if err != nil {
			p.mu.Lock() // what was taken is still to be read
			p.mu.dirty[feedKey(&old.plan.target.store)] = stream.NoTime
			p.mu.Unlock()
			return err
		}
		p.h.s.observed.reads.WithLabelValues(kind).Inc()
		old.splice(&read, low.Floor(step))
		st.read[i], st.until[i] = a.now, to
	}
	old.trim(from.Floor(step))
	return nil
}

// splice replaces everything from a time on by what was read.
func (p *part) splice(read *part, from stream.Time) {
	p.through = read.through
	var out []folded
	for len(p.lines)+len(read.lines) > 0 {
		var c int
		switch {
		case len(p.lines) == 0:
			c = 1
		case len(read.lines) == 0:
			c = -1
		default:
			c = compareLabels(p.lines[0].key, read.lines[0].key)
		}
		var f folded
		switch {
		case c < 0:
			f, p.lines = p.lines[0], p.lines[1:]
			f.points = f.points.slice(0, f.points.before(from))
		case c > 0:
			f, read.lines = read.lines[0], read.lines[1:]
		default:
			f = p.lines[0]
			f.points = joined(f.points.slice(0, f.points.before(from)), read.lines[0].points)
			p.lines, read.lines = p.lines[1:], read.lines[1:]
		}
		if len(f.points.Start) > 0 {
			out = append(out, f)
		}
	}
	p.lines = out
}

// trim drops what lies before a time.
func (p *part) trim(from stream.Time) {
	p.lines = slices.DeleteFunc(slices.Clone(p.lines), func(f folded) bool {
		return len(f.points.Start) == 0 || f.points.Start[len(f.points.Start)-1] < from
	})
	for i := range p.lines {
		pts := &p.lines[i].points
		*pts = pts.slice(pts.before(from), len(pts.Start))
	}
}

// before is the number of points before a time.
func (p *Points) before(t stream.Time) int {
	n, _ := slices.BinarySearch(p.Start, t)
	return n
}

// slice is a view of points lo to hi.
func (p *Points) slice(lo, hi int) Points {
	out := Points{Start: p.Start[lo:hi:hi], Columns: make([]stream.Column, len(p.Columns))}
	for k := range p.Columns {
		c := &p.Columns[k]
		v := stream.Column{Kind: c.Kind}
		if c.Kind == stream.Float {
			v.Floats = c.Floats[lo:hi:hi]
		} else {
			v.Ints = c.Ints[lo:hi:hi]
		}
		if len(c.Null) > 0 {
			v.Null = c.Null[lo:hi:hi]
		}
		out.Columns[k] = v
	}
	return out
}

// joined is a copy of the points of a, then those of b.
func joined(a, b Points) Points {
	out := Points{Start: slices.Concat(a.Start, b.Start), Columns: make([]stream.Column, len(b.Columns))}
	for k := range b.Columns {
		x, y := &a.Columns[k], &b.Columns[k]
		c := stream.Column{Kind: y.Kind, Ints: slices.Concat(x.Ints, y.Ints), Floats: slices.Concat(x.Floats, y.Floats)}
		if len(x.Null)+len(y.Null) > 0 {
			c.Null = make([]bool, len(out.Start))
			copy(c.Null, x.Null)
			copy(c.Null[len(a.Start):], y.Null)
		}
		out.Columns[k] = c
	}
	return out
}

// tell makes the answer the state of the panel and sends what is new.
func (p *panel) tell(now time.Time, answer *MetricsAnswer, fresh bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if fresh || p.mu.problem != nil || p.mu.answer == nil {
		p.replaced(now, answer, nil)
		return nil
	}
	delta, possible := deltaOf(p.mu.answer, answer)
	switch {
	case !possible:
		p.replaced(now, answer, nil)
	case delta != nil:
		data, err := json.Marshal(delta)
		if err != nil {
			return err
		}
		p.changed(now, answer, data)
	}
	return nil
}
