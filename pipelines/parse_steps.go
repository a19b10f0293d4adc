package pipelines

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

func stepKinds() []string {
	return []string{string(FilterStep), string(ProjectStep), string(WindowStep), string(DedupeStep), string(FirstStep), string(AbsenceStep), string(AlertStep)}
}

// step reads one step: the word that says what it does, and perhaps a name.
func (r *reader) step(n ast.Node) (Step, bool) {
	m := r.mapping(n, "the step")
	s := Step{At: m.at, Name: r.optional(m.get("as"), "`as`")}
	var kinds []string
	for _, kind := range stepKinds() {
		if v := m.get(kind); v != nil {
			kinds = append(kinds, kind)
			r.stepBody(&s, StepKind(kind), v)
		}
	}
	m.done()
	switch {
	case len(kinds) > 1:
		r.report(m.at, 1, "a step does one thing, not %s: begin each with `- `", quoted(kinds))
		return s, false
	case len(kinds) == 0:
		if !m.wrong && len(m.rest()) == 0 {
			r.report(m.at, 1, "the step does not say what it does: %s", strings.Join(stepKinds(), ", "))
		}
		return s, false
	}
	return s, true
}

// optional is filled for a value that need not be there.
func (r *reader) optional(n ast.Node, what string) Text {
	if n == nil {
		return Text{}
	}
	return r.filled(n, what)
}

func (r *reader) stepBody(s *Step, kind StepKind, n ast.Node) {
	s.Kind = kind
	switch kind {
	case FilterStep:
		s.Filter = r.expression(n, "`filter`")
	case ProjectStep:
		s.Project = r.project(n)
	case WindowStep:
		s.Window = r.window(n)
	case DedupeStep:
		s.Dedupe = r.dedupe(n)
	case FirstStep:
		s.First = r.firstSeen(n)
	case AbsenceStep:
		s.Absence = r.absence(n)
	case AlertStep:
		s.Alert = r.alert(n)
	}
}

// project reads `{name: expression, …}`, or a list of fields to keep.
func (r *reader) project(n ast.Node) (fields []Computed) {
	if _, ok := n.(*ast.SequenceNode); ok {
		for _, t := range r.texts(n, "`project`") {
			fields = append(fields, Computed{t, t})
		}
		return fields
	}
	return r.computed(n, "`project`")
}

// computed reads names with expressions, in order.
func (r *reader) computed(n ast.Node, what string) (fields []Computed) {
	m := r.mapping(n, what)
	if len(m.entries) == 0 {
		if _, ok := n.(*ast.MappingNode); ok {
			r.report(m.at, 1, "%s is empty", what)
		}
	}
	for _, e := range m.entries {
		name := Text{Value: keyOf(e), At: posOf(e.Key)}
		if m.taken[name.Value] {
			continue
		}
		m.taken[name.Value] = true
		fields = append(fields, Computed{name, r.expression(e.Value, "`"+name.Value+"`")})
	}
	return fields
}

func (r *reader) window(n ast.Node) *Window {
	m := r.mapping(n, "the window")
	w := &Window{}
	if v := m.get("hopping"); v != nil {
		w.Hopping = r.duration(v, "`hopping`")
		if t := m.get("tumbling"); t != nil {
			r.report(posOf(t), 1, "a window is tumbling or hopping, not both")
		}
		if v := m.need("every", "how often a window begins, for example 1m"); v != nil {
			w.Every = r.duration(v, "`every`")
		}
	} else if v := m.need("tumbling", "its length, for example 10s"); v != nil {
		w.Tumbling = r.duration(v, "`tumbling`")
	}
	if v := m.need("by", "the fields of a group, for example [tenant, host]"); v != nil {
		if seq, ok := v.(*ast.SequenceNode); !ok || len(seq.Values) > 0 { // [] is one group of everything
			w.By = r.texts(v, "`by`")
		}
	}
	if v := m.need("aggregate", "what to compute, for example {samples: count()}"); v != nil {
		w.Aggregates = r.computed(v, "`aggregate`")
	}
	w.MaxGroups = r.number(m.get("max_groups"), "`max_groups`", 1, maxGroups)
	if v := m.get("memory"); v != nil {
		w.Memory = r.size(v, "`memory`")
	}
	if v := m.get("unit"); v != nil {
		r.unit(w, v)
	}
	m.done()
	return w
}

func (r *reader) firstSeen(n ast.Node) *FirstSeen {
	m := r.mapping(n, "the step")
	f := &FirstSeen{}
	if v := m.need("of", "which field of the window's `by` has to be new, for example country"); v != nil {
		f.Of = r.texts(v, "`of`")
	}
	if v := m.need("within", "how long a group must not have been there to be new, for example 30d"); v != nil {
		f.Within = r.duration(v, "`within`")
	}
	f.Learn = r.duration(m.get("learn"), "`learn`")
	m.done()
	return f
}

func (r *reader) absence(n ast.Node) *Absence {
	m := r.mapping(n, "the step")
	a := &Absence{}
	if v := m.need("forget", "how long a group is missed before it is gone for good, for example 1d"); v != nil {
		a.Forget = r.duration(v, "`forget`")
	}
	m.done()
	return a
}

func (r *reader) dedupe(n ast.Node) *Dedupe {
	m := r.mapping(n, "the dedupe")
	d := &Dedupe{}
	if v := m.need("by", "the fields in which repeats are equal"); v != nil {
		d.By = r.texts(v, "`by`")
	}
	if v := m.need("within", "the span of event time in which repeats are looked for"); v != nil {
		d.Within = r.duration(v, "`within`")
	}
	m.done()
	return d
}

func (r *reader) alert(n ast.Node) *Alert {
	m := r.mapping(n, "the alert")
	a := &Alert{}
	if v := m.need("name", "the name of the rule"); v != nil {
		a.Name = r.filled(v, "the name of the alert")
	}
	if v := m.need("when", "the condition, for example avg > 0.9"); v != nil {
		a.When = r.expression(v, "`when`")
	}
	a.For = r.duration(m.get("for"), "`for`")
	a.KeepFiringFor = r.duration(m.get("keep_firing_for"), "`keep_firing_for`")
	a.Severity = r.text(m.get("severity"), "`severity`", false)
	if v := m.get("labels"); v != nil {
		a.Labels = r.computed(v, "`labels`")
	}
	a.Summary = r.text(m.get("summary"), "`summary`", false)
	m.done()
	return a
}

// nameSteps gives a name to each step that has none.
func nameSteps(steps []Step) {
	count := map[string]int{}
	for i := range steps {
		s := &steps[i]
		if s.Name.IsSet() {
			continue
		}
		name := string(s.Kind)
		if s.Alert != nil && s.Alert.Name.IsSet() {
			name = s.Alert.Name.Value
		} else if count[name]++; count[name] > 1 {
			name = fmt.Sprintf("%s%d", name, count[name])
		}
		s.Name = Text{Value: name, At: s.At}
	}
}
