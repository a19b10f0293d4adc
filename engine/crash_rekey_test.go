package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/operators/aggregate"
	"github.com/tidewatch/tidewatch/operators/window"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// TestCrashesWithRekeying is TestCrashes over a pipeline of two stages: three source partitions, the shipped window
// operators, an internal topic of two partitions in which records may come twice. The oracle sees the three logs only.
func TestCrashesWithRekeying(t *testing.T) {
	n := *histories
	switch {
	case n == 0 && testing.Short():
		n = 300
	case n == 0:
		n = 5000
	}
	for seed := *firstSeed; seed < *firstSeed+n; seed++ {
		synctest.Test(t, func(t *testing.T) {
			h := newRekeyed(uint64(seed))
			h.run(t)
			if diff := h.check(); diff != "" {
				t.Fatalf("seed %d (run with -seed %d -histories 1): %s", seed, seed, diff)
			}
		})
		if t.Failed() {
			return
		}
	}
}

const (
	rekeySources = 3
	rekeyMerges  = 2
)

// rekeyed is a history of the two-stage pipeline.
type rekeyed struct {
	*history
	logs  [rekeySources][]event
	idle  time.Duration // 0: no ticks
	ticks *claimedTicks
	last  func() // called when the last life begins; may be nil
}

func newRekeyed(seed uint64) *rekeyed {
	r := &rekeyed{history: newHistory(seed), ticks: &claimedTicks{}}
	h := r.history
	h.events = nil
	at := 1000 * time.Second
	for range 20 + h.rng.IntN(80) {
		at += time.Duration(h.rng.IntN(2500)) * time.Millisecond
		e := event{at: at - time.Duration(h.rng.IntN(4000))*time.Millisecond, key: string(rune('a' + h.rng.IntN(4)))}
		if h.rng.IntN(12) == 0 {
			e.at -= time.Duration(h.rng.IntN(60)) * time.Second
		}
		e.bad = h.rng.IntN(15) == 0
		p := h.rng.IntN(rekeySources)
		r.logs[p] = append(r.logs[p], e)
	}
	for p := range r.logs { // every source ends behind all windows, so that everything is decided and final
		for k := range 3 {
			r.logs[p] = append(r.logs[p], event{at: at + time.Duration(k+1)*40*time.Second, key: fmt.Sprint("end", p)})
		}
	}
	return r
}

// plan makes the pipeline for one life.
func (r *rekeyed) plan(life *streamtest.Life) *engine.Plan {
	spec, err := aggregate.Parse("count()")
	if err != nil {
		panic(err)
	}
	spec.Name = "n"
	cfg := &window.Config{Size: size, Lateness: lateness, By: []string{"key"}, Aggregates: []aggregate.Spec{spec}}
	partial, err := window.PartialSchema(cfg, eventSchema)
	if err != nil {
		panic(err)
	}
	p := &engine.Plan{Pipeline: "counts", Instance: "counts@1"}
	times := engine.Time{OutOfOrder: disorder, MaxJump: time.Hour, Lateness: lateness, IdleAfter: r.idle}
	every := engine.Intervals{Epoch: 50 * time.Millisecond, Snapshot: 150 * time.Millisecond, Publish: 70 * time.Millisecond}
	fold := &engine.Stage{
		Plan: p, Name: "fold", Topics: []string{"events"}, Internal: "partials", InternalPartitions: rekeyMerges, Time: times, Interval: every,
		NewDecoder: func() (stream.Decoder, error) { return &eventDecoder{}, nil },
		NewSteps: func(engine.TaskContext) ([]engine.Step, error) {
			op, err := window.NewFold(cfg, eventSchema)
			return []engine.Step{{Name: "counts", Operator: op}}, err
		},
		NewSinks: func(context.Context, engine.TaskContext) ([]engine.Output, error) { return nil, nil },
	}
	merge := &engine.Stage{
		Plan: p, Name: "merge", Topics: []string{"partials"}, Partial: partial, Time: times, Interval: every,
		NewSteps: func(engine.TaskContext) ([]engine.Step, error) {
			op, err := window.NewMerge(&window.MergeConfig{Config: *cfg, In: eventSchema})
			return []engine.Step{{Name: "counts", Operator: op}, {Name: "judge", Operator: judge{}}}, err
		},
		NewSinks: func(context.Context, engine.TaskContext) ([]engine.Output, error) {
			phases := []stream.Phase{stream.Live, stream.Closed, stream.Revised}
			return []engine.Output{
				{Name: "live", Of: "counts", Phases: phases, Live: true, Sink: life.LiveSink(1)},
				{Name: "files", Of: "counts", Phases: []stream.Phase{stream.Final}, Sink: life.RowFileSink("rollups")},
			}, nil
		},
	}
	p.Stages = []*engine.Stage{fold, merge}
	return p
}

