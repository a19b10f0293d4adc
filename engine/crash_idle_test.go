package engine_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// TestCrashesWithIdleTicks is TestCrashesWithRekeying where source partitions pause, so that idle ticks close windows, and
// owners that were overtaken do not know them. The oracle sees the logs and the ticks that were claimed.
func TestCrashesWithIdleTicks(t *testing.T) {
	n := *histories
	switch {
	case n == 0 && testing.Short():
		n = 300
	case n == 0:
		n = 3000
	}
	ticks := 0
	for seed := *firstSeed; seed < *firstSeed+n; seed++ {
		synctest.Test(t, func(t *testing.T) {
			h := newRekeyed(uint64(seed))
			h.idle, h.slow = 500*time.Millisecond, true
			h.run(t)
			if diff := h.check(); diff != "" {
				t.Fatalf("seed %d (run with -seed %d -histories 1): %s", seed, seed, diff)
			}
			ticks += h.ticks.len()
		})
		if t.Failed() {
			return
		}
	}
	if n > 10 && ticks < n {
		t.Errorf("%d ticks in %d histories: they test nothing", ticks, n)
	}
}

// claimedTicks are the control records that were claimed, by source partition.
type claimedTicks struct {
	claimed func(control bool) // called behind every claim, with whether it holds one; may be nil
	mu      struct {
		sync.Mutex
		ticks map[int32]map[stream.Version]stream.Time
		most  int // that one row has listed
	}
}

// see notes the control records of a claimed row of a first stage.
func (c *claimedTicks) see(cp *stream.Checkpoint) {
	var rec stream.Record
	if len(cp.Record) == 0 || json.Unmarshal(cp.Record, &rec) != nil {
		return
	}
	all := rec.Controls
	if rec.Control != nil {
		all = append(all, *rec.Control)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.most = max(c.mu.most, len(all))
	for _, k := range all {
		p := cp.Task.Partition.Number
		if c.mu.ticks == nil {
			c.mu.ticks = map[int32]map[stream.Version]stream.Time{}
		}
		if c.mu.ticks[p] == nil {
			c.mu.ticks[p] = map[stream.Version]stream.Time{}
		}
		c.mu.ticks[p][k.At] = k.Mark
	}
}

// upTo is the progress by the ticks that took effect before the record at the offset.
func (c *claimedTicks) upTo(partition int, offset int64) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	mark := -time.Hour
	for at, m := range c.mu.ticks[int32(partition)] {
		if at.Offset <= offset {
			mark = max(mark, time.Duration(m))
		}
	}
	return mark
}

func (c *claimedTicks) len() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ticks := range c.mu.ticks {
		n += len(ticks)
	}
	return n
}

// watchedClaims notes every control record that is claimed: when the claim is answered or, if no answer comes, when the
// next owner finds it in the row.
type watchedClaims struct {
	stream.ClaimStore
	ticks *claimedTicks
}

// TakeOver implements stream.ClaimStore.
func (w watchedClaims) TakeOver(ctx context.Context, task stream.TaskID, owner string) (*stream.Checkpoint, error) {
	cp, err := w.ClaimStore.TakeOver(ctx, task, owner)
	if err == nil {
		w.ticks.see(cp)
	}
	return cp, err
}

// Claim implements stream.ClaimStore.
func (w watchedClaims) Claim(ctx context.Context, all []*stream.Checkpoint) ([]bool, error) {
	won, err := w.ClaimStore.Claim(ctx, all)
	for i := range won {
		if err != nil || !won[i] {
			continue
		}
		w.ticks.see(all[i])
		var rec stream.Record
		if w.ticks.claimed != nil && json.Unmarshal(all[i].Record, &rec) == nil {
			w.ticks.claimed(rec.Control != nil)
		}
	}
	return won, err
}

// TestQuietTasksForgetTicks: where nothing but ticks comes for long, the row lists the few since a snapshot.
func TestQuietTasksForgetTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newRekeyed(1)
		h.idle = 500 * time.Millisecond
		p := h.start(nil)
		for source, log := range h.logs {
			for _, e := range log {
				h.world.Append(streamtest.LogID{Topic: "events", Partition: int32(source)}, e.message())
			}
		}
		p.live(t, 10*time.Minute)
		p.life.Kill()
		p.stop()
		if n := h.ticks.len(); n < 30*rekeySources {
			t.Errorf("%d ticks in ten minutes: they test nothing", n)
		}
		if longest := h.ticks.longest(); longest > 3 {
			t.Errorf("a row lists %d ticks", longest)
		}
	})
}

// TestNobodyIsIdleWhileNoBrokerAnswers: in an outage of the brokers a partition that has been read to its end is not idle:
// what producers hold back meanwhile is not late, and its time is not added once the brokers are back.
func TestNobodyIsIdleWhileNoBrokerAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newRekeyed(1)
		h.idle = 20 * time.Second
		p := h.start(nil)
		for source, log := range h.logs {
			for _, e := range log {
				h.world.Append(streamtest.LogID{Topic: "events", Partition: int32(source)}, e.message())
			}
		}
		p.live(t, 5*time.Second)
		h.world.Silence(true)
		p.live(t, 10*time.Minute)
		h.world.Silence(false)
		p.live(t, 10*time.Second)
		if n := h.ticks.len(); n > 0 {
			t.Errorf("%d ticks, though no partition was seen to be idle for 20 s", n)
		}
		p.live(t, time.Minute)
		p.life.Kill()
		p.stop()
		if n := h.ticks.len(); n == 0 {
			t.Error("no tick though nothing comes for a minute: the test tests nothing")
		}
	})
}

// longest is the most control records that a row has listed.
func (c *claimedTicks) longest() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.most
}
