package pipelines

import (
	"fmt"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/stream"
)

// Explain describes the plan of a spec in words: its stages and topics, the fields it reads, keys and state, epochs,
// outputs, and what decides that a result is complete.
func Explain(s *Spec, c *Components) (string, error) {
	l, problems := lay(s, c)
	if len(problems) > 0 {
		return "", problems.err()
	}
	e := &explainer{l: l}
	e.line(0, "pipeline %s", s.Name)
	if s.About.Value != "" {
		e.line(1, "%s", s.About)
	}
	if l.own() {
		if err := e.plan(newBuilder(l, c)); err != nil {
			return "", err
		}
	}
	for _, p := range Archives([]*Spec{s}, c, CutSlot) {
		e.archive(p)
	}
	return e.String(), nil
}

// explainer writes indented lines.
type explainer struct {
	strings.Builder
	l *layout
}

func (e *explainer) line(depth int, format string, args ...any) {
	fmt.Fprintf(e, "%s%s\n", strings.Repeat("  ", depth), fmt.Sprintf(format, args...))
}

func (e *explainer) plan(b *builder) error {
	p, err := b.plan()
	if err != nil {
		return err
	}
	e.line(1, "instance %s", p.Instance)
	for _, s := range p.Stages {
		e.stage(b, s)
	}
	e.line(1, "complete: %s", e.completeness())
	return nil
}

func (e *explainer) stage(b *builder, s *engine.Stage) {
	e.line(1, "stage %s", s.Name)
	if s.Partial == nil {
		e.line(2, "reads     %s (%s, %s), a task a partition", strings.Join(s.Topics, ", "), e.l.def, formatOf(e.l.spec))
		e.line(2, "decodes   %s", listOr(b.fields, "only the time"))
		e.line(2, "watermark highest event time less %s; one record moves it by at most %s; %s", formatDuration(s.Time.OutOfOrder),
			formatDuration(s.Time.MaxJump), idleText(s.Time.IdleAfter))
	} else {
		e.line(2, "reads     %s, the partials of all source partitions", strings.Join(s.Topics, ", "))
		e.line(2, "watermark lowest of all source partitions")
	}
	lo, hi := stageSteps(e.l, s.Name)
	for j := lo; j < hi; j++ {
		e.step(b, s.Name, j)
	}
	if s.Internal != "" {
		by := values(e.window().By)
		if together := e.l.windowConfig().Together; together != nil {
			by = together
		}
		e.line(2, "writes    %s, %d partitions by hash of %s", s.Internal, s.InternalPartitions, listOr(by, "nothing"))
	}
	e.outputs(b, s.Name)
	e.line(2, "epochs    every %s, a snapshot every %s, open windows shown every %s", formatDuration(s.Interval.Epoch),
		formatDuration(s.Interval.Snapshot), formatDuration(s.Interval.Publish))
}

func (e *explainer) window() *Window { return e.l.steps[e.l.window].Window }

// stageSteps are the steps of a stage.
func stageSteps(l *layout, stage string) (lo, hi int) {
	switch stage {
	case foldStage:
		return 0, l.window + 1
	case mergeStage:
		return l.window, len(l.steps)
	}
	return 0, len(l.steps)
}

func listOr(list []string, none string) string {
	if len(list) == 0 {
		return none
	}
	return strings.Join(list, ", ")
}

func idleText(d time.Duration) string {
	if d == 0 {
		return "a silent partition holds it"
	}
	return "a partition silent for " + formatDuration(d) + " follows the clock"
}

func (e *explainer) step(b *builder, stage string, i int) {
	s := &e.l.steps[i]
	e.line(2, "step %s: %s", s.Name, e.stepText(s, stage))
	if bytes, per := e.state(b, stage, i); per != "" {
		e.line(3, "state about %d B %s", bytes, per)
	}
	if s.Kind == WindowStep && stage != mergeStage && s.Window.MaxGroups.IsSet() {
		e.line(3, "%s", e.budgetText(b))
	}
}

func (e *explainer) stepText(s *laidStep, stage string) string {
	switch s.Kind {
	case FilterStep:
		return "keeps events where " + s.Filter.Value
	case ProjectStep:
		return "computes " + computedText(s.Project)
	case DedupeStep:
		return fmt.Sprintf("drops repeats of %s within %s", strings.Join(values(s.Dedupe.By), ", "), formatDuration(s.Dedupe.Within.Duration))
	case FirstStep:
		text := "passes " + e.newText(s.First) + " that no window within " + formatDuration(s.First.Within.Duration) + " had"
		if s.First.Learn.Duration > 0 {
			text += "; learns for " + formatDuration(s.First.Learn.Duration) + " at first"
		}
		return text
	case AbsenceStep:
		return "tells which groups have no row any more, for " + formatDuration(s.Absence.Forget.Duration)
	case AlertStep:
		return alertText(s.Alert)
	case WindowStep:
	}
	w := s.Window
	if stage == mergeStage {
		return "adds the partials up: " + computedText(w.Aggregates)
	}
	lateness := formatDuration(e.l.time().Lateness)
	span := formatDuration(w.Step())
	if w.Hopping.IsSet() {
		span += ", of the last " + formatDuration(w.Size()) + ","
	}
	text := fmt.Sprintf("every %s by %s: %s; late events count for %s", span, listOr(values(w.By), "nothing"), computedText(w.Aggregates), lateness)
	if stage == foldStage {
		return "partials " + text
	}
	return text
}

