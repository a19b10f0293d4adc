package pipelines

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/tidewatch/tidewatch/schemas"
	"github.com/tidewatch/tidewatch/stream"
)

// Validate finds what is wrong with specs that Parse has read: against the schemas of their topics, the components, and
// one another.
func Validate(specs []*Spec, c *Components) Problems {
	var all Problems
	names := map[string]*Spec{}
	for _, s := range specs {
		if other := names[s.Name.Value]; other != nil && s.Name.IsSet() {
			all = append(all, s.src.problem(s.Name.At, s.Name.width(),
				fmt.Sprintf("there is a pipeline `%s` already, in %s line %d", s.Name, other.File, other.Name.At.Line)))
		}
		names[s.Name.Value] = s
		_, problems := lay(s, c)
		all = append(all, problems...)
	}
	all = append(all, sharedRules(specs)...)
	return append(all, archiveProblems(specs, c)...)
}

// sharedRules finds rules of different pipelines with one name. An alert is known by the rule's name and its labels, so
// their alerts would be taken for the same one.
func sharedRules(specs []*Spec) (all Problems) {
	first := map[string]*Spec{}
	at := map[string]Text{}
	for _, s := range specs {
		for i := range s.Steps {
			a := s.Steps[i].Alert
			if s.Steps[i].Kind != AlertStep || a == nil || !a.Name.IsSet() {
				continue
			}
			name := a.Name.Value
			if other := first[name]; other != nil && other != s {
				all = append(all, s.src.problem(a.Name.At, a.Name.width(),
					fmt.Sprintf("pipeline `%s` has a rule `%s` already, in %s line %d: alerts are known by the rule's name", other.Name, name, other.File, at[name].At.Line)))
				continue
			}
			first[name], at[name] = s, a.Name
		}
	}
	return all
}

// checker finds the mistakes of one spec while it lays out its columns.
type checker struct {
	reader
	c *Components
	s *Spec
	l *layout
}

// lay checks a spec and lays it out. The layout is complete if there is no problem.
func lay(s *Spec, c *Components) (*layout, Problems) {
	k := &checker{reader: reader{src: s.src}, c: c, s: s, l: &layout{spec: s, window: -1}}
	k.names()
	k.times()
	k.stepNames()
	k.outputs()
	k.sourceOf()
	k.flow()
	k.decoders()
	k.outcome()
	k.cases()
	return k.l, k.problems
}

// complain reports a mistake about a text.
func (k *checker) complain(t Text, format string, args ...any) {
	k.report(t.At, t.width(), format, args...)
}

var (
	pipelineName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	stepName     = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]{0,62}$`)
	columnName   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)
	topicName    = regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`)
)

func (k *checker) names() {
	if n := k.s.Name; n.IsSet() && !pipelineName.MatchString(n.Value) {
		k.complain(n, "the name of a pipeline has lower-case letters, digits, - and _ only, at most 63: it is part of the names of topics and files")
	}
}

func (k *checker) stepNames() {
	seen := map[string]bool{sourceStep: true}
	for i := range k.s.Steps {
		s := &k.s.Steps[i]
		name := s.Name
		switch {
		case name.Value == sourceStep:
			k.complain(name, "`source` is the name of the input: choose another")
		case seen[name.Value]:
			k.complain(name, "two steps have the name `%s`: give one another name with `as`", name)
		case !stepName.MatchString(name.Value):
			k.complain(name, "the name of a step has letters, digits, - and _ only, at most 63")
		}
		seen[name.Value] = true
		k.l.steps = append(k.l.steps, laidStep{Step: s})
		if s.Kind != WindowStep {
			continue
		}
		if k.l.window >= 0 {
			k.report(s.At, 6, "there is a window already, in line %d: a pipeline has one", k.l.steps[k.l.window].At.Line)
			continue
		}
		k.l.window = i
	}
}

