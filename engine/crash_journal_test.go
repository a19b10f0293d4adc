package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

const (
	deadly     = "deadly"     // the process dies in the operator
	deadlyRead = "deadlyread" // the process dies in the decoder
)

const condemned = "the process died 2 times while this record alone was in work"

// A deadly record may cost a few deaths until there is no claim between them, three until its task is suspected, and three until it is
// found; answers that are lost meanwhile cost some more.
const (
	perRecord = 20 // at most
	onAverage = 8  // of many histories
)

// TestCrashesWithDeadlyRecords is TestCrashesWithPoison with records that take down the process, with all of its tasks, as does a
// lack of memory. Whatever else happens to the lives, those records are set aside and no others.
func TestCrashesWithDeadlyRecords(t *testing.T) {
	n := *histories
	switch {
	case n == 0 && testing.Short():
		n = 40
	case n == 0:
		n = 800
	}
	records, deaths, kills := 0, 0, 0
	for seed := *firstSeed; seed < *firstSeed+n; seed++ {
		synctest.Test(t, func(t *testing.T) {
			h := newLethal(uint64(seed))
			h.run(t)
			if diff := h.check(); diff != "" {
				t.Fatalf("seed %d (run with -seed %d -histories 1): %s", seed, seed, diff)
			}
			records, deaths, kills = records+h.poison, deaths+h.deaths, kills+h.kills
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("%d deadly records, %d deaths by them, %d other ends in %d histories", records, deaths, kills, n)
	if n >= 40 && (records < n/2 || kills < n) {
		t.Errorf("%d deadly records and %d other ends in %d histories: they test little", records, kills, n)
	}
	if n >= 40 && deaths > onAverage*records {
		t.Errorf("%d deaths by %d deadly records", deaths, records)
	}
}

// lethal is a history over a process with three tasks, one of which has deadly records.
type lethal struct {
	*poisoned
	deaths, kills int
	immune        bool // lives from now on

	mu  sync.Mutex
	hit map[int32]bool // by partition: a process has ended while the task worked alone
}

// spares reports whether no process may end now but by a deadly record. Faults are so frequent here that two in a row would hit one
// record that works alone, which is what condemns it: so each task is hit once at most while it does.
func (h *lethal) spares() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hit == nil {
		h.hit = map[int32]bool{}
	}
	spared := false
	for n := range int32(1 + bystanders) {
		id := h.task
		id.Partition.Number = n
		if strings.Contains(string(h.world.Entry(id)), `"isolated":true`) {
			spared = spared || h.hit[n]
			h.hit[n] = true
		}
	}
	return spared
}

// faults draws those of a life.
func (h *lethal) faults() streamtest.Plan {
	draw := h.poisoned.faults()
	return func(point string) streamtest.Fault {
		f := draw(point)
		ends := f == streamtest.Crash || f == streamtest.CrashAfter || f == streamtest.Pause
		if ends && h.spares() {
			return streamtest.None
		}
		return f
	}
}

const bystanders = 2

func newLethal(seed uint64) *lethal {
	h := &lethal{poisoned: &poisoned{history: newHistory(seed)}}
	for range h.rng.IntN(3) {
		e := &h.events[h.rng.IntN(len(h.events))]
		if e.panics == "" {
			h.poison++
		}
		e.bad, e.panics = false, []string{deadly, deadlyRead}[h.rng.IntN(2)]
	}
	return h
}

func (h *lethal) run(t *testing.T) {
	t.Helper()
	produced := 0
	produce := func(n int) {
		for ; n > 0 && produced < len(h.events); n-- {
			h.world.Append(streamtest.LogID{Topic: "events"}, h.events[produced].message())
			for i := range bystanders {
				e := event{at: h.events[produced].at, key: "x"}
				h.world.Append(streamtest.LogID{Topic: "events", Partition: int32(i + 1)}, e.message())
			}
			produced++
		}
	}
	var zombies []*process
	for range h.rng.IntN(8) {
		p := h.start(h.faults())
		for range 1 + h.rng.IntN(4) {
			produce(h.rng.IntN(30))
			if !p.live(t, h.while()) {
				break
			}
		}
		switch {
		case p.isPaused():
			p.source.Lose()
			zombies = append(zombies, p)
			h.kills++
		default:
			h.end(p)
		}
	}
	produce(everything)
	for n := 0; ; n++ {
		p := h.start(nil)
		if len(zombies) > 0 && h.rng.IntN(3) == 0 {
			zombies[0].life.Resume()
			p.live(t, time.Duration(h.rng.IntN(300))*time.Millisecond)
			zombies[0].life.Kill()
			zombies[0].stop()
			zombies = zombies[1:]
		}
		if p.live(t, time.Minute) {
			p.stop()
			break
		}
		h.end(p)
		if n > perRecord*3 {
			t.Errorf("seed %d: the deadly records are not found", h.seed)
			break
		}
	}
	for _, z := range zombies {
		z.life.Kill()
		z.stop()
	}
	if h.deaths > perRecord*h.poison+h.kills {
		t.Errorf("seed %d: %d deaths by %d records, and %d other ends", h.seed, h.deaths, h.poison, h.kills)
	}
}

// end ends a life that may have ended already.
func (h *lethal) end(p *process) {
	select {
	case <-p.life.Dead():
		if p.killed.Load() {
			h.deaths++
		} else {
			h.kills++
		}
	default:
		h.kills++
		if h.rng.IntN(3) > 0 && !h.spares() {
			p.life.Kill()
		}
	}
	p.stop()
}

// start begins a life that dies of deadly records.
func (h *lethal) start(faults streamtest.Plan) *process {
	life := streamtest.NewLife(h.world, faults)
	var p *process
	immune := h.immune
	die := func() error {
		if immune {
			return nil
		}
		p.killed.Store(true)
		life.Kill()
		return streamtest.ErrCrash
	}
	plan, stage := *h.plan, *h.plan.Stages[0]
	stage.Plan, plan.Stages = &plan, []*engine.Stage{&stage}
	stage.NewDecoder = func() (stream.Decoder, error) { return &deadlyDecoder{rottenDecoder{immune: true}, die}, nil }
	stage.NewSteps = func(tc engine.TaskContext) ([]engine.Step, error) {
		if tc.Task.Partition.Number > 0 {
			return []engine.Step{{Name: "counts", Operator: bystander{}}}, nil
		}
		return []engine.Step{{Name: "counts", Operator: &deadlyCounter{&poisonedCounter{newCounter(), true}, die}}}, nil
	}
	stage.NewSinks = func(_ context.Context, tc engine.TaskContext) ([]engine.Output, error) {
		if tc.Task.Partition.Number > 0 {
			return nil, nil
		}
		return []engine.Output{
			{
				Name: "live", Of: "counts", Phases: []stream.Phase{stream.Live, stream.Closed}, Live: true,
				Sink: life.LiveSink(1).OfGeneration(tc.Generation),
			},
			{Name: "files", Of: "counts", Phases: []stream.Phase{stream.Final}, Sink: life.FileSink("rollups")},
		}, nil
	}
	ready := make(chan struct{})
	build := stage.NewSteps
	stage.NewSteps = func(tc engine.TaskContext) ([]engine.Step, error) {
		<-ready
		return build(tc)
	}
	p = h.begin(life, map[string]int32{"events": 1 + bystanders}, life.Claims(), &plan)
	close(ready)
	return p
}

// TestDeadlyRecordThatWasClaimed: it cannot be set aside. The task is stopped, for every worker, and says what to do; the others
// go on, and so does it when somebody has mended the cause.
func TestDeadlyRecordThatWasClaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &lethal{poisoned: &poisoned{history: newHistory(1)}, immune: true}
		h.events = nil
		for i := range 10 {
			h.events = append(h.events, event{at: 1000*time.Second + time.Duration(i)*time.Second, key: "a"})
		}
		h.events[5].panics, h.rng = deadly, rand.New(rand.NewPCG(1, 1))
		p := h.start(func(point string) streamtest.Fault {
			if point == "put" { // no snapshot
				return streamtest.Fail
			}
			return streamtest.None
		})
		for n := range int32(1 + bystanders) {
			for _, e := range h.events {
				h.world.Append(streamtest.LogID{Topic: "events", Partition: n}, event{at: e.at, key: e.key, panics: []string{e.panics, "", ""}[n]}.message())
			}
		}
		p.live(t, 15*time.Second)
		h.end(p)
		if row := h.world.Row(h.task); !strings.Contains(string(row.Record), `"at":{"offset":10`) || !strings.Contains(string(row.Record), `"snapshot":{"at":{"offset":0`) {
			t.Fatalf("the row is %s", row.Record)
		}
		h.immune = false
		for p = h.start(nil); !p.live(t, time.Minute); p = h.start(nil) {
			h.end(p)
		}
		if h.deaths > 7 {
			t.Errorf("%d deaths", h.deaths)
		}
		for _, s := range p.runner.Status() {
			switch {
			case s.Task.Partition.Number > 0 && (s.State != "running" || s.At.Offset != 10):
				t.Errorf("a bystander is %s at %v: %s", s.State, s.At, s.Problem)
			case s.Task.Partition.Number == 0 && (s.State != "failed" || !strings.Contains(s.Problem, "offset 5") || !strings.Contains(s.Problem, "tidewatch_journal")):
				t.Errorf("the task is %s: %s", s.State, s.Problem)
			}
		}
		p.stop()
		life := streamtest.NewLife(h.world, nil)
		if _, err := life.Claims().TakeOver(t.Context(), h.task, "somebody"); err != nil {
			t.Fatal(err)
		}
		if mine, err := life.Claims().(stream.Journal).Note(t.Context(), h.task, "somebody", nil); err != nil || !mine {
			t.Fatal(mine, err)
		}
		h.immune = true
		p = h.start(nil)
		p.live(t, time.Second)
		if s := p.runner.Status()[0]; s.State != "running" || s.Ledger[stream.BucketQuarantined] > 0 {
			t.Errorf("the task is %s: %s", s.State, s.Problem)
		}
		p.stop()
	})
}

