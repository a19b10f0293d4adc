package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/sources/host"
	"github.com/tidewatch/tidewatch/stream"
)

// requestsMetric is what the API counts its answers in.
const requestsMetric = "tidewatch_http_request_seconds"

// measureSelf sends how far the pipelines of this worker are behind, what is wrong with them, and the answers of its API. The
// shipped pipeline tidewatch-self judges them.
func (w *worker) measureSelf(ctx context.Context, client *kgo.Client) error {
	labels := host.Labels{Service: "tidewatch", Tenant: "local", Attributes: []host.Attribute{demoOrigin(demoSelf)}}
	meter := newSelfMeter()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-clock.System{}.After(demoEvery):
		}
		now := clock.System{}.Now()
		runs := w.lineup()
		meter.follow(runs.newest(), runs.specs)
		points := meter.measure(w.runner.Status(), now)
		if server := w.api.Load(); server != nil {
			more, err := meter.answers(server.Metrics())
			if err != nil {
				return err
			}
			points = append(points, append(more, unready(ctx, w.view.checks)...)...) // the checks are there before the API
		}
		if err := sendPoints(ctx, client, points, now, &labels); err != nil {
			return err
		}
	}
}

// unready is the number of checks of /readyz that fail, tasks aside; none if there are none.
func unready(ctx context.Context, checks map[string]func(context.Context) error) []host.Point {
	ctx, cancel := context.WithTimeout(ctx, demoEvery)
	defer cancel()
	failing := 0
	for _, check := range checks {
		if check(ctx) != nil {
			failing++
		}
	}
	if failing == 0 {
		return nil
	}
	return []host.Point{{Name: "tidewatch.checks.failing", Kind: "gauge", Unit: "{check}", Value: float64(failing)}}
}

// selfMeter makes figures of what tasks and API show. Used from one goroutine.
type selfMeter struct {
	plans   []*engine.Plan
	windows map[string]time.Duration // by pipeline: the distance of its windows
	tasks   map[stream.TaskID]*taskSeen
	before  answers
}

// taskSeen is what the meter remembers of a task.
type taskSeen struct {
	epoch, offset int64     // the newest claim, and what was read when it was seen
	since         time.Time // nothing has waited for a claim before
	rejected      int64     // the most that was seen; -1 before the task has run
	quarantined   int64     // told of already
}

// answers are the answers of the API so far.
type answers struct {
	count, failed uint64
	seconds       float64
}

func newSelfMeter() *selfMeter {
	return &selfMeter{windows: map[string]time.Duration{}, tasks: map[stream.TaskID]*taskSeen{}}
}

// follow makes it measure what runs now.
func (m *selfMeter) follow(plans []*engine.Plan, specs []*pipelines.Spec) {
	m.plans = plans
	for _, s := range specs {
		for i := range s.Steps {
			if window := s.Steps[i].Window; window != nil {
				m.windows[s.Name.Value] = window.Step()
			}
		}
	}
}

// measure has the figures of each pipeline, and the dead letters of each topic.
func (m *selfMeter) measure(tasks []engine.TaskStatus, now time.Time) (points []host.Point) {
	letters := map[string]int64{} // by topic
	for _, p := range m.plans {
		f := pipelineFigures{known: true}
		for i := range tasks {
			if tasks[i].Task.Instance == p.Instance {
				f.add(m.figures(p, &tasks[i], now))
			}
		}
		if !f.found {
			continue
		}
		points = append(points, f.points(p.Pipeline)...)
		for topic, n := range f.letters { // each pipeline has its own letter of the same record
			letters[topic] = max(letters[topic], n)
		}
	}
	for _, topic := range slices.Sorted(maps.Keys(letters)) {
		if letters[topic] == 0 {
			continue
		}
		points = append(points, host.Point{
			Name: "tidewatch.dead.letters", Kind: "gauge", Unit: "{record}", Value: float64(letters[topic]),
			Attributes: []host.Attribute{{Name: "topic", Value: topic}},
		})
	}
	return points
}

// pipelineFigures are those of a task, or of all tasks of a pipeline.
type pipelineFigures struct {
	found, known        bool // known: the lag of all tasks
	lag, epochs         int64
	failed, failing     int64
	difference          int64
	behind              time.Duration
	unclaimed, standing time.Duration
	isolated            int64
	full                float64          // percent of max_groups, of the fullest window
	quarantined         int64            // since the last measurement
	letters             map[string]int64 // by topic, since the last measurement
}

// figures are those of one task.
func (m *selfMeter) figures(p *engine.Plan, t *engine.TaskStatus, now time.Time) pipelineFigures {
	stage := p.Stages[slices.IndexFunc(p.Stages, func(s *engine.Stage) bool { return s.Name == t.Task.Stage })]
	seen := m.tasks[t.Task]
	if seen == nil {
		seen = &taskSeen{offset: t.At.Offset, since: now, rejected: -1}
		m.tasks[t.Task] = seen
	}
	f := pipelineFigures{found: true, known: t.Lag >= 0, lag: t.Lag, behind: t.LagTime, epochs: t.Epoch}
	if t.State == "failed" {
		f.failed = 1
	} else if stage.Cut == nil { // the raw archive claims where a file ends, whenever that is
		f.unclaimed = max(seen.unclaimed(t, now)-stage.Interval.Epoch, 0)
	}
	if t.State == "isolating" {
		f.isolated = 1
	}
	if t.Limit.Most > 0 {
		f.full = 100 * float64(t.Limit.Groups) / float64(t.Limit.Most)
	}
	f.quarantined = max(t.Quarantined-seen.quarantined, 0)
	seen.quarantined = t.Quarantined
	for _, trouble := range t.Outputs {
		if trouble != "" {
			f.failing++
		}
	}
	if t.At.Offset > 0 {
		f.difference = max(t.At.Offset-t.First-t.Ledger.Sum(), -(t.At.Offset - t.First - t.Ledger.Sum()))
	}
	first, every := p.Stages[0], m.windows[p.Pipeline]
	if stage == first && t.State == "running" {
		f.letters = map[string]int64{t.Task.Partition.Topic: seen.letters(t)}
	}
	// Of a silent partition the watermark goes on with the clock, from window to window.
	if stage == p.Stages[len(p.Stages)-1] && every > 0 && first.Time.IdleAfter > 0 && t.Mark != stream.NoTime {
		f.standing = max(now.Sub(t.Mark.Go())-every-first.Time.OutOfOrder-first.Time.IdleAfter, 0)
	}
	return f
}

