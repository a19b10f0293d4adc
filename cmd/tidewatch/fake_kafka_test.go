package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/internal/kafkaclient"
	sinkkafka "github.com/tidewatch/tidewatch/sinks/kafka"
	"github.com/tidewatch/tidewatch/stream"
)

// fakeKafka starts a cluster with the topic events, and dead letters of it and of a topic that is gone.
func fakeKafka(t testing.TB) string {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "events"), kfake.SeedTopics(1, sinkkafka.DeadLetterTopic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	k := kafkaclient.Config{Brokers: c.ListenAddrs()}
	client, err := sinkkafka.Open(sinkkafka.Config{Client: k})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	bury := func(pipeline, topic string, partition int32, r stream.Rejected) {
		task := stream.TaskID{Instance: pipeline + "@1", Stage: "main", Partition: stream.Partition{Topic: topic, Incarnation: "i", Number: partition}}
		d := client.NewDeadLetters(task, pipeline)
		if err := errors.Join(d.Write(ctx, []stream.Rejected{r}), d.Flush(ctx)); err != nil {
			t.Fatal(err)
		}
	}
	at := stream.TimeOf(fakeNow)
	broken := stream.Rejected{Offset: 4, Timestamp: at, Key: []byte("web-7"), Raw: []byte("{broken"), Reason: "invalid_json"}
	bury("first", "events", 1, broken)
	broken.Reason = "invalid_time"
	bury("second", "events", 1, broken)
	missing := stream.Rejected{Offset: 7, Timestamp: at, Raw: []byte("{}"), Reason: "missing_field"}
	bury("first", "events", 0, missing)
	missing.Offset = 9
	bury("first", "gone", 0, missing)
	return c.ListenAddrs()[0]
}

// fakeParked starts a cluster with the topic rows, a letter about a quarantined record of it, and letters about rows that were
// parked on the way to it, to a topic that is gone, and to Redis.
func fakeParked(t testing.TB) string {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "rows"), kfake.SeedTopics(1, sinkkafka.DeadLetterTopic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	client, err := sinkkafka.Open(sinkkafka.Config{Client: kafkaclient.Config{Brokers: c.ListenAddrs()}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	task := stream.TaskID{Instance: "cpu@1", Stage: "main", Partition: stream.Partition{Topic: "rows", Incarnation: "i"}}
	d := client.NewDeadLetters(task, "cpu")
	dead := []stream.Rejected{{
		Kind: stream.LetterQuarantined, Offset: 3, Timestamp: stream.TimeOf(fakeNow), Reason: "panic: index out of range", Detail: "goroutine 7 [running]:\nmain.main()", Raw: []byte("{}"),
	}}
	row := func(sink, target string, offset int64, raw string) {
		name := fmt.Sprintf("closed/%d/2/0", offset)
		dead = append(dead, stream.Rejected{
			Kind: stream.LetterParked, Offset: offset, Reason: "refused by " + sink, Detail: "the server's words", Raw: []byte(raw),
			Row: &stream.ParkedRow{Sink: sink, Output: sink + ".usage", Target: target, Name: name, Phase: stream.Closed, At: stream.Version{Offset: offset, Step: 2}},
		})
	}
	row("kafka", "rows", 8, `{"avg":1}`)
	row("kafka", "gone", 8, `{"avg":2}`)
	row("kafka", "rows", 9, `{"avg":3}`)
	row("redis", "tw:w:1", 9, `{"block":""}`)
	row("tape", "reel-7", 9, `{}`)
	if err := errors.Join(d.Write(ctx, dead), d.Flush(ctx), d.Write(ctx, dead[1:2]), d.Flush(ctx)); err != nil { // the last one repeats
		t.Fatal(err)
	}
	return c.ListenAddrs()[0]
}

// recordsCommand is `records TOPIC` of scripts: it prints what is on a topic of the cluster, partition by partition.
func recordsCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: records TOPIC")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(ts.Getenv("BROKERS")), kgo.ConsumeTopics(args[0]), kgo.DisableClientMetrics())
	ts.Check(err)
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, args[0])
	ts.Check(err)
	left := int64(0)
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })
	lines := map[string]string{}
	for left > 0 {
		fetches := cl.PollFetches(ctx)
		ts.Check(fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			text := fmt.Sprintf("%d %q %q", r.Offset, r.Key, r.Value)
			for _, h := range r.Headers {
				text += " " + h.Key + "=" + string(h.Value)
			}
			lines[fmt.Sprintf("%d/%09d", r.Partition, r.Offset)] = fmt.Sprintf("%d %s", r.Partition, text)
			left--
		})
	}
	for _, k := range sortedKeys(lines) {
		fmt.Fprintln(ts.Stdout(), lines[k])
	}
}
