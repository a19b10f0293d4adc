package pipelines

import (
	"fmt"
	"strconv"
	"strings"
)

// Dot draws the plan of a spec in the language of Graphviz.
func Dot(s *Spec, c *Components) (string, error) {
	l, problems := lay(s, c)
	if len(problems) > 0 {
		return "", problems.err()
	}
	d := &drawing{}
	d.line("digraph %s {", strconv.Quote(s.Name.Value))
	d.line("  rankdir=LR; node [shape=box, fontname=\"sans-serif\"];")
	for _, t := range s.Source.Topics {
		d.node("topic "+t.Value, t.Value, "cylinder")
	}
	if l.own() {
		if err := d.plan(newBuilder(l, c)); err != nil {
			return "", err
		}
	}
	for _, p := range Archives([]*Spec{s}, c, CutSlot) {
		d.node("archive "+p.Pipeline, "parquet\nraw archive", "folder")
		d.edge("topic "+p.Stages[0].Topics[0], "archive "+p.Pipeline)
	}
	d.line("}")
	return d.String(), nil
}

type drawing struct{ strings.Builder }

func (d *drawing) line(format string, args ...any) { fmt.Fprintf(d, format+"\n", args...) }

func (d *drawing) node(id, label, shape string) {
	d.line("  %s [label=%s, shape=%s];", strconv.Quote(id), strconv.Quote(label), shape)
}

func (d *drawing) edge(from, to string) {
	d.line("  %s -> %s;", strconv.Quote(from), strconv.Quote(to))
}

func (d *drawing) plan(b *builder) error {
	p, err := b.plan()
	if err != nil {
		return err
	}
	var from []string
	for _, t := range p.Stages[0].Topics {
		from = append(from, "topic "+t)
	}
	for _, s := range p.Stages {
		lo, hi := stageSteps(b.l, s.Name)
		d.line("  subgraph %s { label=%s;", strconv.Quote("cluster_"+s.Name), strconv.Quote("stage "+s.Name))
		for i := lo; i < hi; i++ {
			step := &b.l.steps[i]
			d.node(stepID(s.Name, step.Name.Value), step.Name.Value+"\n"+string(step.Kind), "box")
		}
		d.line("  }")
		before := from
		for i := lo; i < hi; i++ {
			from = d.link(from, stepID(s.Name, b.l.steps[i].Name.Value))
		}
		d.outputs(b, s.Name, before)
		if s.Internal != "" {
			d.node("topic "+s.Internal, s.Internal, "cylinder")
			from = d.link(from, "topic "+s.Internal)
		}
	}
	return nil
}

func stepID(stage, step string) string { return stage + " " + step }

func (d *drawing) link(from []string, to string) []string {
	for _, f := range from {
		d.edge(f, to)
	}
	return []string{to}
}

func (d *drawing) outputs(b *builder, stage string, source []string) {
	for _, o := range b.l.outputs {
		if !b.belongs(o, stage) {
			continue
		}
		id := fmt.Sprintf("output %s %s", o.sink.Kind, o.of)
		d.node(id, string(o.sink.Kind)+"\n"+o.of.Value, "folder")
		if o.step < 0 {
			d.link(source, id)
			continue
		}
		d.edge(stepID(stage, b.stepOf(o)), id)
	}
	_, hi := stageSteps(b.l, stage)
	for i := range hi {
		if s := &b.l.steps[i]; s.Kind == AlertStep {
			d.node("alerts", "alerts\npostgres", "folder")
			d.edge(stepID(stage, s.Name.Value), "alerts")
		}
	}
}
