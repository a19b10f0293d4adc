package obs_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/internal/obs"
	"github.com/tidewatch/tidewatch/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestScrape serves the metrics of one task and reads them as Prometheus would.
func TestScrape(t *testing.T) {
	task := stream.TaskID{Instance: "p@1", Stage: "main", Partition: stream.Partition{Topic: "metrics", Number: 3}}
	status := engine.TaskStatus{
		Task: task, Pipeline: "p", State: "running", Epoch: 7, At: stream.Version{Offset: 100}, First: 10, Lag: 5, LagTime: 2 * time.Second,
		Mark: stream.Time(90 * time.Second), RecordMark: stream.NoTime, StateBytes: 4096, Groups: 2,
		Outputs: map[string]string{"redis": "away"}, Durations: map[string]engine.Duration{"claim": {Count: 4, Total: time.Second}},
	}
	status.Ledger[stream.BucketCounted], status.Ledger[stream.BucketLate] = 80, 9
	m := obs.NewMetrics()
	m.Watch(func() []engine.TaskStatus { return []engine.TaskStatus{status} })
	m.Fetched(task, 120)
	text := scrape(t, m, "/metrics")
	labels := `partition="3",pipeline="p",stage="main",topic="metrics"`
	for _, want := range []string{
		`tidewatch_records_fetched_total{` + labels + `} 120`,
		`tidewatch_lag_records{` + labels + `} 5`,
		`tidewatch_lag_seconds{` + labels + `} 2`,
		`tidewatch_watermark_timestamp_seconds{` + labels + `} 90`,
		`tidewatch_epoch{` + labels + `} 7`,
		`tidewatch_ledger_offsets_total{bucket="late",` + labels + `} 9`,
		`tidewatch_ledger_difference{` + labels + `} 1`,
		`tidewatch_task_running{` + labels + `} 1`,
		`tidewatch_commit_phases_total{` + strings.Replace(labels, `,pipeline="p"`, `,phase="claim",pipeline="p"`, 1) + `} 4`,
		`tidewatch_output_failing{output="redis",` + labels + `} 1`,
		`go_goroutines`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no line %s", want)
		}
	}
	if strings.Contains(text, "tidewatch_record_watermark") {
		t.Error("an unknown watermark is shown")
	}
}

func scrape(t *testing.T, m *obs.Metrics, path string) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- obs.Serve(ctx, l, m) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestAllocations: objects and the records of each topic, whoever has read them.
func TestAllocations(t *testing.T) {
	m := obs.NewMetrics()
	for i, topic := range []string{"metrics", "security", "metrics"} {
		m.Fetched(stream.TaskID{Instance: "p@1", Stage: "main", Partition: stream.Partition{Topic: topic, Number: int32(i)}}, 10)
	}
	var objects, inMetrics, inSecurity int
	text := scrape(t, m, "/debug/allocations")
	if _, err := fmt.Sscanf(text, "objects %d\nfetched metrics %d\nfetched security %d\n", &objects, &inMetrics, &inSecurity); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	if objects < 1000 || inMetrics != 20 || inSecurity != 10 {
		t.Errorf("%q", text)
	}
}
