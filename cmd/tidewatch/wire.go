package main

import (
	"context"
	"fmt"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/operators/aggregate"
	"github.com/tidewatch/tidewatch/operators/dedupe"
	"github.com/tidewatch/tidewatch/operators/presence"
	"github.com/tidewatch/tidewatch/operators/shape"
	"github.com/tidewatch/tidewatch/operators/window"
	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/schemas"
	"github.com/tidewatch/tidewatch/sinks/console"
	sinkkafka "github.com/tidewatch/tidewatch/sinks/kafka"
	"github.com/tidewatch/tidewatch/sinks/parquet"
	"github.com/tidewatch/tidewatch/sinks/redis"
	"github.com/tidewatch/tidewatch/stream"
)

// stores are the open connections that sinks write to. Fields are nil where a command needs none.
type stores struct {
	redis   *redis.Client
	objects stream.Objects
	kafka   *sinkkafka.Client
	group   string // of the deployment, for outputs in transactions; "" if a command writes beside the workers, and at least once
	console *console.Printer
	refill  *refiller // is told of sinks that are opened
}

// components is the table of everything that a pipeline can be made of: the only place that knows all packages.
func components(s stores) *pipelines.Components {
	return &pipelines.Components{
		Catalog: schemas.Builtin(), Formats: schemas.Formats(), Aggregates: aggregate.Names(),
		NewDecoder: schemas.NewDecoder,
		NewFilter:  func(in *stream.Schema, e string) (stream.Operator, error) { return shape.NewFilter(e, in) },
		NewProject: func(in *stream.Schema, c []pipelines.Column) (stream.Operator, error) {
			return shape.NewProject(fieldsOf(c), in)
		},
		ProjectSchema:  projectSchema,
		NewDedupe:      newDedupe,
		CheckAggregate: checkAggregate,
		NewTumbling:    newTumbling,
		NewFold:        newFold,
		NewMerge:       newMerge,
		RollupSchema: func(in *stream.Schema, c pipelines.WindowConfig) (*stream.Schema, error) {
			return withWindow(c, in, window.RollupSchema)
		},
		PartialSchema: func(in *stream.Schema, c pipelines.WindowConfig) (*stream.Schema, error) {
			return withWindow(c, in, window.PartialSchema)
		},
		CellBytes: func(in *stream.Schema, c pipelines.WindowConfig) (int, error) {
			return withWindow(c, in, window.CellBytes)
		},
		NewFirst:   newFirst,
		NewAbsence: newAbsence,
		AbsenceSchema: func(in *stream.Schema, by []string) (*stream.Schema, error) {
			return presence.AbsenceSchema(by, in)
		},
		NewAlert:       newAlert,
		ReadTransition: readTransition,
		NewSink:        s.newSink,
	}
}

func fieldsOf(columns []pipelines.Column) []shape.Column {
	fields := make([]shape.Column, len(columns))
	for i, c := range columns {
		fields[i] = shape.Column{Name: c.Name, Expr: c.Expr}
	}
	return fields
}

func projectSchema(in *stream.Schema, c []pipelines.Column) (*stream.Schema, error) {
	return shape.ProjectSchema(fieldsOf(c), in)
}

func newDedupe(in *stream.Schema, c pipelines.DedupeConfig) (stream.Operator, error) {
	return dedupe.New(&dedupe.Config{By: c.By, Span: c.Within, Lateness: c.Lateness}, in)
}

func checkAggregate(in *stream.Schema, a pipelines.Column) error {
	spec, err := aggregate.Parse(a.Expr)
	if err != nil {
		return err
	}
	spec.Name = a.Name
	_, err = aggregate.Compile([]aggregate.Spec{spec}, in)
	return err
}

// windowConfig is what the window package calls a window.
func windowConfig(c pipelines.WindowConfig) (*window.Config, error) {
	w := &window.Config{Size: c.Size, Every: c.Every, Lateness: c.Lateness, By: c.By, Together: c.Together, MaxGroups: c.MaxGroups, Evidence: c.Evidence, Partition: c.Partition}
	for _, a := range c.Aggregates {
		spec, err := aggregate.Parse(a.Expr)
		if err != nil {
			return nil, err
		}
		spec.Name = a.Name
		w.Aggregates = append(w.Aggregates, spec)
	}
	return w, nil
}

func withWindow[T any](c pipelines.WindowConfig, in *stream.Schema, build func(*window.Config, *stream.Schema) (T, error)) (T, error) {
	w, err := windowConfig(c)
	if err != nil {
		var none T
		return none, err
	}
	return build(w, in)
}

func newTumbling(in *stream.Schema, c pipelines.WindowConfig) (stream.Operator, error) {
	return disturbedWindow(withWindow(c, in, window.NewTumbling))
}

