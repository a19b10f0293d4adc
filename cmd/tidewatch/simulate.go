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

// simulation is generated life: hosts and services, and users who log in and call an API, at their own rates. begin and run
// are called one after the other.
type simulation struct {
	client *kgo.Client
	lives  [2]*life
}

// life is a scenario and how far it has got.
type life struct {
	generator *generate.Generator
	run       genRun // what comes next
}

// begin finds where each scenario goes on, and produces half an hour without incidents, at once, on topics that were empty:
// what is produced by others must not make it late. Event times are such that the next event is now.
func (s *simulation) begin(ctx context.Context, brokers []string) (err error) {
	s.client, err = kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ClientID("tidewatch-sim"), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.WithCompressor(kafkaclient.LZ4()), kgo.ProducerLinger(demoLinger), kgo.DisableClientMetrics())
	if err != nil {
		return fmt.Errorf("open demo: %w", err)
	}
	var wg sync.WaitGroup
	var errs [len(s.lives)]error
	for i, scenario := range [len(s.lives)]string{"platform", "access"} {
		wg.Go(func() { s.lives[i], errs[i] = beginLife(ctx, s.client, brokers, scenario) })
	}
	wg.Wait()
	return errors.Join(errs[:]...)
}

func beginLife(ctx context.Context, client *kgo.Client, brokers []string, scenario string) (*life, error) {
	c := generate.Default(scenario)
	c.Seed, c.Hosts, c.Users, c.Partitions, c.Calm = 42, demoHosts, demoUsers, demoPartitions, demoHistory
	g, err := generate.New(c)
	if err != nil {
		return nil, err
	}
	topic, step := g.Topic(), g.Time(1).Sub(g.Time(0))
	f := genFlags{Config: c, brokers: brokers}
	records, err := prepareTopic(ctx, client, &f, topic)
	if err != nil {
		return nil, err
	}
	next, found := int64(0), false
	if records > 0 {
		if next, found, err = nextPlace(ctx, brokers, topic, demoSim); err != nil {
			return nil, err
		}
	}
	history := int64(demoHistory / step)
	if !found {
		next = history
	}
	now := stream.TimeOf(clock.System{}.Now())
	f.Start = now.Add(-time.Duration(next) * step)
	if g, err = generate.New(f.Config); err != nil {
		return nil, err
	}
	run := genRun{topic: topic, origin: demoSim, events: history, labels: io.Discard}
	if records == 0 {
		if err := produce(ctx, client, g, run); err != nil {
			return nil, err
		}
	}
	run.first, run.events, run.rate, run.began = next, 1<<40, int64(time.Second/step), now.Go()
	return &life{g, run}, nil
}

// run goes on until ctx is done.
func (s *simulation) run(ctx context.Context) error {
	var wg sync.WaitGroup
	var errs [len(s.lives)]error
	for i, l := range s.lives {
		wg.Go(func() { errs[i] = ignoreEnd(ctx, produce(ctx, s.client, l.generator, l.run)) })
	}
	wg.Wait()
	return errors.Join(errs[:]...)
}

// close ends the use of the broker. It may be called at any time but beside begin and run.
func (s *simulation) close() {
	if s.client != nil {
		s.client.Close()
	}
}

// ignoreEnd drops the error of a demo that was stopped.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}
