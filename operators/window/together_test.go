package window_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/stream"
)

// Groups that are to stay together have one slot, in rollups and in partials, and the rows are the same as ever.
func TestTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		apart := drawConfig(t)
		apart.By = []string{"host", "port"}
		s := drawScript(t, newFold(t, apart).Grids())
		var rows [2][]string
		for i, together := range [][]string{nil, {"host"}} {
			c := *apart
			c.Together = together
			out := &transcript{t: t, onEmit: func(b *stream.Batch) {
				if i == 1 {
					oneSlotPerHost(t, b)
				}
			}}
			(&variation{fresh: func() operator { return newTumbling(t, &c) }}).run(t, &s, out)
			(&variation{fresh: func() operator { return newFold(t, &c) }}).run(t, &s, out)
			for _, b := range out.batches {
				if b.Phase != stream.Closed && b.Phase != stream.Final { // the others are those of changed slots
					continue
				}
				for k := range b.Len() {
					rows[i] = append(rows[i], head(b)+" "+text(b, k))
				}
			}
			slices.Sort(rows[i])
		}
		if !slices.Equal(rows[0], rows[1]) {
			t.Fatalf("got\n%s\nwant\n%s", strings.Join(rows[1], "\n"), strings.Join(rows[0], "\n"))
		}
	})
}

func oneSlotPerHost(t *rapid.T, b *stream.Batch) {
	if len(b.Slot) == 0 {
		return
	}
	for i := range b.Len() {
		want := stream.SlotOf(stream.AppendKey(nil, b, []int{0}, i))
		if b.Slot[i] != want {
			t.Fatalf("row %d of %s is in slot %d, want that of its host, %d", i, b.Phase, b.Slot[i], want)
		}
		if i > 0 && b.Phase != stream.Partial && b.Slot[i] < b.Slot[i-1] {
			t.Fatalf("row %d of %s is not in the order of slots", i, b.Phase)
		}
	}
}
