package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/internal/kafkaclient"
	sinkkafka "github.com/tidewatch/tidewatch/sinks/kafka"
	"github.com/tidewatch/tidewatch/sinks/redis"
	"github.com/tidewatch/tidewatch/stream"
)

// warnOfQuarantined says what may happen.
func (a *app) warnOfQuarantined(chosen []*deadRecord) {
	n := 0
	for _, d := range chosen {
		if slices.ContainsFunc(d.Rejections, func(r sinkkafka.Rejection) bool { return r.Kind == stream.LetterQuarantined.String() }) {
			n++
		}
	}
	if n > 0 && !a.quiet {
		fmt.Fprintf(a.errs, "%d of them are quarantined: they take their pipelines down once more unless those, or tidewatch, have changed since\n", n)
	}
}

// prepareRetry looks for everything that a retry needs, and changes nothing. What cannot be sent as it was is left, with the reason.
func prepareRetry(ctx context.Context, k kafkaclient.Config, chosen []*deadRecord) error {
	topics, err := topicsOf(ctx, k)
	if err != nil {
		return err
	}
	for _, d := range chosen {
		switch {
		case d.Row == nil:
			d.record, d.err = retryOf(ctx, k, topics, d.DeadRecord)
		case d.Row.Sink == sinkkafka.KafkaRow:
			d.record, d.err = rowRecord(topics, d.DeadRecord)
		case d.Row.Sink == redis.RedisRow:
			d.sentTo, d.err = d.Row.Target, wholeRow(d.DeadRecord)
		default:
			d.err = fmt.Errorf("this version of tidewatch has no sink %s; use the one that wrote the letter", d.Row.Sink)
		}
		if d.record != nil {
			if d.sentTo = d.record.Topic; d.record.Partition >= 0 {
				d.sentTo += "/" + strconv.Itoa(int(d.record.Partition))
			}
		}
	}
	return nil
}

// resend sends the records to their topics.
func resend(ctx context.Context, client *sinkkafka.Client, chosen []*deadRecord) {
	var records []sinkkafka.Record
	var of []*deadRecord
	for _, d := range chosen {
		if d.record != nil && d.err == nil {
			records, of = append(records, *d.record), append(of, d)
		}
	}
	places, errs := client.Send(ctx, records)
	for i, d := range of {
		if d.err = errs[i]; d.err == nil {
			d.sentTo = places[i].Topic + "/" + strconv.Itoa(int(places[i].Partition)) + "/" + strconv.FormatInt(places[i].Offset, 10)
		} else {
			d.sentTo = ""
		}
	}
}

// rewriteBlocks writes parked blocks to Redis, which keeps a newer one.
func (a *app) rewriteBlocks(ctx context.Context, chosen []*deadRecord) error {
	var client *redis.Client
	for _, d := range chosen {
		if d.err != nil || d.record != nil {
			continue
		}
		if client == nil {
			opened, err := a.openRollups()
			if err != nil {
				return err
			}
			client = opened
			defer func() { _ = client.Close() }() // every write is answered
		}
		stored, err := client.WriteParked(ctx, d.Raw)
		switch {
		case errors.Is(err, redis.ErrExpired):
			d.err, d.sentTo = fmt.Errorf("%w: drop the letter", err), ""
		case err != nil:
			d.err, d.sentTo = err, ""
		case !stored:
			d.sentTo += " (has it, or a newer one)"
		}
	}
	return nil
}

func topicsOf(ctx context.Context, k kafkaclient.Config) (kadm.TopicDetails, error) {
	opts, err := k.Options(nil)
	if err != nil {
		return nil, err
	}
	c, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("open Kafka client: %w", err)
	}
	defer c.Close()
	topics, err := kadm.NewClient(c).ListTopics(ctx)
	if err != nil {
		return nil, kafkaclient.Mark(fmt.Errorf("list topics: %w", err))
	}
	return topics, nil
}

// retryOf is the record as it was, marked. A letter that holds a part of the record only is completed from the log.
func retryOf(ctx context.Context, k kafkaclient.Config, topics kadm.TopicDetails, d *sinkkafka.DeadRecord) (*sinkkafka.Record, error) {
	if d.Topic == "" || d.Partition < 0 || d.Offset < 0 {
		return nil, errors.New("the letter does not say where its record came from")
	}
	t, ok := topics[d.Topic]
	if !ok || int(d.Partition) >= len(t.Partitions) {
		return nil, fmt.Errorf("partition %d of topic %s does not exist: create it, or drop the letter", d.Partition, d.Topic)
	}
	rec := &sinkkafka.Record{
		Topic: d.Topic, Partition: d.Partition, Key: d.Key, Value: d.Raw,
		Headers: []kgo.RecordHeader{{Key: sinkkafka.HeaderRetryOf, Value: []byte(d.Place())}},
	}
	if d.Size > len(d.Raw) {
		r, err := sinkkafka.Find(ctx, k, d.Topic, d.Partition, d.Offset)
		if err != nil {
			return nil, fmt.Errorf("the letter holds %d of %d bytes, and the record itself cannot be read: %w", len(d.Raw), d.Size, err)
		}
		rec.Key, rec.Value = r.Key, r.Value
	}
	return rec, nil
}

// wholeRow is an error of a letter that holds a part of its row only: unlike a record it lies nowhere else.
func wholeRow(d *sinkkafka.DeadRecord) error {
	if d.Size > len(d.Raw) {
		return fmt.Errorf("the letter holds %d of %d bytes of the row: have tidewatch replay compute it again", len(d.Raw), d.Size)
	}
	return nil
}

// rowRecord is a parked row of a Kafka output under its old name, so that readers drop a repeat.
func rowRecord(topics kadm.TopicDetails, d *sinkkafka.DeadRecord) (*sinkkafka.Record, error) {
	if err := wholeRow(d); err != nil {
		return nil, err
	}
	if _, ok := topics[d.Row.Target]; !ok {
		return nil, fmt.Errorf("topic %s does not exist: create it, or drop the letter", d.Row.Target)
	}
	return sinkkafka.RowRecord(d)
}
