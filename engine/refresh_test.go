package engine_test

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// Refresh implements stream.Refresher.
func (c *counter) Refresh() {
	for _, w := range c.windows {
		w.dirty[""] = true // emit shows all keys of a window that has changed
	}
}

// TestRefresh: a receiver loses everything, whatever fails meanwhile. After Runner.Refresh it has again every window that is
// not in a file, and nothing wrong.
func TestRefresh(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			h := newHistory(seed)
			random := streamtest.RandomPlan(rand.New(rand.NewPCG(seed, 2)), map[streamtest.Fault]int{streamtest.Fail: 50, streamtest.LoseReply: 50})
			p := h.start(func(point string) streamtest.Fault {
				if slices.Contains([]string{"write live", "put", "copy", "claim"}, point) {
					return random(point)
				}
				return streamtest.None // a failed read makes the task begin anew
			})
			defer p.stop()
			for i, e := range h.events {
				if i == len(h.events)/2 { // the log goes on after the loss
					h.refresh(t, p)
				}
				h.world.Append(streamtest.LogID{Topic: "events"}, e.message())
			}
			p.live(t, 10*time.Second)
			h.refresh(t, p)
			got := map[string]string{}
			for k, v := range h.world.Live() {
				if !strings.HasPrefix(k, "dead|") { // a task that begins anew sends dead letters again
					got[k] = v.Content
				}
			}
			// What was on its way when the receiver lost everything may arrive later, of windows in files too.
			want, all := h.unfiled(), h.oracle().live
			maps.DeleteFunc(got, func(k, v string) bool { return want[k] == "" && v == all[k] })
			if d := diff(got, want); d != "" {
				t.Fatalf("seed %d: shown again: %s", seed, d)
			}
		})
	}
}

// refresh loses what is shown, and asks until the task has succeeded.
func (h *history) refresh(t *testing.T, p *process) {
	t.Helper()
	h.world.LoseLive()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour) // of the fake clock
	defer cancel()
	for {
		done, err := p.runner.Refresh(ctx, []stream.TaskID{h.task})
		if err == nil && len(done) == 1 && done[0] == h.task {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("seed %d: %v is refreshed: %v", h.seed, done, err)
		}
		p.live(t, 100*time.Millisecond)
	}
}

// unfiled is what an undisturbed run shows of windows that are not final.
func (h *history) unfiled() map[string]string {
	o := h.oracle()
	maps.DeleteFunc(o.live, func(k, _ string) bool {
		start, _, _ := strings.Cut(k, "|")
		return start == "dead" || o.files["rollups/"+start] != ""
	})
	return o.live
}

// TestRefreshOfAnotherWorkersTask: it is an error, not a wait.
func TestRefreshOfAnotherWorkersTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHistory(1)
		p := h.start(nil)
		defer p.stop()
		other := h.task
		other.Stage = "other"
		done, err := p.runner.Refresh(t.Context(), []stream.TaskID{h.task, other})
		if len(done) > 1 || err == nil || !strings.Contains(err.Error(), other.String()) {
			t.Errorf("%v, %v", done, err)
		}
	})
}
