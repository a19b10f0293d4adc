package pipelines

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/stream"
)

// The names of stages. A pipeline that needs no re-keying has one, mainStage.
const (
	mainStage    = "main"
	foldStage    = "fold"
	mergeStage   = "merge"
	archiveStage = "archive"
)

// internalPartitions is the number of tasks of a second stage.
const internalPartitions = 4

// Compile turns a spec into the plan that the engine runs. The plan is nil if the pipeline has nothing of its own to run,
// because it only asks for the archive of its topics. A spec with mistakes is an error that names all of them.
func Compile(s *Spec, c *Components) (*engine.Plan, error) {
	l, problems := lay(s, c)
	if len(problems) > 0 {
		return nil, problems.err()
	}
	if !l.own() {
		return nil, nil
	}
	return newBuilder(l, c).plan()
}

// builder makes the stages of a plan.
type builder struct {
	l        *layout
	c        *Components
	instance string
	fields   []string         // that the decoder reads
	source   *stream.Schema   // of these fields
	ins      []*stream.Schema // of the rows that each step takes, and at the end of those that the last one emits
}

func newBuilder(l *layout, c *Components) *builder {
	return &builder{l: l, c: c, instance: l.instance(), fields: l.fields()}
}

func (b *builder) plan() (*engine.Plan, error) {
	if err := b.columns(); err != nil {
		return nil, fmt.Errorf("compile pipeline %s: %w", b.l.spec.Name, err)
	}
	p := &engine.Plan{Pipeline: b.l.spec.Name.Value, Instance: b.instance}
	if !b.l.rekeyed() {
		p.Stages = []*engine.Stage{b.stage(mainStage, 0, len(b.l.steps))}
	} else {
		fold, merge := b.stage(foldStage, 0, b.l.window+1), b.stage(mergeStage, b.l.window, len(b.l.steps))
		fold.Internal, fold.InternalPartitions = b.internalTopic(), internalPartitions
		partial, err := b.c.PartialSchema(b.ins[b.l.window], b.l.windowConfig())
		if err != nil {
			return nil, fmt.Errorf("compile pipeline %s: %w", b.l.spec.Name, err)
		}
		merge.Topics, merge.Partial, merge.NewDecoder = []string{fold.Internal}, partial, nil
		p.Stages = []*engine.Stage{fold, merge}
	}
	for _, s := range p.Stages {
		s.Plan = p
	}
	return p, nil
}

// internalTopic holds the partials of one instance: those of another version mean something else.
func (b *builder) internalTopic() string {
	return fmt.Sprintf("tidewatch.%s.%s.%s", b.l.spec.Name, foldStage, versionOf(b.instance))
}

// columns follows the columns that are really read from step to step.
func (b *builder) columns() error {
	in, err := b.l.def.Columns(b.fields)
	if err != nil {
		return err
	}
	b.source = in
	for i := range b.l.steps {
		s := &b.l.steps[i]
		b.ins = append(b.ins, in)
		switch s.Kind {
		case ProjectStep:
			in, err = b.c.ProjectSchema(in, columnsOf(s.Project))
		case WindowStep:
			in, err = b.c.RollupSchema(in, b.l.windowConfig())
		case AbsenceStep:
			in, err = b.c.AbsenceSchema(in, b.l.windowConfig().By)
		case FilterStep, DedupeStep, FirstStep, AlertStep:
		}
		if err != nil {
			return err
		}
	}
	b.ins = append(b.ins, in)
	return nil
}

