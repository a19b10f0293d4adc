package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
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

// TestCrashesWithSuccession is TestCrashes over a pipeline that a new version follows somewhere in the history. Both count
// the same, but each has names of its own, so together they must show what one would have: no window twice, none missing,
// all of the old version before the cut and all of the new one behind. A step before the window remembers what it has seen,
// and must go on doing so across the versions.
func TestCrashesWithSuccession(t *testing.T) {
	n := *histories
	switch {
	case n == 0 && testing.Short():
		n = 200
	case n == 0:
		n = 3000
	}
	cuts := 0
	for seed := *firstSeed; seed < *firstSeed+n; seed++ {
		synctest.Test(t, func(t *testing.T) {
			s := newSucceeding(uint64(seed))
			s.run(t)
			if diff := s.check(); diff != "" {
				t.Fatalf("seed %d (run with -seed %d -histories 1): %s", seed, seed, diff)
			}
			if s.cut > 0 {
				cuts++
			}
		})
		if t.Failed() {
			return
		}
	}
	if n > 10 && cuts < n/2 {
		t.Errorf("%d cuts in %d histories: they test too little", cuts, n)
	}
}

// succeeding is a history of two versions of a pipeline with one stage, or with two.
type succeeding struct {
	*history
	logs     [rekeySources][]event
	two      bool // stages
	from     int  // events that have been produced before the new version comes, at least
	produced int
	now      *process    // that runs
	begun    bool        // the rows of the new version are there
	cut      stream.Time // 0: nothing had come
}

func newSucceeding(seed uint64) *succeeding {
	s := &succeeding{history: newHistory(seed)}
	h := s.history
	h.events, s.two = nil, h.rng.IntN(2) == 0
	at, total := 1000*time.Second, 0
	for range 20 + h.rng.IntN(80) {
		at += time.Duration(h.rng.IntN(2500)) * time.Millisecond
		e := event{at: at - time.Duration(h.rng.IntN(3000))*time.Millisecond, key: string(rune('a' + h.rng.IntN(12)))}
		if h.rng.IntN(12) == 0 {
			e.at -= time.Duration(h.rng.IntN(60)) * time.Second
		}
		e.bad = h.rng.IntN(15) == 0
		p := h.rng.IntN(rekeySources)
		if !s.two { // keyed
			e.key += fmt.Sprint(p)
		}
		s.logs[p] = append(s.logs[p], e)
		total++
	}
	s.from = h.rng.IntN(total)
	for p := range s.logs {
		for k := range 4 {
			s.logs[p] = append(s.logs[p], event{at: at + time.Duration(k+1)*40*time.Second, key: fmt.Sprint("end", p)})
		}
	}
	return s
}

// once lets a key pass once in every span of event time. Its whole memory is state.
type once struct{ seen map[string]bool }

func onceID(at time.Duration, key string) string {
	return fmt.Sprint(at.Truncate(25*time.Second), " ", key)
}

func (o *once) Process(b *stream.Batch, out stream.Emitter) error {
	fresh := stream.NewBatch(b.Schema)
	for i := range b.Len() {
		id := onceID(time.Duration(b.Time[i]), b.Cols[0].Text(i))
		if o.seen[id] {
			out.Count(stream.BucketDuplicate, 1)
			continue
		}
		o.seen[id] = true
		fresh.AppendRow(b, i)
	}
	if fresh.Len() == 0 {
		return nil
	}
	return out.Emit(fresh)
}
func (*once) Advance(stream.Advance, stream.Emitter) error { return nil }
func (o *once) Snapshot(w *stream.StateWriter) error {
	w.Section("seen", 1)
	w.Text(strings.Join(slices.Sorted(maps.Keys(o.seen)), "|"))
	return nil
}

func (o *once) Restore(r *stream.StateReader) error {
	if _, ok := r.Section("seen"); !ok {
		return fmt.Errorf("nothing was seen")
	}
	for id := range strings.SplitSeq(r.Text(), "|") {
		o.seen[id] = id != ""
	}
	return r.Err()
}

