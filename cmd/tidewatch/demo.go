package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/internal/kafkaclient"
	"github.com/tidewatch/tidewatch/sources/host"
)

// Names of the demos. Every event of one says so in its attribute origin.
const (
	demoHost  = "host"       // this machine, measured
	demoSelf  = "self"       // tidewatch itself, measured
	demoTrail = "cloudtrail" // real records of AWS CloudTrail, shifted in time
	demoSim   = "sim"        // generated life with planted incidents
	demoNone  = "none"
)

// demos are the demos that exist.
var demos = []string{demoHost, demoSelf, demoTrail, demoSim, demoNone}

// demoEvery is the distance of two measurements.
const demoEvery = 5 * time.Second

// demoOrigin marks the events of a demo.
func demoOrigin(name string) host.Attribute { return host.Attribute{Name: "origin", Value: name} }

// demo produces what was asked for until ctx is done; sim is nil if no life is simulated. The first that fails ends all.
func (w *worker) demo(ctx context.Context, names []string, sim *simulation) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.config.Kafka.Brokers...), kgo.ClientID("tidewatch-demo"),
		kgo.WithCompressor(kafkaclient.LZ4()), kgo.ProducerLinger(demoLinger), kgo.DisableClientMetrics())
	if err != nil {
		return fmt.Errorf("open demo: %w", err)
	}
	defer client.Close()
	runs := map[string]func(context.Context) error{
		demoHost:  func(ctx context.Context) error { return w.measureHost(ctx, client) },
		demoSelf:  func(ctx context.Context) error { return w.measureSelf(ctx, client) },
		demoTrail: func(ctx context.Context) error { return playTrail(ctx, client, w.config.Kafka.Brokers) },
		demoSim:   sim.run,
		demoNone:  func(context.Context) error { return nil },
	}
	var wg sync.WaitGroup
	errs := make([]error, len(names))
	for i, name := range names {
		wg.Go(func() {
			if errs[i] = ignoreEnd(ctx, runs[name](ctx)); errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// measureHost sends what this machine does.
func (w *worker) measureHost(ctx context.Context, client *kgo.Client) error {
	const firstAfter = 200 * time.Millisecond // a share of time needs some
	c := host.New(ctx, clock.System{}.Now())
	labels := host.Labels{Host: hostname(), Tenant: "local", Attributes: []host.Attribute{demoOrigin(demoHost)}}
	told := false
	for wait := firstAfter; ; wait = demoEvery {
		select {
		case <-ctx.Done():
			return nil
		case <-clock.System{}.After(wait):
		}
		at := clock.System{}.Now()
		points, err := c.Sample(ctx, at)
		if err != nil && !told {
			told = true
			w.log.Debug("not everything of this machine can be measured", "error", err)
		}
		if err := sendPoints(ctx, client, points, at, &labels); err != nil {
			return err
		}
	}
}

// sendPoints sends measurements of one producer, keyed by it.
func sendPoints(ctx context.Context, client *kgo.Client, points []host.Point, at time.Time, l *host.Labels) error {
	key := []byte(l.Host)
	if l.Host == "" {
		key = []byte(l.Service)
	}
	records := make([]*kgo.Record, len(points))
	for i := range points {
		records[i] = &kgo.Record{Topic: "metrics", Key: key, Value: points[i].AppendJSON(nil, at, l)}
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("produce to metrics: %w", err)
	}
	return nil
}
