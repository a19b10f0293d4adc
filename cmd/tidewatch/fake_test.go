package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/serve"
	"github.com/tidewatch/tidewatch/stream"
)

// fakeNow is the time of the fake server.
var fakeNow = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// stopped is a clock that stands still. It implements stream.Clock.
type stopped struct{ now time.Time }

func (c stopped) Now() time.Time                       { return c.now }
func (stopped) After(d time.Duration) <-chan time.Time { return time.After(d) }

// fakeServer starts an API whose stores are made up: two hosts, one with a gap, a pipeline that has failed, two alerts.
func fakeServer(t testing.TB) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := serve.New(serve.Config{
		Listener: l, Status: fakeStatus{}, Alerts: fakeAlerts(t), Rollups: fakeRollups{}, Clock: stopped{fakeNow},
		Logger: slog.New(slog.DiscardHandler), Version: "test", Limits: serve.DefaultLimits(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

func fakeAlerts(t testing.TB) *alerts.Memory {
	t.Helper()
	m := alerts.NewMemory()
	value := 0.95
	for _, x := range []alerts.Alert{
		{Name: "HostCPUHigh", Severity: alerts.Warning, Labels: map[string]string{"tenant": "t1", "host": "web-7"}, Summary: "web-7 at 95 % for a minute", Pipeline: "host-cpu"},
		{Name: "BruteForceSucceeded", Severity: alerts.Critical, Labels: map[string]string{"user": "ada"}, Summary: "ada logged in from 203.0.113.7 in the minute of 12 failures", Pipeline: "authentication"},
	} {
		started := fakeNow.Add(-3 * time.Minute)
		x.State, x.Value, x.StartedAt, x.UpdatedAt, x.Version = alerts.Firing, &value, started, started, "v1"
		x.ID = alerts.EpisodeID(alerts.Fingerprint(x.Name, x.Labels), stream.TimeOf(started))
		x.Window.Start, x.Window.End, x.CompleteThrough = started.Add(-10*time.Second), started, started
		x.Evidence = []alerts.Evidence{{Topic: "metrics", Partition: 1, Offset: 42, Time: started}}
		tr := alerts.Transition{
			ID: fmt.Sprintf("%s/%s/%s/firing/0", x.Name, alerts.Fingerprint(x.Name, x.Labels), started.Format(time.RFC3339Nano)), Fingerprint: alerts.Fingerprint(x.Name, x.Labels), At: started, From: alerts.Inactive, To: alerts.Firing, Value: &value,
			Window: x.Window, Evidence: x.Evidence, Holds: true, Alert: x,
		}
		d, err := tr.Decision()
		if err == nil {
			err = m.Decide(d)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// fakeStatus implements serve.Status.
type fakeStatus struct{}

func (fakeStatus) Ready(context.Context) error { return nil }

func (fakeStatus) Ledger(context.Context) ([]serve.LedgerRow, error) { return nil, nil }

func (fakeStatus) Status() serve.StatusAnswer {
	lag := int64(12)
	mark := stream.TimeOf(fakeNow.Add(-2 * time.Second))
	part := serve.PartitionStatus{Stage: "main", Topic: "metrics", State: "running", Lag: &lag, LagSeconds: 0.4, Watermark: serve.InstantOf(mark), Ledger: map[string]int64{"counted": 1000}}
	bad := part
	bad.State, bad.Problem, bad.Topic = "failed", "the topic was made anew", "security"
	return serve.StatusAnswer{Worker: "w1", Version: "test", Pipelines: []serve.PipelineStatus{
		{Name: "authentication", Instance: "authentication@1", Ledger: map[string]int64{"counted": 5}, Partitions: []serve.PartitionStatus{bad}},
		{Name: "host-cpu", Instance: "host-cpu@1", CompleteThrough: serve.InstantOf(mark), Ledger: map[string]int64{"counted": 1000, "rejected": 3}, Partitions: []serve.PartitionStatus{part, part}},
	}}
}

// fakeLoad is the file that the server was started with.
const fakeLoad = `pipeline: host-load
source:
  kafka: {topics: [metrics], format: auto, keyed_by: [host]}
steps:
  - filter: name == "system.cpu.utilization"
  - window: {tumbling: 10s, by: [tenant, host], aggregate: {avg: avg(value)}}
    as: load
  - alert: {name: HostCPUHigh, when: avg > 0.9, for: 1m, keep_firing_for: 30s, severity: warning, summary: "{{ host }} at {{ avg }}"}
sinks:
  redis: {of: load, keep: 6h}
`

func (fakeStatus) Pipelines() []*pipelines.Description {
	return []*pipelines.Description{
		{Name: "authentication", About: "Logins.", Instance: "authentication@1", Topics: []string{"security"}, Event: "security"},
		{
			Name: "host-cpu", About: "CPU use of each host.", Instance: "host-cpu@1", Topics: []string{"metrics"}, Event: "metric",
			Demands: map[string][]string{"name": {"system.cpu.utilization"}},
			Rollups: []pipelines.Rollup{{Output: "cpu", Window: 10 * time.Second, Keep: 6 * time.Hour, Groups: []string{"tenant", "host"}, Columns: []pipelines.RollupColumn{
				{Name: "avg", Function: "avg", Of: "value", Unit: "1", Always: true}, {Name: "max", Function: "max", Of: "value", Unit: "1", Always: true}, {Name: "samples", Function: "count", Always: true},
			}}},
		},
		{
			Name: "host-load", About: "Load without counts.", Instance: "host-load@1", Topics: []string{"metrics"}, Event: "metric",
			File: "pipelines/load.yaml", Text: fakeLoad,
			Rollups: []pipelines.Rollup{{Output: "load", Window: 10 * time.Second, Keep: 6 * time.Hour, Groups: []string{"host"}, Columns: []pipelines.RollupColumn{
				{Name: "avg", Function: "avg", Of: "value", Always: true},
			}}},
		},
	}
}

// fakeRollups implements serve.Rollups.
type fakeRollups struct{}

func (fakeRollups) Outputs(context.Context) ([]serve.RollupOutput, error) {
	text := func(n string) stream.Field { return stream.Field{Name: n, Kind: stream.String} }
	float := func(n string) stream.Field { return stream.Field{Name: n, Kind: stream.Float} }
	return []serve.RollupOutput{
		{
			Pipeline: "host-cpu", Name: "cpu", Instance: "host-cpu@1", Groups: 2, Window: 10 * time.Second, Every: 10 * time.Second, Keep: 6 * time.Hour,
			Fields: []stream.Field{text("tenant"), text("host"), float("avg"), float("max"), {Name: "samples", Kind: stream.Int}},
		},
		{
			Pipeline: "host-load", Name: "load", Instance: "host-load@1", Groups: 1, Window: 10 * time.Second, Every: 10 * time.Second, Keep: 6 * time.Hour,
			Fields: []stream.Field{text("host"), float("avg")},
		},
	}, nil
}

// Read answers with the ten minutes before fakeNow: web-7 climbs from 0 to 0.6, web-9 stands at 0.2 and is silent from the third
// minute to the fifth. Windows are complete up to the ninth minute.
func (fakeRollups) Read(_ context.Context, q serve.RollupQuery) (*serve.RollupResult, error) {
	r := &serve.RollupResult{CompleteThrough: stream.TimeOf(fakeNow.Add(-time.Minute))}
	for _, host := range []string{"web-7", "web-9"} {
		if want, ok := q.Where["host"]; ok && want != host {
			continue
		}
		s := serve.RollupSeries{Labels: []string{"t1", host}, Null: make([]bool, 2), Columns: make([]stream.Column, len(q.Columns))}
		if q.Output.Groups == 1 {
			s.Labels, s.Null = s.Labels[1:], s.Null[1:]
		}
		for i := range 60 {
			at := stream.TimeOf(fakeNow.Add(time.Duration(i-60) * 10 * time.Second))
			if at < q.From || at >= q.To || host == "web-9" && i >= 18 && i < 30 {
				continue
			}
			fakePoint(&s, q.Columns, host, i)
			s.Start = append(s.Start, at)
		}
		r.Series = append(r.Series, s)
	}
	return r, nil
}

func fakePoint(s *serve.RollupSeries, columns []string, host string, i int) {
	v, samples := 0.2, int64(1)
	if host == "web-7" {
		v, samples = float64(i)/100, 3
	}
	for k, name := range columns {
		c := &s.Columns[k]
		switch name {
		case "samples":
			c.Kind = stream.Int
			c.AppendInt(samples)
		default:
			c.Kind = stream.Float
			c.AppendFloat(v)
		}
	}
}

func (fakeRollups) Subscribe(ctx context.Context, _ serve.RollupOutput, _ func(serve.RollupNotice)) error {
	<-ctx.Done()
	return nil
}
