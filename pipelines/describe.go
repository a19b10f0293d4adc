package pipelines

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/internal/expression"
)

// Description is a pipeline as pages and programs show it: what it reads, computes and writes, as data. Nothing changes it
// after Describe; any goroutine may read it.
type Description struct {
	Name, About, File, Text string // Text is the whole file
	Instance                string // "" if it only asks for the archive of its topics
	Topics                  []string
	Event                   string // name of the event type: "metric", "security"; "" where topics differ
	OutOfOrder, Lateness    time.Duration
	// Demands is what its filters before the window demand of string fields of the events, such as name and class: the values
	// that they may have.
	Demands map[string][]string
	Nodes   []Node // in the order of the rows' way
	Edges   []Edge
	Rules   []Rule
	Rollups []Rollup
}

// Node is a part of the plan.
type Node struct {
	ID, Kind, Label, Stage, Detail string // Kind: topic, step, output, alerts or archive
}

// Edge is the way of rows between nodes.
type Edge struct{ From, To string }

// Rule is an alert rule.
type Rule struct {
	Name, When         string
	For, KeepFiringFor time.Duration
	Severity, Summary  string
	Labels             map[string]string
}

// Rollup is a window whose rows go to Redis.
type Rollup struct {
	Output  string
	Window  time.Duration
	Every   time.Duration // from one window to the next
	Keep    time.Duration
	Groups  []string
	Columns []RollupColumn
}

// RollupColumn is a value of a rollup: Function(Of), in Unit, which is UCUM, or "" if it is none or unknown. Always says that Of
// is never null.
type RollupColumn struct {
	Name, Function, Of string
	Unit               string
	Always             bool
}

// FormatDuration is the shortest form that ParseDuration reads back: 90s is 1m30s, 48h is 2d.
func FormatDuration(d time.Duration) string { return formatDuration(d) }

// Describe shows what a checked spec is.
func Describe(s *Spec, c *Components) (*Description, error) {
	l, problems := lay(s, c)
	if len(problems) > 0 {
		return nil, problems.err()
	}
	d := &describer{e: &explainer{l: l}, out: &Description{
		Name: s.Name.Value, About: s.About.Value, File: s.File, Text: strings.Join(s.src.lines, "\n"), Topics: values(s.Source.Topics),
		Demands: map[string][]string{},
	}}
	if l.def != nil {
		d.out.Event = l.def.Name
	}
	t := l.time()
	d.out.OutOfOrder, d.out.Lateness = t.OutOfOrder, t.Lateness
	for _, topic := range d.out.Topics {
		d.node(Node{ID: "topic " + topic, Kind: "topic", Label: topic})
	}
	if l.own() {
		if err := d.plan(newBuilder(l, c)); err != nil {
			return nil, err
		}
	}
	for _, p := range Archives([]*Spec{s}, c, CutSlot) {
		d.node(Node{ID: "archive " + p.Pipeline, Kind: "archive", Label: "raw archive", Detail: "every record of " + p.Stages[0].Topics[0] + " as Parquet"})
		d.edge("topic "+p.Stages[0].Topics[0], "archive "+p.Pipeline)
	}
	d.demands()
	d.rules()
	d.rollups()
	return d.out, nil
}

// describer fills a description.
type describer struct {
	e   *explainer
	out *Description
}

func (d *describer) node(n Node) {
	if !slices.ContainsFunc(d.out.Nodes, func(m Node) bool { return m.ID == n.ID }) {
		d.out.Nodes = append(d.out.Nodes, n)
	}
}

func (d *describer) edge(from, to string) { d.out.Edges = append(d.out.Edges, Edge{from, to}) }

func (d *describer) plan(b *builder) error {
	p, err := b.plan()
	if err != nil {
		return err
	}
	d.out.Instance = p.Instance
	var from []string
	for _, t := range d.out.Topics {
		from = append(from, "topic "+t)
	}
	for _, s := range p.Stages {
		from = d.stage(b, s, from)
	}
	return nil
}

