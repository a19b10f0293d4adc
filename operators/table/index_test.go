package table_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/operators/table"
)

func TestIndexAgainstMap(t *testing.T) {
	t.Run("uint32", func(t *testing.T) { rapid.Check(t, checkIndex[uint32]) })
	t.Run("uint64", func(t *testing.T) { rapid.Check(t, checkIndex[uint64]) })
}

func checkIndex[K uint32 | uint64](t *rapid.T) {
	var x table.Index[K]
	numbers := map[K]uint32{}
	var keys []K
	one := rapid.Custom(func(t *rapid.T) K {
		k := K(rapid.Uint64().Draw(t, "key"))
		if rapid.Bool().Draw(t, "near") {
			k %= 64
		}
		return k
	})
	for range rapid.IntRange(1, 20).Draw(t, "steps") {
		if rapid.IntRange(0, 9).Draw(t, "reset") == 0 {
			x.Reset()
			clear(numbers)
			keys = nil
		}
		batch := rapid.SliceOfN(one, 0, 60).Draw(t, "batch")
		got := make([]uint32, len(batch))
		x.Resolve(batch, got)
		for i, k := range batch {
			if _, ok := numbers[k]; !ok {
				numbers[k] = uint32(len(keys))
				keys = append(keys, k)
			}
			if got[i] != numbers[k] {
				t.Fatalf("key %d is number %d, want %d", k, got[i], numbers[k])
			}
		}
		k := one.Draw(t, "find")
		n, ok := x.Find(k)
		if want, there := numbers[k]; ok != there || n != want {
			t.Fatalf("Find(%d) = %d, %v; want %d, %v", k, n, ok, want, there)
		}
		if !slices.Equal(x.Keys(), keys) || x.Len() != len(keys) {
			t.Fatalf("keys are %v, want %v", x.Keys(), keys)
		}
	}
}

func TestIndexKeepsNoRunawayMemory(t *testing.T) {
	var x table.Index[uint32]
	for k := range uint32(1 << 16) {
		x.Add(k)
	}
	full := x.Size()
	x.Reset()
	x.Add(1)
	x.Reset() // used for one key only: not worth its memory
	if got := x.Size(); got >= full/100 {
		t.Errorf("%d bytes of %d are kept", got, full)
	}
}

func BenchmarkIndexResolve(b *testing.B) {
	for name, n := range map[string]uint32{"20k": 20_000, "1M": 1_000_000} {
		b.Run(name, func(b *testing.B) {
			var x table.Index[uint32]
			for k := range n {
				x.Add(k)
			}
			keys, numbers := make([]uint32, 256), make([]uint32, 256)
			seed := uint32(1)
			for b.Loop() {
				for i := range keys {
					seed = seed*1664525 + 1013904223
					keys[i] = uint32(uint64(seed) * uint64(n) >> 32)
				}
				x.Resolve(keys, numbers)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/256, "ns/key")
		})
	}
}
