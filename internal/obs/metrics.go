// Package obs is how the product is seen from outside: Prometheus metrics, the log, and traces of epochs.
package obs

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/stream"
)

// Metrics collects what the tasks show of themselves at every scrape. It implements prometheus.Collector and
// engine.Observer. Safe for concurrent use.
type Metrics struct {
	status func() []engine.TaskStatus

	mu struct {
		sync.Mutex
		fetched map[stream.TaskID]int64
	}
}

// NewMetrics has nothing to show until Watch.
func NewMetrics() *Metrics {
	m := &Metrics{status: func() []engine.TaskStatus { return nil }}
	m.mu.fetched = map[stream.TaskID]int64{}
	return m
}

// Watch sets where the status comes from, before the first scrape.
func (m *Metrics) Watch(status func() []engine.TaskStatus) { m.status = status }

// Fetched implements engine.Observer.
func (m *Metrics) Fetched(task stream.TaskID, n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.fetched[task] += n
}

// labels of every metric: one time series for each partition of each pipeline.
var labels = []string{"pipeline", "stage", "topic", "partition"}

// desc describes a metric. unit is "" for a bare number; the text form that Prometheus scrapes does not carry it.
func desc(name, unit, help string, more ...string) *prometheus.Desc {
	all := prometheus.UnconstrainedLabels(append(append([]string{}, labels...), more...))
	return prometheus.V2.NewDesc("tidewatch_"+name, help, all, nil, prometheus.WithUnit(unit))
}

// descriptions of all metrics; docs/operate/metrics.md lists them.
type descriptions struct {
	fetched, lag, lagSeconds, watermark, complete, epoch, offset, state, groups, snapshot, ledger, difference, running, seconds, commits *prometheus.Desc
	limit, fullest, overflow                                                                                                             *prometheus.Desc
	output, isolated, parked, gaps, ahead, behind                                                                                        *prometheus.Desc
}

