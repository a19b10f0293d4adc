package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/sources/host"
	"github.com/tidewatch/tidewatch/stream"
)

// selfAt is when the tests look at their tasks for the first time.
var selfAt = time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)

// selfTask is a healthy task of a pipeline with windows of ten seconds, and the meter that looks at it.
func selfTask() (*selfMeter, *engine.TaskStatus) {
	p := &engine.Plan{Pipeline: "p", Instance: "p@1"}
	p.Stages = []*engine.Stage{{
		Plan: p, Name: "main", Time: engine.Time{OutOfOrder: 5 * time.Second, IdleAfter: 30 * time.Second}, Interval: engine.Intervals{Epoch: time.Second},
	}}
	window := &pipelines.Window{}
	window.Tumbling.Duration = 10 * time.Second
	spec := &pipelines.Spec{Steps: []pipelines.Step{{Window: window}}}
	spec.Name.Value = "p"
	s := &engine.TaskStatus{
		Task: stream.TaskID{Instance: "p@1", Stage: "main", Partition: stream.Partition{Topic: "metrics"}}, Pipeline: "p", State: "running",
		Epoch: 3, At: stream.Version{Offset: 100}, Mark: stream.TimeOf(selfAt), Outputs: map[string]string{"redis": ""},
	}
	s.Ledger[stream.BucketCounted] = 100
	m := newSelfMeter()
	m.follow([]*engine.Plan{p}, []*pipelines.Spec{spec})
	return m, s
}

// read counts n more records, all of them in a bucket.
func read(s *engine.TaskStatus, n int64, b stream.Bucket) {
	s.At.Offset += n
	s.Ledger[b] += n
}

func pointsText(points []host.Point) string {
	texts := make([]string, len(points))
	for i, p := range points {
		texts[i] = fmt.Sprintf("%s %v", strings.TrimPrefix(p.Name, "tidewatch."), p.Value)
	}
	return strings.Join(texts, ", ")
}

