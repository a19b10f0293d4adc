package dedupe_test

import (
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/operators/dedupe"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// TestSizeIsWhatTheHeapHolds: the bytes that it tells are those that it takes.
func TestSizeIsWhatTheHeapHolds(t *testing.T) {
	b := stream.NewBatch(schema)
	b.Cols[0].Dict.ID([]byte("acme"))
	d, heap := streamtest.HeapOf(func() *dedupe.Dedupe {
		d := newDedupe(t, &dedupe.Config{By: []string{"tenant", "id"}, Span: time.Hour})
		for from := int64(0); from < 1_000_000; from += loadRows {
			load(b, from, second/500)
			if err := d.Process(b, nobody{}); err != nil {
				t.Fatal(err)
			}
		}
		return d
	})
	told, sights := d.Size()
	t.Logf("%d bytes of the heap, %d told, %d sights: %.1f bytes each", heap, told, sights, float64(told)/float64(sights))
	if told < heap*9/10 || told > heap*11/10 {
		t.Errorf("it holds %d bytes of the heap and tells %d", heap, told)
	}
}
