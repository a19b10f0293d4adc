package stream

import (
	"math"
	"time"
)

// Time is an instant of event time in nanoseconds since the Unix epoch (UTC). It covers the years 1678 to 2262.
type Time int64

// NoTime is the mark of a partition that has not shown an event yet. It is lower than every event time.
const NoTime Time = math.MinInt64

// MaxTime is later than every event time.
const MaxTime Time = math.MaxInt64

// TimeOf converts a time.Time.
func TimeOf(t time.Time) Time { return Time(t.UnixNano()) }

// Go converts to a time.Time in UTC.
func (t Time) Go() time.Time { return time.Unix(0, int64(t)).UTC() }

// Add shifts t by d; NoTime and MaxTime stay what they are.
func (t Time) Add(d time.Duration) Time {
	if t == NoTime || t == MaxTime {
		return t
	}
	return t + Time(d)
}

// Sub is the distance from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// Floor rounds t down to a multiple of d since the epoch; also right before 1970.
func (t Time) Floor(d time.Duration) Time {
	r := t % Time(d)
	if r < 0 {
		r += Time(d)
	}
	return t - r
}

// String prints RFC 3339 with nanoseconds as needed, or "-" for NoTime.
func (t Time) String() string {
	if t == NoTime {
		return "-"
	}
	return t.Go().Format(time.RFC3339Nano)
}

// Clock is the only way to the wall clock. Sources, sinks, the engine and serving hold one; operators never do, since
// their output would depend on when they ran. Implementations are safe for concurrent use.
type Clock interface {
	Now() time.Time
	// After returns a channel that receives once d has passed.
	After(d time.Duration) <-chan time.Time
}

// Grid says at which event times an operator has something to decide: all t with t = Phase (mod Period). The window ends
// of a stage are its grid. The zero Grid has no points.
type Grid struct{ Period, Phase time.Duration }

// Next is the first point of the grid after t, MaxTime if there is none. NoTime has no next point, because a partition
// without events has nothing to decide.
func (g Grid) Next(t Time) Time {
	if g.Period <= 0 || t == NoTime || t == MaxTime {
		return MaxTime
	}
	return (t - Time(g.Phase)).Floor(g.Period) + Time(g.Phase) + Time(g.Period)
}

// Grids is a set of grids.
type Grids []Grid

// Next is the first point of any grid after t.
func (gs Grids) Next(t Time) Time {
	next := MaxTime
	for _, g := range gs {
		next = min(next, g.Next(t))
	}
	return next
}
