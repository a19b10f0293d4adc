package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/internal/config"
	"github.com/tidewatch/tidewatch/internal/devstack"
	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/sources/generate"
)

const quietPipeline = `pipeline: load
source:
  kafka: {topics: [metrics], format: json%s}
time: {out_of_order: 100ms, allowed_lateness: 2s, idle_after: 1s}
interval: {epoch: 100ms, snapshot: 500ms, publish: 100ms}
steps:
  - window: {tumbling: 1s, by: [%s], aggregate: {n: count()}}
    as: counts
  - alert: {name: Load, when: n > 2, severity: warning, summary: "{{ n }} events"}
sinks:
  parquet: {of: [source, counts]}
`

// TestReplayOfQuietTopic runs a worker over a topic whose partitions fall silent, so that ticks resolve its alerts, and replays
// the archive that it writes: the transitions are the same, byte for byte.
func TestReplayOfQuietTopic(t *testing.T) {
	t.Run("keyed", func(t *testing.T) { testQuietTopic(t, ", keyed_by: [host]", "host") })
	t.Run("rekeyed", func(t *testing.T) { testQuietTopic(t, "", "name") })
}

func testQuietTopic(t *testing.T, keyed, by string) {
	t.Parallel() // most of it is waiting for silence
	dsn, address := testservers.Postgres(t), testservers.Redis(t)
	stack, err := devstack.Start(t.Context(), devstack.Config{
		Ephemeral: true, KafkaListen: "127.0.0.1:0", PostgresDSN: dsn, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stack.Close() })
	file := filepath.Join(t.TempDir(), "load.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, quietPipeline, keyed, by), 0o600); err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	c.Kafka.Brokers, c.Redis.URL, c.Postgres.DSN, c.Objects.URL = stack.Brokers(), "redis://"+address+"/0", dsn, stack.ObjectsURL()
	c.HTTP.Listen, c.HTTP.Admin, c.Pipelines = "127.0.0.1:0", "127.0.0.1:0", []string{file}
	producer := newQuietProducer(t, stack.Brokers())
	w := startWorkerWith(t, c, time.Second)
	live := transitionsIn(t, dsn)
	const rounds = 2
	for n := range rounds {
		producer.burst(t, 8)
		w.until(t, "the alert is resolved", func() string {
			if resolved := countTo(live(), alerts.Resolved); resolved <= n {
				return fmt.Sprintf("%d are", resolved)
			}
			return ""
		})
	}
	horizon := clock.System{}.Now()
	for range 4 { // the archive takes a part when the next slot begins, and ticks when progress has left theirs
		producer.burst(t, 1)
		<-clock.System{}.After(1100 * time.Millisecond)
	}
	w.until(t, "the replay equals the live run", func() string { return quietDiff(replayed(t, file, c.Objects.URL), live(), horizon) })
	if n := strings.Count(fmt.Sprint(live()), `"provisional":true`); n < rounds {
		t.Errorf("%d transitions follow from ticks, want at least %d: %v", n, rounds, live())
	}
}

// quietProducer writes events of now into two partitions.
type quietProducer struct{ client *kgo.Client }

func newQuietProducer(t *testing.T, brokers []string) quietProducer {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	g := generate.Default("hosts")
	g.Partitions = 2
	if _, err := prepareTopic(t.Context(), client, &genFlags{Config: g}, "metrics"); err != nil {
		t.Fatal(err)
	}
	return quietProducer{client}
}

func (q quietProducer) burst(t *testing.T, events int) {
	t.Helper()
	now := clock.System{}.Now()
	var records []*kgo.Record
	for i := range 2 * events {
		value := fmt.Appendf(nil, `{"time":%d,"name":"m","value":1,"host":"h%d"}`, now.Add(time.Duration(i)*time.Millisecond).UnixMilli(), i%2)
		records = append(records, &kgo.Record{Topic: "metrics", Partition: int32(i % 2), Value: value})
	}
	if err := q.client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// transitionsIn reads what the database holds, by id.
func transitionsIn(t *testing.T, dsn string) func() map[string]string {
	t.Helper()
	db, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(context.WithoutCancel(t.Context())) })
	return func() map[string]string {
		rows, err := db.Query(t.Context(), "SELECT id, body::text FROM tidewatch.tidewatch_transitions")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		found := map[string]string{}
		for rows.Next() {
			var id, body string
			if err := rows.Scan(&id, &body); err != nil {
				t.Fatal(err)
			}
			found[id] = body
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return found
	}
}

// replayed runs the command and reads the transitions that it prints.
func replayed(t *testing.T, pipeline, from string) map[string]string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run([]string{"replay", "--pipeline", pipeline, "--from", from}, nil, &out, &errs); code != exitOK && code != exitNotFound {
		t.Fatalf("replay ends with %d: %s", code, errs.String())
	}
	found := map[string]string{}
	for line := range strings.Lines(out.String()) {
		var l struct{ Transition json.RawMessage }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		if len(l.Transition) > 0 {
			found[transition(t, string(l.Transition)).ID] = string(l.Transition)
		}
	}
	return found
}

func transition(t *testing.T, body string) alerts.Transition {
	t.Helper()
	d, err := alerts.Decode([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func countTo(transitions map[string]string, state alerts.State) (n int) {
	for id := range transitions {
		if strings.Contains(id, "/"+string(state)+"/") {
			n++
		}
	}
	return n
}

// quietDiff says what is not the same, of what happened before the horizon.
func quietDiff(replay, live map[string]string, horizon time.Time) string {
	for id, body := range replay {
		if live[id] != body {
			return fmt.Sprintf("the replay has %s, live is %s", body, live[id])
		}
	}
	for id, body := range live {
		var t alerts.Transition
		if err := json.Unmarshal([]byte(body), &t); err != nil {
			return err.Error()
		}
		if replay[id] == "" && t.At.Before(horizon) {
			return "the replay lacks " + body
		}
	}
	return ""
}
