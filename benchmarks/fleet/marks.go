package main

import (
	"context"
	"fmt"
	"time"

	"github.com/tidewatch/tidewatch/engine/rekey"
	"github.com/tidewatch/tidewatch/stream"
)

// maxInternal is how many internal partitions can get groups.
const maxInternal = stream.Slots

// markCost is what marks cost a re-keyed pipeline with so many internal partitions.
type markCost struct {
	Internal int  `json:"internal_partitions"`
	Product  bool `json:"product"` // as the product makes them
	// As the sink of the product writes them.
	Records int `json:"records_per_epoch_and_task"`
	Bytes   int `json:"bytes_per_record"`

	Intervals []markInterval `json:"intervals"`
	// Shortest is the interval below which marks are more than the share of records.
	Shortest float64 `json:"shortest_interval_s"`
}

// markInterval is arithmetic.
type markInterval struct {
	Epoch     float64 `json:"epoch_s"`
	PerSecond float64 `json:"marks_per_second"`
	Internal  float64 `json:"marks_per_second_and_internal_partition"`
	Share     float64 `json:"share_of_records"`
}

// marks counts what the sink of a first stage writes in one epoch, and multiplies.
func marks(o *options) ([]markCost, error) {
	plan, err := compile("rekeyed.yaml", nil)
	if err != nil {
		return nil, err
	}
	product := int(plan.Stages[0].InternalPartitions)
	var all []markCost
	for _, n := range append(numbers{product}, o.internal...) {
		if n == product && len(all) > 0 {
			continue
		}
		c := markCost{Internal: n, Product: n == product}
		if c.Records, c.Bytes, err = revealed(o, n); err != nil {
			return nil, err
		}
		c.multiply(o)
		all = append(all, c)
	}
	return all, nil
}

func (c *markCost) multiply(o *options) {
	events := o.rate * float64(o.partitions)
	for _, e := range o.epochs {
		perSecond := float64(c.Records) * float64(o.partitions) / e.Seconds()
		c.Intervals = append(c.Intervals, markInterval{
			Epoch: e.Seconds(), PerSecond: perSecond, Internal: perSecond / float64(c.Internal), Share: perSecond / (perSecond + events),
		})
	}
	// marks / (marks + events) = share
	c.Shortest = float64(c.Records) * (1 - o.share) / (o.share * o.rate)
}

// revealed runs the sink through one epoch, and counts.
func revealed(o *options, internal int) (records, bytes int, err error) {
	w := &countingLog{}
	sink := rekey.NewSink(w, int32(o.partitions-1), int32(o.partitions), int32(internal))
	now := stream.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	work := sink.Stage(stream.Epoch{At: stream.Version{Offset: 1_000_000_000}, Mark: now, RecordMark: now})
	ctx := context.Background()
	receipt, err := work(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("stage marks: %w", err)
	}
	if err := sink.Reveal(ctx, receipt); err != nil {
		return 0, 0, fmt.Errorf("reveal marks: %w", err)
	}
	if err := sink.Close(); err != nil {
		return 0, 0, err
	}
	if w.records == 0 {
		return 0, 0, fmt.Errorf("an epoch has written no marks to %d internal partitions", internal)
	}
	return w.records, w.bytes / w.records, nil
}

// countingLog is an internal topic that keeps nothing.
type countingLog struct{ records, bytes int }

// Append implements rekey.Writer.
func (w *countingLog) Append(_ context.Context, _ int32, value []byte) error {
	w.records, w.bytes = w.records+1, w.bytes+len(value)
	return nil
}

// Flush implements rekey.Writer.
func (w *countingLog) Flush(context.Context) error { return nil }

// Close implements rekey.Writer.
func (w *countingLog) Close() error { return nil }
