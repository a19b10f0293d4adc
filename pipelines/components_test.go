package pipelines_test

import (
	"github.com/tidewatch/tidewatch/internal/expression"
	"github.com/tidewatch/tidewatch/operators/aggregate"
	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/schemas"
	"github.com/tidewatch/tidewatch/stream"
)

func components() *pipelines.Components {
	return &pipelines.Components{
		Catalog: schemas.Builtin(), Formats: schemas.Formats(), Aggregates: aggregate.Names(),
		NewDecoder: schemas.NewDecoder,
		NewFilter:  func(*stream.Schema, string) (stream.Operator, error) { return nil, nil },
		ProjectSchema: func(in *stream.Schema, cols []pipelines.Column) (*stream.Schema, error) {
			s := &stream.Schema{}
			for _, c := range cols {
				p, err := expression.Compile(c.Expr, in)
				if err != nil {
					return nil, err
				}
				s.Fields = append(s.Fields, stream.Field{Name: c.Name, Kind: p.Kind()})
			}
			return s, nil
		},
		NewDedupe: func(*stream.Schema, pipelines.DedupeConfig) (stream.Operator, error) { return nil, nil },
		CheckAggregate: func(in *stream.Schema, call pipelines.Column) error {
			spec, err := aggregate.Parse(call.Expr)
			if err != nil {
				return err
			}
			spec.Name = call.Name
			_, err = aggregate.Compile([]aggregate.Spec{spec}, in)
			return err
		},
		RollupSchema: func(in *stream.Schema, c pipelines.WindowConfig) (*stream.Schema, error) {
			s := &stream.Schema{}
			for _, by := range c.By {
				s.Fields = append(s.Fields, in.Fields[in.Index(by)])
			}
			var specs []aggregate.Spec
			for _, a := range c.Aggregates {
				spec, err := aggregate.Parse(a.Expr)
				if err != nil {
					return nil, err
				}
				spec.Name = a.Name
				specs = append(specs, spec)
			}
			set, err := aggregate.Compile(specs, in)
			if err != nil {
				return nil, err
			}
			s.Fields = append(s.Fields, set.Results()...)
			return s, nil
		},
		PartialSchema: func(in *stream.Schema, c pipelines.WindowConfig) (*stream.Schema, error) {
			return &stream.Schema{}, nil
		},
		NewAlert: func(*stream.Schema, pipelines.RuleConfig) (stream.Operator, error) { return nil, nil },
	}
}
