package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/sinks/redis"
	"github.com/tidewatch/tidewatch/stream"
)

// toRedis reports whether rows are to be read from Redis.
func (t *trial) toRedis() bool { return t.e.state == "redis" && t.w.redis }

// pipeline is what Tidewatch runs.
func (t *trial) pipeline() (string, error) {
	text, err := files.ReadFile("pipelines/" + t.pipelineName() + ".yaml")
	if err != nil {
		return "", err
	}
	sink := fmt.Sprintf("kafka: {of: %s, topic: %s, transaction: true}", t.w.output, t.name)
	if t.toRedis() {
		sink = fmt.Sprintf("redis: {of: %s, keep: 7d}", t.w.output)
	}
	return strings.NewReplacer("RULES\n", ruleSteps(), "TOPIC", t.in.topic, "DISORDER", t.disorder().String(), "LATENESS", t.patience().String(),
		"CHECKPOINT", t.o.checkpoint.String(), "SINK", sink).Replace(string(text)), nil
}

func (t *trial) pipelineName() string { return strings.ToLower(t.w.name) }

// startProduct starts a worker on a database of its own, or again on that one.
func startProduct(ctx context.Context, t *trial) (*group, error) {
	if t.cluster != nil {
		return t.launchProduct(t.cluster.Workers[0])
	}
	text, err := t.pipeline()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(t.dir, "pipeline.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	t.cluster, err = t.servers.Cluster(ctx, bed.Place{
		Dir: t.lab.dir, Binary: t.product, Pipelines: file, Name: strings.ReplaceAll(t.name, "-", "_"), Group: t.name, Routes: t.servers.Direct(),
	})
	if err != nil {
		return nil, err
	}
	return t.launchProduct(t.cluster.NewWorker(ctx, t.name)) // which is started like every engine, not by the cluster
}

func (t *trial) launchProduct(w *bed.Worker) (*group, error) {
	return launch(t.dir, t.log(), program{
		args: []string{t.product, "serve", "-c", t.cluster.Config, "--worker-id", t.name},
		env:  []string{"TIDEWATCH_HTTP__LISTEN=" + w.HTTP, "TIDEWATCH_HTTP__ADMIN=" + w.Admin},
	})
}

// lookAtProduct asks the worker.
func lookAtProduct(ctx context.Context, t *trial) (sight, error) {
	tasks, err := t.cluster.Tasks(ctx)
	if err != nil {
		return sight{progress: err.Error()}, nil //nolint:nilerr // it does not answer yet; the time limit ends that
	}
	var wanted []bed.Want
	for _, s := range t.w.stages {
		pipeline := t.pipelineName()
		if s.Pipeline == archiveOf {
			pipeline = archiveOf + t.in.topic
		}
		wanted = append(wanted, bed.Want{Pipeline: pipeline, Stage: s.Stage, Tasks: s.Tasks})
	}
	var read int64
	var seen strings.Builder
	for _, task := range tasks {
		if task.State == "failed" {
			return sight{}, fmt.Errorf("a task of %s has stopped: %s", t.pipelineName(), task.Problem)
		}
		fmt.Fprint(&seen, task.Stage, task.Topic, task.Partition, task.Offset, " ")
		if task.Stage == t.w.stages[0].Stage {
			for _, n := range task.Ledger {
				read += n
			}
		}
	}
	return sight{ready: bed.Missing(tasks, wanted) == "" && read == t.in.events, progress: seen.String()}, nil
}

// collectProduct reads rollups with the command that users have, some windows at a time.
func collectProduct(ctx context.Context, t *trial, out io.Writer) error {
	if t.w.alerts {
		return t.collectTransitions(ctx, out)
	}
	if !t.toRedis() {
		return collectTopic(ctx, t, out)
	}
	const span = 100 * time.Second
	for from := t.in.from; from.Before(t.in.to); from = from.Add(span) {
		rows, err := t.cluster.Run(ctx, "query", t.pipelineName(), "--from", from.UTC().Format(time.RFC3339), "--to", from.Add(span).UTC().Format(time.RFC3339),
			"-o", "jsonl", "-q")
		if err != nil {
			return err
		}
		if _, err := out.Write(rows); err != nil {
			return err
		}
	}
	return nil
}

// followProduct reads every window of which Redis says that it has changed.
func followProduct(ctx context.Context, t *trial, see func(windowRow)) error {
	if !t.toRedis() {
		return followTopic(ctx, t, see)
	}
	c := redis.Default()
	c.URL = t.servers.Redis.URL()
	client, err := redis.Open(c, clock.System{})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }() // nothing was written
	output, err := client.Output(ctx, t.pipelineName(), t.w.output)
	for errors.Is(err, redis.ErrNoOutput) && bed.Sleep(ctx, 50*time.Millisecond) == nil {
		output, err = client.Output(ctx, t.pipelineName(), t.w.output)
	}
	if err != nil {
		return err
	}
	var failed error
	err = client.Subscribe(ctx, output, func(n redis.Notice) {
		for _, start := range n.Windows {
			if err := readWindow(ctx, client, output, start, see); ctx.Err() == nil { // else it was told to end
				failed = errors.Join(failed, err)
			}
		}
	})
	if ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, failed)
}

func readWindow(ctx context.Context, client *redis.Client, output redis.Output, start stream.Time, see func(windowRow)) error {
	rows, err := client.Read(ctx, redis.Query{Output: output, From: start, To: start + 1, Columns: []string{"samples"}})
	if err != nil {
		return fmt.Errorf("read window: %w", err)
	}
	for i := range rows.Series {
		s := &rows.Series[i]
		for k, at := range s.Start {
			samples, _ := s.Columns[0].Value(k).(int64)
			see(windowRow{Start: int64(at) / int64(time.Millisecond), Host: s.Labels[0], Samples: samples})
		}
	}
	return nil
}

// changesIn is how often rollups have changed in Redis.
func changesIn(ctx context.Context, url string) (sum string, err error) {
	err = withRedis(url, func(c *goredis.Client) error {
		keys, err := c.Keys(ctx, "tidewatch:*:changes").Result()
		for _, k := range keys {
			n, getErr := c.Get(ctx, k).Result()
			sum, err = sum+" "+n, errors.Join(err, getErr)
		}
		return err
	})
	return sum, err
}

func emptyRedis(ctx context.Context, url string) error {
	return withRedis(url, func(c *goredis.Client) error { return c.FlushAll(ctx).Err() })
}

func withRedis(url string, do func(*goredis.Client) error) error {
	o, err := goredis.ParseURL(url)
	if err != nil {
		return err
	}
	c := goredis.NewClient(o)
	defer c.Close()
	return do(c)
}
