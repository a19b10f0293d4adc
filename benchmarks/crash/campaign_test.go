package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A command that is aborted and started again goes on with other seeds, and its table holds the runs of both.
func TestCampaignGoesOn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "runs.jsonl")
	first, err := openHistory[outcome](file)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []outcome{
		{Scenario: "worker-crash", Seed: 5, Commit: "one", Kills: 16, Records: 100, Points: map[string]int{"claim.after": 2}},
		{Scenario: "worker-crash", Seed: 6, Commit: "one", Kills: 4, Records: 100, Lost: 1, Failed: "not equal:\n  x|y is missing"},
	} {
		if err := first.add(o); err != nil {
			t.Fatal(err)
		}
	}
	second, err := openHistory[outcome](file)
	if err != nil {
		t.Fatal(err)
	}
	o := options{seed: 5, minutes: 60, share: shareEven}
	for s, seed := range o.turns([]scenario{{name: "worker-crash"}, {name: "rebalance"}}, second) {
		if s.name == "worker-crash" && seed != 7 || s.name == "rebalance" && seed != 5 {
			t.Errorf("the next seed of %s is %d", s.name, seed)
		}
		if s.name == "rebalance" {
			break
		}
	}
	if err := second.add(outcome{Scenario: "gone", Seed: 1, Commit: "two", Kills: 1, Records: 7}); err != nil {
		t.Fatal(err)
	}
	table := runsTable(second)
	for _, want := range []string{
		"| `worker-crash` | 2 | 20 | 200 | 1 | 0 | 0 | 1 |", "| `gone` | 1 | 1 | 7 |", "| **all** | 3 | 21 | 207 | 1 |", "commits one, two",
		"`worker-crash` with seed 6 at one: x/y is missing", "claim.after 2",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
}

// The share of kills gives most turns to the scenarios that kill most.
func TestShareOfKills(t *testing.T) {
	chosen := []scenario{{name: "a"}, {name: "x", heavy: true}, {name: "b"}, {name: "y", heavy: true}}
	for share, want := range map[string]string{shareEven: "axby", shareKills: "axybxy"} {
		o := options{runs: 1, share: share}
		var got strings.Builder
		for s := range o.turns(chosen, &history[outcome]{}) {
			got.WriteString(s.name)
		}
		if got.String() != want {
			t.Errorf("%s: %s, want %s", share, got.String(), want)
		}
	}
	o := options{runs: 2, seed: 3, share: shareKills}
	var seeds []uint64
	for s, seed := range o.turns(chosen, &history[outcome]{}) {
		if s.name == "x" {
			seeds = append(seeds, seed)
		}
	}
	if !slices.Equal(seeds, []uint64{3, 4, 5, 6}) {
		t.Errorf("seeds of x: %v", seeds)
	}
}

// A line that was cut off is named, and not passed over.
func TestLogNamesItsLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "runs.jsonl")
	if err := os.WriteFile(file, []byte("{\"scenario\":\"a\"}\n{\"scena"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openHistory[outcome](file); err == nil || !strings.Contains(err.Error(), "runs.jsonl:2:") {
		t.Errorf("the error is %v", err)
	}
}
