package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/stream"
)

// replayDiff runs two pipelines over the same events, one after the other, and shows where their alerts and rows differ.
func (a *app) replayDiff(ctx context.Context, f *replayFlags) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	if f.to != "console" {
		return fail(exitUsage, fmt.Errorf("--to %s writes what a pipeline does, and --diff writes nothing: choose one of them", f.to))
	}
	d, err := a.openDiff(ctx, f)
	if err != nil {
		return err
	}
	if err := a.runDiff(ctx, f, d); err != nil {
		return err
	}
	return a.showDiff(f, d)
}

// replayedDiff is two replays of the same events.
type replayedDiff struct {
	found  [sides]found
	plans  [sides]*engine.Plan
	alerts [sides]episodes
	rows   *rowsDiff
}

// openDiff finds and compiles what is compared.
func (a *app) openDiff(ctx context.Context, f *replayFlags) (*replayedDiff, error) {
	c := components(stores{})
	after, err := findPipeline(c, f.pipeline, f.name)
	if err != nil {
		return nil, fail(exitUsage, err)
	}
	before, err := a.findBefore(ctx, c, f.against, after)
	if err != nil {
		return nil, err
	}
	d := &replayedDiff{found: [sides]found{before, {after, f.pipeline}}}
	rules := false
	for side, x := range d.found {
		if d.plans[side], err = compileReplay(x.spec, c); err != nil {
			return nil, err
		}
		rules = rules || slices.ContainsFunc(x.spec.Steps, func(s pipelines.Step) bool { return s.Kind == pipelines.AlertStep })
	}
	if !rules {
		return nil, fail(exitUsage, fmt.Errorf("pipeline %s has no alert rule, before and after: there are no alerts to compare; without --diff its rows are printed", after.Name.Value))
	}
	d.rows = newRowsDiff([sides]*pipelines.Spec{before.spec, after})
	a.say(fmt.Sprintf("before: %s (%s)\nafter:  %s (%s)", d.plans[sideBefore].Instance, before.where, d.plans[sideAfter].Instance, f.pipeline))
	if d.plans[sideBefore].Instance == d.plans[sideAfter].Instance {
		a.say("they are the same version, so nothing can differ; to compare with another one say --against FILE")
	}
	return d, nil
}

// runDiff replays both sides. The plan before comes first in the reading: where topics are the same, ticks take effect in both
// where they did in what runs, so that all that differs comes from the change.
func (a *app) runDiff(ctx context.Context, f *replayFlags, d *replayedDiff) error {
	var bar *progressbar.ProgressBar
	in, err := a.replayInputs(ctx, f, reading{d.plans[:], func(n int64) { _ = bar.Add64(n) }}) // a bar that cannot draw is no reason to stop
	if err != nil {
		return err
	}
	bar = a.bar(sides * in.size)
	through := stream.MaxTime
	for side, plan := range d.plans {
		r := &engine.Local{
			Clock: clock.System{}, Decide: d.alerts[side].decide,
			Collect: func(step string, b *stream.Batch) error {
				d.rows.take(side, step, b)
				return nil
			},
			Reject: func(x stream.Rejected) error {
				_, err := fmt.Fprintf(a.errs, "%s: line %d is rejected: %s\n", sideNames[side], x.Offset+1, x.Reason)
				return err
			},
		}
		res, err := r.Run(ctx, plan, in.of(plan))
		if err != nil {
			return fmt.Errorf("replay what runs %s the change: %w", sideNames[side], err)
		}
		through = min(through, res.CompleteThrough)
	}
	_ = bar.Finish()
	a.say("judged through " + through.String())
	return nil
}

// showDiff prints the alerts that differ, and sums up.
func (a *app) showDiff(f *replayFlags, d *replayedDiff) error {
	all := diffAlerts(d.alerts[sideBefore].list, d.alerts[sideAfter].list)
	l := &listing{columns: []string{
		"name", "labels", "before_fired_at", "before_resolved_at", "before_severity", "after_fired_at", "after_resolved_at", "after_severity", "verdict",
	}}
	asTable := a.output == "table"
	if asTable {
		l.columns = []string{"name", "labels", "before", "after", "verdict"}
	}
	counts := map[string]int{}
	for _, x := range all {
		counts[x.Verdict]++
		if x.Verdict == unchanged && !a.verbose {
			continue
		}
		cells := []string{x.Name, labelText(x.Labels)}
		for _, e := range []*episode{x.Before, x.After} {
			if asTable {
				cells = append(cells, e.text())
			} else {
				cells = append(cells, e.cells()...)
			}
		}
		l.add(x, append(cells, x.verdictText())...)
	}
	if len(l.rows) > 0 || !asTable {
		if err := a.print(l); err != nil {
			return err
		}
	}
	text := fmt.Sprintf("before %d alerts, after %d: %d gone, %d new, %d changed, %d same",
		len(d.alerts[sideBefore].list), len(d.alerts[sideAfter].list), counts[onlyBefore], counts[onlyAfter], counts[changed], counts[unchanged])
	rows, differ := d.rows.summary()
	summary := strings.Join(append([]string{text}, rows...), "\n")
	switch {
	case !asTable:
		a.say(summary)
	case len(l.rows) > 0:
		fmt.Fprintln(a.out, "\n"+summary)
	default:
		fmt.Fprintln(a.out, summary)
	}
	if f.failOnChange && (differ || counts[unchanged] < len(all)) {
		return fail(exitCheck, errors.New("alerts or rows differ, and --fail-on-change is set"))
	}
	return nil
}

func (d *alertDiff) verdictText() string {
	if len(d.Changes) == 0 {
		return d.Verdict
	}
	return d.Verdict + " (" + strings.Join(d.Changes, ", ") + ")"
}

// text is the episode in a table: when, until when, how bad.
func (x *episode) text() string {
	if x == nil {
		return "-"
	}
	text := x.FiredAt.Format(time.RFC3339)
	switch {
	case x.ResolvedAt == nil:
		text += ", not resolved"
	case x.FiredAt.Format(time.DateOnly) == x.ResolvedAt.Format(time.DateOnly):
		text += " to " + x.ResolvedAt.Format("15:04:05Z")
	default:
		text += " to " + x.ResolvedAt.Format(time.RFC3339)
	}
	return text + ", " + string(x.Severity)
}

func (x *episode) cells() []string {
	if x == nil {
		return make([]string, 3)
	}
	resolved := ""
	if x.ResolvedAt != nil {
		resolved = x.ResolvedAt.Format(time.RFC3339Nano)
	}
	return []string{x.FiredAt.Format(time.RFC3339Nano), resolved, string(x.Severity)}
}
