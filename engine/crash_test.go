package engine_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

var (
	histories = flag.Int("histories", 0, "random crash histories to run; 0 is 20,000, or 1,000 with -short")
	firstSeed = flag.Int("seed", 1, "seed of the first history")
)

// TestCrashes is the property "random crashes never change committed output": real runner, tasks, committer and chain
// over hostile fakes. Each history appends a random log, runs lives that fail, lose replies, stand still while another
// takes over, and die at any call, and compares everything visible in the end with simple code over the log.
func TestCrashes(t *testing.T) {
	n := *histories
	switch {
	case n == 0 && testing.Short():
		n = 1000
	case n == 0:
		n = 20000
	}
	for seed := *firstSeed; seed < *firstSeed+n; seed++ {
		synctest.Test(t, func(t *testing.T) {
			h := newHistory(uint64(seed))
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

// history is one world with its lives.
type history struct {
	seed   uint64
	rng    *rand.Rand
	world  *streamtest.World
	events []event
	task   stream.TaskID
	plan   *engine.Plan
	slow   bool          // lives often stand by for seconds
	quiet  time.Duration // and sometimes for up to so long
	long   bool          // lives fail seldom
	// between is called before a life begins.
	between func()
	longer  time.Duration // of the last life
	// ending is told of the last life before it is drained, and returns the one to be drained; nil if nothing is to happen.
	ending func(last *process) *process

	retention time.Duration // of garbage, if it is not the shortest
}

const (
	size     = 10 * time.Second
	lateness = 15 * time.Second
	disorder = 3 * time.Second
)

func newHistory(seed uint64) *history {
	h := &history{seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), world: streamtest.NewWorld()}
	h.world.Strict = true
	h.plan = &engine.Plan{Pipeline: "counts", Instance: "counts@1"}
	stage := &engine.Stage{
		Plan: h.plan, Name: "main", Topics: []string{"events"},
		Time:       engine.Time{OutOfOrder: disorder, MaxJump: time.Hour, Lateness: lateness},
		Interval:   engine.Intervals{Epoch: 50 * time.Millisecond, Snapshot: 150 * time.Millisecond, Publish: 70 * time.Millisecond},
		NewDecoder: func() (stream.Decoder, error) { return &eventDecoder{}, nil },
		NewSteps: func(engine.TaskContext) ([]engine.Step, error) {
			return []engine.Step{{Name: "counts", Operator: newCounter()}}, nil
		},
	}
	h.plan.Stages = []*engine.Stage{stage}
	h.task = stream.TaskID{Instance: "counts@1", Stage: "main", Partition: stream.Partition{Topic: "events"}}
	at := 1000 * time.Second
	for range 5 + h.rng.IntN(60) {
		at += time.Duration(h.rng.IntN(6000)) * time.Millisecond
		e := event{at: at, key: string(rune('a' + h.rng.IntN(3)))}
		switch h.rng.IntN(10) {
		case 0: // late, perhaps too late
			e.at -= time.Duration(h.rng.IntN(60)) * time.Second
		case 1:
			e.bad = true
		}
		h.events = append(h.events, e)
	}
	return h
}

func (h *history) run(t *testing.T) {
	t.Helper()
	produced := 0
	h.lives(t, h.start, func(n int) {
		for ; n > 0 && produced < len(h.events); n-- {
			h.world.Append(streamtest.LogID{Topic: "events"}, h.events[produced].message())
			produced++
		}
	})
}

// everything is more than any log of a history holds.
const everything = 10_000

// lives produces the log in pieces while lives come and go, and lets a last, healthy life finish.
func (h *history) lives(t *testing.T, start func(streamtest.Plan) *process, produce func(n int)) {
	t.Helper()
	var zombies []*process
	for range h.rng.IntN(5) {
		if h.rng.IntN(10) == 0 {
			h.outlived(t, start, produce)
			continue
		}
		p := start(h.faults())
		for range 1 + h.rng.IntN(6) {
			produce(h.rng.IntN(20))
			if !p.live(t, h.while()) {
				break
			}
		}
		switch {
		case p.isPaused():
			p.source.Lose()
			zombies = append(zombies, p)
		case h.rng.IntN(3) == 0:
			p.stop() // drained
		default:
			p.life.Kill()
			p.stop()
		}
	}
	last := start(nil)
	produce(everything)
	for i, z := range zombies {
		last.live(t, time.Duration(h.rng.IntN(200))*time.Millisecond)
		if h.rng.IntN(2) == 0 || i > 0 {
			z.life.Resume()
			last.live(t, time.Duration(h.rng.IntN(100))*time.Millisecond)
		}
		z.life.Kill()
		z.stop()
	}
	last.live(t, 3*time.Second+h.longer)
	if h.ending != nil {
		last = h.ending(last)
	}
	last.stop()
}

// outlived is a life that a receiver of live values is away from, longer than anybody waits for it, until the crash.
func (h *history) outlived(t *testing.T, start func(streamtest.Plan) *process, produce func(n int)) {
	t.Helper()
	p := start(func(point string) streamtest.Fault {
		if point == "write live" {
			return streamtest.Fail
		}
		return streamtest.None
	})
	produce(1 + h.rng.IntN(20))
	p.live(t, time.Duration(5000+h.rng.IntN(4000))*time.Millisecond)
	p.life.Kill()
	p.stop()
}

// while is mostly shorter than the interval of snapshots, now and then longer than every patience.
func (h *history) while() time.Duration {
	if h.quiet > 0 && h.rng.IntN(4) == 0 {
		return time.Duration(h.rng.Int64N(int64(h.quiet)))
	}
	if h.rng.IntN(8) == 0 || h.slow && h.rng.IntN(2) == 0 {
		return time.Duration(2000+h.rng.IntN(6000)) * time.Millisecond
	}
	return time.Duration(h.rng.IntN(300)) * time.Millisecond
}

// faults are random ones at every call, and sometimes a dependency that is away for a while.
func (h *history) faults() streamtest.Plan {
	random := h.random()
	if h.rng.IntN(3) != 0 {
		return random
	}
	away := []string{"write live", "put", "copy", "claim", "get"}[h.rng.IntN(5)]
	until := time.Now().Add(time.Duration(h.rng.IntN(9000)) * time.Millisecond)
	return func(point string) streamtest.Fault {
		if point == away && time.Now().Before(until) {
			return streamtest.Fail
		}
		return random(point)
	}
}

func (h *history) random() streamtest.Plan {
	rates := map[streamtest.Fault]int{
		streamtest.Crash: h.rng.IntN(40), streamtest.CrashAfter: h.rng.IntN(40), streamtest.Fail: h.rng.IntN(60),
		streamtest.LoseReply: h.rng.IntN(60), streamtest.Pause: h.rng.IntN(15), streamtest.Delay: h.rng.IntN(30),
	}
	if h.long {
		for f := range rates {
			rates[f] /= 8
		}
	}
	return streamtest.RandomPlan(rand.New(rand.NewPCG(h.seed, h.rng.Uint64())), rates)
}

// process is a life that runs the engine.
type process struct {
	life   *streamtest.Life
	source *streamtest.Source
	runner *engine.Runner
	cancel context.CancelFunc
	done   chan error
	err    error       // of the runner; a crash may be one
	killed atomic.Bool // by a record
}

func (h *history) start(faults streamtest.Plan) *process {
	if h.between != nil {
		h.between()
	}
	life := streamtest.NewLife(h.world, faults)
	plan := *h.plan
	stage := *h.plan.Stages[0]
	stage.Plan, plan.Stages = &plan, []*engine.Stage{&stage}
	stage.NewSinks = func(context.Context, engine.TaskContext) ([]engine.Output, error) {
		return []engine.Output{
			{Name: "live", Of: "counts", Phases: []stream.Phase{stream.Live, stream.Closed}, Live: true, Sink: life.LiveSink(1)},
			{Name: "files", Of: "counts", Phases: []stream.Phase{stream.Final}, Sink: life.FileSink("rollups")},
		}, nil
	}
	return h.begin(life, map[string]int32{"events": 1}, life.Claims(), &plan)
}

// begin runs the plans in a life, over topics with so many partitions.
func (h *history) begin(life *streamtest.Life, topics map[string]int32, store stream.ClaimStore, plans ...*engine.Plan) *process {
	p := &process{life: life, source: life.Source(topics, rand.New(rand.NewPCG(h.seed, h.rng.Uint64()))), done: make(chan error, 1)}
	p.runner = engine.NewRunner(engine.Config{
		Source: p.source, Store: store, Objects: life.Objects(), Clock: clock.System{},
		NewDeadLetters: func(engine.TaskContext) (engine.DeadLetters, error) { return life.DeadLetters(), nil },
		NewInternal:    func(t engine.TaskContext) (engine.LogWriter, error) { return life.Writer(t.Stage.Internal), nil },
		Log:            slog.New(slog.DiscardHandler), Tracer: noop.NewTracerProvider().Tracer(""), Observer: nobody{},
		DrainTimeout: time.Second, Retention: max(h.retention, 2*time.Second), WatchEvery: 300 * time.Millisecond,
	}, plans)
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go func() { p.done <- p.runner.Run(ctx) }()
	return p
}

// live lets the process run for d; false if it has crashed or stands still.
func (p *process) live(t *testing.T, d time.Duration) bool {
	t.Helper()
	select {
	case <-time.After(d):
		return true
	case <-p.life.Dead():
	case <-p.life.Paused():
	}
	return false
}

func (p *process) isPaused() bool {
	select {
	case <-p.life.Paused():
		return true
	default:
		return false
	}
}

// stop asks the process to drain; one that stands still never would, so it is killed after a while.
func (p *process) stop() {
	p.cancel()
	select {
	case p.err = <-p.done:
	case <-time.After(time.Minute):
		p.life.Kill()
		p.err = <-p.done
	}
}

type nobody struct{}

func (nobody) Fetched(stream.TaskID, int64) {}

// check compares what is visible with an undisturbed run by simple code.
func (h *history) check() string {
	if err := h.world.Violation(); err != nil {
		return err.Error()
	}
	want := h.oracle()
	live := map[string]string{}
	for k, v := range h.world.Live() {
		live[k] = v.Content
	}
	if d := h.differs(live, want); d != "" {
		return d
	}
	row := h.world.Row(h.task)
	if row == nil || !strings.Contains(string(row.Record), fmt.Sprintf(`"ledger":%s`, want.ledger)) {
		return fmt.Sprintf("ledger: want %s in the row, it is %s", want.ledger, row.Record)
	}
	return ""
}

// differs compares live values, files and decisions.
func (h *history) differs(live map[string]string, want *oracle) string {
	if d := diff(live, want.live); d != "" {
		return "live values: " + d
	}
	if d := diff(h.world.Visible(), want.files); d != "" {
		return "files: " + d
	}
	decisions := map[string]string{}
	for _, d := range h.world.Decisions() {
		decisions[d.ID] = string(d.Body)
	}
	if d := diff(decisions, want.decisions); d != "" {
		return "decisions: " + d
	}
	return ""
}

func diff(got, want map[string]string) string {
	keys := slices.Sorted(maps.Keys(got))
	for k := range want {
		if _, ok := got[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	var lines []string
	for _, k := range keys {
		g, inGot := got[k]
		w, inWant := want[k]
		if g != w || inGot != inWant {
			lines = append(lines, fmt.Sprintf("%s is %q (%v), want %q (%v)", k, g, inGot, w, inWant))
		}
	}
	return strings.Join(lines, "; ")
}
