package main

import (
	"context"
	"embed"
	"errors"
	"fmt"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/schemas"
	"github.com/tidewatch/tidewatch/sinks/parquet"
	"github.com/tidewatch/tidewatch/stream"
)

//go:embed pipelines/*.yaml
var files embed.FS

// load reads a pipeline of this package.
func load(name string, c *pipelines.Components) (*pipelines.Spec, error) {
	text, err := files.ReadFile("pipelines/" + name)
	if err != nil {
		return nil, err
	}
	specs, err := pipelines.LoadText(c, name, string(text))
	if err != nil {
		return nil, err
	}
	if len(specs) != 1 {
		return nil, fmt.Errorf("load %s: it holds %d pipelines, want one", name, len(specs))
	}
	return specs[0], nil
}

// compile makes the plan of a pipeline as the product would, with its defaults.
func compile(name string, objects stream.Objects) (*engine.Plan, error) {
	c := components(objects)
	spec, err := load(name, c)
	if err != nil {
		return nil, err
	}
	return pipelines.Compile(spec, c)
}

// archive makes the plan of the raw archive that the pipeline asks for.
func archive(name string, objects stream.Objects) (*engine.Plan, error) {
	c := components(objects)
	spec, err := load(name, c)
	if err != nil {
		return nil, err
	}
	plans := pipelines.Archives([]*pipelines.Spec{spec}, c, pipelines.CutSlot)
	if len(plans) != 1 {
		return nil, fmt.Errorf("load %s: it asks for %d archives, want one", name, len(plans))
	}
	return plans[0], nil
}

// components are the schemas, decoders and Parquet sinks of the product. Its window is replaced by one that only counts and adds
// up: what is measured here is what snapshots and files cost the stores, and not what is in them.
func components(objects stream.Objects) *pipelines.Components {
	window := func(in *stream.Schema, c pipelines.WindowConfig) (stream.Operator, error) { return newTally(in, &c) }
	rows := func(in *stream.Schema, c pipelines.WindowConfig) (*stream.Schema, error) { return tallySchema(in, &c) }
	return &pipelines.Components{
		Catalog: schemas.Builtin(), Formats: schemas.Formats(), Aggregates: []string{"count", "sum"}, NewDecoder: schemas.NewDecoder,
		CheckAggregate: func(*stream.Schema, pipelines.Column) error { return nil },
		NewTumbling:    window, NewFold: window, NewMerge: window, RollupSchema: rows, PartialSchema: rows,
		NewSink: func(_ context.Context, c pipelines.SinkConfig, t engine.TaskContext) (stream.Sink, error) {
			return newSink(objects, &c, t)
		},
	}
}

// newSink opens the Parquet sinks as the product does.
func newSink(objects stream.Objects, c *pipelines.SinkConfig, t engine.TaskContext) (stream.Sink, error) {
	switch {
	case c.Kind != pipelines.ParquetSink:
		return nil, fmt.Errorf("open output %s: this fleet has no %s", c.Output, c.Kind)
	case objects == nil:
		return nil, errors.New("open output " + c.Output + ": there is no object store")
	case c.Raw:
		return parquet.NewRaw(parquet.RawConfig{Objects: objects, Partition: t.Task.Partition})
	}
	r := parquet.DefaultRollups()
	r.Objects, r.Pipeline, r.Output, r.Instance = objects, c.Pipeline, c.Output, c.Instance
	r.Partition, r.Lateness = t.Task.Partition, c.Lateness
	return parquet.NewRollups(r)
}
