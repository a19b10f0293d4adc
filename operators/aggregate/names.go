package aggregate

import (
	"fmt"
	"strings"
)

// Spec is an aggregate as a pipeline declares it: "max: max(value)".
type Spec struct {
	Name     string // of the result column; Parse leaves it empty
	Function string // one of Names
	Column   string // of the events; "" for count()
}

// String is the form that Parse reads.
func (s Spec) String() string { return s.Function + "(" + s.Column + ")" }

// table lists the functions in the order of their names.
func table() []function { return []function{avg(), count(), maximum(), minimum(), sum()} }

// Names lists the functions, sorted, for messages that suggest one.
func Names() []string {
	fs := table()
	names := make([]string, len(fs))
	for i := range fs {
		names[i] = fs[i].name
	}
	return names
}

func lookup(name string) (function, bool) {
	for _, f := range table() {
		if f.name == name {
			return f, true
		}
	}
	return function{}, false
}

// Parse reads the form function(column), such as "avg(value)" or "count()". Whether the column exists is checked by
// Compile, since it depends on the events.
func Parse(text string) (Spec, error) {
	name, rest, open := strings.Cut(strings.TrimSpace(text), "(")
	name = strings.TrimSpace(name)
	f, known := lookup(name)
	if !known {
		return Spec{}, fmt.Errorf("parse aggregate %q: unknown function %q; known are %s", text, name, strings.Join(Names(), ", "))
	}
	column, closed := strings.CutSuffix(rest, ")")
	if !open || !closed || strings.ContainsAny(column, "()") {
		return Spec{}, fmt.Errorf("parse aggregate %q: write %s", text, f.usage())
	}
	column = strings.TrimSpace(column)
	if strings.Contains(column, ",") || column == "" && f.argument != optional {
		return Spec{}, fmt.Errorf("parse aggregate %q: %s takes one column: write %s", text, name, f.usage())
	}
	return Spec{Function: name, Column: column}, nil
}
