package alerts

import (
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// Timing is how long a condition must hold, or not hold, before something changes.
type Timing struct {
	For           time.Duration // a pending alert fires when the condition has held for so long
	KeepFiringFor time.Duration // a firing alert is resolved when the condition has not held for so long
}

// Status is the state of one group under a rule. The zero Status is inactive.
type Status struct {
	State State       // Pending or Firing; anything else is inactive
	Since stream.Time // end of the first window of the episode, in which the condition held
	Held  stream.Time // end of the last window in which it held
}

// Live reports whether there is an episode.
func (s Status) Live() bool { return s.State == Pending || s.State == Firing }

// Signal is the verdict on a window.
type Signal struct {
	End   stream.Time // of the window
	Holds bool        // the condition; false if the group has no row
}

// Notice is a change of state at the end of a window.
type Notice struct {
	From, To State
	At       stream.Time
}

// Step judges the next window of a group. It is a pure function: no clock, no state but s. Windows must come in order,
// and each once; changed is false if the state stays. A resolved alert is inactive right away: Resolved is seen in the
// notice only.
func (t Timing) Step(s Status, sig Signal) (next Status, n Notice, changed bool) {
	switch {
	case sig.Holds:
		return t.holds(s, sig.End)
	case s.State == Pending:
		return Status{}, Notice{Pending, Inactive, sig.End}, true
	case s.State == Firing && sig.End.Sub(s.Held) >= t.KeepFiringFor:
		return Status{}, Notice{Firing, Resolved, sig.End}, true
	}
	return s, Notice{}, false
}

func (t Timing) holds(s Status, end stream.Time) (Status, Notice, bool) {
	switch {
	case !s.Live() && t.For > 0:
		return Status{Pending, end, end}, Notice{Inactive, Pending, end}, true
	case !s.Live():
		return Status{Firing, end, end}, Notice{Inactive, Firing, end}, true
	case s.State == Pending && end.Sub(s.Since) >= t.For:
		return Status{Firing, s.Since, end}, Notice{Pending, Firing, end}, true
	}
	s.Held = end
	return s, Notice{}, false
}

// Lapse is Step for all windows that end at from, from+size, … up to and including until, in none of which the condition
// holds. Its cost does not depend on their number. At most one change follows from them.
func (t Timing) Lapse(s Status, from, until stream.Time, size time.Duration) (next Status, n Notice, changed bool) {
	if !s.Live() || from > until {
		return s, Notice{}, false
	}
	end := from
	if wait := t.KeepFiringFor - from.Sub(s.Held); s.State == Firing && wait > 0 {
		wait += size - 1
		wait -= wait % size // whole windows
		if wait > until.Sub(from) {
			return s, Notice{}, false
		}
		end = from.Add(wait)
	}
	return t.Step(s, Signal{End: end})
}