// TestSelfFiguresTellTroubles: each trouble of a task has its figure, and without one there is only lag and epochs.
func TestSelfFiguresTellTroubles(t *testing.T) {
	const healthy = "epochs 3, lag.records 0, lag.time 0"
	for name, tc := range map[string]struct {
		change func(*engine.TaskStatus)
		after  time.Duration // the second look
		want   string
	}{
		"healthy":          {func(*engine.TaskStatus) {}, 0, healthy},
		"behind":           {func(s *engine.TaskStatus) { s.Lag, s.LagTime = 7, 90*time.Second }, 0, "epochs 3, lag.records 7, lag.time 90"},
		"unknown lag":      {func(s *engine.TaskStatus) { s.Lag = -1 }, 0, "epochs 3"},
		"nothing to claim": {func(*engine.TaskStatus) {}, 45 * time.Second, healthy},
		"unclaimed":        {func(s *engine.TaskStatus) { read(s, 5, stream.BucketCounted) }, 45 * time.Second, healthy + ", claim.overdue 44"},
		"claimed":          {func(s *engine.TaskStatus) { read(s, 5, stream.BucketCounted); s.Epoch++ }, 45 * time.Second, "epochs 4, lag.records 0, lag.time 0"},
		"starting":         {func(s *engine.TaskStatus) { s.State = "starting" }, 45 * time.Second, healthy + ", claim.overdue 44"},
		"failed":           {func(s *engine.TaskStatus) { s.State = "failed" }, 45 * time.Second, healthy + ", tasks.failed 1"},
		"isolated":         {func(s *engine.TaskStatus) { s.State = "isolating" }, 0, healthy + ", tasks.isolated 1"},
		"crowded":          {func(s *engine.TaskStatus) { s.Limit = engine.GroupLimit{Most: 200, Groups: 190} }, 0, healthy + ", groups.used 95"},
		"quarantined":      {func(s *engine.TaskStatus) { s.Quarantined = 2 }, 0, healthy + ", records.quarantined 2"},
		"watermark":        {func(s *engine.TaskStatus) { s.Mark = stream.TimeOf(selfAt.Add(-time.Minute)) }, 0, healthy + ", watermark.overdue 15"},
		"no watermark yet": {func(s *engine.TaskStatus) { s.Mark = stream.NoTime }, 0, healthy},
		"output":           {func(s *engine.TaskStatus) { s.Outputs["redis"] = "away" }, 0, healthy + ", outputs.failing 1"},
		"ledger":           {func(s *engine.TaskStatus) { s.Ledger[stream.BucketCounted] += 2 }, 0, healthy + ", ledger.difference 2"},
		"dead letters":     {func(s *engine.TaskStatus) { read(s, 12, stream.BucketRejected) }, 0, healthy + ", dead.letters 12"},
	} {
		m, s := selfTask()
		m.measure([]engine.TaskStatus{*s}, selfAt)
		tc.change(s)
		if got := pointsText(m.measure([]engine.TaskStatus{*s}, selfAt.Add(tc.after))); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

// TestDeadLettersOfAReplayAreOld: a task that starts again counts from its snapshot on what has been told already.
func TestDeadLettersOfAReplayAreOld(t *testing.T) {
	m, s := selfTask()
	var told []string
	look := func(state string, rejected int64) {
		s.State, s.Ledger[stream.BucketRejected], s.At.Offset = state, rejected, 100+rejected
		for _, p := range m.measure([]engine.TaskStatus{*s}, selfAt) {
			if p.Name == "tidewatch.dead.letters" {
				told = append(told, fmt.Sprint(p.Value, p.Attributes))
			}
		}
	}
	for _, step := range []struct {
		state    string
		rejected int64
	}{{"starting", 0}, {"running", 40}, {"running", 41}, {"starting", 0}, {"running", 30}, {"running", 44}} {
		look(step.state, step.rejected)
	}
	if got, want := strings.Join(told, " "), "1 [{topic metrics}] 3 [{topic metrics}]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestArchiveClaimsWhereAFileEnds, so that it is never overdue.
func TestArchiveClaimsWhereAFileEnds(t *testing.T) {
	m, s := selfTask()
	m.plans[0].Stages[0].Cut = &engine.Cut{}
	m.measure([]engine.TaskStatus{*s}, selfAt)
	read(s, 5, stream.BucketCounted)
	if got := pointsText(m.measure([]engine.TaskStatus{*s}, selfAt.Add(time.Hour))); strings.Contains(got, "claim") {
		t.Error(got)
	}
}

// TestFailingChecksAreCounted, and nothing is sent while all is well.
func TestFailingChecksAreCounted(t *testing.T) {
	answer := func(err error) func(context.Context) error { return func(context.Context) error { return err } }
	checks := map[string]func(context.Context) error{"Redis": answer(nil), "Postgres": answer(nil)}
	if got := pointsText(unready(t.Context(), checks)); got != "" {
		t.Error(got)
	}
	checks["Redis"], checks["content of Redis"] = answer(errRefill), answer(errRefill)
	if got := pointsText(unready(t.Context(), checks)); got != "checks.failing 2" {
		t.Error(got)
	}
}

func TestAnswersAreReadFromTheHistogram(t *testing.T) {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: requestsMetric}, []string{"route", "status"})
	m := newSelfMeter()
	answered := func(seconds float64, route, status string) { h.WithLabelValues(route, status).Observe(seconds) }
	look := func(want string) {
		t.Helper()
		points, err := m.answers(h)
		if got := pointsText(points); err != nil || got != want {
			t.Errorf("%s, want %s; %v", got, want, err)
		}
	}
	answered(0.5, "status", "200")
	look("http.requests 1, http.errors 0, http.request.duration 500")
	answered(1, "status", "404")
	answered(2, "query", "503")
	answered(0, "readyz", "503")
	look("http.requests 3, http.errors 1, http.request.duration 1000")
	look("http.requests 0, http.errors 0")
}
