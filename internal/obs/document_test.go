package obs_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/internal/golden"
	"github.com/tidewatch/tidewatch/internal/obs"
	"github.com/tidewatch/tidewatch/serve"
	"github.com/tidewatch/tidewatch/stream"
)

// TestDocument: docs/operate/metrics.md lists what is registered. All that can be measured is measured once, so that nothing
// that is described stays out of it.
func TestDocument(t *testing.T) {
	tasks, api := obs.NewMetrics(), server(t)
	tasks.Watch(func() []engine.TaskStatus { return []engine.TaskStatus{everything()} })
	var b strings.Builder
	b.WriteString(`# Metrics

Made from the registered collectors by ` + "`make golden`" + `; a test compares it. The admin port (` + "`http.admin`" + `) serves them at
` + "`/metrics`, with those of the Go runtime (`go_…`) and of the process (`process_…`)" + `. They are this worker's: sum them up over workers. A
partition that moves to another worker takes its time series with it.

A histogram has the usual three, ` + "`…_bucket`, `…_sum` and `…_count`" + `; what has no unit is a bare number. What to make of them is in the [runbooks](runbooks/README.md).

## Tasks

One time series for each task: a partition of a stage of a pipeline.

`)
	table(t, &b, tasks)
	b.WriteString(`
## What the worker needs

Kafka, Postgres, Redis, its content, the object store: one time series for each.

`)
	table(t, &b, obs.NewAway(func() map[string]time.Duration { return map[string]time.Duration{"Redis": 0} }))
	b.WriteString(`
## Page and API

`)
	table(t, &b, api)
	golden.File(t, "../../docs/operate/metrics.md", b.String())
}

// everything is the status of a task of which all is known.
func everything() engine.TaskStatus {
	return engine.TaskStatus{
		Task: stream.TaskID{Stage: "main", Partition: stream.Partition{Topic: "metrics"}}, At: stream.Version{Offset: 1},
		Limit: engine.GroupLimit{Most: 1}, Outputs: map[string]string{"redis": ""}, Parked: map[string]int64{"redis": 1}, Durations: map[string]engine.Duration{"claim": {}},
	}
}

// server has answered a request.
func server(t *testing.T) *serve.Metrics {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := serve.New(serve.Config{Listener: l, Clock: clock.System{}, Logger: slog.New(slog.DiscardHandler), Limits: serve.DefaultLimits()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.Addr().String()+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	cancel()
	if stopped := <-done; err != nil || stopped != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status, err, stopped)
	}
	return s.Metrics()
}

// table writes what the collector has, and fails if that is not exactly what it describes.
func table(t *testing.T, b *strings.Builder, c prometheus.Collector) {
	t.Helper()
	described := make(chan *prometheus.Desc, 1000)
	c.Describe(described)
	reg := prometheus.NewPedanticRegistry() // fails where something is collected that is not described
	if err := reg.Register(c); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) != len(described) {
		t.Fatalf("%d metrics are described, %d are there: something is not measured in this test", len(described), len(families))
	}
	b.WriteString("| name | type | labels | unit | what it is |\n|---|---|---|---|---|\n")
	for _, f := range families {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		slices.Sort(labels)
		kind := strings.ToLower(f.GetType().String())
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", f.GetName(), kind, strings.Join(labels, ", "), f.GetUnit(), f.GetHelp())
	}
}
