package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/stream"
)

// plant is a fault in a pipeline, a store, or a source.
type plant struct {
	name, relation string               // what must be found: how the difference begins, "" if that does not matter
	plan           func(p *engine.Plan) // in the calm run too: it must be found without knowing what is right
	worker         func(p *engine.Plan)
	store          func(stream.ClaimStore) stream.ClaimStore
	succession     func(c *engine.Succession)
	skip           bool
}

// TestMetamorphicFindsFaults: each relation has faults that it finds, so a suite that has gone blind fails.
func TestMetamorphicFindsFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes as long as all other short tests")
	}
	for _, p := range plants() {
		t.Run(p.name, func(t *testing.T) {
			generator := rapid.Custom(drawHistory)
			for seed := range 3000 {
				m := generator.Example(seed)
				m.plant = p
				wrong := m.run(t)
				if wrong == "" || !strings.Contains(wrong, p.relation) {
					continue
				}
				t.Logf("found in history %d: %.120s", seed, wrong)
				return
			}
			t.Error("not found in 3000 histories")
		})
	}
}

func plants() []plant {
	first := func(change func(o *once) stream.Operator) func(p *engine.Plan) {
		return func(p *engine.Plan) {
			s := p.Stages[0]
			old := s.NewSteps
			s.NewSteps = func(tc engine.TaskContext) ([]engine.Step, error) {
				steps, err := old(tc)
				if err == nil {
					steps[0].Operator = change(steps[0].Operator.(*once))
				}
				return steps, err
			}
		}
	}
	sink := func(output string, change func(s stream.Sink) stream.Sink) func(p *engine.Plan) {
		return func(p *engine.Plan) {
			for _, s := range p.Stages {
				old := s.NewSinks
				s.NewSinks = func(ctx context.Context, tc engine.TaskContext) ([]engine.Output, error) {
					outputs, err := old(ctx, tc)
					for i := range outputs {
						if outputs[i].Name == output {
							outputs[i].Sink = change(outputs[i].Sink)
						}
					}
					return outputs, err
				}
			}
		}
	}
	return []plant{
		{name: "an operator forgets its state", relation: "final rollups", plan: first(func(o *once) stream.Operator { return forgetful{o} })},
		{name: "an operator sees where batches end", relation: "final rollups", plan: first(func(o *once) stream.Operator { return bordered{o} })},
		{name: "an operator has a clock", relation: "final rollups", plan: first(func(o *once) stream.Operator { return clocked{o} })},
		{name: "the ledger counts batches", relation: "ledger", plan: first(func(o *once) stream.Operator { return miscounting{o} })},
		{name: "decisions in the order of arrival", relation: "decision", plan: numbered},
		{name: "a version that is no function of the log", relation: "live values", worker: sink("live", func(s stream.Sink) stream.Sink { return &unversioned{Sink: s} })},
		{name: "a snapshot does not wait for live values", relation: "live values", worker: sink("live", func(s stream.Sink) stream.Sink { return hasty{s} })},
		{name: "files are not revealed", relation: "final rollups", worker: sink("files", func(s stream.Sink) stream.Sink { return unrevealing{s} })},
		{name: "files are visible before the claim", relation: "visible object", worker: sink("files", func(s stream.Sink) stream.Sink { return early{dated{s}} })},
		{name: "a lost claim counts as won", store: func(s stream.ClaimStore) stream.ClaimStore { return gullible{s} }},
		{name: "a record is skipped at a take-over", relation: "ledger", skip: true},
		{name: "the new version inherits nothing", relation: "final rollups", succession: func(c *engine.Succession) { c.Inherit = nil }},
		{name: "the old version does not end at the cut", plan: endless},
	}
}

// forgetful restores nothing.
type forgetful struct{ *once }

func (forgetful) Restore(*stream.StateReader) error { return nil }

// bordered drops the first row of a larger batch.
type bordered struct{ *once }

