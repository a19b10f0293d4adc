package pipelines

import (
	"slices"
	"strings"

	"github.com/tidewatch/tidewatch/schemas"
	"github.com/tidewatch/tidewatch/stream"
)

// sourceStep names the decoded events wherever a step is named.
const sourceStep = "source"

// lateSuffix names the events that a window refuses: STEP.late.
const lateSuffix = ".late"

// layout is what a spec means: its columns from step to step, and where its rows go.
type layout struct {
	spec    *Spec
	def     *schemas.Definition // nil where topics with different schemas are only archived
	columns *stream.Schema      // of the source; nil if unknown
	steps   []laidStep
	window  int // index of the window step, -1 if there is none
	keyed   bool
	outputs []laidOutput
	archive bool // the parquet sink takes the source
}

// laidStep is a step with its columns. A schema is nil if an earlier mistake hides it.
type laidStep struct {
	*Step
	in, out *stream.Schema
	// from and origin tell which source field each column of in and out is an unchanged copy of.
	from, origin map[string]string
}

// laidOutput is a sink and one step whose rows it takes.
type laidOutput struct {
	sink *Sink
	of   Text
	step int // -1 is the source
	late bool
}

func (l *layout) stepIndex(name string) (index int, late, ok bool) {
	if name == sourceStep {
		return -1, false, true
	}
	base, late := strings.CutSuffix(name, lateSuffix)
	for i, s := range l.steps {
		if s.Name.Value == base {
			return i, late, true
		}
	}
	return 0, false, false
}

// own reports whether the pipeline has tasks of its own, not only the archive of its topics.
func (l *layout) own() bool { return len(l.outputs) > 0 || l.hasAlerts() }

func (l *layout) hasAlerts() bool {
	return slices.ContainsFunc(l.steps, func(s laidStep) bool { return s.Kind == AlertStep })
}

// rekeyed reports whether the window needs a second stage.
func (l *layout) rekeyed() bool { return l.window >= 0 && !l.keyed }

// windowConfig is the window as its operators want it.
func (l *layout) windowConfig() WindowConfig {
	w := l.steps[l.window].Window
	c := WindowConfig{Size: w.Size(), Every: w.Step(), Lateness: l.spec.Time.AllowedLateness.or(DefaultAllowedLateness), By: values(w.By)}
	c.MaxGroups = int(w.MaxGroups.Value)
	c.Aggregates, c.Evidence = columnsOf(w.Aggregates), l.hasAlerts()
	if i := l.first(); i >= 0 {
		c.Together = []string{}
		for _, name := range c.By {
			if !hasText(l.steps[i].First.Of, name) {
				c.Together = append(c.Together, name)
			}
		}
	}
	return c
}

// first is the index of the first_seen, -1 if there is none.
func (l *layout) first() int {
	return slices.IndexFunc(l.steps, func(s laidStep) bool { return s.Kind == FirstStep && s.First != nil })
}

// firstConfig is a first_seen as its operator wants it.
func (l *layout) firstConfig(f *FirstSeen) FirstConfig {
	return FirstConfig{By: values(l.steps[l.window].Window.By), Of: values(f.Of), Within: f.Within.Duration, Learn: f.Learn.Duration, Lateness: l.time().Lateness}
}

// absenceConfig is an absence as its operator wants it.
func (l *layout) absenceConfig(a *Absence) AbsenceConfig {
	w := l.steps[l.window].Window
	return AbsenceConfig{By: values(w.By), Every: w.Step(), Forget: a.Forget.Duration}
}

// windowed reports whether the rows of a step belong to windows.
func (l *layout) windowed(step int, late bool) bool {
	if step < 0 || late || l.window < 0 {
		return false
	}
	kind := l.steps[step].Kind
	return kind == WindowStep || kind == FirstStep || kind == AbsenceStep
}

// columnsOf are computed columns as operators want them.
func columnsOf(list []Computed) []Column {
	out := make([]Column, len(list))
	for i, c := range list {
		out[i] = Column{c.Name.Value, c.Expr.Value}
	}
	return out
}

func values(list []Text) []string {
	out := make([]string, len(list))
	for i, t := range list {
		out[i] = t.Value
	}
	return out
}

// fields lists the fields of the source that the pipeline reads: those of the definition in its order, then attributes.
// The decoder looks for no other.
func (l *layout) fields() []string {
	need := map[string]bool{}
	everything := l.shows(-1)
	for i := len(l.steps) - 1; i >= 0; i-- {
		s := &l.steps[i]
		if s.Kind == ProjectStep { // what comes after reads its columns
			need, everything = map[string]bool{}, l.shows(-1)
		}
		everything = everything || l.shows(i)
		for _, name := range s.reads() {
			need[name] = true
		}
	}
	return l.ordered(need, everything)
}

// shows reports whether an output takes all columns of the rows that the step takes; -1 is the source itself.
func (l *layout) shows(step int) bool {
	return slices.ContainsFunc(l.outputs, func(o laidOutput) bool {
		return o.step == step && (o.late || step < 0 || l.steps[step].passes())
	})
}

// passes reports whether the rows of the step have all columns of the rows it takes.
func (s *laidStep) passes() bool { return s.Kind == FilterStep || s.Kind == DedupeStep }

func (l *layout) ordered(need map[string]bool, everything bool) (fields []string) {
	for _, name := range l.def.Names() {
		if everything || need[name] {
			fields = append(fields, name)
		}
		delete(need, name)
	}
	var attributes []string
	for name := range need {
		attributes = append(attributes, name)
	}
	slices.Sort(attributes)
	return append(fields, attributes...)
}

// reads lists the columns that the step names, of the rows it takes.
func (s *laidStep) reads() (names []string) {
	switch s.Kind {
	case FilterStep:
		return namesIn(s.Filter.Value)
	case ProjectStep:
		for _, c := range s.Project {
			names = append(names, namesIn(c.Expr.Value)...)
		}
	case WindowStep:
		names = values(s.Window.By)
		for _, a := range s.Window.Aggregates {
			if argument := argumentOf(a.Expr.Value); argument != "" {
				names = append(names, argument)
			}
		}
	case DedupeStep:
		return values(s.Dedupe.By)
	case FirstStep, AbsenceStep, AlertStep: // read the rollup
	}
	return names
}

// argumentOf is the column to which a call is applied, "" if there is none.
func argumentOf(call string) string {
	_, rest, ok := strings.Cut(call, "(")
	if !ok {
		return ""
	}
	rest, _, _ = strings.Cut(rest, ")")
	rest, _, _ = strings.Cut(rest, ",") // a limit may follow
	return strings.TrimSpace(rest)
}