// stage makes a stage of the steps from lo to hi.
func (b *builder) stage(name string, lo, hi int) *engine.Stage {
	s := &engine.Stage{Name: name, Topics: values(b.l.spec.Source.Topics), Time: b.l.time(), Interval: b.l.intervals()}
	if name == mainStage {
		s.Keyed = b.keyed()
	}
	if b.l.window >= 0 && name != foldStage {
		s.Window = b.l.window - lo + 1
	}
	s.NewDecoder = func() (stream.Decoder, error) { return b.c.NewDecoder(formatOf(b.l.spec), b.l.def, b.fields) }
	s.NewSteps = func(t engine.TaskContext) (steps []engine.Step, err error) {
		for i := lo; i < hi; i++ {
			op, err := b.operator(name, i, t.Task.Partition.Number)
			if err != nil {
				return nil, fmt.Errorf("build step %s: %w", b.l.steps[i].Name, err)
			}
			steps = append(steps, engine.Step{Name: b.l.steps[i].Name.Value, Operator: op})
		}
		return steps, nil
	}
	s.NewSinks = func(ctx context.Context, t engine.TaskContext) ([]engine.Output, error) {
		return b.sinks(ctx, name, t)
	}
	return s
}

// keyed is the first step that depends on what the source is keyed by; nil if there is none.
func (b *builder) keyed() *engine.Keyed {
	if len(b.l.spec.Source.KeyedBy) == 0 {
		return nil
	}
	for i := range b.l.steps {
		var by []string
		switch s := &b.l.steps[i]; s.Kind {
		case DedupeStep:
			by = values(s.Dedupe.By)
		case WindowStep:
			by = b.l.windowConfig().By
		case FilterStep, ProjectStep, FirstStep, AbsenceStep, AlertStep:
			continue
		}
		k := &engine.Keyed{Step: i}
		for _, name := range by {
			k.Columns = append(k.Columns, b.ins[i].Index(name))
		}
		return k
	}
	return nil
}

func (b *builder) operator(stage string, i int, partition int32) (stream.Operator, error) {
	s, in := &b.l.steps[i], b.ins[i]
	switch s.Kind {
	case FilterStep:
		return b.c.NewFilter(in, s.Filter.Value)
	case ProjectStep:
		return b.c.NewProject(in, columnsOf(s.Project))
	case DedupeStep:
		return b.c.NewDedupe(in, DedupeConfig{values(s.Dedupe.By), s.Dedupe.Within.Duration, b.l.time().Lateness})
	case FirstStep:
		return b.c.NewFirst(in, b.l.firstConfig(s.First))
	case AbsenceStep:
		return b.c.NewAbsence(in, b.l.absenceConfig(s.Absence))
	case AlertStep:
		return b.c.NewAlert(in, b.l.rule(s.Alert, b.instance))
	case WindowStep:
	}
	w := b.l.windowConfig()
	w.Partition = partition
	switch stage {
	case foldStage:
		return b.c.NewFold(in, w)
	case mergeStage:
		return b.c.NewMerge(in, w)
	}
	return b.c.NewTumbling(in, w)
}

// sinks opens the outputs of a stage. Rows of the window come from the last stage, its late events from the first.
func (b *builder) sinks(ctx context.Context, stage string, t engine.TaskContext) (outputs []engine.Output, err error) {
	for _, o := range b.l.outputs {
		if !b.belongs(o, stage) {
			continue
		}
		c := b.sinkConfig(o)
		if err := b.following(&c); err != nil {
			return nil, fmt.Errorf("open %s of %s: %w", o.sink.Kind, o.of, err)
		}
		sink, err := b.c.NewSink(ctx, c, t)
		if err != nil {
			for _, open := range outputs {
				err = firstError(err, open.Sink.Close())
			}
			return nil, fmt.Errorf("open %s of %s: %w", o.sink.Kind, o.of, err)
		}
		outputs = append(outputs, engine.Output{
			Name: string(o.sink.Kind) + "." + o.of.Value, Of: b.stepOf(o), Phases: c.Phases, Live: o.sink.Kind == RedisSink, Schema: c.Schema, Sink: sink,
		})
	}
	return outputs, nil
}

func firstError(err, other error) error {
	if err == nil {
		return other
	}
	return err
}

func (b *builder) stepOf(o laidOutput) string {
	if o.step < 0 {
		return sourceStep
	}
	return b.l.steps[o.step].Name.Value
}

func (b *builder) belongs(o laidOutput, stage string) bool {
	switch stage {
	case foldStage:
		return o.step < b.l.window || o.late
	case mergeStage:
		return o.step >= b.l.window && !o.late
	}
	return true
}

