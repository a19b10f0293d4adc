package pipelines

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/stream"
)

// caseBase is the instant that times of a case are counted from: all windows of a week or less that divide it begin there.
func caseBase() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) } // a Thursday, as the epoch is

// CaseResult tells how a case went.
type CaseResult struct {
	Pipeline string   `json:"pipeline"`
	File     string   `json:"file"`
	Line     int      `json:"line"`
	About    string   `json:"about"`
	OK       bool     `json:"ok"`
	Failures []string `json:"failures,omitempty"` // what differs, a sentence each
}

// String is the form for people: a line, and what differs below.
func (r CaseResult) String() string {
	verdict := "ok  "
	if !r.OK {
		verdict = "FAIL"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %s", verdict, r.Pipeline, r.About)
	for _, f := range r.Failures {
		b.WriteString("\n       " + strings.ReplaceAll(f, "\n", "\n       "))
	}
	if !r.OK {
		fmt.Fprintf(&b, "\n       %s:%d", r.File, r.Line)
	}
	return b.String()
}

// RunCases runs the cases of a spec that came from Load, in virtual time and without a server, through the plan that
// production runs. An error means that a case could not be run at all.
func RunCases(ctx context.Context, s *Spec, c *Components) ([]CaseResult, error) {
	l, problems := lay(s, c)
	if len(problems) > 0 {
		return nil, problems.err()
	}
	plans, err := casePlans(l, c)
	if err != nil {
		return nil, err
	}
	results := make([]CaseResult, 0, len(s.Cases))
	for i := range s.Cases {
		r, err := runCase(ctx, l, c, plans, &s.Cases[i])
		if err != nil {
			return nil, fmt.Errorf("run case %q of %s: %w", s.Cases[i].About, s.Name, err)
		}
		results = append(results, r)
	}
	return results, nil
}

// casePlans are the plan of the pipeline, or those of its archive if it has none of its own.
func casePlans(l *layout, c *Components) ([]*engine.Plan, error) {
	if !l.own() {
		return Archives([]*Spec{l.spec}, c, CutSlot), nil
	}
	p, err := newBuilder(l, c).plan()
	if err != nil {
		return nil, err
	}
	return []*engine.Plan{p}, nil
}

func runCase(ctx context.Context, l *layout, c *Components, plans []*engine.Plan, k *Case) (CaseResult, error) {
	got := &outcome{}
	records := k.records(l.spec)
	for _, p := range plans {
		var mine []engine.SimRecord
		for _, r := range records {
			if r.Tick != 0 || r.Topic == p.Stages[0].Topics[0] || len(plans) == 1 {
				mine = append(mine, r)
			}
		}
		res, err := engine.Simulate(ctx, p, mine)
		if err != nil {
			return CaseResult{}, err
		}
		if err := got.add(res, c); err != nil {
			return CaseResult{}, err
		}
	}
	r := CaseResult{Pipeline: l.spec.Name.Value, File: l.spec.File, Line: k.At.Line, About: k.About.Value}
	r.Failures = k.Expect.differences(l, got)
	r.OK = len(r.Failures) == 0
	return r, nil
}

// outcome is what has come out of a case.
type outcome struct {
	changes  []Transition
	rows     []engine.SimRows
	rejected []stream.Rejected
	ledger   stream.Ledger
}

func (o *outcome) add(res *engine.SimResult, c *Components) error {
	for _, d := range res.Decisions {
		t, err := c.ReadTransition(d.Body)
		if err != nil {
			return fmt.Errorf("read decision %s: %w", d.ID, err)
		}
		o.changes = append(o.changes, t)
	}
	o.rows = append(o.rows, res.Rows...)
	o.rejected = append(o.rejected, res.Rejected...)
	o.ledger.Add(&res.Ledger)
	return nil
}

func caseTime(d time.Duration) stream.Time { return stream.TimeOf(caseBase().Add(d)) }

// sinceBase is how a time is written in a case.
func sinceBase(t time.Time) string {
	d := t.Sub(caseBase())
	if d < 0 {
		return "-" + formatDuration(-d)
	}
	return formatDuration(d)
}
