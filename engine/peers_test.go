package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// partial assigns one partition of all.
type partial struct {
	*streamtest.Source
	only int32
}

func (p partial) Assign(ctx context.Context, change func(gained, lost []stream.Partition) error) error {
	return p.Source.Assign(ctx, func(gained, lost []stream.Partition) error {
		keep := func(all []stream.Partition) (mine []stream.Partition) {
			for _, q := range all {
				if q.Number == p.only {
					mine = append(mine, q)
				}
			}
			return mine
		}
		return change(keep(gained), keep(lost))
	})
}

// workers run a pipeline over a topic of two partitions, one partition each.
func workers(h *history) (all [2]*process) {
	for n := range all {
		life := streamtest.NewLife(h.world, nil)
		source := life.Source(map[string]int32{"events": 2}, rand.New(rand.NewPCG(h.seed, uint64(n))))
		plan, stage := *h.plan, *h.plan.Stages[0]
		stage.Plan, plan.Stages = &plan, []*engine.Stage{&stage}
		stage.NewSinks = func(context.Context, engine.TaskContext) ([]engine.Output, error) {
			return []engine.Output{{Name: "files", Of: "counts", Phases: []stream.Phase{stream.Final}, Sink: life.FileSink(fmt.Sprint("rollups", n))}}, nil
		}
		p := &process{life: life, source: source, done: make(chan error, 1)}
		p.runner = engine.NewRunner(engine.Config{
			Source: partial{source, int32(n)}, Store: life.Claims(), Objects: life.Objects(), Clock: clock.System{},
			NewDeadLetters: func(engine.TaskContext) (engine.DeadLetters, error) { return life.DeadLetters(), nil },
			Log:            slog.New(slog.DiscardHandler), Tracer: noop.NewTracerProvider().Tracer(""), Observer: nobody{},
			DrainTimeout: time.Second, WatchEvery: 300 * time.Millisecond,
		}, []*engine.Plan{&plan})
		ctx, cancel := context.WithCancel(context.Background())
		p.cancel = cancel
		go func() { p.done <- p.runner.Run(ctx) }()
		all[n] = p
	}
	return all
}

func problems(all [2]*process) (found []string) {
	for _, p := range all {
		for _, s := range p.runner.Status() {
			if s.Problem != "" {
				found = append(found, s.Problem)
			}
		}
	}
	return found
}

// TestKeyedSourceIsVerified: a key that workers see in two partitions refutes what the pipeline declares, also when one of
// them saw it in an earlier life. Other keys do not.
func TestKeyedSourceIsVerified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHistory(1)
		h.plan.Stages[0].Keyed = &engine.Keyed{Step: 0, Columns: []int{0}}
		send := func(partition int32, key string) {
			e := event{at: 1000 * time.Second, key: key}
			h.world.Append(streamtest.LogID{Topic: "events", Partition: partition}, e.message())
		}
		all := workers(h)
		for i := range 2000 { // more than a sample holds
			send(int32(i%2), fmt.Sprint("key-", i))
		}
		send(0, "stray")
		all[0].live(t, time.Minute)
		if found := problems(all); len(found) > 0 {
			t.Fatalf("every key is in one partition, but: %q", found)
		}
		for _, p := range all {
			p.stop()
		}
		all = workers(h)
		for i := range 500 { // also of the second partition
			send(0, fmt.Sprint("key-", i))
		}
		all[0].live(t, time.Minute)
		found := problems(all)
		if len(found) == 0 || !strings.Contains(found[0], "partition 0 at offset") || !strings.Contains(found[0], "partition 1 at offset") {
			t.Errorf("reported: %q", found)
		}
		for _, p := range all {
			p.stop()
		}
	})
}

// TestPartitionThatWasNeverFilled: it learns from another worker's partition how far time has come.
func TestPartitionThatWasNeverFilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHistory(1)
		h.plan.Stages[0].Time.IdleAfter = time.Second
		all := workers(h)
		for _, e := range h.events {
			e.bad = false
			h.world.Append(streamtest.LogID{Topic: "events", Partition: 1}, e.message())
		}
		all[0].live(t, time.Minute)
		var marks [2]stream.Time
		for n, p := range all {
			for _, s := range p.runner.Status() {
				marks[n] = s.Mark
			}
		}
		if marks[0] == stream.NoTime || marks[0] < marks[1]-stream.Time(30*time.Second) {
			t.Errorf("watermarks: %v", marks)
		}
		for _, p := range all {
			p.stop()
		}
	})
}