func describe() *descriptions {
	return &descriptions{
		fetched:    desc("records_fetched_total", "records", "Offsets read from the log, those of replays included."),
		lag:        desc("lag_records", "records", "Records between the task's position and the end of the log; absent while it is unknown."),
		lagSeconds: desc("lag_seconds", "seconds", "Wall clock less the watermark by records; 0 when all is read, absent while the lag is unknown."),
		watermark:  desc("watermark_timestamp_seconds", "seconds", "Event time up to which the task has seen everything but late events; absent before the first."),
		complete:   desc("record_watermark_timestamp_seconds", "seconds", "Watermark by records alone, without idle ticks; absent before the first."),
		epoch:      desc("epoch", "", "Number of the newest claimed epoch."),
		offset:     desc("offset", "", "Next offset to read."),
		state:      desc("state_bytes", "bytes", "Memory of the operators' state."),
		groups:     desc("groups", "", "Live groups of the operators."),
		limit:      desc("window_groups_limit", "", "Groups that a window may have by max_groups; absent without a limit."),
		fullest:    desc("window_groups", "", "Groups of the fullest window; absent without a limit."),
		overflow:   desc("overflow_rows_total", "rows", "Rows of groups that found no room in a window, counted in the other group; absent without a limit."),
		snapshot:   desc("snapshot_bytes", "bytes", "Size of the newest snapshot."),
		ledger:     desc("ledger_offsets_total", "offsets", "Offsets by what became of them.", "bucket"),
		gaps:       desc("ledger_gap_offsets_total", "offsets", "Offsets of the ledger's bucket gap by kind: marker (it ends a transaction), aborted, absent (compacted).", "kind"),
		difference: desc("ledger_difference", "", "Offsets passed less the sum of the ledger: 0, or a defect."),
		running:    desc("task_running", "", "1 while the task runs, 0 while it starts, is isolated or has failed."),
		isolated:   desc("task_isolated", "", "1 while the task works alone, or waits for that, since its processes have died again and again."),
		seconds:    desc("commit_seconds_total", "seconds", "Time spent in the phases of the commit of epochs: capture, stage, claim, reveal.", "phase"),
		commits:    desc("commit_phases_total", "", "How often a phase of the commit of epochs ran.", "phase"),
		ahead:      desc("producer_clock_ahead_seconds", "seconds", "Largest lead of a producer's clock over the broker's, if it is above a second, else 0."),
		behind:     desc("producer_clock_behind_seconds", "seconds", "Largest delay of a producer behind the broker's clock, if it is above a second, else 0."),
		parked:     desc("parked_rows_total", "rows", "Rows that the server of an output refused, and that are dead letters of the kind parked.", "output"),
		output:     desc("output_failing", "", "1 while an output does not take what it should.", "output"),
	}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(out chan<- *prometheus.Desc) {
	d := describe()
	for _, each := range []*prometheus.Desc{
		d.fetched, d.lag, d.lagSeconds, d.watermark, d.complete, d.epoch, d.offset, d.state, d.groups, d.limit, d.fullest, d.overflow, d.snapshot, d.ledger,
		d.difference, d.running, d.seconds, d.commits, d.ahead, d.behind, d.output,
		d.parked, d.gaps, d.isolated,
	} {
		out <- each
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	d := describe()
	for _, s := range m.status() {
		m.collect(d, &s, out)
	}
}

func (m *Metrics) collect(d *descriptions, s *engine.TaskStatus, out chan<- prometheus.Metric) {
	p := s.Task.Partition
	base := []string{s.Pipeline, s.Task.Stage, p.Topic, itoa(p.Number)}
	send := func(desc *prometheus.Desc, kind prometheus.ValueType, v float64, more ...string) {
		out <- prometheus.MustNewConstMetric(desc, kind, v, append(append([]string{}, base...), more...)...)
	}
	m.mu.Lock()
	fetched := m.mu.fetched[s.Task]
	m.mu.Unlock()
	send(d.fetched, prometheus.CounterValue, float64(fetched))
	if s.Lag >= 0 {
		send(d.lag, prometheus.GaugeValue, float64(s.Lag))
		send(d.lagSeconds, prometheus.GaugeValue, s.LagTime.Seconds())
	}
	if s.Mark != stream.NoTime {
		send(d.watermark, prometheus.GaugeValue, seconds(s.Mark))
	}
	if s.RecordMark != stream.NoTime {
		send(d.complete, prometheus.GaugeValue, seconds(s.RecordMark))
	}
	send(d.epoch, prometheus.GaugeValue, float64(s.Epoch))
	send(d.offset, prometheus.GaugeValue, float64(s.At.Offset))
	send(d.state, prometheus.GaugeValue, float64(s.StateBytes))
	send(d.groups, prometheus.GaugeValue, float64(s.Groups))
	if s.Limit.Most > 0 {
		send(d.limit, prometheus.GaugeValue, float64(s.Limit.Most))
		send(d.fullest, prometheus.GaugeValue, float64(s.Limit.Groups))
		send(d.overflow, prometheus.CounterValue, float64(s.Limit.Overflow))
	}
	send(d.snapshot, prometheus.GaugeValue, float64(s.Snapshot.Bytes))
	for b, n := range s.Ledger {
		send(d.ledger, prometheus.CounterValue, float64(n), stream.Bucket(b).String())
	}
	for kind, n := range s.Gaps.Map(&s.Ledger) {
		send(d.gaps, prometheus.CounterValue, float64(n), kind)
	}
	if s.At.Offset > 0 {
		send(d.difference, prometheus.GaugeValue, float64(s.At.Offset-s.First-s.Ledger.Sum()))
	}
	send(d.running, prometheus.GaugeValue, truth(s.State == "running"))
	send(d.isolated, prometheus.GaugeValue, truth(s.State == "isolating"))
	for phase, t := range s.Durations {
		send(d.seconds, prometheus.CounterValue, t.Total.Seconds(), phase)
		send(d.commits, prometheus.CounterValue, float64(t.Count), phase)
	}
	var ahead, behind float64
	for _, p := range s.Skew {
		ahead, behind = max(ahead, p.Ahead.Seconds()), max(behind, -p.Ahead.Seconds())
	}
	send(d.ahead, prometheus.GaugeValue, ahead)
	send(d.behind, prometheus.GaugeValue, behind)
	for name, trouble := range s.Outputs {
		send(d.output, prometheus.GaugeValue, truth(trouble != ""), name)
	}
	for name, n := range s.Parked {
		send(d.parked, prometheus.CounterValue, float64(n), name)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func seconds(t stream.Time) float64 { return float64(t) / float64(time.Second) }
