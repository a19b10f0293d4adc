package engine_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// fullSink takes three rows for an epoch.
type fullSink struct{ held, staged int }

func (s *fullSink) Write(_ context.Context, b *stream.Batch) error {
	s.held += b.Len()
	return nil
}

func (s *fullSink) Full() bool { return s.held >= 3 }

func (s *fullSink) Stage(stream.Epoch) stream.Work {
	s.held = 0
	s.staged++
	return nil
}

func (s *fullSink) Reveal(context.Context, stream.Receipt) error { return nil }

func (s *fullSink) Close() error { return nil }

// TestAnEpochEndsWhenASinkIsFull: though its interval is an hour; and a replay, which claims nothing, holds no more.
func TestAnEpochEndsWhenASinkIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHistory(1)
		stage := h.plan.Stages[0]
		stage.Interval = engine.Intervals{Epoch: time.Hour, Snapshot: time.Hour, Publish: time.Hour}
		begin := func() (*process, *fullSink) {
			sink := &fullSink{}
			stage.NewSinks = func(context.Context, engine.TaskContext) ([]engine.Output, error) {
				return []engine.Output{{Name: "full", Of: "source", Phases: []stream.Phase{stream.Event}, Sink: sink}}, nil
			}
			life := streamtest.NewLife(h.world, nil)
			p := h.begin(life, map[string]int32{"events": 1}, life.Claims(), h.plan)
			p.live(t, time.Minute)
			return p, sink
		}
		p, sink := begin()
		const rounds = 5
		for range rounds {
			for range 3 {
				e := event{at: 1000 * time.Second, key: "a"}
				h.world.Append(streamtest.LogID{Topic: "events"}, e.message())
			}
			p.live(t, time.Minute)
		}
		if row := h.world.Row(h.task); row.Epoch != rounds+1 || sink.held != 0 { // the first one claims where the task begins
			t.Errorf("epoch %d was claimed, want %d; %d rows are held", row.Epoch, rounds+1, sink.held)
		}
		p.life.Kill()
		p.stop()
		p, sink = begin()
		defer p.stop()
		if sink.staged < 2 || sink.held != 0 {
			t.Errorf("the replay of %d full epochs was staged %d times; %d rows are held", rounds, sink.staged, sink.held)
		}
	})
}
