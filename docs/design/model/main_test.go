package main

import (
	"strings"
	"testing"
)

// bounded is what every run of the tests explores; `make model` goes further.
var bounded = bounds{seed: 1, walks: 1000, patience: 2500, limit: 50_000, mutationStates: 1}

// TestModel explores the fixed designs a little, and finds every misreading that is not rare.
func TestModel(t *testing.T) {
	var chosen []job
	for _, j := range jobs() {
		if !j.harmless && !j.rare {
			chosen = append(chosen, j)
		}
	}
	b := bounded
	if testing.Short() {
		b.walks, b.limit = 100, 10_000
	}
	var table strings.Builder
	wrong, states := report(&table, chosen, runAll(chosen, b))
	if wrong > 0 {
		t.Errorf("%d of %d wrong:\n%s", wrong, len(chosen), table.String())
	}
	t.Logf("%d designs and misreadings, %d states breadth first", len(chosen), states)
}

// TestNamesAreUnique: -mutation NAME means one.
func TestNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, j := range jobs() {
		if name := j.part + " " + j.name; seen[name] {
			t.Errorf("there are two designs %s", name)
		} else {
			seen[name] = true
		}
		if j.why == "" {
			t.Errorf("%s %s does not say what it misreads", j.part, j.name)
		}
	}
}
