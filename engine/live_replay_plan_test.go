package engine_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/operators/aggregate"
	"github.com/tidewatch/tidewatch/operators/window"
	"github.com/tidewatch/tidewatch/sinks/parquet"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// archivePlan archives the topic; parts end after a few records.
func (a *archived) archivePlan(life *streamtest.Life) *engine.Plan {
	p := &engine.Plan{Pipeline: "archive", Instance: "archive@1"}
	p.Stages = []*engine.Stage{{
		Plan: p, Name: "archive", Topics: []string{"events"}, Time: archivedTime, Interval: archivedIntervals,
		Cut:        &engine.Cut{Records: a.cut, Bytes: 1 << 20, Slot: time.Minute},
		NewDecoder: func() (stream.Decoder, error) { return &eventDecoder{}, nil },
		NewSteps:   func(engine.TaskContext) ([]engine.Step, error) { return nil, nil },
		NewSinks: func(_ context.Context, t engine.TaskContext) ([]engine.Output, error) {
			sink, err := parquet.NewRaw(parquet.RawConfig{Objects: life.Objects(), Partition: t.Task.Partition})
			return []engine.Output{{Name: "raw", Of: "source", Phases: []stream.Phase{stream.Event}, Sink: sink}}, err
		},
	}}
	return p
}

var (
	archivedTime      = engine.Time{OutOfOrder: disorder, MaxJump: time.Hour, Lateness: lateness, IdleAfter: 500 * time.Millisecond}
	archivedIntervals = engine.Intervals{Epoch: 50 * time.Millisecond, Snapshot: 150 * time.Millisecond, Publish: 70 * time.Millisecond}
)

// plan counts by key, or by nothing over all partitions, and judges. live says whether control records are archived.
func (a *archived) plan(name string, life *streamtest.Life, to *seen, live bool) *engine.Plan {
	b := archivedPlan{life: life, to: to, live: live, plan: &engine.Plan{Pipeline: name, Instance: name + "@1"}}
	spec, err := aggregate.Parse("count()")
	if err != nil {
		panic(err)
	}
	spec.Name = "n"
	b.window = window.Config{Size: size, Lateness: lateness, Aggregates: []aggregate.Spec{spec}, Evidence: true}
	if name == "keyed" {
		b.window.By = []string{"key"}
	}
	if b.rollup, err = window.RollupSchema(&b.window, eventSchema); err != nil {
		panic(err)
	}
	first := &engine.Stage{
		Plan: b.plan, Name: "main", Topics: []string{"events"}, Time: archivedTime, Interval: archivedIntervals,
		NewDecoder: func() (stream.Decoder, error) { return &eventDecoder{}, nil },
		NewSteps:   b.keyed,
		NewSinks: func(_ context.Context, t engine.TaskContext) ([]engine.Output, error) {
			return b.outputs(t, b.rows(t, true), b.rollups, b.controls)
		},
	}
	b.plan.Stages = []*engine.Stage{first}
	if name == "keyed" {
		return b.plan
	}
	partial, err := window.PartialSchema(&b.window, eventSchema)
	if err != nil {
		panic(err)
	}
	first.Internal, first.InternalPartitions, first.NewSteps = "partials", rekeyMerges, b.fold
	first.NewSinks = func(_ context.Context, t engine.TaskContext) ([]engine.Output, error) {
		return b.outputs(t, b.controls)
	}
	b.plan.Stages = append(b.plan.Stages, &engine.Stage{
		Plan: b.plan, Name: "merge", Topics: []string{"partials"}, Partial: partial, Time: archivedTime, Interval: archivedIntervals,
		NewSteps: b.merge,
		NewSinks: func(_ context.Context, t engine.TaskContext) ([]engine.Output, error) {
			return b.outputs(t, b.rows(t, false), b.rollups)
		},
	})
	return b.plan
}

type archivedPlan struct {
	life   *streamtest.Life
	to     *seen
	live   bool
	plan   *engine.Plan
	window window.Config
	rollup *stream.Schema
}

func (b *archivedPlan) judged(op stream.Operator, err error) ([]engine.Step, error) {
	if err != nil {
		return nil, err
	}
	rule := alerts.DefaultRule()
	rule.Name, rule.When, rule.For, rule.KeepFiringFor = b.plan.Pipeline, "n > 1", 10*time.Second, 10*time.Second
	judge, err := alerts.NewOperator(alerts.OperatorConfig{
		Rule: rule, Pipeline: b.plan.Pipeline, Version: "1", Topic: "events", GroupColumns: b.window.By, WindowSize: size,
	}, b.rollup)
	return []engine.Step{{Name: "counts", Operator: op}, {Name: "judge", Operator: judge}}, err
}

func (b *archivedPlan) keyed(t engine.TaskContext) ([]engine.Step, error) {
	w := b.window
	w.Partition = t.Task.Partition.Number
	op, err := window.NewTumbling(&w, eventSchema)
	return b.judged(op, err)
}

func (b *archivedPlan) fold(engine.TaskContext) ([]engine.Step, error) {
	op, err := window.NewFold(&b.window, eventSchema)
	return []engine.Step{{Name: "counts", Operator: op}}, err
}

