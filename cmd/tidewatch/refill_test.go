package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/internal/config"
	"github.com/tidewatch/tidewatch/internal/devstack"
	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/serve"
	"github.com/tidewatch/tidewatch/sinks/postgres"
	"github.com/tidewatch/tidewatch/sinks/redis"
	"github.com/tidewatch/tidewatch/sources/generate"
	"github.com/tidewatch/tidewatch/stream"
)

const refillPipeline = `pipeline: cpu
source:
  kafka: {topics: [metrics], format: auto, keyed_by: [host]}
time: {out_of_order: 2s, allowed_lateness: 2m, idle_after: 1h}
interval: {epoch: 300ms, snapshot: 1s, publish: 200ms}
steps:
  - window: {tumbling: 10s, by: [%s], aggregate: {avg: avg(value), samples: count()}}
    as: load
sinks:
  redis:   {of: load, keep: 6h}
  parquet: {of: [load]}
`

// TestRefill empties Redis under a running worker, and between two workers: every window comes back, be it final and in a
// file, final and waiting for its file, closed or open. By name the pipeline must re-key.
func TestRefill(t *testing.T) {
	for _, by := range []string{"host", "name"} {
		t.Run(by, func(t *testing.T) { testRefill(t, by) })
	}
}

func testRefill(t *testing.T, by string) {
	c := refillStack(t, by)
	w := startWorker(t, c)
	before := w.settled(t)
	emptied := func(w *testWorker) {
		t.Helper()
		w.until(t, "Redis is as it was", func() string {
			if err := w.refill.ready(t.Context()); err != nil {
				return err.Error()
			}
			return w.differs(t, before)
		})
	}
	w.empty(t)
	emptied(w)
	w.stop(t)
	w.empty(t)
	emptied(startWorker(t, c))
}

// TestRefillOfEndedVersion: where a version of the pipeline has followed another, the final windows of that one come back too,
// though nobody runs it any more.
func TestRefillOfEndedVersion(t *testing.T) {
	for _, by := range []string{"host", "name"} {
		t.Run(by, func(t *testing.T) {
			c := refillStack(t, by)
			w := startWorker(t, c)
			before := w.settled(t)
			old := w.versions.newest("cpu")
			text := strings.Replace(old.row.Body, "keep: 6h", "keep: 5h", 1)
			w.until(t, "the next version has begun", func() string {
				if _, err := w.versions.Apply(t.Context(), serve.ApplyRequest{Text: text}); err != nil {
					return err.Error()
				}
				return ""
			})
			w.stop(t)
			w.end(t, old.row.Instance)
			w.empty(t)
			w = startWorker(t, c)
			if got := w.versions.newest("cpu"); len(w.lineup().newest()) != 2 || got.row.Instance == old.row.Instance {
				t.Fatalf("%s runs, of %v", got.row.Instance, w.lineup().plans)
			}
			through, err := time.Parse(time.RFC3339Nano, before["complete through"])
			if err != nil {
				t.Fatal(err)
			}
			final := through.Add(-2 * time.Minute).Truncate(5 * time.Minute) // lateness, and the slot of a file
			w.until(t, "the final windows of the version before are there", func() string {
				if err := w.refill.ready(t.Context()); err != nil {
					return err.Error()
				}
				got, _ := w.query(t)
				compared := 0
				for point, want := range before {
					start, _, _ := strings.Cut(point, " [")
					at, err := time.Parse(time.RFC3339Nano, start)
					if err != nil || at.Add(10*time.Second).After(final) {
						continue
					}
					if compared++; got[point] != want {
						return fmt.Sprintf("%s is %q, want %q; %d points, %d before", point, got[point], want, len(got), len(before))
					}
				}
				if compared < len(before)/2 {
					return fmt.Sprintf("only %d of %d points are final", compared, len(before))
				}
				return ""
			})
		})
	}
}

