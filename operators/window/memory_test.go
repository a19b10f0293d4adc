package window_test

import (
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/operators/window"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// TestSizeIsWhatTheHeapHolds: the bytes that an operator tells are those that it takes, with many windows open, and with many groups.
func TestSizeIsWhatTheHeapHolds(t *testing.T) {
	merging := func(t *testing.T, cfg *window.Config, l *load, rounds int) operator {
		merge := newMerge(t, cfg)
		schema, err := window.PartialSchema(cfg, eventSchema)
		if err != nil {
			t.Fatal(err)
		}
		b := stream.NewBatch(stream.EntrySchema(schema))
		fold, carry := newFold(t, cfg), &transcript{t: t}
		carry.onEmit = func(p *stream.Batch) {
			carry.batches = carry.batches[:0]
			b.Reset()
			for source := range 4 {
				appendEntry(b, &entry{partials: p, source: source}, 0)
			}
			if err := merge.Process(b, &nobody{}); err != nil {
				t.Fatal(err)
			}
		}
		give(t, fold, l, rounds, carry)
		return merge
	}
	for name, c := range map[string]struct {
		hosts, rounds int
		build         func(t *testing.T, cfg *window.Config, l *load, rounds int) operator
	}{
		"tumbling, windows": {2_000, 60, func(t *testing.T, cfg *window.Config, l *load, rounds int) operator {
			return give(t, newTumbling(t, cfg), l, rounds, &nobody{})
		}},
		"tumbling, groups": {100_000, 50, func(t *testing.T, cfg *window.Config, l *load, rounds int) operator {
			return give(t, newTumbling(t, cfg), l, rounds, &nobody{})
		}},
		"fold": {50_000, 100, func(t *testing.T, cfg *window.Config, l *load, rounds int) operator {
			return give(t, newFold(t, cfg), l, rounds, &nobody{})
		}},
		"merge": {20_000, 40, merging},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := loadConfig()
			cfg.Lateness = 5 * time.Minute
			l := newLoad(c.hosts, c.hosts)
			l.next()
			op, heap := streamtest.HeapOf(func() operator { return c.build(t, cfg, l, c.rounds) })
			told, groups := op.(stream.Sized).Size()
			t.Logf("%d bytes of the heap, %d told, %d groups: %.0f bytes each", heap, told, groups, float64(told)/float64(groups))
			if told < heap*9/10 || told > heap*11/10 {
				t.Errorf("it holds %d bytes of the heap and tells %d", heap, told)
			}
		})
	}
}

// give lets an operator take batches.
func give(t *testing.T, op operator, l *load, rounds int, out stream.Emitter) operator {
	for range rounds {
		if err := op.Process(l.next(), out); err != nil {
			t.Fatal(err)
		}
		if err := op.Advance(l.advance(), out); err != nil {
			t.Fatal(err)
		}
		if err := op.Publish(stream.Version{Offset: l.offset}, out); err != nil {
			t.Fatal(err)
		}
	}
	return op
}