func (o bordered) Process(b *stream.Batch, out stream.Emitter) error {
	if b.Len() < 5 {
		return o.once.Process(b, out)
	}
	var rest stream.Batch
	b.View(&rest, 1, b.Len())
	return o.once.Process(&rest, out)
}

// clocked drops rows in every other second.
type clocked struct{ *once }

func (o clocked) Process(b *stream.Batch, out stream.Emitter) error {
	if time.Now().Unix()%2 == 0 {
		return nil
	}
	return o.once.Process(b, out)
}

// miscounting counts a duplicate for each batch.
type miscounting struct{ *once }

func (o miscounting) Process(b *stream.Batch, out stream.Emitter) error {
	out.Count(stream.BucketDuplicate, 1)
	return o.once.Process(b, out)
}

// numbered lets decisions say how many the process has made before.
func numbered(p *engine.Plan) {
	s := p.Stages[len(p.Stages)-1]
	old := s.NewSteps
	s.NewSteps = func(tc engine.TaskContext) ([]engine.Step, error) {
		steps, err := old(tc)
		if err == nil {
			steps[len(steps)-1].Operator = &numbering{}
		}
		return steps, err
	}
}

type numbering struct {
	judge
	n int
}

func (o *numbering) Process(b *stream.Batch, out stream.Emitter) error {
	return o.judge.Process(b, numberedEmitter{out, o})
}

type numberedEmitter struct {
	stream.Emitter
	o *numbering
}

func (e numberedEmitter) Decide(d stream.Decision) error {
	e.o.n++
	d.Body = fmt.Appendf(d.Body, " %d", e.o.n)
	return e.Emitter.Decide(d)
}

// unversioned stamps rows with how many batches it has seen.
type unversioned struct {
	stream.Sink
	n int64
}

func (s *unversioned) Write(ctx context.Context, b *stream.Batch) error {
	s.n++
	c := *b
	c.Version = stream.Version{Offset: s.n}
	return s.Sink.Write(ctx, &c)
}

// hasty has nothing to wait for.
type hasty struct{ stream.Sink }

func (hasty) Stage(stream.Epoch) stream.Work { return nil }

// unrevealing forgets what was staged.
type unrevealing struct{ stream.Sink }

func (s unrevealing) Stage(e stream.Epoch) stream.Work {
	work := s.Sink.Stage(e)
	if work == nil {
		return nil
	}
	return func(ctx context.Context) (stream.Receipt, error) {
		_, err := work(ctx)
		return nil, err
	}
}

// early reveals what it has just staged.
type early struct{ stream.Sink }

func (s early) Stage(e stream.Epoch) stream.Work {
	work := s.Sink.Stage(e)
	if work == nil {
		return nil
	}
	return func(ctx context.Context) (stream.Receipt, error) {
		r, err := work(ctx)
		if err != nil || len(r) == 0 {
			return r, err
		}
		return r, s.Reveal(ctx, r)
	}
}

// endless puts no step of the old version behind the window.
func endless(p *engine.Plan) {
	if p.Instance == "counts@1" {
		for _, s := range p.Stages {
			s.Window = 9
		}
	}
}

// dated writes the time into the last column.
type dated struct{ stream.Sink }

func (s dated) Write(ctx context.Context, b *stream.Batch) error {
	c := stream.NewBatch(b.Schema)
	c.Phase, c.Version, c.Window = b.Phase, b.Version, b.Window
	for i := range b.Len() {
		c.Cols[0].AppendString(b.Cols[0].Text(i))
		c.Cols[1].AppendInt(time.Now().UnixNano())
		c.SetLen(c.Len() + 1)
	}
	return s.Sink.Write(ctx, c)
}

// gullible says that every claim was won.
type gullible struct{ stream.ClaimStore }

// Claim implements stream.ClaimStore.
func (g gullible) Claim(ctx context.Context, all []*stream.Checkpoint) ([]bool, error) {
	won, err := g.ClaimStore.Claim(ctx, all)
	for i := range won {
		won[i] = true
	}
	return won, err
}
