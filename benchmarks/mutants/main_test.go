package main

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"testing"
)

// TestMutantsCanBePlanted: whoever changes what a mutant changes has to bring it up to date.
func TestMutantsCanBePlanted(t *testing.T) {
	t.Chdir(filepath.Join("..", ".."))
	suites, dir := (&options{}).suites(), t.TempDir()
	names := map[string]bool{}
	for _, m := range mutants() {
		if names[m.name] {
			t.Errorf("two mutants are named %q", m.name)
		}
		names[m.name] = true
		if _, ok := suites[m.suite]; !ok {
			t.Errorf("mutant %q: there is no suite %q", m.name, m.suite)
		}
		if _, err := m.plant(dir); err != nil {
			t.Errorf("mutant %q: %v", m.name, err)
			continue
		}
		if _, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, "changed.go"), nil, parser.SkipObjectResolution); err != nil {
			t.Errorf("mutant %q: %v", m.name, err)
		}
	}
}

func TestHistoriesAreCounted(t *testing.T) {
	out := "seed 7 is done, 52s: 1000 of 3000 histories, 1000 histories: 204 crashes\nseed 8 is done, 52s: 2000 of 3000 histories, 2000 histories: 1\n" +
		"    metamorphic_test.go:31: [rapid] failed after 41 tests: ledger: map[], by plain code map[a:1]\n        To reproduce, specify -rapid.seed=9\n"
	if n := countHistories(out, 7); n != 2042 {
		t.Errorf("history %d, want 2042", n)
	}
	if got := reason(out); got != "ledger: map[], by plain code map[a:1]" {
		t.Errorf("the reason is %q", got)
	}
	out = "    crash_test.go:46: seed 767 (run with -seed 767 -histories 1): live values: a is b\n"
	if n, got := countHistories(out, 7), reason(out); n != 761 || got != "live values: a is b" {
		t.Errorf("history %d, want 761: %s", n, got)
	}
	if n := countHistories("panic: test", 7); n != 1 {
		t.Errorf("history %d, want the first", n)
	}
}
