package dedupe

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// TestTableAgainstMap draws hashes that crowd at the ends and in one place.
func TestTableAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type key struct{ hi, lo uint64 }
		one := rapid.Custom(func(t *rapid.T) key {
			hi := rapid.OneOf(rapid.Uint64Min(1), rapid.Uint64Range(1, 3), rapid.Uint64Min(math.MaxUint64-3),
				rapid.Uint64Range(1<<63, 1<<63+3)).Draw(t, "hi")
			return key{hi, rapid.Uint64Max(3).Draw(t, "lo")}
		})
		table, want := newTable(0), map[key]bool{}
		for range rapid.IntRange(0, 400).Draw(t, "steps") {
			k := one.Draw(t, "key")
			s := table.find(k.hi, k.lo)
			if (s != nil) != want[k] || s != nil && (s.hi != k.hi || s.lo != k.lo) {
				t.Fatalf("find %v: %v, want %v", k, s, want[k])
			}
			if s == nil {
				table.add(sight{hi: k.hi, lo: k.lo})
				want[k] = true
			}
		}
		n := 0
		var last sight
		for _, s := range table.slots {
			if s.hi == 0 {
				continue
			}
			if n > 0 && !last.less(s.hi, s.lo) {
				t.Fatalf("%v comes before %v", last, s)
			}
			last = s
			n++
		}
		if n != len(want) || table.n != n {
			t.Fatalf("%d sights, counted %d, want %d", n, table.n, len(want))
		}
		for k := range want {
			if table.find(k.hi, k.lo) == nil {
				t.Fatalf("%v is lost", k)
			}
		}
	})
}
