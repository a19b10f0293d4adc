package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/sources/generate"
	"github.com/tidewatch/tidewatch/stream"
)

const (
	demoPartitions = 4
	demoHosts      = 25
	demoUsers      = 200
	// demoHistory is produced at once on an empty topic, so that there is something to see from the start.
	demoHistory = 30 * time.Minute
	// demoLinger is how long events are gathered, as an agent on a host does. A request for each event would keep the broker,
	// and everything behind it, busier than the event.
	demoLinger = 500 * time.Millisecond
)

// simulate produces the demo: hosts that report their load, and users who log in, at their own rates. Each goes on where
// its topic ends. Event times are such that the next event is now.
func simulate(ctx context.Context, brokers []string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ClientID("tidewatch-sim"), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.ProducerLinger(demoLinger), kgo.DisableClientMetrics())
	if err != nil {
		return fmt.Errorf("open demo: %w", err)
	}
	defer client.Close()
	failed := make(chan error, 2)
	parts := []struct {
		scenario  string
		perSecond int
	}{{"hosts", demoHosts * 3 / 5}, {"logins", 20}}
	for _, p := range parts {
		go func() { failed <- simulateOne(ctx, client, p.scenario, p.perSecond) }() // both are received below
	}
	return errors.Join(<-failed, <-failed)
}

func simulateOne(ctx context.Context, client *kgo.Client, scenario string, perSecond int) error {
	c := generate.Default(scenario)
	c.Seed, c.Hosts, c.Users, c.Partitions, c.PerSecond = 42, demoHosts, demoUsers, demoPartitions, perSecond
	g, err := generate.New(c)
	if err != nil {
		return err
	}
	topic := g.Topic()
	first, err := prepareTopic(ctx, client, &genFlags{Config: c}, topic)
	if err != nil {
		return err
	}
	step := time.Second / time.Duration(perSecond)
	history := int64(0)
	if first == 0 {
		history = int64(demoHistory / step)
	}
	c.Start = stream.TimeOf(clock.System{}.Now().Add(-time.Duration(first+history) * step))
	if g, err = generate.New(c); err != nil {
		return err
	}
	run := genRun{topic: topic, first: first, events: history, labels: io.Discard}
	if err := ignoreEnd(ctx, produce(ctx, client, g, run)); err != nil || ctx.Err() != nil {
		return err
	}
	run.first, run.events, run.rate = first+history, 1<<40, int64(perSecond)
	return ignoreEnd(ctx, produce(ctx, client, g, run))
}

// ignoreEnd drops the error of a demo that was stopped.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}
