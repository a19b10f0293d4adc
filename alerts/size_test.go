package alerts

import (
	"fmt"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// nobody takes rows and decisions and keeps nothing.
type nobody struct{}

func (nobody) Emit(*stream.Batch) error     { return nil }
func (nobody) Decide(stream.Decision) error { return nil }
func (nobody) Wants(stream.Phase) bool      { return true }
func (nobody) Count(stream.Bucket, int64)   {}

// TestSizeIsWhatTheHeapHolds: the bytes that an operator tells are about those that its alerts take.
func TestSizeIsWhatTheHeapHolds(t *testing.T) {
	const hosts = 20_000
	var windows []*stream.Batch
	cells := make([]cell, hosts)
	for i := range cells {
		cells[i] = cell{host: fmt.Sprintf("host-%06d.eu-west-1.example", i), avg: 0.95}
	}
	for w := range 4 {
		windows = append(windows, windowRows(stream.Closed, stream.Time(w+100)*stream.Time(size), cells))
	}
	op, heap := streamtest.HeapOf(func() *Operator {
		o, err := NewOperator(testConfig(), rollup())
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range windows {
			if err := o.Process(b, nobody{}); err != nil {
				t.Fatal(err)
			}
			end := b.Window.End
			if err := o.Advance(stream.Advance{Mark: end, RecordMark: end.Add(-time.Minute)}, nobody{}); err != nil {
				t.Fatal(err)
			}
		}
		return o
	})
	told, groups := op.Size()
	t.Logf("%d bytes of the heap, %d told, %d alerts: %.0f bytes each", heap, told, groups, float64(heap)/float64(groups))
	if told < heap*3/4 || told > heap*5/4 {
		t.Errorf("it holds %d bytes of the heap and tells %d", heap, told)
	}
}
