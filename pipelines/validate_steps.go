package pipelines

import (
	"slices"
	"strings"

	"github.com/tidewatch/tidewatch/stream"
)

// flow follows the columns from step to step.
func (k *checker) flow() {
	var in *stream.Schema
	origin := map[string]string{}
	if k.l.def != nil {
		if in = k.fullColumns(); in != nil {
			for _, f := range in.Fields {
				origin[f.Name] = f.Name
			}
		}
		k.l.columns = in
	}
	for i := range k.l.steps {
		s := &k.l.steps[i]
		s.in, s.from, s.out, s.origin = in, origin, in, origin
		k.place(i)
		switch s.Kind {
		case FilterStep:
			k.filter(s)
		case ProjectStep:
			k.projectStep(s)
		case WindowStep:
			k.windowStep(s)
		case DedupeStep:
			k.dedupeStep(s)
		case FirstStep, AbsenceStep:
			k.groupStep(s)
		case AlertStep:
			k.alertStep(s)
		}
		in, origin = s.out, s.origin
	}
}

// place checks what may come before what.
func (k *checker) place(i int) {
	s := k.l.steps[i]
	switch {
	case s.Kind == AlertStep && (k.l.window < 0 || k.l.window > i):
		k.report(s.At, 5, "an alert judges the rows of a window: put a `window` before it")
	case s.Kind.followsWindow() && (k.l.window < 0 || k.l.window > i):
		k.report(s.At, len(s.Kind), "%s", needsWindow(s.Kind))
	case !s.Kind.followsWindow() && s.Kind != WindowStep && k.l.window >= 0 && k.l.window < i:
		hint := ""
		if s.Kind == FilterStep {
			hint = ", or the condition into `when` of an alert"
		}
		k.report(s.At, len(s.Kind), "after a window only `first_seen`, `absence` and alerts can follow: put the %s before it%s", s.Kind, hint)
	case s.Kind == FirstStep || s.Kind == AbsenceStep:
		k.onlyOne(i)
	}
}

// needsWindow says what a step does that stands before the window. Events of a group may be in any partition, its rows are in
// one task.
func needsWindow(kind StepKind) string {
	if kind == FirstStep {
		return "`first_seen` passes rows of a window whose groups are new: put a `window` before it, whose `by` names what has to be new"
	}
	return "`absence` tells which groups of a window have no row any more: put a `window` before it, whose `by` names who is missed"
}

// onlyOne refuses a second step that turns the rows of the window into others.
func (k *checker) onlyOne(i int) {
	s := k.l.steps[i]
	for _, other := range k.l.steps[:i] {
		if other.Kind == FirstStep || other.Kind == AbsenceStep {
			k.report(s.At, len(s.Kind), "there is a `%s` already, in line %d: write a pipeline for each", other.Kind, other.At.Line)
			return
		}
	}
}

// ownFields checks what a first_seen looks at: fields of the group.
func (k *checker) ownFields(f *FirstSeen, w *Window) bool {
	good := len(f.Of) > 0
	for _, of := range f.Of {
		if !hasText(w.By, of.Value) {
			k.complain(of, "`%s` is no field of the window's `by`%s", of, suggestion(of.Value, values(w.By)))
			good = false
		}
	}
	return good
}

// firstKeys finds out whether all groups of an owner are in one partition, if the window runs in one stage.
func (k *checker) firstKeys() {
	i := k.l.first()
	if i < 0 || k.l.window < 0 || !k.l.keyed {
		return
	}
	w, f := &k.l.steps[k.l.window], k.l.steps[i].First
	for _, of := range f.Of {
		if hasText(k.s.Source.KeyedBy, w.from[of.Value]) {
			k.l.keyed = false // then the window is re-keyed by what is left
		}
	}
}

// groupStep checks what follows the window and looks at its groups.
func (k *checker) groupStep(s *laidStep) {
	if k.l.window < 0 || !k.before(k.l.window, s) {
		return
	}
	w := k.l.steps[k.l.window].Window
	k.groupTimes(s.Step, w)
	k.firstKeys()
	s.out = nil
	if len(w.By) == 0 {
		k.report(s.At, len(s.Kind), "the window has one group of everything: name in its `by` who is looked for")
		return
	}
	if s.in == nil || !w.good() {
		return
	}
	var err error
	switch {
	case s.Kind == FirstStep && k.c.NewFirst != nil:
		if s.out = s.in; k.ownFields(s.First, w) && s.First.Within.Duration > 0 {
			_, err = k.c.NewFirst(s.in, k.l.firstConfig(s.First))
		}
	case s.Kind == AbsenceStep && k.c.NewAbsence != nil:
		if s.out, err = k.c.AbsenceSchema(s.in, values(w.By)); err == nil && s.Absence.Forget.Duration >= w.Step() {
			_, err = k.c.NewAbsence(s.in, k.l.absenceConfig(s.Absence))
		}
	default:
		k.report(s.At, len(s.Kind), "this program was built without `%s`", s.Kind)
	}
	if err != nil {
		k.report(s.At, len(s.Kind), "%s", trimVerb(err))
	}
}

func (k *checker) filter(s *laidStep) {
	if !s.Filter.IsSet() || s.in == nil {
		return
	}
	if k.condition(s.Filter, s.in) {
		if _, err := k.c.NewFilter(s.in, s.Filter.Value); err != nil {
			k.complain(s.Filter, "%s", trimVerb(err))
		}
	}
}

