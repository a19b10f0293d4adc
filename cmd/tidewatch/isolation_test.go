package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const brokenPipeline = `pipeline: broken
source:
  kafka: {topics: [metrics], format: auto, keyed_by: [host]}
time: {out_of_order: 2s, allowed_lateness: 2m, idle_after: 1h}
interval: {epoch: 300ms, snapshot: 1s, publish: 200ms}
steps:
  - window: {tumbling: 10s, by: [host], aggregate: {samples: count()}}
    as: counts
sinks:
  kafka: {of: counts, topic: answers}
`

// TestBrokenSinkStopsNoOther: the topic that a pipeline writes to is missing. The other pipeline, which reads the same records, does not
// notice; the broken one says what it lacks, and writes every window once the topic is there.
func TestBrokenSinkStopsNoOther(t *testing.T) {
	c := refillStack(t, "host")
	file := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(file, []byte(brokenPipeline), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Pipelines = append(c.Pipelines, file)
	w := startWorker(t, c)
	through := ""
	w.until(t, "the other pipeline has read all", func() string {
		points, samples := w.query(t)
		if through = points["complete through"]; samples != 5*20*60 {
			return fmt.Sprintf("%d samples", samples)
		}
		if complete, err := time.Parse(time.RFC3339Nano, through); err != nil || time.Since(complete) > 3*time.Minute {
			return fmt.Sprintf("complete through %s (%v)", through, err)
		}
		return ""
	})
	w.until(t, "the broken one says so", func() string {
		said := ""
		for _, s := range w.runner.Status() {
			switch {
			case s.Pipeline == "broken":
				said += s.Problem
			case s.Problem != "" || s.State != "running":
				t.Fatalf("another has a problem, too: %+v", s)
			}
		}
		if strings.Contains(said, "topic answers") && strings.Contains(said, "create it") {
			return ""
		}
		return "it says: " + said
	})
	w.until(t, "Redis is ready all the same", func() string {
		if err := w.refill.ready(t.Context()); err != nil {
			return err.Error()
		}
		return ""
	})
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Kafka.Brokers...), kgo.ConsumeTopics("answers"), kgo.DisableClientMetrics(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, "answers"); err != nil {
		t.Fatal(err)
	}
	final := map[string]bool{}
	w.until(t, "every final window is in the topic", func() string {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) { final[string(r.Key)+string(r.Value)] = true })
		if want := 7 * (20*6 - 13); len(final) < want { // two minutes are open to late events
			return fmt.Sprintf("%d of %d", len(final), want)
		}
		return ""
	})
	w.until(t, "nothing is wrong any more", func() string {
		for _, s := range w.runner.Status() {
			if s.State != "running" || s.Problem != "" {
				return fmt.Sprintf("%+v", s)
			}
		}
		return ""
	})
}