// unclaimed is how long something has waited for a claim.
func (s *taskSeen) unclaimed(t *engine.TaskStatus, now time.Time) time.Duration {
	if t.Epoch > s.epoch || t.State == "running" && t.At.Offset == s.offset {
		s.epoch, s.offset, s.since = max(t.Epoch, s.epoch), t.At.Offset, now
	}
	return now.Sub(s.since)
}

// letters are the records that have become dead letters since the last measurement. What a replay finds again is not new.
func (s *taskSeen) letters(t *engine.TaskStatus) (fresh int64) {
	rejected := t.Ledger[stream.BucketRejected]
	if s.rejected >= 0 {
		fresh = max(rejected-s.rejected, 0)
	}
	s.rejected = max(s.rejected, rejected)
	return fresh
}

func (f *pipelineFigures) add(t pipelineFigures) {
	f.found, f.known = true, f.known && t.known
	f.lag, f.epochs, f.failed, f.failing, f.difference = f.lag+t.lag, f.epochs+t.epochs, f.failed+t.failed, f.failing+t.failing, f.difference+t.difference
	f.behind, f.unclaimed, f.standing = max(f.behind, t.behind), max(f.unclaimed, t.unclaimed), max(f.standing, t.standing)
	f.isolated, f.quarantined, f.full = f.isolated+t.isolated, f.quarantined+t.quarantined, max(f.full, t.full)
	if f.letters == nil {
		f.letters = map[string]int64{}
	}
	for topic, n := range t.letters {
		f.letters[topic] += n
	}
}

// points of a pipeline. A lag that is unknown is left out, and so is a trouble that is none: there are many pipelines.
func (f *pipelineFigures) points(pipeline string) (points []host.Point) {
	of := []host.Attribute{{Name: "pipeline", Value: pipeline}}
	add := func(name, kind, unit string, v float64) {
		points = append(points, host.Point{Name: name, Kind: kind, Unit: unit, Value: v, Attributes: of})
	}
	trouble := func(name, unit string, v float64) {
		if v != 0 {
			add(name, "gauge", unit, v)
		}
	}
	add("tidewatch.epochs", "sum", "{epoch}", float64(f.epochs))
	if f.known {
		add("tidewatch.lag.records", "gauge", "{record}", float64(f.lag))
		add("tidewatch.lag.time", "gauge", "s", f.behind.Seconds())
	}
	trouble("tidewatch.claim.overdue", "s", f.unclaimed.Seconds())
	trouble("tidewatch.watermark.overdue", "s", f.standing.Seconds())
	trouble("tidewatch.tasks.failed", "{task}", float64(f.failed))
	trouble("tidewatch.tasks.isolated", "{task}", float64(f.isolated))
	trouble("tidewatch.records.quarantined", "{record}", float64(f.quarantined))
	trouble("tidewatch.groups.used", "%", f.full)
	trouble("tidewatch.outputs.failing", "{output}", float64(f.failing))
	trouble("tidewatch.ledger.difference", "{offset}", float64(f.difference))
	return points
}

// answers has the figures of the API's answers since the last measurement: how many, how many failed, and if there were any,
// how long they took on average.
func (m *selfMeter) answers(c prometheus.Collector) ([]host.Point, error) {
	now, err := answersOf(c)
	if err != nil {
		return nil, err
	}
	n, failed := now.count-m.before.count, now.failed-m.before.failed
	points := []host.Point{
		{Name: "tidewatch.http.requests", Kind: "gauge", Unit: "{request}", Value: float64(n)},
		{Name: "tidewatch.http.errors", Kind: "gauge", Unit: "{request}", Value: float64(failed)},
	}
	if n > 0 {
		mean := (now.seconds - m.before.seconds) / float64(n) * float64(time.Second/time.Millisecond)
		points = append(points, host.Point{Name: "tidewatch.http.request.duration", Kind: "gauge", Unit: "ms", Value: mean})
	}
	m.before = now
	return points, nil
}

// answersOf sums up the answers of all routes. One of /readyz that says no is an answer like any other.
func answersOf(c prometheus.Collector) (sum answers, err error) {
	reg := prometheus.NewRegistry()
	if err := reg.Register(c); err != nil {
		return sum, fmt.Errorf("read own figures: %w", err)
	}
	families, err := reg.Gather()
	if err != nil {
		return sum, fmt.Errorf("read own figures: %w", err)
	}
	for _, f := range families {
		if f.GetName() != requestsMetric {
			continue
		}
		for _, m := range f.GetMetric() {
			n := m.GetHistogram().GetSampleCount()
			sum.count += n
			sum.seconds += m.GetHistogram().GetSampleSum()
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["status"] >= "500" && labels["route"] != "readyz" {
				sum.failed += n
			}
		}
	}
	return sum, nil
}