func (k *checker) projectStep(s *laidStep) {
	s.out, s.origin = nil, map[string]string{}
	good := s.in != nil
	for _, c := range s.Project {
		// A field that is only kept may have a dot in its name; a computed one has to fit into expressions.
		if c.Name.Value != c.Expr.Value && !columnName.MatchString(c.Name.Value) {
			k.complain(c.Name, "the name of a column has letters, digits and _ only, at most 63")
			good = false
		}
		if s.in == nil || !c.Expr.IsSet() {
			continue
		}
		if !k.expressionOf(c.Expr, s.in) {
			good = false
		}
		if from, ok := s.from[strings.TrimSpace(c.Expr.Value)]; ok {
			s.origin[c.Name.Value] = from
		}
	}
	if !good || len(s.Project) == 0 {
		return
	}
	out, err := k.c.ProjectSchema(s.in, columnsOf(s.Project))
	if err != nil {
		k.report(s.At, len(s.Kind), "%s", trimVerb(err))
		return
	}
	s.out = out
}

// fieldsOf checks that the columns exist.
func (k *checker) fieldsOf(list []Text, in *stream.Schema) bool {
	good := true
	for _, t := range list {
		if in != nil && in.Index(t.Value) < 0 {
			k.complain(t, "%s", k.unknownColumn(t.Value, in))
			good = false
		}
	}
	return good
}

func (k *checker) unknownColumn(name string, in *stream.Schema) string {
	if in == k.l.columns && k.l.def != nil {
		return k.unknownField(name)
	}
	return "unknown column `" + name + "`" + suggestion(name, in.Names())
}

func (k *checker) windowStep(s *laidStep) {
	w := s.Window
	s.out, s.origin = nil, nil
	k.windowTimes(w)
	good := k.fieldsOf(w.By, s.in) && s.in != nil && w.good()
	for _, a := range w.Aggregates {
		if !columnName.MatchString(a.Name.Value) {
			k.complain(a.Name, "the name of a column has letters, digits and _ only, at most 63")
			good = false
		}
		if hasText(w.By, a.Name.Value) {
			k.complain(a.Name, "`%s` is a field of `by` already: give the aggregate another name", a.Name)
			good = false
		}
		if !k.aggregate(a, s.in) {
			good = false
		}
	}
	k.units(w)
	if &k.l.steps[k.l.window] != s { // a second window was reported
		return
	}
	k.keys(s)
	if !good || len(w.Aggregates) == 0 {
		return
	}
	out, err := k.c.RollupSchema(s.in, k.l.windowConfig())
	if err != nil {
		k.report(s.At, len(s.Kind), "%s", trimVerb(err))
		return
	}
	s.out = out
	k.budget(s)
}

// keys finds out whether each group of the window is in one partition.
func (k *checker) keys(s *laidStep) {
	k.l.keyed = k.contains(s.Window.By, s.from)
	if topics := k.s.Source.Topics; len(topics) > 1 {
		k.complain(topics[1], "a pipeline with a window reads one topic: the events of a group would be in several tasks")
	}
}

// contains reports whether the columns hold everything that the source is keyed by.
func (k *checker) contains(columns []Text, origin map[string]string) bool {
	var from []string
	for _, c := range columns {
		from = append(from, origin[c.Value])
	}
	for _, key := range k.s.Source.KeyedBy {
		if !slices.Contains(from, key.Value) {
			return false
		}
	}
	return len(k.s.Source.KeyedBy) > 0
}

func (k *checker) dedupeStep(s *laidStep) {
	d := s.Dedupe
	k.within(d.Within, "`within`", minWindow, maxDedupe)
	good := k.fieldsOf(d.By, s.in) && s.in != nil && d.Within.Duration > 0 && len(d.By) > 0
	if topics := k.s.Source.Topics; len(topics) > 1 {
		k.complain(topics[1], "a pipeline with a dedupe reads one topic: repeats would be in several tasks")
	}
	if len(d.By) > 0 && k.l.def != nil && !k.contains(d.By, s.from) {
		k.report(s.At, len(s.Kind), "repeats may be in different partitions, and a dedupe cannot be merged: %s", k.keyAdvice(d.By, s.from))
	}
	if k.c.NewDedupe == nil {
		k.report(s.At, len(s.Kind), "this program was built without a dedupe")
		return
	}
	if !good {
		return
	}
	if _, err := k.c.NewDedupe(s.in, DedupeConfig{values(d.By), d.Within.Duration, k.l.time().Lateness}); err != nil {
		k.report(s.At, len(s.Kind), "%s", trimVerb(err))
	}
}

func (k *checker) keyAdvice(by []Text, origin map[string]string) string {
	if keys := k.s.Source.KeyedBy; len(keys) > 0 {
		return "`by` must contain all of `keyed_by` (" + quoted(values(keys)) + ")"
	}
	var from []string
	for _, b := range by {
		if o := origin[b.Value]; o != "" {
			from = append(from, o)
		}
	}
	if len(from) == 0 {
		from = values(by)
	}
	return "if the producers choose the partition by these fields, say so in the source: `keyed_by: [" + strings.Join(from, ", ") + "]`"
}
