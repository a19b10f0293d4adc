//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/serve"
)

const deadlyPipeline = `pipeline: deadly
source:
  kafka: {topics: [metrics], schema: metric, keyed_by: [host]}
time: {out_of_order: 2s, allowed_lateness: 30s, idle_after: 1h}
interval: {epoch: 150ms, snapshot: 600ms, publish: 100ms}
steps:
  - window: {tumbling: 10s, by: [host], aggregate: {samples: count()}}
    as: counts
sinks:
  redis: {of: counts, keep: 7d}
`

// TestDeadlyRecord: processes of the fault build die of a record, one after the other, with two partitions each. After some deaths the
// record is set aside, alone, and everything else of both partitions is counted.
func TestDeadlyRecord(t *testing.T) {
	brokers, b := testservers.Kafka(t), testservers.S3(t)
	dir := t.TempDir()
	d := &deadly{binary: filepath.Join(dir, "tidewatch"), config: filepath.Join(dir, "tidewatch.yaml")}
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "faults", "-o", d.binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the fault build: %v: %s", err, out)
	}
	pipeline := filepath.Join(dir, "deadly.yaml")
	write(t, pipeline, deadlyPipeline)
	listen, err := testservers.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.status = "http://" + listen + "/api/v2/status"
	write(t, d.config, fmt.Sprintf("kafka: {brokers: [%q], group: %q}\nredis: {url: \"redis://%s/0\"}\npostgres: {dsn: %q}\n"+
		"objects: {url: \"s3://%s/deadly\", endpoint: %q, region: %q, access_key: %q, secret_key: %q}\nhttp: {listen: %q, admin: \"127.0.0.1:0\"}\npipelines: [%q]\n",
		brokers[0], testservers.Name("deadly"), testservers.Redis(t), testservers.Postgres(t), b.Bucket, b.Endpoint, b.Region, b.AccessKey, b.SecretKey, listen, pipeline))
	produceDeadly(t, brokers)

	deaths, states := d.live(t)
	if deaths < 3 || deaths > 12 {
		t.Errorf("the record was set aside after %d deaths", deaths)
	}
	if !states["isolating"] {
		t.Errorf("states seen: %v, nobody was isolated", states)
	}
	t.Logf("%d deaths, states %v", deaths, states)
	out, err := exec.CommandContext(t.Context(), d.binary, "dlq", "ls", "--kind", "quarantined", "-o", "json", "-c", d.config).CombinedOutput()
	if err != nil || strings.Count(string(out), "while this record alone was in work") != 1 || !strings.Contains(string(out), fmt.Sprintf(`"offset": %d`, deadlyAt)) {
		t.Errorf("dlq ls: %v: %s", err, out)
	}
}

const (
	deadlyAt    = 150
	deadlyCount = 300 // records of each partition
)

func produceDeadly(t *testing.T, brokers []string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 2, 1, nil, "metrics"); err != nil {
		t.Fatal(err)
	}
	base := time.Now().Add(-time.Hour).UnixMilli()
	for i := range int32(2 * deadlyCount) {
		partition, n := i%2, i/2
		host := fmt.Sprintf("host-%d-%d", partition, n%5)
		if partition == 0 && n == deadlyAt {
			host = "fault-kill"
		}
		value := fmt.Appendf(nil, `{"time":%d,"name":"load","value":1,"host":%q}`, base+int64(n)*100, host)
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "metrics", Partition: partition, Value: value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// deadly is a worker that is started again whenever it has died.
type deadly struct{ binary, config, status string }

// live returns when all is read and one record is set aside.
func (d *deadly) live(t *testing.T) (deaths int, states map[string]bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	states = map[string]bool{}
	log, err := os.Create(d.config + ".log")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		cmd := exec.CommandContext(ctx, d.binary, "serve", "-c", d.config, "--worker-id", "one") // killed with the context
		cmd.Stdout, cmd.Stderr = log, log
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			_ = cmd.Wait()
			close(ended)
		}()
		for alive := true; alive; {
			select {
			case <-ended:
				alive = false
			case <-tick.C:
				if d.done(ctx, states) {
					cancel()
					<-ended
					return deaths, states
				}
			}
		}
		if ctx.Err() != nil {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("not found after %d deaths, states %v; the log ends with\n%s", deaths, states, text[max(0, len(text)-4000):])
		}
		deaths++
	}
}

// done asks the worker, which may be away.
func (d *deadly) done(ctx context.Context, states map[string]bool) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.status, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	var now serve.StatusAnswer
	if json.NewDecoder(resp.Body).Decode(&now) != nil {
		return false
	}
	for _, p := range now.Pipelines {
		if p.Name != "deadly" {
			continue
		}
		running := 0
		for _, task := range p.Partitions {
			states[task.State] = true
			if task.State == "running" {
				running++
			}
		}
		return running == 2 && p.Ledger["quarantined"] == 1 && p.Ledger["counted"] == 2*deadlyCount-1
	}
	return false
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
