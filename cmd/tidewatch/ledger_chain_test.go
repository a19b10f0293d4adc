package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/stream"
)

// ledgerPipeline has a step for every reason why an event does not count.
const ledgerPipeline = `
pipeline: reasons
source: {kafka: {topics: [metrics], keyed_by: [host]}}
time: {out_of_order: 2s, allowed_lateness: 20s}
steps:
  - filter: name == "wanted"
  - dedupe: {by: [host, unit], within: 1s}
  - window: {tumbling: 10s, by: [host], aggregate: {samples: count()}}
sinks: {console: {of: window}}
`

const (
	ledgerDisorder = 2 * time.Second
	ledgerLateness = 20 * time.Second
	ledgerWindow   = 10 * time.Second
)

// ledgerRecord is an offset of a log, and where the events of the log up to it say that it ends.
type ledgerRecord struct {
	value  string // "" is a gap
	kind   stream.GapKind
	bucket stream.Bucket
}

// ledgerLog draws a log, and sorts every offset into its bucket with plain code: the mark is the highest event time before
// less the disorder, over all that decodes and is not quarantined.
func ledgerLog(t *rapid.T) (log []ledgerRecord) {
	base := time.Date(2026, 11, 24, 5, 0, 0, 0, time.UTC)
	type sight struct {
		at time.Time
		id int
	}
	var seen []sight // that a repeat is found of
	highest := time.Time{}
	event := func(at time.Time, name string, id int) string {
		return fmt.Sprintf(`{"time":%q,"name":%q,"value":1,"host":"web-1","unit":"id-%d"}`, at.Format(time.RFC3339Nano), name, id)
	}
	for i := range rapid.IntRange(1, 40).Draw(t, "offsets") {
		mark := highest.Add(-ledgerDisorder)
		fresh := func(at time.Time) bool { return highest.IsZero() || at.After(mark.Add(-ledgerLateness)) }
		at := base
		if !highest.IsZero() {
			at = highest.Add(time.Duration(rapid.IntRange(-60_000, 8_000).Draw(t, "from the front")) * time.Millisecond)
		}
		r := ledgerRecord{}
		switch rapid.SampledFrom([]string{"gap", "broken", "poison", "other", "repeat", "event", "event", "event"}).Draw(t, "what") {
		case "gap":
			r.bucket, r.kind = stream.BucketGap, rapid.SampledFrom(stream.GapKinds()).Draw(t, "kind")
			log = append(log, r)
			continue
		case "broken":
			log = append(log, ledgerRecord{value: "{broken", bucket: stream.BucketRejected})
			continue
		case "poison":
			log = append(log, ledgerRecord{value: event(at, "wanted", i), bucket: stream.BucketQuarantined})
			continue
		case "other":
			r.value, r.bucket = event(at, "other", i), stream.BucketFiltered
		case "repeat":
			if len(seen) > 0 {
				if s := rapid.SampledFrom(seen).Draw(t, "of"); fresh(s.at) {
					log = append(log, ledgerRecord{value: event(s.at, "wanted", s.id), bucket: stream.BucketDuplicate})
					continue
				}
			}
			fallthrough
		default:
			end := at.Truncate(ledgerWindow).Add(ledgerWindow)
			switch {
			case highest.IsZero() || end.After(mark):
				r.bucket = stream.BucketCounted
			case end.Add(ledgerLateness).After(mark):
				r.bucket = stream.BucketRevised
			default:
				r.bucket = stream.BucketLate
			}
			r.value = event(at, "wanted", i)
			if fresh(at) {
				seen = append(seen, sight{at, i})
			}
		}
		if at.After(highest) {
			highest = at
		}
		log = append(log, r)
	}
	return log
}

// quarantines are the control records of a log.
func quarantines(log []ledgerRecord) (all []stream.Control) {
	for offset, r := range log {
		if r.bucket == stream.BucketQuarantined {
			all = append(all, stream.Control{Kind: "quarantine", At: stream.Version{Offset: int64(offset), Step: uint32(len(all) + 1)}, Reason: "drawn"})
		}
	}
	return all
}

