package pipelines_test

import (
	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/operators/aggregate"
	"github.com/tidewatch/tidewatch/operators/dedupe"
	"github.com/tidewatch/tidewatch/operators/presence"
	"github.com/tidewatch/tidewatch/operators/shape"
	"github.com/tidewatch/tidewatch/operators/window"
	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/schemas"
	"github.com/tidewatch/tidewatch/stream"
)

// components are the shipped operators, without sinks: cases need none.
func components() *pipelines.Components {
	return &pipelines.Components{
		Catalog: schemas.Builtin(), Formats: schemas.Formats(), Aggregates: aggregate.Names(),
		NewDecoder: schemas.NewDecoder,
		NewFilter:  func(in *stream.Schema, expr string) (stream.Operator, error) { return shape.NewFilter(expr, in) },
		NewProject: func(in *stream.Schema, columns []pipelines.Column) (stream.Operator, error) {
			return shape.NewProject(shapeColumns(columns), in)
		},
		ProjectSchema: func(in *stream.Schema, columns []pipelines.Column) (*stream.Schema, error) {
			return shape.ProjectSchema(shapeColumns(columns), in)
		},
		NewDedupe: func(in *stream.Schema, c pipelines.DedupeConfig) (stream.Operator, error) {
			return dedupe.New(&dedupe.Config{By: c.By, Span: c.Within, Lateness: c.Lateness}, in)
		},
		CheckAggregate: checkAggregate,
		NewTumbling: func(in *stream.Schema, c pipelines.WindowConfig) (stream.Operator, error) {
			return withWindow(c, func(w *window.Config) (stream.Operator, error) { return window.NewTumbling(w, in) })
		},
		NewFold: func(in *stream.Schema, c pipelines.WindowConfig) (stream.Operator, error) {
			return withWindow(c, func(w *window.Config) (stream.Operator, error) { return window.NewFold(w, in) })
		},
		NewMerge: func(in *stream.Schema, c pipelines.WindowConfig) (stream.Operator, error) {
			return withWindow(c, func(w *window.Config) (stream.Operator, error) {
				return window.NewMerge(&window.MergeConfig{Config: *w, In: in})
			})
		},
		RollupSchema: func(in *stream.Schema, c pipelines.WindowConfig) (*stream.Schema, error) {
			return withWindow(c, func(w *window.Config) (*stream.Schema, error) { return window.RollupSchema(w, in) })
		},
		PartialSchema: func(in *stream.Schema, c pipelines.WindowConfig) (*stream.Schema, error) {
			return withWindow(c, func(w *window.Config) (*stream.Schema, error) { return window.PartialSchema(w, in) })
		},
		CellBytes: func(in *stream.Schema, c pipelines.WindowConfig) (int, error) {
			return withWindow(c, func(w *window.Config) (int, error) { return window.CellBytes(w, in) })
		},
		NewFirst: func(in *stream.Schema, c pipelines.FirstConfig) (stream.Operator, error) {
			cfg := presence.FirstConfig(c)
			return presence.NewFirst(&cfg, in)
		},
		NewAbsence: func(in *stream.Schema, c pipelines.AbsenceConfig) (stream.Operator, error) {
			cfg := presence.AbsenceConfig(c)
			return presence.NewAbsence(&cfg, in)
		},
		AbsenceSchema: func(in *stream.Schema, by []string) (*stream.Schema, error) {
			return presence.AbsenceSchema(by, in)
		},
		NewAlert:       newAlert,
		ReadTransition: readTransition,
	}
}

func newAlert(rollup *stream.Schema, r pipelines.RuleConfig) (stream.Operator, error) {
	rule := alerts.Rule{
		Name: r.Name, When: r.When, For: r.For, KeepFiringFor: r.KeepFiringFor, Severity: alerts.Severity(r.Severity),
		Labels: map[string]string{}, Summary: r.Summary,
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

func shapeColumns(columns []pipelines.Column) []shape.Column {
	out := make([]shape.Column, len(columns))
	for i, c := range columns {
		out[i] = shape.Column(c)
	}
	return out
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

// withWindow hands a window's configuration to a constructor.
func withWindow[T any](c pipelines.WindowConfig, build func(*window.Config) (T, error)) (none T, err error) {
	w := &window.Config{Size: c.Size, Every: c.Every, Lateness: c.Lateness, By: c.By, Together: c.Together, Evidence: c.Evidence, Partition: c.Partition}
	for _, a := range c.Aggregates {
		spec, err := aggregate.Parse(a.Expr)
		if err != nil {
			return none, err
		}
		spec.Name = a.Name
		w.Aggregates = append(w.Aggregates, spec)
	}
	return build(w)
}