// version makes version 1 or 2 of the pipeline for one life.
func (s *succeeding) version(life *streamtest.Life, n int) *engine.Plan {
	spec, err := aggregate.Parse("count()")
	if err != nil {
		panic(err)
	}
	spec.Name = "n"
	cfg := &window.Config{Size: size, Lateness: lateness, By: []string{"key"}, Aggregates: []aggregate.Spec{spec}}
	p := &engine.Plan{Pipeline: "counts", Instance: fmt.Sprint("counts@", n)}
	times := engine.Time{OutOfOrder: disorder, MaxJump: time.Hour, Lateness: lateness}
	every := engine.Intervals{Epoch: 50 * time.Millisecond, Snapshot: 150 * time.Millisecond, Publish: 70 * time.Millisecond}
	sinks := func(context.Context, engine.TaskContext) ([]engine.Output, error) {
		phases := []stream.Phase{stream.Live, stream.Closed, stream.Revised}
		return []engine.Output{
			{Name: "live", Of: "counts", Phases: phases, Live: true, Sink: life.NamedLiveSink(fmt.Sprint(n), 1)},
			{Name: "files", Of: "counts", Phases: []stream.Phase{stream.Final}, Sink: life.RowFileSink(fmt.Sprint(n))},
		}, nil
	}
	seen := func() engine.Step { return engine.Step{Name: "once", Operator: &once{seen: map[string]bool{}}} }
	first := &engine.Stage{
		Plan: p, Name: "main", Topics: []string{"events"}, Window: 2, Time: times, Interval: every,
		NewDecoder: func() (stream.Decoder, error) { return &eventDecoder{}, nil },
		NewSteps: func(t engine.TaskContext) ([]engine.Step, error) {
			own := *cfg
			own.Partition = t.Task.Partition.Number
			op, err := window.NewTumbling(&own, eventSchema)
			return []engine.Step{seen(), {Name: "counts", Operator: op}, {Name: "judge", Operator: judge{}}}, err
		},
		NewSinks: sinks,
	}
	p.Stages = []*engine.Stage{first}
	if !s.two {
		return p
	}
	first.Name, first.Internal, first.InternalPartitions, first.Window = "fold", s.internal(n), rekeyMerges, 0
	first.NewSteps = func(engine.TaskContext) ([]engine.Step, error) {
		op, err := window.NewFold(cfg, eventSchema)
		return []engine.Step{seen(), {Name: "counts", Operator: op}}, err
	}
	first.NewSinks = func(context.Context, engine.TaskContext) ([]engine.Output, error) { return nil, nil }
	partial, err := window.PartialSchema(cfg, eventSchema)
	if err != nil {
		panic(err)
	}
	p.Stages = append(p.Stages, &engine.Stage{
		Plan: p, Name: "merge", Topics: []string{s.internal(n)}, Partial: partial, Window: 1, Time: times, Interval: every,
		NewSteps: func(engine.TaskContext) ([]engine.Step, error) {
			op, err := window.NewMerge(&window.MergeConfig{Config: *cfg, In: eventSchema})
			return []engine.Step{{Name: "counts", Operator: op}, {Name: "judge", Operator: judge{}}}, err
		},
		NewSinks: sinks,
	})
	return p
}

func (s *succeeding) internal(n int) string { return fmt.Sprint("partials", n) }

// succession is version 2 behind version 1.
func (s *succeeding) succession(life *streamtest.Life) *engine.Succession {
	c := &engine.Succession{Old: s.version(life, 1), New: s.version(life, 2), Every: size, Objects: life.Objects(), Partitions: rekeySources}
	c.Inherit = []engine.Heirloom{{Stage: c.New.Stages[0].Name, Step: "once", From: 0, FromStep: "once"}}
	if s.two {
		for n := range int32(rekeyMerges) {
			c.Internal = append(c.Internal, stream.Partition{Topic: s.internal(2), Number: n})
		}
	}
	return c
}

func (s *succeeding) start(faults streamtest.Plan) *process {
	h := s.history
	life := streamtest.NewLife(h.world, faults)
	topics := map[string]int32{"events": rekeySources}
	if s.two {
		topics[s.internal(1)], topics[s.internal(2)] = rekeyMerges, rekeyMerges
	}
	plans := []*engine.Plan{s.version(life, 1)}
	if s.look() {
		plans = append(plans, s.version(life, 2))
	}
	s.now = h.begin(life, topics, life.Claims(), plans...)
	return s.now
}

// look reports whether the rows of the new version are there, and notes the cut.
func (s *succeeding) look() bool {
	for _, row := range s.world.Rows() {
		if row.Task.Instance != "counts@1" {
			continue
		}
		var rec stream.Record
		if len(row.Record) > 0 && json.Unmarshal(row.Record, &rec) == nil && rec.Control != nil && rec.Control.Kind == "until" {
			s.cut = rec.Control.Cut
		}
	}
	for _, row := range s.world.Rows() {
		s.begun = s.begun || row.Task.Instance == "counts@2"
	}
	return s.begun
}

