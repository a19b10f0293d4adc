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

// ErrNoRecord is wrapped by errors about a record that the log does not hold (any more).
var ErrNoRecord = errors.New("no such record")

// Send hands records to the brokers and returns when they have each of them, or ctx is done: the places, and an error for
// each record that may not be there. A record without a key goes to any partition. It is for single records of people;
// tasks append through a Writer.
func (c *Client) Send(ctx context.Context, records []Record) (places []kgo.Record, errs []error) {
	type outcome struct {
		i   int
		rec *kgo.Record
		err error
	}
	places, errs = make([]kgo.Record, len(records)), make([]error, len(records))
	done := make(chan outcome, len(records)) // nobody waits for the callbacks of a call that was given up
	for i := range records {
		r := &records[i]
		errs[i] = stream.Mark(stream.Retry, fmt.Errorf("send to %s: not acknowledged", r.Topic))
		k := &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: r.Headers}
		c.kgo.Produce(ctx, k, func(rec *kgo.Record, err error) { done <- outcome{i, rec, err} })
	}
	for range records {
		select {
		case o := <-done:
			if errs[o.i] = nil; o.err != nil {
				errs[o.i] = kafkaclient.Mark(fmt.Errorf("send to %s: %w", records[o.i].Topic, o.err))
			}
			places[o.i] = *o.rec
		case <-ctx.Done():
			return places, errs
		}
	}
	return places, errs
}

// Find reads one record by its place. One that is not there is an error that wraps ErrNoRecord; errors are Retry where the
// cluster is away.
func Find(ctx context.Context, c kafkaclient.Config, topic string, partition int32, offset int64) (*kgo.Record, error) {
	opts, err := c.Options(nil)
	if err != nil {
		return nil, err
	}
	from := map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(offset)}}
	client, err := kgo.NewClient(slices.Concat(opts, []kgo.Opt{kgo.ConsumePartitions(from), kgo.FetchMaxBytes(4 << 20)})...)
	if err != nil {
		return nil, fmt.Errorf("find record: %w", err)
	}
	defer client.Close()
	s, err := spanOf(ctx, client, topic, partition)
	if err != nil {
		return nil, err
	}
	if offset < s.start || offset >= s.end {
		return nil, fmt.Errorf("find record %s/%d/%d: %w", topic, partition, offset, ErrNoRecord)
	}
	for {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return nil, kafkaclient.Mark(fmt.Errorf("find record %s/%d/%d: %w", topic, partition, offset, err))
		}
		for it := fetches.RecordIter(); !it.Done(); {
			switch r := it.Next(); {
			case r.Offset == offset:
				return r, nil
			case r.Offset > offset: // a marker of a transaction, or compacted
				return nil, fmt.Errorf("find record %s/%d/%d: %w", topic, partition, offset, ErrNoRecord)
			}
		}
		if err := fetches.Err(); err != nil {
			return nil, kafkaclient.Mark(fmt.Errorf("find record %s/%d/%d: %w", topic, partition, offset, err))
		}
	}
}

// spanOf is what a partition holds now; a topic or partition that does not exist holds nothing.
func spanOf(ctx context.Context, client *kgo.Client, topic string, partition int32) (span, error) {
	admin := kadm.NewClient(client)
	first, err := admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return span{}, kafkaclient.Mark(fmt.Errorf("ask for offsets of %s: %w", topic, err))
	}
	last, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return span{}, kafkaclient.Mark(fmt.Errorf("ask for offsets of %s: %w", topic, err))
	}
	start, ok := first.Lookup(topic, partition)
	end, ok2 := last.Lookup(topic, partition)
	if !ok || !ok2 {
		return span{partition: partition}, nil
	}
	if err := errors.Join(start.Err, end.Err); errors.Is(err, kerr.UnknownTopicOrPartition) {
		return span{partition: partition}, nil
	} else if err != nil {
		return span{}, kafkaclient.Mark(fmt.Errorf("ask for offsets of %s: %w", topic, err))
	}
	return span{partition, start.Offset, end.Offset}, nil
}

// beforeRecord is by how much clocks may differ: a letter can seem that much older than its record.
const beforeRecord = time.Minute

// FindDeadRecord reads the record that a letter is about, by the letter's place on DeadLetterTopic, with everything that is
// known of it: all its letters, and what was done about them. One that is not there is an error that wraps ErrNoRecord.
func FindDeadRecord(ctx context.Context, c kafkaclient.Config, id LetterID) (*DeadRecord, error) {
	r, err := Find(ctx, c, DeadLetterTopic, id.Partition, id.Offset)
	if err != nil {
		return nil, err
	}
	asked, handling := letter(r)
	if handling != nil {
		return nil, fmt.Errorf("find dead letter %s: it is a note about one: %w", id, ErrNoRecord)
	}
	since := asked.Rejections[0].Written // no letter about a record is older than the record
	if at, err := time.Parse(time.RFC3339Nano, asked.Timestamp); err == nil && at.Before(since) {
		since = at
	}
	g := newGathering()
	err = recordsSince(ctx, c, since.Add(-beforeRecord), func(r *kgo.Record) error {
		if d, _ := letter(r); d.id() == asked.id() && (d.Offset >= 0 || d.Rejections[0].ID == id) {
			g.take(r)
		}
		return nil
	})
	d := g.records[asked.id()]
	if d == nil { // it has just been deleted
		d = asked
	}
	g.note(d)
	return d, err
}
