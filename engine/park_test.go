package engine_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// refusing is a sink whose server takes no row at all. Writes come from the task, the work from the committer.
type refusing struct {
	park  stream.Park
	since []stream.Version // rows of the epoch
}

func (r *refusing) Write(_ context.Context, b *stream.Batch) error {
	r.since = append(r.since, b.Version)
	return nil
}

func (r *refusing) Stage(stream.Epoch) stream.Work {
	rows := r.since
	r.since = nil
	return func(ctx context.Context) (stream.Receipt, error) {
		for _, at := range rows {
			row := &stream.ParkedRow{Sink: "fake", Output: "refusing", Name: fmt.Sprint(at.Offset), At: at}
			if err := r.park(ctx, &stream.Rejected{Offset: at.Offset, Reason: "refused", Row: row}); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
}

func (r *refusing) Reveal(context.Context, stream.Receipt) error { return nil }
func (r *refusing) Close() error                                 { return nil }

// TestNoEpochIsClaimedBeforeItsRowsAreParked: while dead letters are away, no epoch that holds a refused row is claimed; when
// they are back the task goes on, each row has its letter, and the status counts them.
func TestNoEpochIsClaimedBeforeItsRowsAreParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHistory(1)
		var away atomic.Bool
		away.Store(true)
		life := streamtest.NewLife(h.world, func(point string) streamtest.Fault {
			if point == "dead letter" && away.Load() {
				return streamtest.Fail
			}
			return streamtest.None
		})
		plan, stage := *h.plan, *h.plan.Stages[0]
		stage.Plan, plan.Stages = &plan, []*engine.Stage{&stage}
		stage.NewSinks = func(_ context.Context, c engine.TaskContext) ([]engine.Output, error) {
			return []engine.Output{{Name: "refusing", Of: "counts", Phases: []stream.Phase{stream.Closed}, Sink: &refusing{park: c.Park}}}, nil
		}
		p := h.begin(life, map[string]int32{"events": 1}, life.Claims(), &plan)
		defer p.stop()
		produce := func(at time.Duration) {
			e := event{at: at, key: "a"}
			h.world.Append(streamtest.LogID{Topic: "events"}, e.message())
			p.live(t, 2*time.Second)
		}
		status := func() engine.TaskStatus { return p.runner.Status()[0] }
		produce(1000 * time.Second)
		quiet := status().Epoch // nothing is closed: nothing is refused
		if quiet == 0 {
			t.Fatal("no epoch is claimed")
		}
		produce(1100 * time.Second)
		p.live(t, time.Minute)
		if now := status(); now.Epoch != quiet || len(now.Parked) != 0 || now.At.Offset != 2 {
			t.Fatalf("epoch %d is claimed at %v, %d before the refused row; parked: %v", now.Epoch, now.At, quiet, now.Parked)
		}
		away.Store(false)
		produce(1200 * time.Second)
		p.live(t, time.Minute)
		now := status()
		if now.Epoch <= quiet || now.Parked["refusing"] != 2 || now.State != "running" {
			t.Fatalf("epoch %d, %s %s, parked: %v", now.Epoch, now.State, now.Problem, now.Parked)
		}
		for _, offset := range []string{"2", "3"} {
			if letter := h.world.Live()["dead|"+offset]; letter.Content != "refused" {
				t.Errorf("no letter about the row at offset %s: %v", offset, h.world.Live())
			}
		}
	})
}
