package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
)

// panics brings events at which windows panic.
func panics(r *run) { r.load.mark, r.load.marked = hostPanics, []float64{0.1, 0.3, 0.5, 0.7} }

// kills brings events at which windows kill the process. Each costs many deaths, and more time.
func kills(r *run) {
	r.load.mark, r.load.marked, r.patience = hostKills, []float64{0.2, 0.6}, 4*time.Minute
}

// mended starts workers again as often as they die of a record, until all is read.
func mended(ctx context.Context, r *run) error {
	if err := r.start(ctx, 2); err != nil {
		return err
	}
	done := make(chan struct{})
	read := func(ctx context.Context) error {
		defer close(done)
		if err := r.produce(ctx); err != nil {
			return err
		}
		return r.catchUp(ctx)
	}
	if err := together(ctx, read, r.mend(r.bed.Workers[0], done), r.mend(r.bed.Workers[1], done)); err != nil {
		return err
	}
	return r.drain(ctx)
}

// mend starts a worker again whenever it has died.
func (r *run) mend(w *bed.Worker, done <-chan struct{}) func(context.Context) error {
	return func(ctx context.Context) error {
		for {
			select {
			case <-done:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			case <-w.Ended:
			}
			if err := died(w); err != nil {
				return err
			}
			r.killed()
			if err := w.Start(ctx); err != nil {
				return err
			}
		}
	}
}

// crowdedWindows lets a partition keep fewer groups than there are.
func crowdedWindows(r *run) { r.most = 6 }

// narrowed lets the topic of late events take no long ones, of which there are some.
func narrowed(r *run) { r.narrow, r.load.fat = true, 400 }

// parked sends the rows that were refused again, when workers have died and all is read.
func parked(ctx context.Context, r *run) error {
	if err := r.limitLate(ctx, lateBytes); err != nil {
		return err
	}
	if err := crashes(allPoints, 6)(ctx, r); err != nil {
		return err
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	before, err := readTopic(ctx, r.lab.Kafka.Brokers(), r.late)
	if err != nil {
		return err
	}
	for _, rec := range before {
		if len(rec.Value) > lateBytes {
			return fmt.Errorf("the topic of late events has taken %d bytes: nothing was refused", len(rec.Value))
		}
	}
	if err := r.limitLate(ctx, 1<<20); err != nil {
		return err
	}
	_, err = r.bed.Run(ctx, "dlq", "retry", "--kind", "parked", "--topic", r.keyed, "--by", "crash")
	return err
}

// limitLate says how long the records of the topic of late events may be, and waits until the broker goes by it.
func (r *run) limitLate(ctx context.Context, bytes int) error {
	admin, value := kadm.NewClient(r.bed.Client), strconv.Itoa(bytes)
	answers, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "max.message.bytes", Value: &value}}, r.late)
	if err == nil {
		_, err = answers.On(r.late, func(a *kadm.AlterConfigsResponse) error { return a.Err })
	}
	if err != nil {
		return fmt.Errorf("limit %s: %w", r.late, err)
	}
	for ctx.Err() == nil {
		configs, err := admin.DescribeTopicConfigs(ctx, r.late)
		if err == nil && len(configs) == 1 {
			for _, c := range configs[0].Configs {
				if c.Key == "max.message.bytes" && c.MaybeValue() == value {
					return nil
				}
			}
		}
		sleepUntil(ctx, time.Now().Add(50*time.Millisecond))
	}
	return ctx.Err()
}