// sourceOf finds the event type of the topics.
func (k *checker) sourceOf() {
	src := &k.s.Source
	for _, t := range src.Topics {
		if !topicName.MatchString(t.Value) {
			k.complain(t, "`%s` is no name of a topic", t)
		}
	}
	if f := src.Format; f.IsSet() && !slices.Contains(k.c.Formats, f.Value) {
		k.complain(f, "unknown format `%s`%s", f, suggestion(f.Value, k.c.Formats))
	}
	if len(src.Topics) == 0 {
		return
	}
	defs, ok := k.definitions()
	if !ok {
		return
	}
	for i, d := range defs {
		if d == defs[0] {
			continue
		}
		if len(k.s.Steps) > 0 || k.l.own() {
			k.complain(src.Topics[i], "topic `%s` has events of %s, topic `%s` of %s: only their archive can be asked for together",
				src.Topics[i], d, src.Topics[0], defs[0])
		}
		return
	}
	k.l.def = defs[0]
	for _, by := range src.KeyedBy {
		if _, err := k.l.def.Resolve(by.Value); err != nil {
			k.complain(by, "%s", k.unknownField(by.Value))
		}
	}
}

// definitions are the event types of the topics, in their order.
func (k *checker) definitions() (defs []*schemas.Definition, ok bool) {
	defs, problems := definitionsOf(k.s, k.c.Catalog)
	k.problems = append(k.problems, problems...)
	return defs, len(problems) == 0
}

func definitionsOf(s *Spec, catalog *schemas.Catalog) (defs []*schemas.Definition, problems Problems) {
	src := &s.Source
	if src.Schema.IsSet() {
		d, err := lookup(catalog, src.Schema.Value)
		if err != nil {
			return nil, Problems{s.src.problem(src.Schema.At, src.Schema.width(), err.Error())}
		}
		for range src.Topics {
			defs = append(defs, d)
		}
		return defs, nil
	}
	for _, t := range src.Topics {
		d, err := catalog.ForTopic(t.Value)
		if err != nil {
			problems = append(problems, s.src.problem(t.At, t.width(), trimVerb(err)))
			continue
		}
		defs = append(defs, d)
	}
	return defs, problems
}

// lookup reads NAME or NAME/VERSION.
func lookup(catalog *schemas.Catalog, name string) (*schemas.Definition, error) {
	base, text, versioned := strings.Cut(name, "/")
	version := 0
	if versioned {
		if _, err := fmt.Sscanf(text, "%d", &version); err != nil || version < 1 {
			return nil, fmt.Errorf("`%s` is no schema: write NAME or NAME/VERSION", name)
		}
	}
	d, err := catalog.Lookup(base, version)
	if err != nil {
		return nil, fmt.Errorf("%s", trimVerb(err))
	}
	return d, nil
}

// trimVerb takes the words before the first colon away: what failed is clear from the place.
func trimVerb(err error) string {
	text := err.Error()
	if _, rest, ok := strings.Cut(text, ": "); ok {
		return rest
	}
	return text
}

// unknownField is the message about a name that the events do not have.
func (k *checker) unknownField(name string) string {
	return fmt.Sprintf("unknown field `%s` in the events of %s%s", name, k.l.def, suggestion(name, k.l.def.Names())) + attributeHint(name)
}

func attributeHint(name string) string {
	if strings.Contains(name, ".") {
		return ""
	}
	return fmt.Sprintf(" (an attribute is written `attributes.%s`)", name)
}

// fullColumns are all fields of the events, and the attributes that the steps name.
func (k *checker) fullColumns() *stream.Schema {
	names := k.l.def.Names()
	add := func(name string) {
		if _, err := k.l.def.Resolve(name); err == nil && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for i := range k.l.steps {
		for _, name := range k.l.steps[i].reads() {
			add(name)
		}
	}
	schema, err := k.l.def.Columns(names)
	if err != nil { // they were resolved
		panic(fmt.Sprintf("columns of %s: %v", k.l.def, err))
	}
	return schema
}

// decoders finds out whether the format can fill the event type of each topic.
func (k *checker) decoders() {
	if len(k.problems) > 0 { // what the steps read may be unknown
		return
	}
	defs, problems := definitionsOf(k.s, k.c.Catalog)
	k.problems = append(k.problems, problems...)
	for _, d := range defs {
		fields := d.Names()
		if d == k.l.def && k.l.own() {
			fields = k.l.fields()
		}
		if _, err := k.c.NewDecoder(formatOf(k.s), d, fields); err != nil {
			at := k.s.Source.Format
			if !at.IsSet() {
				at = k.s.Source.Topics[0]
			}
			k.complain(at, "%s", trimVerb(err))
			return
		}
	}
}
