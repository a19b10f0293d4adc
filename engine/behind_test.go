package engine_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// TestOutputStaysBehind: while a receiver of live values is away, the status says so without a pause, and soon after it is
// back no more.
func TestOutputStaysBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHistory(1)
		var away atomic.Bool
		away.Store(true)
		p := h.start(func(point string) streamtest.Fault {
			if point == "write live" && away.Load() {
				return streamtest.Fail
			}
			return streamtest.None
		})
		behind := func() bool {
			for _, s := range p.runner.Status() {
				if s.Outputs["live"] != "" {
					return true
				}
			}
			return false
		}
		produced := 0
		produce := func() {
			if produced < len(h.events) {
				h.world.Append(streamtest.LogID{Topic: "events"}, h.events[produced].message())
				produced++
			}
		}
		for range 200 {
			produce()
			p.live(t, 100*time.Millisecond)
			if behind() {
				break
			}
		}
		for i := range 200 {
			produce()
			p.live(t, 100*time.Millisecond)
			if !behind() {
				t.Fatalf("after %d looks the status says that the output works", i)
			}
		}
		away.Store(false)
		for range 200 {
			p.live(t, 100*time.Millisecond)
		}
		if behind() {
			t.Error("the receiver is back, but the status says that it is behind")
		}
		p.stop()
	})
}
