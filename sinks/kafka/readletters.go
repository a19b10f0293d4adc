package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/internal/kafkaclient"
	"github.com/tidewatch/tidewatch/stream"
)

// idle is how long the reading of dead letters waits for a record before it asks whether there still is one.
const idle = 2 * time.Second

// patience is how often in a row it asks.
const patience = 10

// ReadDeadRecords reads all rejected records whose letters are on the topic now, in the order of their first letters,
// partition by partition. A topic that does not exist holds none. Errors are Retry where the cluster is away.
func ReadDeadRecords(ctx context.Context, c kafkaclient.Config) ([]*DeadRecord, error) {
	g := newGathering()
	var all []*DeadRecord
	err := recordsSince(ctx, c, time.Time{}, func(r *kgo.Record) error {
		if d, news := g.take(r); news && len(d.Rejections) == 1 {
			all = append(all, d)
		}
		return nil
	})
	for _, d := range all {
		g.note(d)
	}
	return all, err
}

// recordsSince calls f with the records of the topic, letters and notes, but those that the brokers know to be older.
func recordsSince(ctx context.Context, c kafkaclient.Config, since time.Time, f func(*kgo.Record) error) error {
	opts, err := c.Options(nil)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	defer client.Close()
	spans, err := letterSpans(ctx, client)
	if err != nil {
		return err
	}
	var from kadm.ListedOffsets
	if !since.IsZero() && len(spans) > 0 {
		if from, err = kadm.NewClient(client).ListOffsetsAfterMilli(ctx, since.UnixMilli(), DeadLetterTopic); err != nil {
			return kafkaclient.Mark(fmt.Errorf("ask for dead letters since %s: %w", since.Format(time.RFC3339), err))
		}
	}
	for _, s := range spans {
		if o, ok := from.Lookup(DeadLetterTopic, s.partition); ok && o.Err == nil {
			s.start = max(s.start, o.Offset)
		}
		if s.start >= s.end {
			continue
		}
		if err := readSpan(ctx, opts, s, f); err != nil {
			return err
		}
	}
	return nil
}

// span is a part of the log of a partition.
type span struct {
	partition  int32
	start, end int64
}

// letterSpans is what every partition of the topic holds now, in their order.
func letterSpans(ctx context.Context, client *kgo.Client) (spans []span, err error) {
	admin := kadm.NewClient(client)
	first, err := admin.ListStartOffsets(ctx, DeadLetterTopic)
	if err != nil {
		return nil, kafkaclient.Mark(fmt.Errorf("ask for dead letters: %w", err))
	}
	last, err := admin.ListEndOffsets(ctx, DeadLetterTopic)
	if err != nil {
		return nil, kafkaclient.Mark(fmt.Errorf("ask for dead letters: %w", err))
	}
	for _, o := range last.Offsets().Sorted() {
		start, _ := first.Lookup(o.Topic, o.Partition)
		end, _ := last.Lookup(o.Topic, o.Partition)
		if err := errors.Join(start.Err, end.Err); errors.Is(err, kerr.UnknownTopicOrPartition) {
			continue
		} else if err != nil {
			return nil, kafkaclient.Mark(fmt.Errorf("ask for dead letters: %w", err))
		}
		if start.Offset < end.Offset {
			spans = append(spans, span{o.Partition, start.Offset, end.Offset})
		}
	}
	return spans, nil
}

// readSpan calls f with the records of the span.
func readSpan(ctx context.Context, opts []kgo.Opt, s span, f func(*kgo.Record) error) error {
	from := map[string]map[int32]kgo.Offset{DeadLetterTopic: {s.partition: kgo.NewOffset().At(s.start)}}
	client, err := kgo.NewClient(slices.Concat(opts, []kgo.Opt{kgo.ConsumePartitions(from)})...)
	if err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	defer client.Close()
	for silent := 0; silent < patience; silent++ {
		some, done, err := pollSpan(ctx, client, s, f)
		if done || err != nil {
			return err
		}
		if some {
			silent = -1
		} else if gone, err := retired(ctx, client, s); gone || err != nil { // deleted while they were read
			return err
		}
	}
	return stream.Mark(stream.Retry, fmt.Errorf("read dead letters: partition %d of %s does not answer up to offset %d", s.partition, DeadLetterTopic, s.end))
}

// pollSpan reads on: done at the end of the span, without some if nothing came for a while.
func pollSpan(ctx context.Context, client *kgo.Client, s span, f func(*kgo.Record) error) (some, done bool, err error) {
	wait, cancel := context.WithTimeout(ctx, idle)
	defer cancel()
	fetches := client.PollFetches(wait)
	for it := fetches.RecordIter(); !it.Done(); {
		r := it.Next()
		if r.Offset >= s.end {
			return true, true, nil
		}
		if err := f(r); err != nil {
			return true, false, err
		}
		if r.Offset == s.end-1 {
			return true, true, nil
		}
		some = true
	}
	switch err := fetches.Err(); {
	case ctx.Err() != nil:
		return some, false, ctx.Err()
	case err != nil && !errors.Is(err, context.DeadlineExceeded):
		return some, false, kafkaclient.Mark(fmt.Errorf("read dead letters: %w", err))
	}
	return some, false, nil
}

// retired says that the span holds nothing any more.
func retired(ctx context.Context, client *kgo.Client, s span) (bool, error) {
	first, err := kadm.NewClient(client).ListStartOffsets(ctx, DeadLetterTopic)
	if err != nil {
		return false, kafkaclient.Mark(fmt.Errorf("ask for dead letters: %w", err))
	}
	start, ok := first.Lookup(DeadLetterTopic, s.partition)
	return !ok || start.Err == nil && start.Offset >= s.end, nil
}
