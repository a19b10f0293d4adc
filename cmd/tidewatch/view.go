package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/stream"
)

// Intervals of the view: a terminal is redrawn, anything else gets a line now and then.
const (
	viewEvery    = time.Second
	viewLogEvery = 10 * time.Second
)

// view shows what the pipelines do until ctx is done.
func (a *app) view(ctx context.Context, w *worker) error {
	if a.quiet {
		<-ctx.Done()
		return nil
	}
	info, err := os.Stderr.Stat()
	terminal := err == nil && a.errs == os.Stderr && info.Mode()&os.ModeCharDevice != 0
	every, drawn := viewLogEvery, 0
	if terminal {
		every = viewEvery
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-clock.System{}.After(every):
		}
		lines := a.viewLines(ctx, w)
		if terminal && drawn > 0 {
			fmt.Fprintf(a.errs, "\x1b[%dA\x1b[J", drawn) // back to the first line, and clear
		}
		drawn = len(lines)
		fmt.Fprintln(a.errs, strings.Join(lines, "\n"))
	}
}

// viewLines is a line for each pipeline, and one for the alerts.
func (a *app) viewLines(ctx context.Context, w *worker) []string {
	tasks := w.runner.Status()
	lines := []string{fmt.Sprintf("%-24s %12s %8s  %-20s %s", "PIPELINE", "EVENTS", "LAG", "WATERMARK", "STATE")}
	for _, p := range w.lineup().newest() {
		var events, lag int64
		mark, state := stream.MaxTime, "running"
		for i := range tasks {
			t := &tasks[i]
			if t.Task.Instance != p.Instance {
				continue
			}
			if t.Task.Stage == p.Stages[0].Name {
				events += t.Events
			}
			lag, mark = lag+max(t.Lag, 0), min(mark, t.Mark)
			if t.State != "running" {
				state = t.State + " " + t.Problem
			}
		}
		shown := "-"
		if mark != stream.MaxTime && mark != stream.NoTime {
			shown = mark.Go().Format(time.TimeOnly)
		}
		lines = append(lines, fmt.Sprintf("%-24s %12d %8d  %-20s %s", p.Pipeline, events, lag, shown, state))
	}
	page, err := w.db.Alerts().List(ctx, alerts.Filter{States: []alerts.State{alerts.Firing}, Limit: 5})
	if err != nil {
		return append(lines, "alerts: "+err.Error())
	}
	lines = append(lines, fmt.Sprintf("%d alerts firing", len(page.Items)))
	for i := range page.Items {
		x := &page.Items[i]
		lines = append(lines, fmt.Sprintf("  %-8s %-20s %s  (%s)", x.Severity, x.Name, x.Summary, x.ID))
	}
	return lines
}