func (b *archivedPlan) merge(engine.TaskContext) ([]engine.Step, error) {
	op, err := window.NewMerge(&window.MergeConfig{Config: b.window, In: eventSchema})
	return b.judged(op, err)
}

func (b *archivedPlan) outputs(t engine.TaskContext, open ...func(engine.TaskContext) (engine.Output, error)) (all []engine.Output, err error) {
	for _, f := range open {
		o, err := f(t)
		if err != nil {
			return nil, err
		}
		if o.Sink != nil {
			all = append(all, o)
		}
	}
	return all, nil
}

func (b *archivedPlan) rows(t engine.TaskContext, versions bool) func(engine.TaskContext) (engine.Output, error) {
	phases := []stream.Phase{stream.Closed, stream.Revised, stream.Final, stream.Late}
	sink := rowSink{to: b.to, partition: t.Task.Partition.Number, versions: versions}
	return func(engine.TaskContext) (engine.Output, error) {
		return engine.Output{Name: "rows", Of: "counts", Phases: phases, Sink: sink}, nil
	}
}

func (b *archivedPlan) rollups(t engine.TaskContext) (engine.Output, error) {
	c := parquet.DefaultRollups()
	c.Objects, c.Pipeline, c.Output, c.Instance, c.Partition = b.life.Objects(), b.plan.Pipeline, "counts", b.plan.Instance, t.Task.Partition
	c.Slot, c.Lateness = time.Minute, lateness
	sink, err := parquet.NewRollups(c)
	schema := &stream.Schema{Fields: b.rollup.Fields[:len(b.window.By)+1]}
	return engine.Output{Name: "rollups", Of: "counts", Phases: []stream.Phase{stream.Closed, stream.Final}, Schema: schema, Sink: sink}, err
}

func (b *archivedPlan) controls(t engine.TaskContext) (engine.Output, error) {
	if !b.live {
		return engine.Output{}, nil
	}
	c := parquet.DefaultControls()
	c.Objects, c.Task, c.Slot = b.life.Objects(), t.Task, time.Minute
	sink, err := parquet.NewControls(c)
	return engine.Output{Name: "controls", Of: "source", Sink: sink}, err
}

// newTestRunner runs the plans over fakes.
func newTestRunner(source engine.Source, life *streamtest.Life, plans []*engine.Plan, changes ...func(c *engine.Config)) *engine.Runner {
	c := engine.Config{
		Source: source, Store: life.Claims(), Objects: life.Objects(), Clock: clock.System{},
		NewDeadLetters: func(engine.TaskContext) (engine.DeadLetters, error) { return life.DeadLetters(), nil },
		NewInternal:    func(t engine.TaskContext) (engine.LogWriter, error) { return life.Writer(t.Stage.Internal), nil },
		Log:            slog.New(slog.DiscardHandler), Tracer: noop.NewTracerProvider().Tracer(""), Observer: nobody{},
		DrainTimeout: time.Second, Retention: 2 * time.Second, WatchEvery: 300 * time.Millisecond,
	}
	for _, change := range changes {
		change(&c)
	}
	return engine.NewRunner(c, plans)
}

// seen is the decided rows that a plan has emitted, with what is known about them.
type seen struct {
	mu   sync.Mutex
	rows map[string]string
	ends map[string]stream.Time
}

func newSeen() *seen { return &seen{rows: map[string]string{}, ends: map[string]stream.Time{}} }

func (s *seen) end(row string) stream.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ends[row]
}

// rowSink notes rows.
type rowSink struct {
	to        *seen
	partition int32
	versions  bool // not of a second stage, whose versions count records of the internal topic
}

// Write implements stream.Sink.
func (s rowSink) Write(_ context.Context, b *stream.Batch) error {
	s.to.mu.Lock()
	defer s.to.mu.Unlock()
	for i := range b.Len() {
		if b.Phase == stream.Late {
			if key := b.Cols[0].Text(i); key != "pad" {
				s.to.rows[fmt.Sprintf("late %d/%d", s.partition, b.Offset[i])] = fmt.Sprint(b.Time[i], b.Mark[i], key)
			}
			continue
		}
		row := fmt.Sprintf("%v %v %v %d", b.Phase, b.Window.Start, b.Cols[0].Value(i), s.partition)
		text := fmt.Sprint(streamtest.Text(b, i), b.Slot[i], b.Provisional, b.Revision)
		if s.versions {
			text += fmt.Sprint(b.Version)
		}
		if old, ok := s.to.rows[row]; ok && old != text {
			text = old + " and " + text
		}
		s.to.rows[row], s.to.ends[row] = text, b.Window.End
	}
	return nil
}

// Stage implements stream.Sink: there is nothing to stage.
func (rowSink) Stage(stream.Epoch) stream.Work { return nil }

// Reveal implements stream.Sink; there is never a receipt.
func (rowSink) Reveal(context.Context, stream.Receipt) error { return nil }

// Close implements stream.Sink.
func (rowSink) Close() error { return nil }

// emptyReader reads a partition without records.
type emptyReader struct{}

func (emptyReader) Read(context.Context) (*stream.Input, error) { return nil, io.EOF }
func (emptyReader) Close() error                                { return nil }
