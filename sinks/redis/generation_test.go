package redis

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewatch/tidewatch/stream"
)

// TestReadersSwitchWhenARaisedGenerationIsThere: what the generation before has written is shown until everything of the next
// one is noted, and nothing of it afterwards. complete_through stays what it was.
func TestReadersSwitchWhenARaisedGenerationIsThere(t *testing.T) {
	for name, c := range everywhere(t) {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			old := sink(t, c, 0, func(c *SinkConfig) { c.Partitions = 1 })
			write(t, old, rowsOf(1, 90, map[string]int64{"host-1": 1, "host-2": 1}))
			flush(t, old, 10, at(2))
			settled(t, c, at(2))
			raised := old.config
			raised.Generation = 1
			f, err := c.BeginFill(ctx, []string{raised.Part()})
			if err != nil {
				t.Fatal(err)
			}
			next := sink(t, c, 0, func(c *SinkConfig) { c.Partitions, c.Generation = 1, 1 })
			write(t, next, rowsOf(1, 20, map[string]int64{"host-1": 2}))
			flush(t, next, 20, at(2))
			expect := func(when string, want map[string]int64) {
				t.Helper()
				if _, err := next.Refresh(at(2))(ctx); err != nil {
					t.Fatal(err)
				}
				got, r := read(t, c, nil)
				if d := cmp.Diff(want, got); d != "" || r.CompleteThrough != at(2) {
					t.Errorf("%s: complete through %v, %s", when, r.CompleteThrough, d)
				}
			}
			expect("while it is written", map[string]int64{"1 host-1": 1, "1 host-2": 1})
			if err := f.End(ctx, []string{raised.Part()}); err != nil {
				t.Fatal(err)
			}
			expect("when it is there", map[string]int64{"1 host-1": 2})
			write(t, old, rowsOf(1, 95, map[string]int64{"host-1": 3})) // an owner that was overtaken
			flush(t, old, 95, at(2))
			expect("later", map[string]int64{"1 host-1": 2})
		})
	}
}

// TestErasedSlotsAreEmpty: a slot that holds nothing any more is not shown, and older rows do not come back.
func TestErasedSlotsAreEmpty(t *testing.T) {
	for name, c := range everywhere(t) {
		t.Run(name, func(t *testing.T) {
			s := sink(t, c, 0, func(c *SinkConfig) { c.Partitions = 1 })
			rows := rowsOf(1, 10, map[string]int64{"host-1": 1})
			write(t, s, rows)
			if err := s.Erase(context.Background(), rows.Window, stream.Version{Offset: 20}, rows.Slot); err != nil {
				t.Fatal(err)
			}
			write(t, s, rowsOf(1, 15, map[string]int64{"host-1": 2}))
			flush(t, s, 20, at(2))
			if got, _ := read(t, c, nil); len(got) != 0 {
				t.Errorf("%v is shown", got)
			}
		})
	}
}
