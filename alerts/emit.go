package alerts

import (
	"cmp"
	"slices"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// change is a transition that waits for Advance, which knows how far the records have come.
type change struct {
	key        string
	episode    *episode
	at         stream.Time // of the transition
	window     stream.Window
	shown      stream.Time // end of the window that the alert shows
	transition Transition
}

// transitionOf is what differs between transitions beside the alert.
type transitionOf struct {
	from     State
	window   stream.Window
	holds    bool
	value    *float64
	evidence []Evidence
}

// note makes the transition to what e is now.
func (o *Operator) note(g *group, e *episode, of transitionOf) {
	t := Transition{
		Fingerprint: g.fingerprint, From: of.from, To: e.state, At: e.at.Go(), Revision: e.revision,
		Provisional: o.isOpen && o.provisional && of.window == o.open,
		Window:      WindowOf(of.window), Holds: of.holds, Value: of.value, Evidence: of.evidence, Alert: o.alertOf(g, e),
	}
	t.ID = transitionID(&t)
	o.changes = append(o.changes, change{key: g.key, episode: e, at: e.at, window: of.window, shown: e.shown.window.End, transition: t})
}

func (o *Operator) alertOf(g *group, e *episode) Alert {
	s := &e.shown
	return Alert{
		ID: EpisodeID(g.fingerprint, e.started), Name: o.cfg.Rule.Name, Severity: o.cfg.Rule.Severity, State: e.state,
		Labels: s.labels, Summary: s.summary, StartedAt: e.started.Go(), UpdatedAt: e.at.Go(), Value: s.value,
		Pipeline: o.cfg.Pipeline, Version: o.cfg.Version, Window: WindowOf(s.window), CompleteThrough: instant(s.complete),
		Revised: e.revision > 0, Evidence: s.evidence,
	}
}

// instant is t, or the zero time for what is not known.
func instant(t stream.Time) time.Time {
	if t == stream.NoTime {
		return time.Time{}
	}
	return t.Go()
}

// flush emits the changes in order: time, group key; those of one alert stay in theirs.
func (o *Operator) flush(to stream.Advance, out stream.Emitter) error {
	slices.SortStableFunc(o.changes, func(a, b change) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.key, b.key))
	})
	for i := range o.changes {
		c := &o.changes[i]
		complete := min(c.shown, to.RecordMark)
		c.transition.Provisional = c.transition.Provisional || to.Provisional || c.window.End > to.RecordMark
		c.transition.Alert.CompleteThrough = instant(complete)
		if c.episode.shown.window.End == c.shown {
			c.episode.shown.complete = complete
		}
		d, err := c.transition.Decision()
		if err != nil {
			return err
		}
		if err := out.Decide(d); err != nil {
			return err
		}
	}
	clear(o.changes)
	o.changes = o.changes[:0]
	return nil
}
