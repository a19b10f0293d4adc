package alerts

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/stream"
)

const size = 10 * time.Second

func endOf(window int) stream.Time { return stream.Time(0).Add(time.Duration(window+1) * size) }

// stateByDefinition says what the state after window k is, by looking at the whole past instead of by steps: an alert
// fires at a window at which the condition has held for so long; from there it fires until a window at which it has not
// held for so long.
func stateByDefinition(holds []bool, k int, t Timing) State {
	for j := k; j >= 0; j-- {
		if isResolving(holds, j, t) {
			break
		}
		if isFiring(holds, j, t) {
			return Firing
		}
	}
	if holds[k] {
		return Pending
	}
	return Inactive
}

func isFiring(holds []bool, j int, t Timing) bool {
	i := j
	for i >= 0 && holds[i] {
		i--
	}
	return holds[j] && endOf(j).Sub(endOf(i+1)) >= t.For
}

func isResolving(holds []bool, m int, t Timing) bool {
	last := m
	for last >= 0 && !holds[last] {
		last--
	}
	return !holds[m] && (last < 0 || endOf(m).Sub(endOf(last)) >= t.KeepFiringFor)
}

func drawTiming(t *rapid.T) Timing {
	spans := []time.Duration{0, time.Second, size, size + 1, 15 * time.Second, 3 * size, 6 * size}
	return Timing{For: rapid.SampledFrom(spans).Draw(t, "for"), KeepFiringFor: rapid.SampledFrom(spans).Draw(t, "keep")}
}

func TestStepEqualsTheDefinition(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		timing, holds := drawTiming(t), rapid.SliceOfN(rapid.Bool(), 1, 40).Draw(t, "holds")
		var s Status
		before := Inactive
		for k, h := range holds {
			next, notice, changed := timing.Step(s, Signal{End: endOf(k), Holds: h})
			want := stateByDefinition(holds, k, timing)
			got := next.State
			if !next.Live() {
				got = Inactive
			}
			if got != want {
				t.Fatalf("window %d: %s, want %s", k, got, want)
			}
			if changed != (got != before) {
				t.Fatalf("window %d: from %s to %s, noticed %t", k, before, got, changed)
			}
			if changed && (notice.From != before || notice.At != endOf(k)) {
				t.Fatalf("window %d: %+v after %s", k, notice, before)
			}
			checkEdge(t, notice, timing, changed)
			s, before = next, got
		}
	})
}

// checkEdge wants every notice to be an arrow of the drawing in the package doc.
func checkEdge(t *rapid.T, n Notice, timing Timing, changed bool) {
	edges := [][2]State{{Pending, Firing}, {Pending, Inactive}, {Firing, Resolved}, {Inactive, Pending}}
	if timing.For == 0 {
		edges[3] = [2]State{Inactive, Firing}
	}
	if changed && !slices.Contains(edges, [2]State{n.From, n.To}) {
		t.Fatalf("a state was skipped: %+v", n)
	}
}

func TestLapseEqualsManySteps(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		timing := drawTiming(t)
		var s Status
		k := 0
		for _, h := range rapid.SliceOfN(rapid.Bool(), 0, 10).Draw(t, "holds") {
			s, _, _ = timing.Step(s, Signal{End: endOf(k), Holds: h})
			k++
		}
		empty := rapid.IntRange(0, 20).Draw(t, "empty")
		lapsed, notice, changed := timing.Lapse(s, endOf(k), endOf(k+empty-1), size)
		var notices []Notice
		for range empty {
			next, n, one := timing.Step(s, Signal{End: endOf(k)})
			if one {
				notices = append(notices, n)
			}
			s = next
			k++
		}
		var got []Notice
		if changed {
			got = []Notice{notice}
		}
		if lapsed != s || !reflect.DeepEqual(got, notices) {
			t.Fatalf("lapse gives %+v and %+v, steps give %+v and %+v", lapsed, got, s, notices)
		}
	})
}

func TestLapseOverTheWholeCalendar(t *testing.T) {
	t.Parallel()
	timing := Timing{For: time.Minute, KeepFiringFor: 24 * time.Hour}
	firing := Status{State: Firing, Since: endOf(0), Held: endOf(6)}
	_, n, changed := timing.Lapse(firing, endOf(7), stream.MaxTime.Add(-size), size)
	if want := endOf(6).Add(24 * time.Hour); !changed || n.To != Resolved || n.At != want {
		t.Errorf("%+v, %t, want resolved at %s", n, changed, want)
	}
}
