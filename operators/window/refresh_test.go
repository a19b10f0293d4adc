package window_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/stream"
)

// TestRefresh: after Refresh, Publish shows every window that is not final, open and closed, with the values that a receiver
// has that saw everything. Nothing else changes.
func TestRefresh(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		seen := newDisplay(true)
		out := &transcript{t: t, onEmit: seen.take}
		if rapid.Bool().Draw(t, "re-keyed") {
			fresh := func() operator { return newMerge(t, cfg) }
			s := drawScript(t, fresh().Grids())
			log, _ := foldLog(t, cfg, &s, 0)
			op := (&secondStage{cfg: cfg, sources: 1}).run(&variation{t: t, fresh: fresh}, t, log, out)
			checkRefresh(t, op, stream.Version{Offset: int64(len(log))}, out, seen)
			return
		}
		fresh := func() operator { return newTumbling(t, cfg) }
		s := drawScript(t, fresh().Grids())
		op := (&variation{t: t, fresh: fresh}).run(t, &s, out)
		checkRefresh(t, op, s.end, out, seen)
	})
}

func checkRefresh(t *rapid.T, op operator, at stream.Version, out *transcript, seen *display) {
	if err := op.Publish(at, out); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, op)
	op.(stream.Refresher).Refresh()
	shown := newDisplay(true)
	again := &transcript{t: t, onEmit: shown.take}
	if err := op.Publish(at, again); err != nil {
		t.Fatal(err)
	}
	want := seen.contents()
	for _, b := range out.batches {
		if b.Phase == stream.Final {
			prefix := fmt.Sprintf("%d/", b.Window.Start/second)
			maps.DeleteFunc(want, func(k, _ string) bool { return strings.HasPrefix(k, prefix) })
		}
	}
	if d := diff(shown.contents(), want); d != "" {
		t.Fatalf("shown again: %s", d)
	}
	for _, b := range again.batches {
		if b.Phase != stream.Live || b.Version != at {
			t.Fatalf("shown again as %s, want live rows at %v", head(b), at)
		}
	}
	if !slices.Equal(snapshot(t, op), before) {
		t.Fatal("the state is another one when all was shown again")
	}
}
