package engine_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestCrashesWithFailOver is TestCrashesWithIdleTicks over a claim store that fails over now and then and loses its last
// transactions. What a lost epoch has revealed was right: nothing visible changes, and a tick that took effect is claimed
// again where it did.
func TestCrashesWithFailOver(t *testing.T) {
	n := *histories
	switch {
	case n == 0 && testing.Short():
		n = 100
	case n == 0:
		n = 3000
	}
	var all failOvers
	for seed := *firstSeed; seed < *firstSeed+n; seed++ {
		synctest.Test(t, func(t *testing.T) {
			h := newRekeyed(uint64(seed))
			h.idle, h.slow, h.retention, h.world.Forgetful = 500*time.Millisecond, true, 10*time.Minute, true
			f := &failOvers{h: h, rng: rand.New(rand.NewPCG(uint64(seed), 2)), until: time.Now().Add(time.Hour)}
			h.ticks.claimed = f.perhaps
			h.last = func() { f.end(time.Now().Add(time.Second)) }
			h.run(t)
			h.ticks = h.surviving()
			if diff := h.check(); diff != "" {
				t.Fatalf("seed %d (run with -seed %d -histories 1): %s", seed, seed, diff)
			}
			all.lost, all.ticks = all.lost+f.lost, all.ticks+f.ticks
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("%d transactions and %d ticks were lost in %d histories", all.lost, all.ticks, n)
	if n >= 1000 && (all.lost < n || all.ticks < n/5) {
		t.Errorf("%d transactions and %d ticks were lost in %d histories: they test nothing", all.lost, all.ticks, n)
	}
}

// failOvers happen some time behind claims, most behind those of ticks.
type failOvers struct {
	h *rekeyed

	mu    sync.Mutex
	rng   *rand.Rand
	until time.Time
	lost  int // transactions
	ticks int // in them
}

// perhaps is called behind a claim.
func (f *failOvers) perhaps(tick bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	odds := 200
	if tick {
		odds = 3
	}
	if f.rng.IntN(odds) == 0 {
		time.AfterFunc(time.Duration(f.rng.IntN(500))*time.Millisecond, f.now)
	}
}

// end lets no fail-over happen after an instant: the last life has to notice it.
func (f *failOvers) end(until time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.until = until
}

func (f *failOvers) now() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Now().Before(f.until) {
		before := f.h.surviving().len()
		f.lost += f.h.world.FailOver(f.rng.IntN(12), time.Second)
		f.ticks += before - f.h.surviving().len()
	}
}

// surviving are the control records that no fail-over has lost.
func (r *rekeyed) surviving() *claimedTicks {
	c := &claimedTicks{}
	for _, cp := range r.world.Claimed() {
		c.see(cp)
	}
	return c
}
