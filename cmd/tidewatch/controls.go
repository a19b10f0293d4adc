package main

import (
	"context"
	"errors"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/sinks/parquet"
	"github.com/tidewatch/tidewatch/stream"
)

// controlArchive has the tasks that read events keep their control records, so that a replay of the archived events can apply
// them.
type controlArchive struct {
	objects stream.Objects
	slot    time.Duration // of files; 0 is the usual
	topics  map[string]bool
}

// newControlArchive is for the topics that are archived.
func newControlArchive(archives []*engine.Plan, objects stream.Objects, slot time.Duration) *controlArchive {
	c := &controlArchive{objects: objects, slot: slot, topics: map[string]bool{}}
	for _, p := range archives {
		for _, topic := range p.Stages[0].Topics {
			c.topics[topic] = true
		}
	}
	return c
}

// controlOutput names the output of control records. No output of a pipeline has a name without a dot.
const controlOutput = "controls"

// plan is p with one more output. Tasks whose topic nobody archives have it too: the row of a task may still hold what it
// staged when somebody did.
func (c *controlArchive) plan(p *engine.Plan) *engine.Plan {
	with := *p
	with.Stages = make([]*engine.Stage, len(p.Stages))
	for i, s := range p.Stages {
		stage := *s
		stage.Plan = &with
		if s.Partial == nil {
			stage.NewSinks = func(ctx context.Context, t engine.TaskContext) ([]engine.Output, error) { return c.sinks(ctx, s, t) }
		}
		with.Stages[i] = &stage
	}
	return &with
}

func (c *controlArchive) sinks(ctx context.Context, s *engine.Stage, t engine.TaskContext) ([]engine.Output, error) {
	outputs, err := s.NewSinks(ctx, t)
	if err != nil {
		return nil, err
	}
	k := parquet.DefaultControls()
	k.Objects, k.Task, k.Discard = c.objects, t.Task, !c.topics[t.Task.Partition.Topic]
	if c.slot > 0 {
		k.Slot = c.slot
	}
	sink, err := parquet.NewControls(k)
	if err != nil {
		for _, o := range outputs {
			err = errors.Join(err, o.Sink.Close())
		}
		return nil, err
	}
	return append(outputs, engine.Output{Name: controlOutput, Of: "source", Sink: sink}), nil
}
