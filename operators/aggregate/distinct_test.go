package aggregate_test

import (
	"math"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/operators/aggregate"
	"github.com/tidewatch/tidewatch/stream"
)

func distinctSet(t interface{ Fatal(args ...any) }, limit int) *aggregate.Set {
	s, err := aggregate.Compile([]aggregate.Spec{{Name: "users", Function: "count_distinct", Column: "user", Limit: limit}}, events)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func users(from, to int) (rows []row) {
	for i := from; i < to; i++ {
		name := "user-" + strconv.Itoa(i)
		rows = append(rows, row{user: &name})
	}
	return rows
}

func addTo(s *aggregate.Set, words []uint64, rows []row) {
	at, idx := make([]uint32, len(rows)), make([]int32, len(rows))
	for i := range idx {
		idx[i] = int32(i)
	}
	s.Add(words, at, batchOf(rows), idx)
}

// TestDistinctBeyondTheLimit: the estimate is about right, and a union has the state of all its rows whatever the parts.
func TestDistinctBeyondTheLimit(t *testing.T) {
	for _, n := range []int{64, 65, 1_000, 50_000} {
		s := distinctSet(t, 64)
		words := s.AppendEmpty(nil)
		addTo(s, words, users(0, n))
		got := results(s, words)[0][0].(int64)
		switch {
		case n == 64 && got != 64:
			t.Errorf("%d users are counted as %d: up to the limit the count is exact", n, got)
		case math.Abs(float64(got)/float64(n)-1) > 0.4:
			t.Errorf("%d users are estimated as %d", n, got)
		}
	}
}

func TestDistinctMergesInAnyOrder(t *testing.T) {
	s := distinctSet(t, 8)
	rapid.Check(t, func(t *rapid.T) {
		var all []row
		var parts [][]uint64
		for range rapid.IntRange(1, 5).Draw(t, "parts") {
			from := rapid.IntRange(0, 30).Draw(t, "from")
			rows := users(from, from+rapid.IntRange(0, 12).Draw(t, "users"))
			words := s.AppendEmpty(nil)
			addTo(s, words, rows)
			parts, all = append(parts, carried(s, words)[0]), append(all, rows...)
		}
		want := s.AppendEmpty(nil)
		addTo(s, want, all)
		got := s.AppendEmpty(nil)
		for _, i := range rapid.Permutation(indexes(len(parts))).Draw(t, "order") {
			s.Merge(got, parts[i])
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("word %d is %x, want %x", i, got[i], want[i])
			}
		}
	})
}

func indexes(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

// TestSavedSetsDoNotPileUp: the strings that carried the sets of the batch before are gone.
func TestSavedSetsDoNotPileUp(t *testing.T) {
	s := distinctSet(t, 64)
	out := stream.NewBatch(&stream.Schema{Fields: s.State()})
	for i := range 100 {
		words := s.AppendEmpty(nil)
		addTo(s, words, users(i, i+50))
		out.Reset()
		s.AppendState(words, []uint32{0}, out.Cols)
	}
	if n := out.Cols[0].Dict.Len(); n != 1 {
		t.Errorf("the dictionary holds %d sets, want 1", n)
	}
}
