package window_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/operators/aggregate"
	"github.com/tidewatch/tidewatch/operators/window"
	"github.com/tidewatch/tidewatch/stream"
)

// TestLimitBoundsMemory: with a limit, the state does not grow with the groups that come, which are a hundred times as many and
// never the same, and no event is lost.
func TestLimitBoundsMemory(t *testing.T) {
	const most, windows, rows = 500, 5, 20_000
	size := func(limit, groups int) (bytes, events int64) {
		op := newTumbling(t, &window.Config{
			Size: 10 * time.Second, By: []string{"host"}, MaxGroups: limit, Aggregates: []aggregate.Spec{{Name: "n", Function: "count"}},
		})
		out := &transcript{}
		out.onEmit = func(b *stream.Batch) {
			if b.Phase == stream.Final {
				for i := range b.Len() {
					events += b.Col("n").Ints[i]
				}
			}
		}
		for w := range windows {
			for lo := 0; lo < rows; lo += 1000 {
				b := stream.NewBatch(eventSchema)
				for i := lo; i < lo+1000; i++ {
					host := fmt.Sprintf("host-%d-%d-of-a-name-that-takes-some-room", w, i%groups)
					appendEvent(b, &event{at: stream.Time(w) * 10 * second, mark: stream.NoTime, offset: int64(w*rows + i), host: &host})
				}
				if err := op.Process(b, out); err != nil {
					t.Fatal(err)
				}
				now, _ := op.Size()
				bytes = max(bytes, now)
			}
			end := stream.Time(w+1) * 10 * second
			if err := op.Advance(stream.Advance{Mark: end, RecordMark: end, At: stream.Version{Offset: int64((w + 1) * rows)}}, out); err != nil {
				t.Fatal(err)
			}
		}
		if got, now, overflow := op.Limits(); limit > 0 && (got != most || now != 0 || overflow != int64(windows*max(groups-limit, 0)*(rows/groups))) {
			t.Errorf("limits are %d, %d, %d", got, now, overflow)
		}
		return bytes, events
	}
	fits, all := size(most, most)
	flood, counted := size(most, rows)
	free, _ := size(0, rows)
	if all != windows*rows || counted != windows*rows {
		t.Errorf("%d and %d events are counted, want %d", all, counted, windows*rows)
	}
	// The cache of the input's dictionary grows with the input; it is bounded by that (sources/kafka).
	if flood > 4*fits+1<<20 {
		t.Errorf("%d groups take %d B, the %d that fit %d B", rows, flood, most, fits)
	}
	if free < 2*flood {
		t.Errorf("without a limit %d B, with one %d B: the test tests nothing", free, flood)
	}
}