// judge decides about every row of a closed or revised window, as an alert rule would.
type judge struct{}

func (judge) Process(b *stream.Batch, out stream.Emitter) error {
	if b.Phase != stream.Closed && b.Phase != stream.Revised {
		return nil
	}
	for i := range b.Len() {
		id := fmt.Sprint(b.Phase, " ", b.Window.Start, " ", b.Cols[0].Text(i))
		if err := out.Decide(stream.Decision{ID: id, Body: []byte(streamtest.Text(b, i))}); err != nil {
			return err
		}
	}
	return nil
}
func (judge) Advance(stream.Advance, stream.Emitter) error { return nil }
func (judge) Snapshot(*stream.StateWriter) error           { return nil }
func (judge) Restore(*stream.StateReader) error            { return nil }

func (r *rekeyed) start(faults streamtest.Plan) *process {
	h := r.history
	life := streamtest.NewLife(h.world, faults)
	topics := map[string]int32{"events": rekeySources, "partials": rekeyMerges}
	return h.begin(life, topics, watchedClaims{life.Claims(), r.ticks}, r.plan(life))
}

func (r *rekeyed) run(t *testing.T) {
	t.Helper()
	r.runWith(t, r.start)
}

func (r *rekeyed) runWith(t *testing.T, start func(streamtest.Plan) *process) {
	t.Helper()
	var at [rekeySources]int
	produce := func(n int) {
		if n == everything && r.last != nil {
			r.last()
		}
		for ; n > 0; n-- {
			p := r.rng.IntN(rekeySources)
			if at[p] < len(r.logs[p]) {
				r.world.Append(streamtest.LogID{Topic: "events", Partition: int32(p)}, r.logs[p][at[p]].message())
				at[p]++
			}
		}
	}
	r.lives(t, start, produce)
}

func (r *rekeyed) check() string {
	if err := r.world.Violation(); err != nil {
		return err.Error()
	}
	live, files, decisions, perhaps := r.oracle()
	got := map[string]string{}
	for k, v := range r.world.Live() {
		if !strings.HasPrefix(k, "dead|") {
			got[k] = v.Content
		}
	}
	for _, d := range r.world.Decisions() {
		if may, ok := perhaps[d.ID]; ok && r.idle > 0 {
			decisions[d.ID] = may
		}
	}
	return r.differs(got, &oracle{live: live, files: files, decisions: decisions})
}

// slotOf is the slot of a group.
func slotOf(key string) uint8 {
	b := stream.NewBatch(eventSchema)
	b.Cols[0].AppendString(key)
	b.SetLen(1)
	return stream.SlotOf(stream.AppendKey(nil, b, []int{0}, 0))
}

// oracle counts with maps. A row is closed with what each source had counted before its own mark passed the window's end,
// by a record or a claimed tick. What came after revises the groups of the slot when the window is final. Windows that only
// ticks have closed everywhere may be closed in the end, or not yet: their decisions are in perhaps.
func (r *rekeyed) oracle() (live, files, decisions, perhaps map[string]string) {
	live, files, decisions, perhaps = map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}
	type cell struct {
		window time.Duration
		key    string
	}
	type slot struct {
		window time.Duration
		slot   uint8
	}
	all, onTime, revised := map[cell]int{}, map[cell]int{}, map[slot]bool{}
	lowest := time.Duration(1<<62 - 1)
	for p, log := range r.logs {
		record := -time.Hour
		for offset, e := range log {
			mark, w := max(record, r.ticks.upTo(p, int64(offset))), e.at.Truncate(size)
			if e.bad || w+size+lateness <= record {
				continue
			}
			c := cell{w, e.key}
			all[c]++
			if w+size > mark {
				onTime[c]++
			} else {
				revised[slot{w, slotOf(e.key)}] = true
			}
			record = max(record, e.at-disorder)
		}
		lowest = min(lowest, record)
	}
	for c, n := range all {
		text := fmt.Sprintf("%s %d", c.key, n)
		live[fmt.Sprintf("%s|%s", stream.Time(c.window), c.key)] = text
		final := c.window+size+lateness <= lowest
		if final {
			files[fmt.Sprintf("rollups/%s/%s", stream.Time(c.window), c.key)] = text
		}
		if final && revised[slot{c.window, slotOf(c.key)}] {
			decisions[fmt.Sprint("revised ", stream.Time(c.window), " ", c.key)] = text
		}
		closed := decisions
		if c.window+size > lowest {
			closed = perhaps
		}
		if m := onTime[c]; m > 0 {
			closed[fmt.Sprint("closed ", stream.Time(c.window), " ", c.key)] = fmt.Sprintf("%s %d", c.key, m)
		}
	}
	return live, files, decisions, perhaps
}
