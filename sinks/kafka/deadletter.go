package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/internal/kafkaclient"
	"github.com/tidewatch/tidewatch/stream"
)

// DeadLetterTopic takes the records that do not decode or fail validation. The value of a dead letter is the value of the
// record, byte for byte, the key its key; headers say the rest.
const DeadLetterTopic = "tidewatch.dead-letters"

// Headers of a dead letter.
const (
	headerPipeline  = "tidewatch.pipeline"
	headerTopic     = "tidewatch.topic"
	headerPartition = "tidewatch.partition"
	headerReason    = "tidewatch.reason"
	headerTimestamp = "tidewatch.timestamp" // the broker's, of the record; RFC 3339
)

// DeadLetters writes the dead letters of one task. It has what engine.DeadLetters asks for.
type DeadLetters struct {
	*Writer
	task     stream.TaskID
	pipeline string
}

// NewDeadLetters returns the dead-letter output of a task.
func (c *Client) NewDeadLetters(task stream.TaskID, pipeline string) *DeadLetters {
	return &DeadLetters{c.NewWriter(), task, pipeline}
}

// Write appends the records.
func (d *DeadLetters) Write(ctx context.Context, dead []stream.Rejected) error {
	for _, r := range dead {
		h := func(key, value string) kgo.RecordHeader { return kgo.RecordHeader{Key: key, Value: []byte(value)} }
		rec := Record{Topic: DeadLetterTopic, Partition: -1, Key: slices.Clone(r.Key), Value: slices.Clone(r.Raw), Headers: []kgo.RecordHeader{
			h(HeaderTask, d.task.String()), h(HeaderOffset, strconv.FormatInt(r.Offset, 10)), h(HeaderIndex, "0"),
			h(headerPipeline, d.pipeline), h(headerTopic, d.task.Partition.Topic), h(headerReason, r.Reason),
			h(headerPartition, strconv.Itoa(int(d.task.Partition.Number))), h(headerTimestamp, r.Timestamp.String()),
		}}
		if err := d.Append(ctx, rec); err != nil {
			return err
		}
	}
	return nil
}

// DeadLetter is a dead letter as it is read back.
type DeadLetter struct {
	Pipeline  string    `json:"pipeline"`
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Reason    string    `json:"reason"`
	Timestamp string    `json:"timestamp"`
	Written   time.Time `json:"written"`
	Key       []byte    `json:"key,omitempty"`
	Raw       []byte    `json:"raw"`
}

// ReadDeadLetters calls f with every dead letter that is on the topic now, partition by partition, oldest first. Repeats
// are dropped.
func ReadDeadLetters(ctx context.Context, c kafkaclient.Config, f func(DeadLetter) error) error {
	opts, err := c.Options(nil)
	if err != nil {
		return err
	}
	ends, err := endOffsets(ctx, opts)
	if err != nil || len(ends) == 0 {
		return err
	}
	client, err := kgo.NewClient(append(opts, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{DeadLetterTopic: starts(ends)}))...)
	if err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	defer client.Close()
	seen := map[string]bool{}
	for len(ends) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return fmt.Errorf("read dead letters: %w", err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			if d := letter(r); !seen[d.Pipeline+"/"+d.Topic+"/"+strconv.Itoa(int(d.Partition))+"/"+strconv.FormatInt(d.Offset, 10)] {
				seen[d.Pipeline+"/"+d.Topic+"/"+strconv.Itoa(int(d.Partition))+"/"+strconv.FormatInt(d.Offset, 10)] = true
				if err := f(d); err != nil {
					return err
				}
			}
			if r.Offset+1 >= ends[r.Partition] {
				delete(ends, r.Partition)
			}
		}
	}
	return nil
}

// endOffsets asks for the end of every partition that holds something.
func endOffsets(ctx context.Context, opts []kgo.Opt) (map[int32]int64, error) {
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	first, err1 := adm.ListStartOffsets(ctx, DeadLetterTopic)
	last, err2 := adm.ListEndOffsets(ctx, DeadLetterTopic)
	if err := errors.Join(err1, err2); err != nil {
		return nil, kafkaclient.Mark(fmt.Errorf("read dead letters: %w", err))
	}
	ends := map[int32]int64{}
	last.Each(func(o kadm.ListedOffset) {
		if s, ok := first.Lookup(DeadLetterTopic, o.Partition); ok && o.Err == nil && o.Offset > s.Offset {
			ends[o.Partition] = o.Offset
		}
	})
	return ends, nil
}

func starts(ends map[int32]int64) map[int32]kgo.Offset {
	from := map[int32]kgo.Offset{}
	for p := range ends {
		from[p] = kgo.NewOffset().AtStart()
	}
	return from
}

// letter reads the headers; one that is missing leaves its field empty.
func letter(r *kgo.Record) DeadLetter {
	d := DeadLetter{Key: r.Key, Raw: r.Value, Written: r.Timestamp.UTC(), Partition: -1, Offset: -1}
	for _, h := range r.Headers {
		v := string(h.Value)
		switch h.Key {
		case headerPipeline:
			d.Pipeline = v
		case headerTopic:
			d.Topic = v
		case headerReason:
			d.Reason = v
		case headerTimestamp:
			d.Timestamp = v
		case headerPartition:
			if n, err := strconv.ParseInt(v, 10, 32); err == nil {
				d.Partition = int32(n)
			}
		case HeaderOffset:
			if n, err := strconv.ParseInt(v, 10, 64); err == nil {
				d.Offset = n
			}
		}
	}
	return d
}
