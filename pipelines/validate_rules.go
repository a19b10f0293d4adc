package pipelines

import (
	"slices"
	"strings"

	"github.com/tidewatch/tidewatch/stream"
)

// Severities of alerts, mildest first.
func severities() []string { return []string{"info", "warning", "critical"} }

// DefaultSeverity is the severity of a rule that names none.
const DefaultSeverity = "warning"

func (k *checker) alertStep(s *laidStep) {
	a := s.Alert
	if a.Severity.IsSet() && !slices.Contains(severities(), a.Severity.Value) {
		k.complain(a.Severity, "unknown severity `%s`%s", a.Severity, suggestion(a.Severity.Value, severities()))
	}
	for i := range k.l.steps {
		other := k.l.steps[i].Alert
		if other != nil && other != a && other.Name.Value == a.Name.Value && a.Name.IsSet() && &k.l.steps[i] != s && k.before(i, s) {
			k.complain(a.Name, "there is a rule `%s` already, in line %d", a.Name, other.Name.At.Line)
		}
	}
	if k.l.window < 0 || !k.before(k.l.window, s) {
		return
	}
	window := k.l.steps[k.l.window].Window
	k.ruleTimes(a.For, "`for`", window.Step())
	k.ruleTimes(a.KeepFiringFor, "`keep_firing_for`", window.Step())
	rollup := s.in
	if rollup == nil {
		return
	}
	good := a.When.IsSet() && k.condition(a.When, rollup)
	good = k.template(a.Summary, rollup) && good
	for _, l := range a.Labels {
		if hasText(window.By, l.Name.Value) {
			k.complain(l.Name, "`%s` is a label of every alert already: it is a field of `by`", l.Name)
			good = false
		}
		good = k.template(l.Expr, rollup) && good
	}
	if !good || !a.Name.IsSet() {
		return
	}
	if _, err := k.c.NewAlert(rollup, k.l.rule(a, "")); err != nil {
		k.report(s.At, len(s.Kind), "%s", trimVerb(err))
	}
}

// before reports whether step i comes before s.
func (k *checker) before(i int, s *laidStep) bool {
	for j := range k.l.steps {
		if &k.l.steps[j] == s {
			return i < j
		}
	}
	return false
}

// rule is the rule as its operator wants it.
func (l *layout) rule(a *Alert, instance string) RuleConfig {
	w := l.steps[l.window].Window
	severity := DefaultSeverity
	if a.Severity.IsSet() {
		severity = a.Severity.Value
	}
	return RuleConfig{
		Pipeline: l.spec.Name.Value, Version: versionOf(instance),
		Name: a.Name.Value, When: a.When.Value, For: a.For.Duration, KeepFiringFor: a.KeepFiringFor.Duration,
		Severity: severity, Labels: columnsOf(a.Labels), Summary: a.Summary.Value,
		Window: w.Step(), Groups: values(w.By), Topic: l.spec.Source.Topics[0].Value,
	}
}

// versionOf is the part of an instance's name after the @.
func versionOf(instance string) string {
	_, version, _ := strings.Cut(instance, "@")
	return version
}

// aggregate checks one call: its function first, so that a misspelt one is named, then what it is applied to.
func (k *checker) aggregate(a Computed, in *stream.Schema) bool {
	call := a.Expr
	if !call.IsSet() {
		return false
	}
	name, _, ok := strings.Cut(call.Value, "(")
	name, _, _ = strings.Cut(strings.TrimSpace(name), " ")
	at := call.locate(k.src, strings.Index(call.Value, name))
	if !slices.Contains(k.c.Aggregates, name) {
		k.report(at, len([]rune(name)), "unknown aggregate `%s`%s", name, suggestion(name, k.c.Aggregates))
		return false
	}
	if !ok {
		k.report(at, len(name), "`%s` is called with parentheses: `%s()` or `%s(field)`", name, name, name)
		return false
	}
	if !strings.Contains(call.Value, ")") {
		k.complain(call, "the call has no end: inside braces, a text with a comma needs quotes")
		return false
	}
	if in == nil {
		return false
	}
	if argument := argumentOf(call.Value); argument != "" && in.Index(argument) < 0 {
		k.argument(call, argument, in)
		return false
	}
	if err := k.c.CheckAggregate(in, Column{a.Name.Value, call.Value}); err != nil {
		k.complain(call, "%s", trimVerb(err))
		return false
	}
	return true
}

// argument reports a column that is not there, or an expression where only a column can stand.
func (k *checker) argument(call Text, argument string, in *stream.Schema) {
	at := call.locate(k.src, strings.Index(call.Value, "(")+1+strings.Index(call.Value[strings.Index(call.Value, "(")+1:], argument))
	width := len([]rune(argument))
	if strings.ContainsAny(argument, " +-*/%<>=!&|?,'\"") {
		k.report(at, width, "an aggregate takes a column, not an expression: compute it in a `project` before")
		return
	}
	k.report(at, width, "%s", k.unknownColumn(argument, in))
}