// stage adds a stage and returns what the next one reads.
func (d *describer) stage(b *builder, s *engine.Stage, from []string) []string {
	before := from
	lo, hi := stageSteps(b.l, s.Name)
	for i := lo; i < hi; i++ {
		step := &b.l.steps[i]
		id := stepID(s.Name, step.Name.Value)
		d.node(Node{ID: id, Kind: "step", Label: step.Name.Value, Stage: s.Name, Detail: d.e.stepText(step, s.Name)})
		for _, f := range from {
			d.edge(f, id)
		}
		from = []string{id}
	}
	d.outputs(b, s.Name, before)
	if s.Internal == "" {
		return from
	}
	id := "topic " + s.Internal
	d.node(Node{ID: id, Kind: "topic", Label: s.Internal, Detail: fmt.Sprintf("%d partitions by group", s.InternalPartitions)})
	for _, f := range from {
		d.edge(f, id)
	}
	return []string{id}
}

func (d *describer) outputs(b *builder, stage string, source []string) {
	for _, o := range b.l.outputs {
		if !b.belongs(o, stage) {
			continue
		}
		id := fmt.Sprintf("output %s %s", o.sink.Kind, o.of)
		d.node(Node{ID: id, Kind: "output", Label: string(o.sink.Kind), Stage: stage, Detail: o.of.Value + ": " + d.e.outputText(o)})
		if o.step >= 0 {
			source = []string{stepID(stage, b.stepOf(o))}
		}
		for _, f := range source {
			d.edge(f, id)
		}
	}
	lo, hi := stageSteps(b.l, stage)
	for i := lo; i < hi; i++ {
		if s := &b.l.steps[i]; s.Kind == AlertStep {
			d.node(Node{ID: "alerts", Kind: "alerts", Label: "alerts", Stage: stage, Detail: "in the transaction that claims the epoch"})
			d.edge(stepID(stage, s.Name.Value), "alerts")
		}
	}
}

// demands reads the filters up to the first step that computes other columns.
func (d *describer) demands() {
	for i := range d.e.l.steps {
		s := &d.e.l.steps[i]
		if s.Kind == ProjectStep || s.Kind == WindowStep {
			return
		}
		if s.Kind == FilterStep {
			maps.Copy(d.out.Demands, expression.Equalities(s.Filter.Value))
		}
	}
}

func (d *describer) rules() {
	for i := range d.e.l.steps {
		s := &d.e.l.steps[i]
		if s.Kind != AlertStep {
			continue
		}
		a := s.Alert
		r := Rule{
			Name: a.Name.Value, When: a.When.Value, For: a.For.Duration, KeepFiringFor: a.KeepFiringFor.Duration, Severity: a.Severity.Value,
			Summary: a.Summary.Value, Labels: map[string]string{},
		}
		for _, l := range a.Labels {
			r.Labels[l.Name.Value] = l.Expr.Value
		}
		d.out.Rules = append(d.out.Rules, r)
	}
}

func (d *describer) rollups() {
	l := d.e.l
	for _, o := range l.outputs {
		if o.sink.Kind != RedisSink || o.step != l.window || l.window < 0 || o.late {
			continue
		}
		step := &l.steps[l.window]
		w := step.Window
		r := Rollup{Output: step.Name.Value, Window: w.Size(), Every: w.Step(), Keep: l.keep(o.sink), Groups: values(w.By)}
		for _, a := range w.Aggregates {
			function, _, _ := strings.Cut(a.Expr.Value, "(")
			function = strings.TrimSpace(function)
			of := argumentOf(a.Expr.Value)
			r.Columns = append(r.Columns, RollupColumn{a.Name.Value, function, of, d.unitOf(step, a.Name.Value, function, of), d.always(step, of)})
		}
		d.out.Rollups = append(d.out.Rollups, r)
	}
}

// always reports whether the column is an unchanged copy of a required field.
func (d *describer) always(s *laidStep, column string) bool {
	field := s.from[column]
	if field == "" || d.e.l.def == nil {
		return false
	}
	f, ok := d.e.l.def.Field(field)
	return ok && f.Required
}