// end ends a version, as a worker does when all its windows are final.
func (w *testWorker) end(t *testing.T, instance string) {
	t.Helper()
	p := postgres.Default()
	p.DSN = w.config.Postgres.DSN
	db, err := postgres.Open(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Versions().End(t.Context(), instance); err != nil {
		t.Fatal(err)
	}
}

// refillStack starts servers and produces twenty minutes of events.
func refillStack(t *testing.T, by string) config.Config {
	t.Helper()
	dsn, address := testservers.Postgres(t), testservers.Redis(t)
	stack, err := devstack.Start(t.Context(), devstack.Config{
		Ephemeral: true, KafkaListen: "127.0.0.1:0", PostgresDSN: dsn, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stack.Close(); err != nil {
			t.Error(err)
		}
	})
	file := filepath.Join(t.TempDir(), "cpu.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, refillPipeline, by), 0o600); err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	c.Kafka.Brokers, c.Redis.URL, c.Postgres.DSN, c.Objects.URL = stack.Brokers(), "redis://"+address+"/0", dsn, stack.ObjectsURL()
	c.HTTP.Listen, c.HTTP.Admin, c.Pipelines = "127.0.0.1:0", "127.0.0.1:0", []string{file}
	produceHosts(t, stack.Brokers())
	return c
}

func produceHosts(t *testing.T, brokers []string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	g := generate.Default("hosts")
	const perSecond, span = 5, 20 * 60
	g.Seed, g.Hosts, g.Partitions, g.PerSecond = 1, 7, 2, perSecond
	g.Start = stream.TimeOf(clock.System{}.Now().Add(-span * time.Second))
	if _, err := prepareTopic(t.Context(), client, &genFlags{Config: g}, "metrics"); err != nil {
		t.Fatal(err)
	}
	events, err := generate.New(g)
	if err != nil {
		t.Fatal(err)
	}
	if err := produce(t.Context(), client, events, genRun{topic: "metrics", events: perSecond * span, labels: io.Discard}); err != nil {
		t.Fatal(err)
	}
}

// testWorker is a worker that runs in this process.
type testWorker struct {
	*worker
	cancel context.CancelFunc
	done   chan error
}

func startWorker(t *testing.T, c config.Config) *testWorker {
	t.Helper()
	return startWorkerWith(t, c, 5*time.Minute)
}

// startWorkerWith is startWorker with another slot of files.
func startWorkerWith(t *testing.T, c config.Config, slot time.Duration) *testWorker {
	t.Helper()
	w := &testWorker{done: make(chan error, 1), worker: &worker{
		config: c, id: "test", roles: []string{"worker"}, slot: slot, log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}}
	if err := w.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.refill.every = 50 * time.Millisecond
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	w.cancel = cancel
	go func() { w.done <- errors.Join(w.run(ctx), w.close()) }() // stop waits for it
	t.Cleanup(func() { w.stop(t) })
	return w
}

// stop may be called twice.
func (w *testWorker) stop(t *testing.T) {
	t.Helper()
	w.cancel()
	if w.done == nil {
		return
	}
	if err := <-w.done; err != nil {
		t.Error(err)
	}
	w.done = nil
}

// until polls until the condition has nothing to complain of.
func (w *testWorker) until(t *testing.T, what string, lacks func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		lack := lacks()
		if lack == "" {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not within a minute: %s: %s", what, lack)
		case <-clock.System{}.After(20 * time.Millisecond):
		}
	}
}

// settled waits until everything is read and shown, and answers what a query says.
func (w *testWorker) settled(t *testing.T) map[string]string {
	t.Helper()
	var seen map[string]string
	w.until(t, "all is read and shown", func() string {
		if err := w.refill.ready(t.Context()); err != nil {
			return err.Error()
		}
		var samples int64
		seen, samples = w.query(t)
		if samples != 5*20*60 {
			return fmt.Sprintf("%d samples", samples)
		}
		complete, folded := stream.MaxTime, stream.MaxTime
		for _, s := range w.runner.Status() {
			if s.Lag != 0 {
				return fmt.Sprintf("%s lags by %d", s.Task, s.Lag)
			}
			switch {
			case s.Pipeline != "cpu":
			case s.Task.Stage == "fold":
				folded = min(folded, s.Mark)
			default:
				complete = min(complete, s.Mark)
			}
		}
		if folded != stream.MaxTime && complete < folded {
			return fmt.Sprintf("the second stage has come to %s, the first to %s", complete, folded)
		}
		if through := seen["complete through"]; through != complete.String() {
			return fmt.Sprintf("complete through %s, the tasks through %s", through, complete)
		}
		if w.files(t) == 0 {
			return "there is no file of final windows"
		}
		return ""
	})
	return seen
}

// query is every point of the output, and the sum of its samples.
func (w *testWorker) query(t *testing.T) (points map[string]string, samples int64) {
	t.Helper()
	points = map[string]string{}
	out, err := w.reader(t).Output(t.Context(), "cpu", "load")
	if errors.Is(err, redis.ErrNoOutput) {
		return points, 0
	}
	if err != nil {
		t.Fatal(err)
	}
	now := stream.TimeOf(clock.System{}.Now())
	res, err := w.reader(t).Read(t.Context(), redis.Query{Output: out, From: now.Add(-time.Hour), To: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range res.Series {
		for i, at := range s.Start {
			points[fmt.Sprint(at, s.Labels)] = fmt.Sprint(s.Columns[0].Value(i), " ", s.Columns[1].Value(i))
			samples += s.Columns[1].Ints[i]
		}
	}
	points["complete through"] = res.CompleteThrough.String()
	return points, samples
}

// reader is a client of its own, since the worker's is closed with it.
func (w *testWorker) reader(t *testing.T) *redis.Client {
	t.Helper()
	c := redis.Default()
	c.URL = w.config.Redis.URL
	client, err := redis.Open(c, clock.System{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func (w *testWorker) differs(t *testing.T, want map[string]string) string {
	t.Helper()
	got, _ := w.query(t)
	if maps.Equal(got, want) {
		return ""
	}
	return fmt.Sprintf("%d points, want %d; complete through %s, want %s", len(got), len(want), got["complete through"], want["complete through"])
}

func (w *testWorker) empty(t *testing.T) {
	t.Helper()
	flush(t, w.config.Redis.URL)
}

// flush empties a Redis.
func flush(t *testing.T, url string) {
	t.Helper()
	o, err := goredis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := goredis.NewClient(o)
	defer client.Close()
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}

// files counts the rollup files.
func (w *testWorker) files(t *testing.T) (n int) {
	t.Helper()
	err := w.objects.List(t.Context(), "rollups/", func(stream.Object) error {
		n++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// runningTasks are tasks that run and hold nothing.
type runningTasks []engine.TaskStatus

func (r runningTasks) Status() []engine.TaskStatus { return r }

func (r runningTasks) Refresh(_ context.Context, ids []stream.TaskID) ([]stream.TaskID, error) {
	return ids, nil
}

// refillerOf looks after a Redis for a pipeline p, without an archive.
func refillerOf(t *testing.T) (r *refiller, url string) {
	t.Helper()
	c := redis.Default()
	c.URL = "redis://" + testservers.Redis(t) + "/0"
	client, err := redis.Open(c, clock.System{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	r = newRefiller(client, nil, clock.System{}, slog.New(slog.DiscardHandler))
	r.writers = func() map[string]bool { return map[string]bool{"p": true} }
	return r, c.URL
}

// TestWhatWasNeverWrittenIsNotMissing: the outputs of a task that begins anew need no filling, until Redis is emptied.
func TestWhatWasNeverWrittenIsNotMissing(t *testing.T) {
	r, url := refillerOf(t)
	schema := &stream.Schema{Fields: []stream.Field{{Name: "n", Kind: stream.Int}}}
	open := func(name string, fresh bool) stream.TaskID {
		id := stream.TaskID{Instance: "p@1", Stage: name, Partition: stream.Partition{Topic: "metrics"}}
		task := engine.TaskContext{Task: id, Partitions: 1, Fresh: fresh}
		r.opened(pipelines.SinkConfig{Kind: pipelines.ParquetSink, Output: "o", Schema: schema}, task)
		r.opened(pipelines.SinkConfig{Kind: pipelines.RedisSink, Output: "o", Schema: schema}, task)
		return id
	}
	elsewhere := runningTasks{{Pipeline: "only-files", State: "starting"}}
	if _, err := r.look(t.Context(), append(elsewhere, engine.TaskStatus{Pipeline: "p", State: "starting"})); !strings.Contains(fmt.Sprint(err), "1 tasks") {
		t.Fatalf("one task that writes to Redis is starting, but: %v", err)
	}
	fresh, old := open("fresh", true), open("old", false)
	tasks := runningTasks{{Task: fresh, State: "running"}, {Task: old, State: "running"}}
	missing := func(want ...stream.TaskID) {
		t.Helper()
		parts, err := r.look(t.Context(), tasks)
		var got []stream.TaskID
		for _, p := range parts {
			got = append(got, p.config.Task)
		}
		if !slices.Equal(got, want) || errors.Is(err, errRefill) != (len(want) > 0) {
			t.Fatalf("missing are %v, want %v: %v", got, want, err)
		}
	}
	missing(old)
	for _, state := range []string{"starting", "isolating"} {
		if _, err := r.look(t.Context(), runningTasks{{Task: fresh, Pipeline: "p", State: state}}); err == nil {
			t.Fatalf("a task is %s, and Redis is said to hold everything", state)
		}
	}
	flush(t, url)
	missing(fresh, old)
	open("fresh", true) // it has failed before its first claim, and begins again
	missing(old)
	if _, err := r.redis.BeginFill(t.Context(), []string{r.partsOf(fresh)[0].name()}); err != nil {
		t.Fatal(err)
	}
	open("fresh", true)
	missing(fresh, old) // somebody else fills it
}

// TestARaisedGenerationIsNotReady: behind a quarantine Redis shows what was before until everything is written anew. Whoever asks
// for readiness meanwhile is not told what a look of before has found.
func TestARaisedGenerationIsNotReady(t *testing.T) {
	r, _ := refillerOf(t)
	needs := &dependencies{checks: map[string]func(context.Context) error{contentOfRedis: r.ready}, clock: clock.System{}, log: slog.New(slog.DiscardHandler)}
	schema := &stream.Schema{Fields: []stream.Field{{Name: "n", Kind: stream.Int}}}
	task := engine.TaskContext{Task: stream.TaskID{Instance: "p@1", Stage: "s", Partition: stream.Partition{Topic: "metrics"}}, Partitions: 1, Fresh: true}
	open := func() { r.opened(pipelines.SinkConfig{Kind: pipelines.RedisSink, Output: "o", Schema: schema}, task) }
	look := func(missing int) {
		t.Helper()
		opens := r.opens()
		parts, err := r.look(t.Context(), runningTasks{{Task: task.Task, Pipeline: "p", State: "running"}})
		if len(parts) != missing {
			t.Fatalf("%d parts are missing, want %d: %v", len(parts), missing, err)
		}
		r.report(err, opens)
	}
	open()
	look(0)
	needs.look(t.Context())
	if err := needs.ready(); err != nil {
		t.Fatal(err)
	}
	open() // it has failed, and goes on where it was
	if err := needs.ready(); err != nil {
		t.Fatal(err)
	}
	opens := r.opens()
	task.Generation, task.Fresh = 1, false
	open()
	if err := needs.ready(); !errors.Is(err, errRefill) {
		t.Fatalf("the task has begun anew, and ready is %v", err)
	}
	r.report(nil, opens) // of a look that had begun before
	if err := needs.ready(); !errors.Is(err, errRefill) {
		t.Fatalf("the task has begun anew during a look, and ready is %v", err)
	}
	select {
	case <-r.renewed:
	default:
		t.Error("nobody is told to look")
	}
	look(1)
	if err := needs.ready(); !errors.Is(err, errRefill) {
		t.Fatal(err)
	}
}
