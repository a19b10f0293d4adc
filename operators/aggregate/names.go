package aggregate

import (
	"fmt"
	"strconv"
	"strings"
)

// Spec is an aggregate as a pipeline declares it: "max: max(value)".
type Spec struct {
	Name     string // of the result column; Parse leaves it empty
	Function string // one of Names
	Column   string // of the events; "" for count()
	Limit    int    // of count_distinct: 1 to MaxDistinct; 0 is DefaultDistinct
}

// String is the form that Parse reads.
func (s Spec) String() string {
	if s.Limit > 0 {
		return fmt.Sprintf("%s(%s, %d)", s.Function, s.Column, s.Limit)
	}
	return s.Function + "(" + s.Column + ")"
}

// table lists the functions in the order of their names.
func table() []function {
	return []function{
		avg(), count(), countDistinct(DefaultDistinct), countIf(), first(), last(), maximum(), minimum(), slope(), sum(),
	}
}

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
	spec := Spec{Function: name}
	if f.limit > 0 {
		var limit string
		var given bool
		if column, limit, given = strings.Cut(column, ","); given {
			n, err := strconv.Atoi(strings.TrimSpace(limit))
			if err != nil {
				return Spec{}, fmt.Errorf("parse aggregate %q: the limit is no whole number: write %s", text, f.usage())
			}
			if f, err = f.limited(n); err != nil || n == 0 {
				return Spec{}, fmt.Errorf("parse aggregate %q: the limit is from 1 to %d", text, MaxDistinct)
			}
			spec.Limit = n
		}
	}
	spec.Column = strings.TrimSpace(column)
	if strings.Contains(spec.Column, ",") || spec.Column == "" && f.argument != optional {
		return Spec{}, fmt.Errorf("parse aggregate %q: %s takes one column: write %s", text, name, f.usage())
	}
	return spec, nil
}
