package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// TestADecisionWaitsForATenthOfAnEpoch: and what nobody waits for, a whole one.
func TestADecisionWaitsForATenthOfAnEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHistory(1)
		h.plan.Stages[0].Interval = engine.Intervals{Epoch: 20 * time.Minute, Snapshot: time.Hour, Publish: time.Hour}
		p := h.start(nil)
		defer p.stop()
		p.live(t, time.Second)
		give := func(at time.Duration) {
			t.Helper()
			e := event{at: at, key: "a"}
			h.world.Append(streamtest.LogID{Topic: "events"}, e.message())
			p.live(t, 3*time.Minute)
		}
		give(1000 * time.Second)
		if row := h.world.Row(h.task); row.Epoch != 1 { // which says where the task begins
			t.Errorf("epoch %d is claimed, though nothing was decided", row.Epoch)
		}
		give(1300 * time.Second)
		if n := len(h.world.Decisions()); n == 0 {
			t.Error("a decision waits for more than a tenth of an epoch")
		}
	})
}
