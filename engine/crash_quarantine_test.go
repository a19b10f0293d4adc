package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// TestCrashesWithPoison is TestCrashes over logs with records that make the operator or the decoder panic, each time or only
// in some lives. The lives that a record does nothing to never claim it, but show what they have made of it.
func TestCrashesWithPoison(t *testing.T) {
	n := *histories
	switch {
	case n == 0 && testing.Short():
		n = 60
	case n == 0:
		n = 1500
	}
	quarantined, shown := 0, 0
	for seed := *firstSeed; seed < *firstSeed+n; seed++ {
		synctest.Test(t, func(t *testing.T) {
			h := newPoisoned(uint64(seed))
			h.run(t)
			if diff := h.check(); diff != "" {
				t.Fatalf("seed %d (run with -seed %d -histories 1): %s", seed, seed, diff)
			}
			quarantined += h.poison
			shown += h.shown
		})
		if t.Failed() {
			return
		}
	}
	if n >= 1000 && (quarantined < n || shown < n/20) {
		t.Errorf("%d poisoned records in %d histories, %d of them were shown by somebody: they test little", quarantined, n, shown)
	}
}

const (
	poison = "poison" // the operator panics
	rot    = "rot"    // the decoder panics
)

// poisoned is a history with records that panic.
type poisoned struct {
	*history
	poison int // how many
	endsIn int // how many records come when all the others have been worked off
	shown  int // values that somebody has shown under an earlier generation, and are wrong
}

func newPoisoned(seed uint64) *poisoned {
	p := &poisoned{history: newHistory(seed)}
	p.longer = 30 * time.Second // each poisoned record takes two attempts
	for i := range p.events {
		switch p.rng.IntN(12) {
		case 0:
			p.events[i].bad, p.events[i].panics = false, poison
		case 1:
			p.events[i].bad, p.events[i].panics = false, rot
		default:
			continue
		}
		p.poison++
	}
	if p.rng.IntN(2) == 0 { // what was shown long before must be shown again
		last := p.events[len(p.events)-1]
		p.events, p.poison = append(p.events, event{at: last.at, key: last.key, panics: poison}), p.poison+1
		p.endsIn = 1
	}
	return p
}

func (p *poisoned) run(t *testing.T) {
	t.Helper()
	produced := 0
	produce := func(n, end int) {
		for ; n > 0 && produced < end; n-- {
			p.world.Append(streamtest.LogID{Topic: "events"}, p.events[produced].message())
			produced++
		}
	}
	p.ending = func(last *process) *process {
		last.stop() // with a snapshot
		next := p.start(nil)
		produce(everything, len(p.events))
		next.live(t, 5*time.Second)
		return next
	}
	p.lives(t, p.start, func(n int) { produce(n, len(p.events)-p.endsIn) })
}

// start begins a life that panics, or now and then one that is immune and whose claims never arrive.
func (p *poisoned) start(faults streamtest.Plan) *process {
	immune := faults != nil && p.rng.IntN(3) == 0
	plan := faults
	if immune {
		plan = func(point string) streamtest.Fault {
			if point == "claim" {
				return streamtest.Fail
			}
			return faults(point)
		}
	}
	life := streamtest.NewLife(p.world, plan)
	return p.begin(life, map[string]int32{"events": 1}, life.Claims(), poisonedPlan(p.plan, life, immune))
}

// poisonedPlan is the plan of a life.
func poisonedPlan(of *engine.Plan, life *streamtest.Life, immune bool) *engine.Plan {
	plan, stage := *of, *of.Stages[0]
	stage.Plan, plan.Stages = &plan, []*engine.Stage{&stage}
	stage.NewDecoder = func() (stream.Decoder, error) { return &rottenDecoder{immune: immune}, nil }
	stage.NewSteps = func(engine.TaskContext) ([]engine.Step, error) {
		return []engine.Step{{Name: "counts", Operator: &poisonedCounter{newCounter(), immune}}}, nil
	}
	stage.NewSinks = func(_ context.Context, tc engine.TaskContext) ([]engine.Output, error) {
		return []engine.Output{
			{
				Name: "live", Of: "counts", Phases: []stream.Phase{stream.Live, stream.Closed}, Live: true,
				Sink: life.LiveSink(1).OfGeneration(tc.Generation),
			},
			{Name: "files", Of: "counts", Phases: []stream.Phase{stream.Final}, Sink: life.FileSink("rollups")},
		}, nil
	}
	return &plan
}

// rottenDecoder panics behind a half-written row, and tells the operators what is poisoned.
type rottenDecoder struct {
	eventDecoder
	immune bool
}

func (d *rottenDecoder) Decode(m *stream.Message, b *stream.Batch) error {
	if !d.immune && strings.HasSuffix(string(m.Value), rot) {
		b.Time = append(b.Time, 0)
		panic("the decoder cannot stand it")
	}
	if err := d.eventDecoder.Decode(m, b); err != nil {
		return err
	}
	b.Producer = append(b.Producer, 0)
	if strings.HasSuffix(string(m.Value), poison) {
		b.Producer[b.Len()-1] = poisoner
	}
	return nil
}

