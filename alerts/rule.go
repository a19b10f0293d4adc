package alerts

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Rule is a condition on the rows of a rollup, and what to say about it.
type Rule struct {
	Name          string
	When          string // an expression over the columns of the rollup
	For           time.Duration
	KeepFiringFor time.Duration
	Severity      Severity
	Labels        map[string]string // added to the labels of the group; the values are templates
	Summary       string            // template
}

// DefaultRule is a rule without name and condition.
func DefaultRule() Rule { return Rule{Severity: Warning} }

// maxSpan keeps sums of event times and spans within the calendar.
const maxSpan = 10 * 366 * 24 * time.Hour

// Validate says what is wrong with everything but the expression and the templates, which NewOperator checks against a
// schema.
func (r Rule) Validate() error {
	switch {
	case r.Name == "":
		return errors.New("check rule: it has no name")
	case r.When == "":
		return fmt.Errorf("check rule %s: it has no condition: set when", r.Name)
	case r.For < 0 || r.For > maxSpan:
		return fmt.Errorf("check rule %s: for is %s: use 0 to ten years", r.Name, r.For)
	case r.KeepFiringFor < 0 || r.KeepFiringFor > maxSpan:
		return fmt.Errorf("check rule %s: keep_firing_for is %s: use 0 to ten years", r.Name, r.KeepFiringFor)
	case !slices.Contains(Severities(), r.Severity):
		return fmt.Errorf("check rule %s: unknown severity %q: use info, warning or critical", r.Name, r.Severity)
	}
	if _, unnamed := r.Labels[""]; unnamed {
		return fmt.Errorf("check rule %s: a label has no name", r.Name)
	}
	return nil
}

func (r Rule) labelNames() []string { return slices.Sorted(maps.Keys(r.Labels)) }

// Timing is what the state machine needs of the rule.
func (r Rule) Timing() Timing { return Timing{For: r.For, KeepFiringFor: r.KeepFiringFor} }