// succeed begins the new version, as a person would have it: again and again until it is there, or the process has died.
func (s *succeeding) succeed(p *process) {
	<-time.After(time.Duration(s.rng.IntN(400)) * time.Millisecond)
	for range 10 {
		life := streamtest.NewLife(s.world, streamtest.RandomPlan(s.rng, map[streamtest.Fault]int{
			streamtest.Crash: 50, streamtest.CrashAfter: 50, streamtest.Fail: 100, streamtest.LoseReply: 100, streamtest.Delay: 100,
		})) // of who asks for it
		err := s.succession(life).Begin(context.Background(), life.Claims().(stream.Successions))
		life.Kill()
		if s.look() {
			p.runner.Add(s.version(p.life, 2))
			return
		}
		if err == nil {
			panic("the rows of the new version are missing")
		}
		select {
		case <-p.life.Dead():
			return
		case <-p.life.Paused():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *succeeding) run(t *testing.T) {
	t.Helper()
	var at [rekeySources]int
	produce := func(n int) {
		for ; n > 0; n-- {
			p := s.rng.IntN(rekeySources)
			if at[p] < len(s.logs[p]) {
				s.world.Append(streamtest.LogID{Topic: "events", Partition: int32(p)}, s.logs[p][at[p]].message())
				at[p]++
				s.produced++
			}
			if !s.begun && s.produced >= s.from {
				s.succeed(s.now)
			}
		}
	}
	s.lives(t, s.start, produce)
}

// oracle shows what one version would have shown, by counting, each row under the version that it belongs to. What the rules
// see is as in rekeyed.oracle; tasks of a pipeline with one stage share no group.
func (s *succeeding) oracle() (live, files, decisions map[string]string) {
	live, files, decisions = map[string]string{}, map[string]string{}, map[string]string{}
	type slot struct {
		source int // -1: all together
		window time.Duration
		slot   uint8
	}
	type cell struct {
		slot
		key string
	}
	all, onTime, revised, lowest := map[cell]int{}, map[cell]int{}, map[slot]bool{}, map[int]time.Duration{}
	for p, log := range s.logs {
		source := p
		if s.two {
			source = -1
		}
		record, seen := -time.Hour, map[string]bool{}
		for _, e := range log {
			if e.bad {
				continue
			}
			w, id := e.at.Truncate(size), onceID(e.at, e.key)
			again := seen[id]
			seen[id] = true
			if !again && w+size+lateness > record {
				c := cell{slot{source, w, slotOf(e.key)}, e.key}
				all[c]++
				if w+size > record {
					onTime[c]++
				} else {
					revised[c.slot] = true
				}
			}
			record = max(record, e.at-disorder)
		}
		if low, ok := lowest[source]; !ok || record < low {
			lowest[source] = record
		}
	}
	for c, n := range all {
		version, text, at := "1", fmt.Sprintf("%s %d", c.key, n), stream.Time(c.window)
		if s.begun && at >= s.cut {
			version = "2"
		}
		live[fmt.Sprintf("%s|%s|%s", version, at, c.key)] = text
		if c.window+size+lateness <= lowest[c.source] {
			files[fmt.Sprintf("%s/%s/%s", version, at, c.key)] = text
			if revised[c.slot] {
				decisions[fmt.Sprint("revised ", at, " ", c.key)] = text
			}
		}
		if m := onTime[c]; m > 0 && c.window+size <= lowest[c.source] {
			decisions[fmt.Sprint("closed ", at, " ", c.key)] = fmt.Sprintf("%s %d", c.key, m)
		}
	}
	return live, files, decisions
}

// early is whether the old version has shown a window of the new one, before it knew of the cut: readers go by the cut.
func (s *succeeding) early(key string) bool {
	version, rest, _ := strings.Cut(key, "|")
	start, _, _ := strings.Cut(rest, "|")
	at, err := time.Parse(time.RFC3339Nano, start)
	return err == nil && version == "1" && s.begun && stream.TimeOf(at) >= s.cut
}

func (s *succeeding) check() string {
	if err := s.world.Violation(); err != nil {
		return err.Error()
	}
	live, files, decisions := s.oracle()
	got := map[string]string{}
	for k, v := range s.world.Live() {
		if !strings.HasPrefix(k, "dead|") && !s.early(k) {
			got[k] = v.Content
		}
	}
	return s.differs(got, &oracle{live: live, files: files, decisions: decisions})
}
