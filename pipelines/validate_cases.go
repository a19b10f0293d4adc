package pipelines

import (
	"slices"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

func alertStates() []string { return []string{"inactive", "pending", "firing", "resolved"} }

func (k *checker) cases() {
	for i := range k.s.Cases {
		c := &k.s.Cases[i]
		for j := range k.s.Cases[:i] {
			if other := k.s.Cases[j].About; other.Value == c.About.Value && other.IsSet() {
				k.complain(c.About, "there is a case with these words already, in line %d", other.At.Line)
			}
		}
		k.given(c)
		k.within(c.Until, "`until`", 0, maxCaseDuration)
		for j := range c.Expect.Alerts {
			k.expectedAlert(&c.Expect.Alerts[j])
		}
		for j := range c.Expect.Rollups {
			k.expectedRow(&c.Expect.Rollups[j], true)
		}
		for j := range c.Expect.Events {
			k.expectedRow(&c.Expect.Events[j], false)
		}
		for _, n := range c.Expect.Ledger {
			if names := bucketNames(); !slices.Contains(names, n.Bucket.Value) {
				k.complain(n.Bucket, "the ledger has no count `%s`%s", n.Bucket, suggestion(n.Bucket.Value, names))
			}
		}
	}
}

func bucketNames() (names []string) {
	for b := range stream.Buckets {
		names = append(names, b.String())
	}
	return names
}

// given checks the events: their topics, and that no partition is left out, because progress waits for all of them.
func (k *checker) given(c *Case) {
	parts := map[int64]bool{}
	var highest Number
	for i := range c.Given {
		g := &c.Given[i]
		k.within(g.Time, "`at`", 0, maxCaseDuration)
		k.within(g.Arrives, "`arrives`", 0, maxCaseDuration)
		if g.Times.Value > 1 && g.Every.Duration > maxCaseDuration/time.Duration(g.Times.Value) {
			k.report(g.Every.At, 1, "the last event would be more than %s after the first", formatDuration(maxCaseDuration))
		}
		if t := g.Topic; t.IsSet() && !hasText(k.s.Source.Topics, t.Value) {
			k.complain(t, "the pipeline does not read `%s`%s", t, suggestion(t.Value, values(k.s.Source.Topics)))
		}
		parts[g.Part.Value] = true
		if g.Part.Value > highest.Value {
			highest = g.Part
		}
	}
	if highest.IsSet() && int64(len(parts)) <= highest.Value {
		k.report(highest.At, 1, "a case numbers its partitions from 0 without a gap: progress waits for each of them")
	}
}

func (k *checker) expectedAlert(a *ExpectedAlert) {
	var rules []string
	var rule *Alert
	for i := range k.l.steps {
		if r := k.l.steps[i].Alert; r != nil {
			rules = append(rules, r.Name.Value)
			if r.Name.Value == a.Name.Value {
				rule = r
			}
		}
	}
	if a.Name.IsSet() && rule == nil {
		k.complain(a.Name, "there is no rule `%s`%s", a.Name, suggestion(a.Name.Value, rules))
	}
	if a.State.IsSet() && !slices.Contains(alertStates(), a.State.Value) {
		k.complain(a.State, "unknown state `%s`%s", a.State, suggestion(a.State.Value, alertStates()))
	}
	if k.l.window < 0 || rule == nil {
		return
	}
	w := k.l.steps[k.l.window].Window
	k.windowEnd(a.Time, w)
	known := values(w.By)
	for _, l := range rule.Labels {
		known = append(known, l.Name.Value)
	}
	for _, v := range a.Labels {
		if !slices.Contains(known, v.Name.Value) {
			k.complain(v.Name, "alerts of `%s` have no label `%s`%s", rule.Name, v.Name, suggestion(v.Name.Value, known))
		}
	}
}

// windowEnd refuses a time at which no window ends.
func (k *checker) windowEnd(d Duration, w *Window) {
	size := w.Step()
	if !d.IsSet() || size <= 0 || d.Duration%size == 0 && d.Duration > 0 {
		return
	}
	low := max(d.Truncate(size), size)
	k.report(d.At, 1, "no window ends at %s: they end every %s, for example at %s", formatDuration(d.Duration), formatDuration(size), formatDuration(low))
}

func (k *checker) expectedRow(row *ExpectedRow, rollup bool) {
	if !row.Of.IsSet() {
		return
	}
	step, late, ok := k.l.stepIndex(row.Of.Value)
	isRollup := ok && k.l.windowed(step, late)
	isAlert := ok && step >= 0 && k.l.steps[step].Kind == AlertStep
	switch {
	case !ok || isAlert:
		k.complain(row.Of, "there is no step `%s` with rows%s", row.Of, suggestion(row.Of.Value, k.rowSteps(rollup)))
		return
	case rollup && !isRollup:
		k.complain(row.Of, "`%s` has no rollups: use `events`", row.Of)
		return
	case !rollup && isRollup:
		k.complain(row.Of, "`%s` has rollups: use `rollups`", row.Of)
		return
	}
	schema := k.schemaOf(step, late)
	if rollup {
		k.windowEnd(row.Time, k.l.steps[k.l.window].Window)
	}
	for _, f := range row.Fields {
		if schema != nil && schema.Index(f.Name.Value) < 0 {
			k.complain(f.Name, "`%s` has no column `%s`%s", row.Of, f.Name, suggestion(f.Name.Value, schema.Names()))
		}
	}
}

func (k *checker) rowSteps(rollup bool) (names []string) {
	if !rollup {
		names = append(names, sourceStep)
	}
	for _, s := range k.l.steps {
		if s.Kind != AlertStep && (s.Kind == WindowStep || s.Kind.followsWindow()) == rollup {
			names = append(names, s.Name.Value)
		}
	}
	return names
}

// schemaOf is the schema of the rows of a step, or of the late events of a window; nil if it is unknown.
func (k *checker) schemaOf(step int, late bool) *stream.Schema {
	if step < 0 {
		return k.l.columns
	}
	if late {
		return k.l.steps[step].in
	}
	return k.l.steps[step].out
}
