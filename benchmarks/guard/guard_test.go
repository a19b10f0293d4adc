package main

import (
	"context"
	"encoding/json"
	"math"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/benchmarks/drain"
)

// runs makes lines of both sides, with the CPU time given and 100 MB.
func runs(base, head []float64) (all []line) {
	for side, values := range map[string][]float64{sideBase: base, sideHead: head} {
		for i, v := range values {
			all = append(all, line{Workload: "W2", Side: side, Commit: "of-" + side, Run: i + 1, Events: 1000, Costs: drain.Costs{CPU: v, RSS: 100}})
		}
	}
	return all
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name       string
		base, head []float64
		want       string
	}{
		{"equal", []float64{1, 1, 1, 1}, []float64{1, 1, 1, 1}, sayChance},
		{"a quarter more", []float64{1, 1.01, 1.02, 0.99, 1}, []float64{1.25, 1.26, 1.24, 1.25, 1.3}, sayRegression},
		{"a quarter more, and one outlier", []float64{0.98, 1, 1.01, 1.02, 1.03}, []float64{1.25, 1.25, 1.25, 1.25, 1.015}, sayRegression},
		{"four percent more", []float64{1, 1, 1, 1.01}, []float64{1.04, 1.04, 1.04, 1.04}, sayWorse},
		{"more, but the base scatters", []float64{0.8, 0.8, 1, 1.1, 1.1}, []float64{1.2, 1.2, 1.2, 1.2, 1.2}, sayChance},
		{"more, but the head scatters", []float64{1, 1, 1, 1, 1}, []float64{1.1, 1.1, 1.2, 1.5, 1.6}, sayChance},
		{"quartiles that are apart by chance", []float64{0.7, 1, 1, 1, 1.6}, []float64{0.8, 1.2, 1.2, 1.2, 1.2}, sayChance},
		{"less", []float64{1, 1, 1, 1}, []float64{0.5, 0.5, 0.5, 0.5}, sayBetter},
	} {
		for _, v := range judge(runs(c.base, c.head), 5) {
			want := map[string]string{"CPU-s per million": c.want, "peak MB": sayChance}[v.metric.name]
			if want == "" {
				want = sayUnknown
			}
			if v.say != want {
				t.Errorf("%s: %s: %s, want %s", c.name, v.metric.name, v.say, want)
			}
		}
	}
}

func TestJudgeThreshold(t *testing.T) {
	lines := runs([]float64{1, 1, 1, 1}, []float64{1.25, 1.25, 1.25, 1.25})
	for threshold, want := range map[float64]int{24: 1, 26: 0} {
		if got := worse(judge(lines, threshold)); got != want {
			t.Errorf("25 %% more at a threshold of %v %%: %d regressions, want %d", threshold, got, want)
		}
	}
}

func TestJudgeObjects(t *testing.T) {
	for _, c := range []struct {
		base, head float64
		want       string
	}{
		{0.001, 0.002, sayTrifle}, {0.001, 0.02, sayRegression}, {0, 0.5, sayRegression}, {0, 0, sayChance}, {1, 0.001, sayBetter},
	} {
		lines := runs([]float64{1, 1, 1, 1}, []float64{1, 1, 1, 1})
		for i := range lines {
			lines[i].Allocs = map[string]*float64{sideBase: &c.base, sideHead: &c.head}[lines[i].Side]
		}
		verdicts := judge(lines, 5)
		if v := verdicts[len(verdicts)-1]; v.say != c.want {
			t.Errorf("%v to %v objects: %s, want %s", c.base, c.head, v.say, c.want)
		}
		lines[0].Allocs = nil
		verdicts = judge(lines, 5)
		if v := verdicts[len(verdicts)-1]; v.say != sayUnknown {
			t.Errorf("one run does not tell: %s", v.say)
		}
	}
}

// TestChance compares with tables of the test, and with a count of all orders.
func TestChance(t *testing.T) {
	for _, c := range []struct {
		base, head []float64
		want       float64
	}{
		{[]float64{1, 2, 3, 4}, []float64{5, 6, 7, 8}, 2.0 / 70},
		{[]float64{6, 7, 8, 9, 10}, []float64{1, 2, 3, 4, 5}, 2.0 / 252},
		{[]float64{1, 2, 3, 4, 7}, []float64{5, 6, 8, 9, 10}, 8.0 / 252}, // two pairs out of order
		{[]float64{1, 1, 1, 1}, []float64{1, 1, 1, 1}, 1},
	} {
		if got := chance(c.base, c.head); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%v, %v: %v, want %v", c.base, c.head, got, c.want)
		}
	}
	want := make([]float64, 13)
	for set := range 1 << 7 { // which of seven places three first values take
		if bits.OnesCount(uint(set)) != 3 {
			continue
		}
		pairs, firsts := 0, 0
		for place := range 7 {
			if set>>place&1 == 1 {
				firsts++
			} else {
				pairs += firsts
			}
		}
		want[pairs]++
	}
	if got := arrangements(3, 4); !slices.Equal(got, want) {
		t.Errorf("3 and 4 values: %v, want %v", got, want)
	}
}

func TestTable(t *testing.T) {
	lines := runs([]float64{1, 2, 2, 3}, []float64{5, 6, 6, 7})
	got := table(judge(lines, 5), lines)
	for _, want := range []string{"base of-base", "head of-head", "2.000 (1.000 to 3.000)", "6.000 (5.000 to 7.000)", "+200.0%  " + sayRegression, "4 runs each"} {
		if !strings.Contains(got, want) {
			t.Errorf("the table lacks %q:\n%s", want, got)
		}
	}
}

func TestKeep(t *testing.T) {
	name := filepath.Join(t.TempDir(), "guard.jsonl")
	lines := runs([]float64{1}, []float64{2})
	for i := range lines {
		if err := keep(name, &lines[i]); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var kept []line
	for d := json.NewDecoder(strings.NewReader(string(text))); d.More(); {
		var l line
		if err := d.Decode(&l); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, l)
	}
	if len(kept) != 2 || kept[0] != lines[0] || kept[1] != lines[1] {
		t.Errorf("kept %+v of %+v", kept, lines)
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{nil, {"-base", "HEAD", "-runs", "3"}, {"-base", "HEAD", "-events", "0"}, {"-base", "HEAD", "-threshold", "-1"}, {"-base", "HEAD", "-w", "W9"}} {
		if _, err := guard(context.Background(), args); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}