// poisoner is who sends records that make operators panic.
const poisoner = 666

// beforePoison is the row of the first poisoned record, or the end.
func beforePoison(b *stream.Batch) int {
	if i := slices.Index(b.Producer, poisoner); i >= 0 {
		return i
	}
	return b.Len()
}

// poisonedCounter panics behind the rows before, which it has counted.
type poisonedCounter struct {
	*counter
	immune bool
}

func (c *poisonedCounter) Process(b *stream.Batch, out stream.Emitter) error {
	n := beforePoison(b)
	if c.immune || n == b.Len() {
		return c.counter.Process(b, out)
	}
	var before stream.Batch
	b.View(&before, 0, n)
	if err := c.counter.Process(&before, out); err != nil {
		return err
	}
	panic(errors.New("the operator cannot stand it"))
}

func (c *poisonedCounter) Refresh() {
	for _, w := range c.windows {
		for k := range w.counts {
			w.dirty[k] = true
		}
	}
}

// check reads live values under the newest generation, and final windows from the files, as somebody does who has filled Redis
// again.
func (p *poisoned) check() string {
	if err := p.world.Violation(); err != nil {
		return err.Error()
	}
	row := p.world.Row(p.task)
	var rec stream.Record
	if row == nil || json.Unmarshal(row.Record, &rec) != nil {
		return "there is no row"
	}
	if rec.Generation != int64(p.poison) {
		return fmt.Sprintf("the generation is %d with %d quarantined records", rec.Generation, p.poison)
	}
	want := p.poisonedOracle()
	live := map[string]string{}
	for name, text := range p.world.Visible() {
		for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
			key, _, _ := strings.Cut(line, " ")
			live[strings.TrimPrefix(name, "rollups/")+"|"+key] = strings.TrimSuffix(line, " false")
		}
	}
	for k, v := range p.world.Live() {
		generation, key, found := strings.Cut(k, "#")
		if !found {
			generation, key = "", k
		}
		if w, ok := want.live[key]; generation != fmt.Sprint(rec.Generation) && (!ok || v.Content > w) {
			p.shown++
		}
		switch {
		case strings.HasPrefix(k, "dead|"):
			live[k] = v.Content
		case generation == fmt.Sprint(rec.Generation) || generation == "" && rec.Generation == 0:
			live[key] = v.Content
		}
	}
	if d := p.differs(live, want); d != "" {
		return d
	}
	if got := fmt.Sprint(rec.Ledger.Map()); got != want.ledger {
		return fmt.Sprintf("ledger: %s, want %s", got, want.ledger)
	}
	return ""
}

// poisonedOracle is the oracle of the log without the poisoned records: they are set aside, and nothing else knows of them.
func (p *poisoned) poisonedOracle() *oracle {
	all := p.events
	aside := map[int]string{}
	p.events = nil
	var at []int // offset of each record that is left
	for i, e := range all {
		switch e.panics {
		case poison:
			aside[i] = "panic: the operator cannot stand it"
		case rot:
			aside[i] = "panic: the decoder cannot stand it"
		case deadly, deadlyRead:
			aside[i] = condemned
		default:
			p.events, at = append(p.events, e), append(at, i)
		}
	}
	want := p.oracle()
	p.events = all
	dead := map[string]string{}
	for k, v := range want.live {
		var i int
		if n, _ := fmt.Sscanf(k, "dead|%d", &i); n == 1 {
			dead[fmt.Sprint("dead|", at[i])] = v
			delete(want.live, k)
		}
	}
	maps.Copy(want.live, dead)
	for i, reason := range aside {
		want.live[fmt.Sprint("dead|", i)] = reason
	}
	var ledger stream.Ledger
	if err := json.Unmarshal([]byte(want.ledger), &ledger); err != nil {
		panic(err)
	}
	ledger[stream.BucketQuarantined] = int64(len(aside))
	want.ledger = fmt.Sprint(ledger.Map())
	return want
}

// TestManyRecordsInARow: an operator that panics at everything is not fed to the end, and says what to do.
func TestManyRecordsInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &poisoned{history: newHistory(1)}
		h.events = nil
		for i := range 100 {
			h.events = append(h.events, event{at: 1000*time.Second + time.Duration(i)*time.Second, key: "a", panics: poison})
		}
		h.rng = rand.New(rand.NewPCG(1, 1))
		p := h.start(nil)
		for _, e := range h.events {
			h.world.Append(streamtest.LogID{Topic: "events"}, e.message())
		}
		p.live(t, 10*time.Minute)
		status := p.runner.Status()[0]
		p.stop()
		if status.State != "failed" || !strings.Contains(status.Problem, "16 records in a row") || !strings.Contains(status.Problem, "dlq retry") {
			t.Errorf("the task is %s: %s", status.State, status.Problem)
		}
		var rec stream.Record
		if err := json.Unmarshal(h.world.Row(h.task).Record, &rec); err != nil || rec.Generation != 16 {
			t.Errorf("%d records are quarantined, %v", rec.Generation, err)
		}
	})
}
