package alerts

import (
	"maps"
	"slices"

	"github.com/tidewatch/tidewatch/stream"
)

// group is a group with an episode that goes on or may still be revised.
type group struct {
	key         string // stream.AppendKey of the group columns
	slot        uint8
	fingerprint string
	labels      map[string]string // of the group alone
	listed      bool              // in Operator.listed
	episodes    []*episode        // oldest first
}

// episode is a span of time in which the condition held, or is waited for to hold again, and what its alert shows.
type episode struct {
	status  Status // live, or the zero Status when it has ended
	state   State  // of the alert
	started stream.Time
	at      stream.Time // last change of state
	seen    stream.Time // last window in which the group had a row or was missed
	// revision counts how often the alert was marked.
	revision int
	rows     []judgedRow // windows with a row that may still be revised, in order
	shown    shown
}

// judgedRow is what a window had for the group.
type judgedRow struct {
	end  stream.Time
	hash uint64
}

// shown is the part of an alert that follows from rows.
type shown struct {
	window   stream.Window
	complete stream.Time
	labels   map[string]string // all
	summary  string
	value    *float64
	evidence []Evidence
}

// verdict is a judgement of a window with the row that it was made on; batch is nil if there was none.
type verdict struct {
	end   stream.Time
	holds bool
	batch *stream.Batch
	row   int
}

func (g *group) current() *episode {
	if n := len(g.episodes); n > 0 && g.episodes[n-1].status.Live() {
		return g.episodes[n-1]
	}
	return nil
}

func (g *group) isLive() bool { return g.current() != nil }

// at finds the episode that the window belongs to.
func (g *group) at(end stream.Time) *episode {
	for _, e := range g.episodes {
		if e.started <= end && (e.status.Live() || end <= e.at) {
			return e
		}
	}
	return nil
}

// size is about the bytes that the group takes.
func (g *group) size() int64 {
	const fixed = 650 // labels and their map, about; a test holds the sum against the heap
	n := len(g.key) + fixed
	for _, e := range g.episodes {
		n += fixed + 16*cap(e.rows) + len(e.shown.summary)
	}
	return int64(n)
}

// newGroup remembers the group of a row; o.key is its key.
func (o *Operator) newGroup(b *stream.Batch, i int) *group {
	g := &group{key: string(o.key), slot: slotOf(b, i), labels: o.rows.groupLabels(b, i)}
	g.fingerprint = Fingerprint(o.cfg.Rule.Name, g.labels)
	o.groups[g.key] = g
	o.kept[g.slot]++
	return g
}

// change applies a change of state and notes the transition.
func (o *Operator) change(g *group, e *episode, next Status, n Notice, v verdict) {
	if n.From == Inactive {
		e.started = n.At
		g.episodes = append(g.episodes, e)
		o.live++
		if !g.listed {
			g.listed, o.listed = true, append(o.listed, g)
		}
	}
	e.status, e.state, e.at = next, n.To, n.At
	if !next.Live() {
		o.live--
	}
	evidence := o.show(g, e, v)
	o.note(g, e, transitionOf{from: n.From, window: e.shown.window, holds: v.holds, value: e.shown.value, evidence: evidence})
}

// show makes the alert show the window of the verdict, and returns the window's own evidence. The texts stay as they
// were when the condition held last: "at 95 %" is what the alert was about, also when it is resolved at 20 %.
func (o *Operator) show(g *group, e *episode, v verdict) []Evidence {
	s := &e.shown
	s.window, s.value = stream.Window{Start: v.end.Add(-o.cfg.WindowSize), End: v.end}, nil
	if v.batch == nil {
		return []Evidence{}
	}
	s.value = o.rows.valueOf(v.batch, v.row)
	evidence := o.rows.evidenceOf(v.batch, v.row)
	s.evidence = joinEvidence(s.evidence, evidence)
	if v.holds {
		s.summary = o.rows.summary.Render(v.batch, v.row)
		s.labels = maps.Clone(g.labels)
		for _, l := range o.rows.labels {
			s.labels[l.name] = l.template.Render(v.batch, v.row)
		}
	}
	return evidence
}

// forget drops what cannot be revised any more.
func (o *Operator) forget() {
	if o.final == o.forgotten {
		return
	}
	o.forgotten = o.final
	for key, g := range o.groups { // the order does not matter: every group is looked at alone
		g.episodes = slices.DeleteFunc(g.episodes, func(e *episode) bool { return !e.status.Live() && e.at <= o.final })
		for _, e := range g.episodes {
			e.rows = slices.DeleteFunc(e.rows, func(r judgedRow) bool { return r.end <= o.final })
		}
		if len(g.episodes) == 0 {
			delete(o.groups, key)
			o.kept[g.slot]--
		}
	}
}
