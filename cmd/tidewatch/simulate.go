package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/internal/kafkaclient"
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

// simulate produces generated life: hosts and services, and users who log in and call an API, at their own rates. Each goes
// on where its topic ends, with whatever else is on it counted; event times are such that the next event is now. begun is
// called when the histories are there: half an hour without incidents, at once, on topics that were empty.
func simulate(ctx context.Context, brokers []string, begun func()) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ClientID("tidewatch-sim"), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.WithCompressor(kafkaclient.LZ4()), kgo.ProducerLinger(demoLinger), kgo.DisableClientMetrics())
	if err != nil {
		return fmt.Errorf("open demo: %w", err)
	}
	defer client.Close()
	scenarios := []string{"platform", "access"}
	failed := make(chan error, len(scenarios))
	var histories sync.WaitGroup
	histories.Add(len(scenarios))
	go func() { histories.Wait(); begun() }() // every scenario is done with its history, or has failed
	for _, s := range scenarios {
		go func() { failed <- simulateOne(ctx, client, s, histories.Done) }() // all are received below
	}
	var errs []error
	for range scenarios {
		errs = append(errs, <-failed)
	}
	return errors.Join(errs...)
}

func simulateOne(ctx context.Context, client *kgo.Client, scenario string, begun func()) error {
	done := sync.OnceFunc(begun)
	defer done()
	c := generate.Default(scenario)
	c.Seed, c.Hosts, c.Users, c.Partitions, c.Calm = 42, demoHosts, demoUsers, demoPartitions, demoHistory
	g, err := generate.New(c)
	if err != nil {
		return err
	}
	topic, step := g.Topic(), g.Time(1).Sub(g.Time(0))
	first, err := prepareTopic(ctx, client, &genFlags{Config: c}, topic)
	if err != nil {
		return err
	}
	history := int64(0)
	if first == 0 {
		history = int64(demoHistory / step)
	}
	c.Start = stream.TimeOf(clock.System{}.Now().Add(-time.Duration(first+history) * step))
	if g, err = generate.New(c); err != nil {
		return err
	}
	run := genRun{topic: topic, origin: demoSim, first: first, events: history, labels: io.Discard}
	if err := ignoreEnd(ctx, produce(ctx, client, g, run)); err != nil || ctx.Err() != nil {
		return err
	}
	done()
	run.first, run.events, run.rate = first+history, 1<<40, int64(time.Second/step)
	return ignoreEnd(ctx, produce(ctx, client, g, run))
}

// ignoreEnd drops the error of a demo that was stopped.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}
