package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
)

// fetch reads a topic with the plain client and does nothing with it: what every consumer in Go pays at least, unless it goes
// below the client as ours does. It is a process of its own, so that its CPU time can be told.
func fetch(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("fetch", flag.ContinueOnError)
	brokers := f.String("brokers", "", "a broker")
	topic := f.String("topic", "metrics", "topic")
	events := f.Int64("events", 0, "records, after which it ends")
	if err := f.Parse(args); err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(*brokers), kgo.ConsumeTopics(*topic), kgo.FetchMaxPartitionBytes(4<<20),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer client.Close()
	for n := int64(0); n < *events; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read %s: %w", *topic, err)
		}
		n += int64(fetches.NumRecords())
	}
	return nil
}

// fetchCost runs fetch, and returns the seconds of CPU for a million records.
func fetchCost(ctx context.Context, brokers, topic string, events int64) (float64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	c := exec.CommandContext(ctx, self, "fetch", "-brokers", brokers, "-topic", topic, "-events", strconv.FormatInt(events, 10)) //nolint:gosec // this program
	c.Stderr = os.Stderr
	if err := c.Run(); err != nil {
		return 0, fmt.Errorf("fetch: %w", err)
	}
	return (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds() / (float64(events) / 1e6), nil
}
