package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/internal/kafkaclient"
	"github.com/tidewatch/tidewatch/stream"
)

// DeadLetter is a dead letter as it is read back.
type DeadLetter struct {
	Pipeline    string    `json:"pipeline"`
	Topic       string    `json:"topic"`
	Incarnation string    `json:"incarnation,omitempty"` // the topic's id
	Partition   int32     `json:"partition"`             // -1 if the letter does not say
	Offset      int64     `json:"offset"`                // -1 if the letter does not say
	Reason      string    `json:"reason"`
	Timestamp   string    `json:"timestamp"` // the broker's, of the record; RFC 3339
	Written     time.Time `json:"written"`
	Key         []byte    `json:"key,omitempty"`
	Raw         []byte    `json:"raw"`
	Size        int       `json:"size"` // length of the record's value; more than Raw has where that was cut
}

// letterID is what two letters of one rejection have in common.
type letterID struct {
	pipeline, topic, incarnation string
	partition                    int32
	offset                       int64
}

// idle is how long the reading of dead letters waits for a record before it asks whether there still is one.
const idle = 2 * time.Second

// patience is how often in a row it asks.
const patience = 10

// id is what two letters of one rejection have in common.
func (d *DeadLetter) id() letterID {
	return letterID{d.Pipeline, d.Topic, d.Incarnation, d.Partition, d.Offset}
}

// placeHeaders are the headers that id is read from.
func (d *DeadLetter) placeHeaders() []kgo.RecordHeader {
	return []kgo.RecordHeader{
		{Key: headerPipeline, Value: []byte(d.Pipeline)},
		{Key: headerTopic, Value: []byte(d.Topic)},
		{Key: headerIncarnation, Value: []byte(d.Incarnation)},
		{Key: headerPartition, Value: []byte(strconv.Itoa(int(d.Partition)))},
		{Key: HeaderOffset, Value: []byte(strconv.FormatInt(d.Offset, 10))},
	}
}

// ReadDeadLetters calls f with every dead letter that is on the topic now, partition by partition, oldest first. Repeats
// are dropped. A topic that does not exist holds none. An error of f ends the reading and is returned as it is. Errors are
// Retry where the cluster is away.
func ReadDeadLetters(ctx context.Context, c kafkaclient.Config, f func(DeadLetter) error) error {
	return ReadPlacedLetters(ctx, c, func(l PlacedLetter) error { return f(l.DeadLetter) })
}

// ReadPlacedLetters is ReadDeadLetters that also tells where each letter lies.
func ReadPlacedLetters(ctx context.Context, c kafkaclient.Config, f func(PlacedLetter) error) error {
	seen := map[letterID]bool{}
	return eachRecord(ctx, c, func(r *kgo.Record) error {
		if isNote(r) {
			return nil
		}
		d := letter(r)
		if d.Offset >= 0 && seen[d.id()] {
			return nil
		}
		seen[d.id()] = true
		return f(PlacedLetter{d, r.Partition, r.Offset})
	})
}

// eachRecord calls f with all records of the topic, letters and notes.
func eachRecord(ctx context.Context, c kafkaclient.Config, f func(*kgo.Record) error) error {
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
	for _, s := range spans {
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

// letter reads the headers; one that is missing leaves its field empty.
func letter(r *kgo.Record) DeadLetter {
	d := DeadLetter{Key: r.Key, Raw: r.Value, Size: len(r.Value), Written: r.Timestamp.UTC(), Partition: -1, Offset: -1}
	for _, h := range r.Headers {
		v := string(h.Value)
		switch h.Key {
		case headerPipeline:
			d.Pipeline = v
		case headerTopic:
			d.Topic = v
		case headerIncarnation:
			d.Incarnation = v
		case headerReason:
			d.Reason = v
		case headerTimestamp:
			d.Timestamp = v
		case headerPartition:
			d.Partition = int32(number(v, 32, -1))
		case HeaderOffset:
			d.Offset = number(v, 64, -1)
		case headerSize:
			d.Size = int(number(v, 32, int64(len(r.Value))))
		}
	}
	return d
}

// number reads a header, or is otherwise.
func number(text string, bits int, otherwise int64) int64 {
	n, err := strconv.ParseInt(text, 10, bits)
	if err != nil {
		return otherwise
	}
	return n
}