// newText says what is looked for: "country of tenant, user".
func (e *explainer) newText(f *FirstSeen) string {
	text := strings.Join(values(f.Of), ", ")
	if owner := e.l.windowConfig().Together; len(owner) > 0 {
		text += " of " + strings.Join(owner, ", ")
	}
	return text
}

func computedText(list []Computed) string {
	parts := make([]string, len(list))
	for i, c := range list {
		parts[i] = c.Name.Value
		if c.Expr.Value != c.Name.Value {
			parts[i] += " = " + c.Expr.Value
		}
	}
	return strings.Join(parts, ", ")
}

func alertText(a *Alert) string {
	severity := DefaultSeverity
	if a.Severity.IsSet() {
		severity = a.Severity.Value
	}
	text := severity + " when " + a.When.Value
	if a.For.Duration > 0 {
		text += " for " + formatDuration(a.For.Duration)
	}
	if a.KeepFiringFor.Duration > 0 {
		text += ", resolved when that has not held for " + formatDuration(a.KeepFiringFor.Duration)
	}
	return text
}

// What the state of a key takes beside what the components say: the text of its columns, and the tables.
const (
	keyOverhead   = 40 // entry of the group table, hash index
	textBytes     = 16 // of one string column, dictionary shared
	alertBytes    = 64
	dedupeBytes   = 32 // a hash of the key, its time, and free places
	presenceBytes = 80 // table, times, evidence
	cellOverhead  = 16
	aggregateWord = 8
)

// state estimates the bytes that a step keeps, and for what.
func (e *explainer) state(b *builder, stage string, i int) (bytes int, per string) {
	s := &e.l.steps[i]
	switch s.Kind {
	case DedupeStep:
		return dedupeBytes, "a distinct " + strings.Join(values(s.Dedupe.By), ", ") + " in " + formatDuration(s.Dedupe.Within.Duration)
	case AlertStep:
		return alertBytes + textBytes*len(e.window().By), "a group whose condition holds"
	case WindowStep:
		w := e.window()
		cell := cellOverhead + e.cellBytes(b)
		if stage == mergeStage {
			return cell, "a group, open window and source partition"
		}
		return cell, fmt.Sprintf("a group and open window, and %d B a group", keyOverhead+textBytes*len(w.By))
	case FirstStep:
		return presenceBytes + textBytes*len(e.window().By), "a group in " + formatDuration(s.First.Within.Duration)
	case AbsenceStep:
		return presenceBytes + textBytes*len(e.window().By), "a group in " + formatDuration(s.Absence.Forget.Duration)
	case FilterStep, ProjectStep:
	}
	return 0, ""
}

// cellBytes is what the aggregates of a group take.
func (e *explainer) cellBytes(b *builder) int {
	w := e.l.windowConfig()
	n, err := b.c.cellBytes(b.ins[e.l.window], w)
	if err != nil {
		return aggregateWord * len(w.Aggregates)
	}
	return n
}

func (c *Components) cellBytes(in *stream.Schema, w WindowConfig) (int, error) {
	if c.CellBytes != nil {
		return c.CellBytes(in, w)
	}
	partial, err := c.PartialSchema(in, w)
	if err != nil {
		return 0, err
	}
	return aggregateWord * (len(partial.Fields) - len(w.By)), nil
}

func (e *explainer) outputs(b *builder, stage string) {
	for _, o := range e.l.outputs {
		if b.belongs(o, stage) {
			e.line(2, "output    %s of %s: %s", o.sink.Kind, o.of, e.outputText(o))
		}
	}
	if _, hi := stageSteps(e.l, stage); e.l.hasAlerts() && hi == len(e.l.steps) {
		e.line(2, "output    alerts: in the transaction that claims the epoch")
	}
}

func (e *explainer) outputText(o laidOutput) string {
	var phases []string
	for _, p := range e.l.phases(o) {
		phases = append(phases, p.String())
	}
	text := strings.Join(phases, ", ") + " rows"
	switch o.sink.Kind {
	case RedisSink:
		text += ", kept for " + formatDuration(e.l.keep(o.sink))
	case KafkaSink:
		text += " to " + e.l.topicOf(o)
		if o.sink.Transaction.Value {
			text += ", in a transaction after each epoch"
		}
	case ParquetSink:
		if len(phases) > 1 { // of a window
			text = "final rows; provisional ones apart"
		}
	case ConsoleSink:
	}
	return text
}

func (e *explainer) completeness() string {
	t := e.l.time()
	if e.l.window < 0 {
		return "up to the lowest watermark of all partitions"
	}
	text := "a window is final when the watermark of every partition has passed its end by " + formatDuration(t.Lateness)
	if e.l.rekeyed() {
		reason := "the source is not declared as keyed by fields of the group"
		if keys := e.l.spec.Source.KeyedBy; len(keys) > 0 {
			reason = "the source is keyed by " + strings.Join(values(keys), ", ") + ", which the groups do not contain"
		}
		return text + "; re-keyed, because " + reason
	}
	return text + "; not re-keyed, because the source is keyed by " + strings.Join(values(e.l.spec.Source.KeyedBy), ", ")
}

func (e *explainer) archive(p *engine.Plan) {
	s := p.Stages[0]
	e.line(1, "archive of %s, shared by all pipelines that ask for it", s.Topics[0])
	e.line(2, "instance  %s", p.Instance)
	e.line(2, "decodes   everything")
	e.line(2, "output    parquet: a file ends after %d records, %d MiB, or where the broker's time enters another %s", s.Cut.Records,
		s.Cut.Bytes>>20, formatDuration(s.Cut.Slot))
}