func (b *builder) sinkConfig(o laidOutput) SinkConfig {
	l := b.l
	c := SinkConfig{
		Kind: o.sink.Kind, Pipeline: l.spec.Name.Value, Instance: b.instance, Output: o.of.Value,
		Schema: b.schemaOf(o), Phases: l.phases(o), Keep: l.keep(o.sink), Topic: l.topicOf(o), Transaction: o.sink.Transaction.Value,
	}
	if o.step >= 0 && l.steps[o.step].Kind == WindowStep && !o.late {
		w := l.windowConfig()
		c.Window, c.Every, c.Lateness, c.Groups = w.Size, w.Every, w.Lateness, len(w.By)
		// What comes behind the aggregates is evidence for alerts.
		c.Schema = &stream.Schema{Fields: c.Schema.Fields[:len(w.By)+len(w.Aggregates)]}
	} else if l.isOfGroups(o) {
		c.Schema = shownColumns(c.Schema)
	} else if c.Schema == b.source {
		c.Event = l.def.String()
	}
	return c
}

func (b *builder) schemaOf(o laidOutput) *stream.Schema {
	switch {
	case o.step < 0:
		return b.source
	case o.late:
		return b.ins[o.step]
	}
	return b.ins[o.step+1]
}

// isOfGroups reports whether an output takes rows that a step has made of those of the window.
func (l *layout) isOfGroups(o laidOutput) bool {
	return o.step >= 0 && (l.steps[o.step].Kind == FirstStep || l.steps[o.step].Kind == AbsenceStep)
}

// shownColumns are the columns of such rows without the evidence, which is for alerts.
func shownColumns(s *stream.Schema) *stream.Schema {
	n := len(s.Fields)
	for n > 0 && strings.HasPrefix(s.Fields[n-1].Name, "_") {
		n--
	}
	return &stream.Schema{Fields: s.Fields[:n]}
}

// phases are those that make sense to a sink.
func (l *layout) phases(o laidOutput) []stream.Phase {
	switch {
	case o.late:
		return []stream.Phase{stream.Late}
	case l.isOfGroups(o):
		return []stream.Phase{stream.Closed, stream.Revised}
	case o.step < 0 || l.steps[o.step].Kind != WindowStep:
		return []stream.Phase{stream.Event}
	case o.sink.Kind == RedisSink:
		return []stream.Phase{stream.Live, stream.Closed, stream.Revised}
	case o.sink.Kind == ParquetSink: // of closed rows it takes those that an idle tick has closed
		return []stream.Phase{stream.Closed, stream.Final}
	}
	return []stream.Phase{stream.Closed, stream.Revised}
}

func (l *layout) keep(s *Sink) time.Duration {
	if s.Kind != RedisSink {
		return 0
	}
	return s.Keep.or(DefaultKeep)
}

// topicOf is where a kafka sink writes to.
func (l *layout) topicOf(o laidOutput) string {
	switch {
	case o.sink.Kind != KafkaSink:
		return ""
	case o.sink.Topic.IsSet():
		return o.sink.Topic.Value
	}
	return "tidewatch." + l.spec.Name.Value + "." + o.of.Value
}

func (l *layout) time() engine.Time {
	t := l.spec.Time
	return engine.Time{
		OutOfOrder: t.OutOfOrder.or(DefaultOutOfOrder), MaxJump: t.MaxJump.or(DefaultMaxJump),
		IdleAfter: t.IdleAfter.or(DefaultIdleAfter), Lateness: t.AllowedLateness.or(DefaultAllowedLateness),
	}
}

func (l *layout) intervals() engine.Intervals {
	i := l.spec.Interval
	epoch := DefaultEpoch
	if l.hasAlerts() || l.rekeyed() {
		epoch = DefaultShortEpoch
	}
	return engine.Intervals{Epoch: i.Epoch.or(epoch), Snapshot: i.Snapshot.or(DefaultSnapshot), Publish: i.Publish.or(DefaultPublish)}
}