// ledgerReader reads a log in portions. It implements stream.Reader.
type ledgerReader struct {
	log      []ledgerRecord
	portions func() int
	decoder  stream.Decoder
	batch    *stream.Batch
	next     int
}

// Read implements stream.Reader.
func (r *ledgerReader) Read(context.Context) (*stream.Input, error) {
	if r.next == len(r.log) {
		return nil, io.EOF
	}
	r.batch.Reset()
	in := &stream.Input{Batch: r.batch, From: int64(r.next), End: int64(len(r.log))}
	for range min(r.portions(), len(r.log)-r.next) {
		rec, offset := r.log[r.next], int64(r.next)
		r.next++
		if rec.value == "" {
			in.Gaps = append(in.Gaps, stream.Gap{From: offset, Next: offset + 1, Kind: rec.kind})
			continue
		}
		m := &stream.Message{Offset: offset, Timestamp: stream.TimeOf(time.Date(2026, 11, 24, 5, 0, 0, 0, time.UTC)), Value: []byte(rec.value)}
		if err := r.decoder.Decode(m, r.batch); err != nil {
			if stream.KindOfError(err) != stream.Reject {
				return nil, err
			}
			in.Rejected = append(in.Rejected, stream.Rejected{Offset: offset, Reason: err.Error(), Raw: m.Value})
		}
	}
	r.batch.Settle()
	in.Next = int64(r.next)
	return in, nil
}

// Close implements stream.Reader.
func (r *ledgerReader) Close() error { return nil }

// TestEveryOffsetIsInOneBucket: through quarantine and the shipped decoder, filter, dedupe and window, whatever the portions, every offset of a
// random log ends in the bucket that plain code over the log says, and in no other: with each offset that a log is longer,
// exactly that bucket grows by one.
func TestEveryOffsetIsInOneBucket(t *testing.T) {
	c := components(stores{})
	specs, problems := pipelines.Parse("reasons.yaml", []byte(ledgerPipeline))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	plan, err := pipelines.Compile(specs[0], c)
	if err != nil {
		t.Fatal(err)
	}
	met := map[stream.Bucket]int{}
	rapid.Check(t, func(t *rapid.T) {
		log := ledgerLog(t)
		run := func(log []ledgerRecord) stream.Ledger {
			local := &engine.Local{
				Collect: func(string, *stream.Batch) error { return nil }, Decide: func(stream.Decision) error { return nil },
				Reject: func(stream.Rejected) error { return nil },
			}
			at := stream.Partition{Topic: "metrics"}
			res, err := local.Run(t.Context(), plan, []engine.LocalInput{{Partition: at, Partitions: 1, Controls: quarantines(log), Open: func(_ context.Context, d stream.Decoder) (stream.Reader, error) {
				portions := func() int { return rapid.IntRange(1, 9).Draw(t, "portion") }
				return &ledgerReader{log: log, portions: portions, decoder: d, batch: stream.NewBatch(d.Schema())}, nil
			}}})
			if err != nil {
				t.Fatal(errors.Join(err))
			}
			return res.Ledger
		}
		var want stream.Ledger
		for i, r := range log {
			want[r.bucket]++
			met[r.bucket]++
			if got := run(log[:i+1]); got != want {
				t.Fatalf("offset %d: %s is %s\nledger %v\nwant   %v", i, r.value, r.bucket, got.Map(), want.Map())
			}
		}
	})
	for _, b := range []stream.Bucket{
		stream.BucketRejected, stream.BucketQuarantined, stream.BucketFiltered, stream.BucketDuplicate, stream.BucketLate, stream.BucketRevised, stream.BucketCounted, stream.BucketGap,
	} {
		if met[b] == 0 {
			t.Errorf("no offset was %s: the logs are too tame", b)
		}
	}
}
