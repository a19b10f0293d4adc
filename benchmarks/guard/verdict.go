package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
)

// leastObjects is how many objects for an event cost so little that more of them, below it, are no regression.
const leastObjects = 0.01

// mostChance is how likely runs that cost the same may be taken for different.
const mostChance = 0.05

// metric is one that is judged; less is better.
type metric struct {
	name   string
	digits int
	least  float64 // no matter what below it changes
	of     func(*line) *float64
}

func metrics() []metric {
	return []metric{
		{name: "instructions per event", of: func(l *line) *float64 { return l.Instructions }},
		{name: "CPU-s per million", digits: 3, of: func(l *line) *float64 { return &l.CPU }},
		{name: "peak MB", of: func(l *line) *float64 { return &l.RSS }},
		{name: "objects per event", digits: 5, least: leastObjects, of: func(l *line) *float64 { return l.Allocs }},
	}
}

// What is said of a change.
const (
	sayRegression = "REGRESSION"
	sayWorse      = "worse, within the threshold"
	sayBetter     = "better"
	sayChance     = "no change beyond the spread"
	sayTrifle     = "too few to matter"
	sayUnknown    = "not measured in every run"
)

// verdict is what is said of a metric.
type verdict struct {
	metric     metric
	base, head bed.Summary
	percent    float64 // of the median of base
	say        string
}

// judge compares the medians of both sides.
func judge(lines []line, threshold float64) (all []verdict) {
	for _, m := range metrics() {
		v := verdict{metric: m, say: sayUnknown}
		base, head := values(lines, sideBase, m), values(lines, sideHead, m)
		if base != nil && head != nil {
			v.base, v.head = bed.Summarize(base), bed.Summarize(head)
			v.percent, v.say = m.say(v.base, v.head, threshold)
			if chance(base, head) > mostChance {
				v.say = sayChance
			}
		}
		all = append(all, v)
	}
	return all
}

func (m *metric) say(base, head bed.Summary, threshold float64) (percent float64, say string) {
	change := head.Median - base.Median
	percent = 100 * change / base.Median
	if change == 0 {
		percent = 0
	}
	switch {
	case math.Abs(change) <= max(base.Spread, head.Spread):
		return percent, sayChance
	case max(base.Median, head.Median) < m.least:
		return percent, sayTrifle
	case change < 0:
		return percent, sayBetter
	case percent > threshold:
		return percent, sayRegression
	}
	return percent, sayWorse
}

// chance is how likely values of the same origin are ordered at least as much by their side as these are: the exact
// two-sided test of Mann and Whitney (1947). The quartiles of a handful of values alone take one of seven comparisons of
// equals for a change.
func chance(base, head []float64) float64 {
	u := 0.0 // pairs in which head is the larger one
	for _, b := range base {
		for _, h := range head {
			switch {
			case h > b:
				u++
			case h == b:
				u += 0.5
			}
		}
	}
	pairs := len(base) * len(head)
	u = min(u, float64(pairs)-u)
	var below, all float64
	for k, n := range arrangements(len(base), len(head)) {
		all += n
		if float64(k) <= u {
			below += n
		}
	}
	return min(2*below/all, 1)
}

// arrangements tells for each number of pairs in how many orders of n and m different values so many have the second one
// the larger.
func arrangements(n, m int) []float64 {
	pairs := n * m
	counts := make([][]float64, m+1) // for each number of second values, with the first ones added one by one
	for j := range counts {
		counts[j] = make([]float64, pairs+1)
		counts[j][0] = 1
	}
	for range n {
		for j := 1; j <= m; j++ {
			// The smallest value is a second one, above none, or a first one, below all j second ones.
			next := make([]float64, pairs+1)
			for k := range next {
				next[k] = counts[j-1][k]
				if k >= j {
					next[k] += counts[j][k-j]
				}
			}
			counts[j] = next
		}
	}
	return counts[m]
}

// values are those of all runs of a side, nil if one of them has none.
func values(lines []line, side string, m metric) (all []float64) {
	for i := range lines {
		if lines[i].Side != side {
			continue
		}
		v := m.of(&lines[i])
		if v == nil {
			return nil
		}
		all = append(all, *v)
	}
	return all
}

func worse(all []verdict) (n int) {
	for i := range all {
		if all[i].say == sayRegression {
			n++
		}
	}
	return n
}

// table is what people read.
func table(all []verdict, lines []line) string {
	var b strings.Builder
	commits, runs := map[string]string{}, 0
	for i := range lines {
		commits[lines[i].Side], runs = lines[i].Commit, max(runs, lines[i].Run)
	}
	fmt.Fprintf(&b, "%s, %d events, %d runs each, %s: median (lowest to highest)\n\n", lines[0].Workload, lines[0].Events, runs, lines[0].Machine)
	fmt.Fprintf(&b, "%-23s %-28s %-28s %8s  %s\n", "", "base "+commits[sideBase], "head "+commits[sideHead], "change", "verdict")
	for i := range all {
		v := &all[i]
		if v.say == sayUnknown {
			fmt.Fprintf(&b, "%-23s %-28s %-28s %8s  %s\n", v.metric.name, "-", "-", "-", v.say)
			continue
		}
		show := func(s bed.Summary) string {
			d := v.metric.digits
			return fmt.Sprintf("%.*f (%.*f to %.*f)", d, s.Median, d, s.Min, d, s.Max)
		}
		fmt.Fprintf(&b, "%-23s %-28s %-28s %+7.1f%%  %s\n", v.metric.name, show(v.base), show(v.head), v.percent, v.say)
	}
	return b.String()
}