func newFold(in *stream.Schema, c pipelines.WindowConfig) (stream.Operator, error) {
	return disturbedWindow(withWindow(c, in, window.NewFold))
}

func newMerge(in *stream.Schema, c pipelines.WindowConfig) (stream.Operator, error) {
	return withWindow(c, in, func(w *window.Config, in *stream.Schema) (*window.Merge, error) {
		return window.NewMerge(&window.MergeConfig{Config: *w, In: in})
	})
}

func newFirst(in *stream.Schema, c pipelines.FirstConfig) (stream.Operator, error) {
	cfg := presence.FirstConfig(c)
	return presence.NewFirst(&cfg, in)
}

func newAbsence(in *stream.Schema, c pipelines.AbsenceConfig) (stream.Operator, error) {
	cfg := presence.AbsenceConfig(c)
	return presence.NewAbsence(&cfg, in)
}

func newAlert(rollup *stream.Schema, r pipelines.RuleConfig) (stream.Operator, error) {
	rule := alerts.Rule{
		Name: r.Name, When: r.When, For: r.For, KeepFiringFor: r.KeepFiringFor, Severity: alerts.Severity(r.Severity), Summary: r.Summary,
		Labels: map[string]string{},
	}
	for _, l := range r.Labels {
		rule.Labels[l.Name] = l.Expr
	}
	return alerts.NewOperator(alerts.OperatorConfig{
		Rule: rule, Pipeline: r.Pipeline, Version: r.Version, Topic: r.Topic, GroupColumns: r.Groups, WindowSize: r.Window,
	}, rollup)
}

func readTransition(body []byte) (pipelines.Transition, error) {
	t, err := alerts.Decode(body)
	if err != nil {
		return pipelines.Transition{}, err
	}
	return pipelines.Transition{
		Name: t.Alert.Name, Severity: string(t.Alert.Severity), Summary: t.Alert.Summary, Labels: t.Alert.Labels,
		From: string(t.From), To: string(t.To), At: t.At, Revised: t.IsRevision(), Notifies: t.Notifies(),
	}, nil
}

// newSink opens one output of one task.
func (s stores) newSink(_ context.Context, c pipelines.SinkConfig, t engine.TaskContext) (stream.Sink, error) {
	s.refill.opened(c, t)
	sink, err := s.openSink(c, t)
	return disturbedSink(string(c.Kind), sink, err)
}

func (s stores) openSink(c pipelines.SinkConfig, t engine.TaskContext) (stream.Sink, error) {
	switch {
	case c.Kind == pipelines.RedisSink:
		return s.redis.NewSink(redisSink(c, t))
	case c.Kind == pipelines.ParquetSink && c.Raw:
		return parquet.NewRaw(parquet.RawConfig{Objects: s.objects, Partition: t.Task.Partition})
	case c.Kind == pipelines.ParquetSink:
		r := parquet.DefaultRollups()
		r.Objects, r.Pipeline, r.Output, r.Instance = s.objects, c.Pipeline, c.Output, c.Instance
		r.Partition, r.Lateness = t.Task.Partition, c.Lateness
		return parquet.NewRollups(r)
	case c.Kind == pipelines.KafkaSink && c.Transaction && s.group != "":
		return s.kafka.NewTransactionSink(sinkkafka.TransactionConfig{
			Task: t.Task, Topic: c.Topic, Output: c.Output, Group: s.group, Objects: s.objects,
		}), nil
	case c.Kind == pipelines.KafkaSink:
		sink := s.kafka.NewSink(t.Task, c.Topic)
		sink.ParkWith(string(c.Kind)+"."+c.Output, t.Park)
		return sink, nil
	case c.Kind == pipelines.ConsoleSink:
		return s.console.NewSink(c.Pipeline, c.Output), nil
	}
	return nil, fmt.Errorf("open output %s: there is no sink called %s", c.Output, c.Kind)
}

// redisSink describes the Redis sink of a task.
func redisSink(c pipelines.SinkConfig, t engine.TaskContext) redis.SinkConfig {
	return redis.SinkConfig{
		Task: t.Task, Partitions: t.Partitions, Generation: t.Generation, Output: *redisOutputOf(&c), Park: t.Park, Name: string(c.Kind) + "." + c.Output,
	}
}

func redisOutputOf(c *pipelines.SinkConfig) *redis.Output {
	if c == nil {
		return nil
	}
	return &redis.Output{
		Pipeline: c.Pipeline, Name: c.Output, Instance: c.Instance, Columns: redis.ColumnsOf(c.Schema), Groups: c.Groups,
		Window: c.Window, Every: c.Every, Keep: c.Keep, Since: max(c.Since, 0), Before: redisOutputOf(c.Before),
	}
}
