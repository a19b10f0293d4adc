package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// TestTheFirstValuesWaitForNoInterval: a task shows what it has read first at once, and what it reads then once in an interval.
func TestTheFirstValuesWaitForNoInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHistory(1)
		h.plan.Stages[0].Interval = engine.Intervals{Epoch: time.Hour, Snapshot: time.Hour, Publish: time.Hour}
		p := h.start(nil)
		defer p.stop()
		shown := func(key string) map[string]streamtest.LiveValue {
			t.Helper()
			e := event{at: 1000 * time.Second, key: key}
			h.world.Append(streamtest.LogID{Topic: "events"}, e.message())
			p.live(t, time.Minute)
			return h.world.Live()
		}
		p.live(t, time.Minute)
		if first := shown("a"); len(first) != 1 {
			t.Errorf("after the first event there is %v", first)
		}
		if second := shown("b"); len(second) != 1 {
			t.Errorf("within the interval there is %v", second)
		}
	})
}
