package dedupe_test

import (
	"fmt"
	"time"

	"github.com/tidewatch/tidewatch/operators/dedupe"
	"github.com/tidewatch/tidewatch/stream"
)

type printer struct{}

func (printer) Emit(b *stream.Batch) error {
	for i := range b.Len() {
		fmt.Println(b.Time[i].Go().Format(time.TimeOnly), b.Cols[0].Text(i))
	}
	return nil
}

func (printer) Decide(stream.Decision) error { return nil }

func (printer) Wants(stream.Phase) bool { return true }

func (printer) Count(bucket stream.Bucket, n int64) { fmt.Println(n, bucket) }

func Example() {
	schema := &stream.Schema{Fields: []stream.Field{{Name: "event_id", Kind: stream.String}}}
	op, err := dedupe.New(&dedupe.Config{By: []string{"event_id"}, Span: time.Minute}, schema)
	if err != nil {
		fmt.Println(err)
		return
	}
	b := stream.NewBatch(schema)
	for _, e := range []struct {
		at time.Duration
		id string
	}{{0, "a"}, {time.Second, "b"}, {30 * time.Second, "a"}, {time.Minute, "a"}} {
		b.Cols[0].AppendString(e.id)
		b.Time, b.Mark = append(b.Time, stream.Time(e.at)), append(b.Mark, stream.NoTime)
		b.SetLen(b.Len() + 1)
	}
	_ = op.Process(b, printer{}) // fails only if the printer does
	// Output:
	// 1 duplicate
	// 00:00:00 a
	// 00:00:01 b
	// 00:01:00 a
}
