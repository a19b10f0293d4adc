package window_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/operators/window"
	"github.com/tidewatch/tidewatch/stream"
)

func newTumbling(t interface{ Fatal(...any) }, cfg *window.Config) *window.Tumbling {
	op, err := window.NewTumbling(cfg, eventSchema)
	if err != nil {
		t.Fatal(err)
	}
	return op
}

// TestTumbling: against the oracle, whatever the borders of batches, whenever values are shown and state is moved.
func TestTumbling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		cfg.MaxGroups = rapid.SampledFrom([]int{0, 1, 2, 3}).Draw(t, "most groups")
		fresh := func() operator { return newTumbling(t, cfg) }
		s := drawScript(t, fresh().Grids())
		want := newOracle(cfg)
		want.run(&s)

		first, last := newDisplay(false), newDisplay(true)
		out := &transcript{t: t, onEmit: func(b *stream.Batch) {
			first.news(t, b)
			first.take(b)
			last.take(b)
		}}
		op := (&variation{t: t, fresh: fresh}).run(t, &s, out)
		if err := op.Publish(s.end, out); err != nil {
			t.Fatal(err)
		}

		checkEmitted(t, out, want)
		out.checkOrder(t)
		for _, d := range []*display{first, last} {
			if d := diff(d.contents(), want.slots()); d != "" {
				t.Fatalf("shown in the end: %s", d)
			}
		}
		checkSize(t, op, want)
	})
}

func checkEmitted(t *rapid.T, out *transcript, want *oracle) {
	if out.counts != want.counts {
		t.Fatalf("counts are %v, want %v", out.counts, want.counts)
	}
	got := map[string][]string{}
	var late []int64
	for _, b := range out.batches {
		for i := range b.Len() {
			switch b.Phase {
			case stream.Late:
				late = append(late, b.Offset[i])
			case stream.Closed, stream.Revised, stream.Final:
				got[head(b)] = append(got[head(b)], text(b, i))
			default:
			}
		}
	}
	if !slices.Equal(late, want.late) {
		t.Fatalf("late offsets are %v, want %v", late, want.late)
	}
	if d := diff(joined(got), joined(want.emitted)); d != "" {
		t.Fatalf("emitted: %s", d)
	}
}

func checkSize(t *rapid.T, op operator, want *oracle) {
	live := map[string]bool{}
	for _, w := range want.windows {
		for k := range w.groups {
			live[k] = true
		}
	}
	if bytes, groups := op.Size(); groups != int64(len(live)) || bytes <= 0 {
		t.Fatalf("%d groups live in %d bytes, want %d groups", groups, bytes, len(live))
	}
}