// check is that of poisoned, and that nothing of the bystanders is set aside.
func (h *lethal) check() string {
	for n := range int32(bystanders) {
		id := h.task
		id.Partition.Number = n + 1
		row := h.world.Row(id)
		var rec stream.Record
		if row == nil || json.Unmarshal(row.Record, &rec) != nil {
			return fmt.Sprintf("bystander %d has no row", n)
		}
		if rec.Generation > 0 || rec.At.Offset != int64(len(h.events)) || rec.Ledger[stream.BucketCounted] != rec.At.Offset {
			return fmt.Sprintf("bystander %d stands at %v with %v", n, rec.At, rec.Ledger.Map())
		}
		if e := h.world.Entry(id); e != nil {
			return fmt.Sprintf("bystander %d is in the journal: %s", n, e)
		}
	}
	if e := h.world.Entry(h.task); e != nil {
		return fmt.Sprintf("the journal holds %s", e)
	}
	return h.poisoned.check()
}

type deadlyDecoder struct {
	rottenDecoder
	die func() error
}

func (d *deadlyDecoder) Decode(m *stream.Message, b *stream.Batch) error {
	if strings.HasSuffix(string(m.Value), deadlyRead) {
		if err := d.die(); err != nil {
			return err
		}
	}
	err := d.rottenDecoder.Decode(m, b)
	if err == nil && strings.HasSuffix(string(m.Value), deadly) {
		b.Producer[b.Len()-1] = poisoner
	}
	return err
}

type deadlyCounter struct {
	*poisonedCounter
	die func() error
}

func (c *deadlyCounter) Process(b *stream.Batch, out stream.Emitter) error {
	if beforePoison(b) < b.Len() {
		if err := c.die(); err != nil {
			return err
		}
	}
	return c.poisonedCounter.Process(b, out)
}

// bystander is the operator of a task without deadly records.
type bystander struct{}

func (bystander) Process(*stream.Batch, stream.Emitter) error  { return nil }
func (bystander) Advance(stream.Advance, stream.Emitter) error { return nil }
func (bystander) Snapshot(*stream.StateWriter) error           { return nil }
func (bystander) Restore(*stream.StateReader) error            { return nil }
