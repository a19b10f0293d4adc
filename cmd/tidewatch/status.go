package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/serve"
	"github.com/tidewatch/tidewatch/sinks/postgres"
	"github.com/tidewatch/tidewatch/stream"
)

// statusView shows the tasks of a runner as the API does. It implements serve.Status.
type statusView struct {
	worker string
	tasks  func() []engine.TaskStatus
	lineup func() *lineup
	claims *postgres.ClaimStore
	checks map[string]func(context.Context) error // by name of the dependency
	needs  *dependencies                          // what looks at them; nil if nobody does
}

// Pipelines implements serve.Status.
func (v *statusView) Pipelines() []*pipelines.Description { return v.lineup().described }

// Ledger implements serve.Status.
func (v *statusView) Ledger(ctx context.Context) ([]serve.LedgerRow, error) {
	return ledgerOf(ctx, v.claims)
}

// describe shows the pipelines of the files, and what runs beside them: archives and the commands of people.
func describe(specs []*pipelines.Spec, c *pipelines.Components, plans []*engine.Plan) ([]*pipelines.Description, error) {
	var all []*pipelines.Description
	for _, s := range specs {
		d, err := pipelines.Describe(s, c)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	for _, p := range plans {
		if !slices.ContainsFunc(all, func(d *pipelines.Description) bool { return d.Instance == p.Instance }) {
			all = append(all, describePlan(p))
		}
	}
	slices.SortFunc(all, func(x, y *pipelines.Description) int { return strings.Compare(x.Name, y.Name) })
	return all, nil
}

// describePlan describes a plan that comes from no file.
func describePlan(p *engine.Plan) *pipelines.Description {
	d := &pipelines.Description{Name: p.Pipeline, Instance: p.Instance, About: "Every record as it came, in Parquet.", Topics: p.Stages[0].Topics}
	output := pipelines.Node{ID: "archive " + p.Pipeline, Kind: "archive", Label: "raw archive", Stage: p.Stages[0].Name}
	if slices.Contains(d.Topics, alerts.CommandsTopic) {
		d.About = "Instructions of people, such as acknowledgements."
		output = pipelines.Node{ID: "alerts", Kind: "alerts", Label: "alerts", Stage: p.Stages[0].Name, Detail: "acknowledgements"}
	}
	for _, t := range d.Topics {
		d.Nodes = append(d.Nodes, pipelines.Node{ID: "topic " + t, Kind: "topic", Label: t})
		d.Edges = append(d.Edges, pipelines.Edge{From: "topic " + t, To: output.ID})
	}
	d.Nodes = append(d.Nodes, output)
	return d
}

// Status implements serve.Status.
func (v *statusView) Status() serve.StatusAnswer {
	a := serve.StatusAnswer{Worker: v.worker, Version: version, Dependencies: []serve.DependencyStatus{}, Pipelines: []serve.PipelineStatus{}}
	tasks := v.tasks()
	for _, p := range v.lineup().plans {
		a.Pipelines = append(a.Pipelines, pipelineStatus(p, tasks))
	}
	if v.needs != nil {
		a.Dependencies = v.needs.status()
	}
	slices.SortFunc(a.Pipelines, func(x, y serve.PipelineStatus) int { return strings.Compare(x.Name, y.Name) })
	return a
}

func pipelineStatus(p *engine.Plan, tasks []engine.TaskStatus) serve.PipelineStatus {
	s := serve.PipelineStatus{Name: p.Pipeline, Instance: p.Instance, Partitions: []serve.PartitionStatus{}}
	last := p.Stages[len(p.Stages)-1].Name
	complete := stream.MaxTime
	var sum stream.Ledger
	for i := range tasks {
		t := &tasks[i]
		if t.Task.Instance != p.Instance {
			continue
		}
		s.Partitions = append(s.Partitions, partitionStatus(t))
		if t.Task.Stage == last {
			complete = min(complete, t.Complete)
		}
		if t.Task.Stage == p.Stages[0].Name {
			sum.Add(&t.Ledger)
		}
		if t.At.Offset > 0 {
			off := t.At.Offset - t.First - t.Ledger.Sum()
			s.LedgerDiff += max(off, -off) // two of opposite signs are two defects
		}
	}
	s.CompleteThrough, s.Ledger = serve.InstantOf(complete), sum.Map()
	return s
}

func partitionStatus(t *engine.TaskStatus) serve.PartitionStatus {
	p := serve.PartitionStatus{
		Stage: t.Task.Stage, Topic: t.Task.Partition.Topic, Partition: t.Task.Partition.Number, State: t.State, Problem: t.Problem,
		Epoch: t.Epoch, Offset: t.At.Offset, LagSeconds: t.LagTime.Seconds(), Watermark: serve.InstantOf(t.Mark), Ledger: t.Ledger.Map(),
		StateBytes: t.StateBytes, Groups: t.Groups, Snapshot: t.Snapshot.At.Offset, SnapshotLen: t.Snapshot.Bytes, Outputs: t.Outputs,
		Parked: t.Parked, Gaps: t.Gaps.Map(&t.Ledger),
	}
	if t.Lag >= 0 {
		lag := t.Lag
		p.Lag = &lag
	}
	return p
}

// Ready implements serve.Status: every dependency answers, and no task has failed.
func (v *statusView) Ready(ctx context.Context) error {
	errs := []error{v.needs.ready()}
	if check := v.checks[contentOfRedis]; check != nil { // it costs nothing, and is known at once
		errs = append(errs, check(ctx))
	}
	for _, t := range v.tasks() {
		if t.State == "failed" {
			errs = append(errs, fmt.Errorf("%s has stopped: %s", t.Task, t.Problem))
		}
	}
	return errors.Join(errs...)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
