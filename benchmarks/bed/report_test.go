package bed

import (
	"testing"
)

func TestSummarize(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   Summary
	}{
		{[]float64{3}, Summary{Median: 3, Min: 3, Max: 3}},
		{[]float64{4, 2}, Summary{Median: 3, Min: 2, Max: 4, Spread: 1}},
		{[]float64{5, 1, 3, 2, 100}, Summary{Median: 3, Min: 1, Max: 100, Spread: 3}},
		{[]float64{1, 2, 3, 4}, Summary{Median: 2.5, Min: 1, Max: 4, Spread: 1.5}},
	} {
		before := append([]float64(nil), c.values...)
		if got := Summarize(c.values); got != c.want {
			t.Errorf("%v: got %+v, want %+v", c.values, got, c.want)
		}
		for i := range before {
			if before[i] != c.values[i] {
				t.Errorf("the values were sorted in place: %v", c.values)
			}
		}
	}
}

func TestCommit(t *testing.T) {
	if _, err := Commit(t.Context(), "no-such-revision"); err == nil {
		t.Error("a revision that is not there has a commit")
	}
}
