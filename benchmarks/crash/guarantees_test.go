package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// shown finds what docs/guarantees.md names as proof: the words in backticks of the middle column.
func shown(text string) (names []string) {
	_, table, _ := strings.Cut(text, "## Promised")
	table, _, _ = strings.Cut(table, "## Not promised")
	word := regexp.MustCompile("`([^`]+)`")
	for line := range strings.SplitSeq(table, "\n") {
		if columns := strings.Split(line, "|"); len(columns) == 5 {
			for _, m := range word.FindAllStringSubmatch(columns[2], -1) {
				names = append(names, m[1])
			}
		}
	}
	return names
}

// TestGuarantees: each promise has its proof, and each scenario proves a promise.
func TestGuarantees(t *testing.T) {
	text, err := os.ReadFile("../../docs/guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	names := shown(string(text))
	var known []string
	for _, s := range scenarios() {
		known = append(known, s.name)
		if !slices.Contains(names, s.name) {
			t.Errorf("docs/guarantees.md names no promise that %s shows", s.name)
		}
	}
	for _, name := range names {
		switch {
		case strings.HasPrefix(name, "Test"):
			if !testExists(t, "../../engine", name) {
				t.Errorf("docs/guarantees.md names %s, but engine has no such test", name)
			}
		case name != "engine" && !slices.Contains(known, name):
			t.Errorf("docs/guarantees.md names the scenario %s, which there is not", name)
		}
	}
}

func testExists(t *testing.T, dir, name string) bool {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(file string) bool {
		text, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(text), "func "+name+"(")
	})
}

// TestMutantsHaveTheirScenario: a planted bug names scenarios that exist, and text that stands in its file once; each scenario has
// a bug that it must catch.
func TestMutantsHaveTheirScenario(t *testing.T) {
	proven := map[string]bool{}
	for _, m := range mutants() {
		for _, scenario := range m.scenarios() {
			proven[scenario] = true
			if _, err := choose(scenario); err != nil {
				t.Errorf("%s: %v", m.name, err)
			}
		}
		text, err := os.ReadFile(filepath.Join("../..", m.file))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range m.edits {
			if n := strings.Count(string(text), e.old); n != 1 {
				t.Errorf("%s: %q stands %d times in %s, not once", m.name, e.old, n, m.file)
			}
		}
	}
	for _, s := range scenarios() {
		if !proven[s.name] {
			t.Errorf("no planted bug is to be caught by %s", s.name)
		}
	}
}

// TestOracle judges a log that can be judged by hand: two partitions, windows of ten seconds, thirty of lateness.
func TestOracle(t *testing.T) {
	record := func(partition int32, offset int64, value string) *logged {
		return &logged{partition: partition, offset: offset, value: []byte(value)}
	}
	log := []*logged{
		record(0, 0, `{"time":1000000,"host":"a","value":950}`),
		record(0, 1, `{"time":1015000,"host":"a","value":970}`),
		record(0, 2, `{"time":1003000,"host":"a","value":10}`), // its window ended at 1010 and the mark is 1013: a revision
		record(0, 3, `{"time":1072000,"host":"b","value":1}`),  // too far ahead to be believed? no: 57 s
		record(0, 4, `{"time":1009000,"host":"a","value":5}`),  // the mark is 1070: too late
		record(0, 5, `{"time":9999000,"host":"b","value":1}`),  // from the future
		record(0, 6, `not JSON`),
		record(1, 0, `{"time":1000000,"host":"c","value":1}`),
		record(1, 1, `{"time":1050000,"host":"c","value":2}`),
	}
	got := judge(log, rules{})
	if got.mark != 1_048_000 {
		t.Errorf("the mark is %d", got.mark)
	}
	ledger := map[string]int64{"counted": 6, "revised": 1, "late": 1, "rejected": 1}
	for bucket, n := range ledger {
		if got.ledger[bucket] != n {
			t.Errorf("%s: %d, want %d", bucket, got.ledger[bucket], n)
		}
	}
	if r := got.rollups[cell{1_000_000, "a"}]; r != (row{2, 960, 10, 950}) {
		t.Errorf("the first window holds %+v", r)
	}
	want := map[transition]bool{{"a", "pending", 1_010_000}: true, {"a", "firing", 1_020_000}: true, {"a", "resolved", 1_030_000}: true}
	if len(got.transitions) != len(want) {
		t.Errorf("transitions: %v", got.transitions)
	}
	for tr := range want {
		if !got.transitions[tr] {
			t.Errorf("transition %v is missing", tr)
		}
	}
}
