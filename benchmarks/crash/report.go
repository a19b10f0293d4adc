package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// tally adds up runs of a scenario.
type tally struct {
	runs, kills, records, lost, doubled, wrong, failed int
	slowest                                            float64 // seconds to catch up
}

func (t *tally) add(o *outcome) {
	t.runs++
	t.kills += o.Kills
	t.records += o.Records
	t.lost += o.Lost
	t.doubled += o.Doubled
	t.wrong += o.Wrong
	if o.Failed != "" {
		t.failed++
	}
	t.slowest = max(t.slowest, o.CatchUp)
}

func (t *tally) cells() string {
	return fmt.Sprintf("%d | %d | %d | %d | %d | %d | %d | %.1f |\n", t.runs, t.kills, t.records, t.lost, t.doubled, t.wrong, t.failed, t.slowest)
}

// runsTable is the table of all runs of a log, and what it says of them besides.
func runsTable(log *history[outcome]) string {
	rows, points := map[string]*tally{}, map[string]int{}
	var sum tally
	var names, commits, failed []string
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	for i := range log.all {
		o := &log.all[i]
		if rows[o.Scenario] == nil {
			rows[o.Scenario] = &tally{}
		}
		rows[o.Scenario].add(o)
		sum.add(o)
		if !slices.Contains(names, o.Scenario) { // it has another name now
			names = append(names, o.Scenario)
		}
		if !slices.Contains(commits, o.Commit) {
			commits = append(commits, o.Commit)
		}
		if o.Failed != "" {
			said := strings.NewReplacer("\n", " ", "|", "/").Replace(strings.TrimPrefix(o.Failed, "not equal:\n  "))
			failed = append(failed, fmt.Sprintf("- `%s` with seed %d at %s: %s\n", o.Scenario, o.Seed, o.Commit, clipped(said, 300)))
		}
		for p, n := range o.Points {
			points[p] += n
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Runs: %d, at the commits %s. ", sum.runs, strings.Join(commits, ", "))
	if log.file != "" {
		fmt.Fprintf(&b, "Each is a line of [%[1]s](%[1]s); `make crash SCENARIO=worker-crash SEED=7` plays one again.", filepath.Base(log.file))
	}
	b.WriteString("\n\n| scenario | runs | kills | records | lost | doubled | wrong | failed | slowest catch-up, s |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, name := range names {
		if t := rows[name]; t != nil {
			fmt.Fprintf(&b, "| `%s` | %s", name, t.cells())
		}
	}
	fmt.Fprintf(&b, "| **all** | %s\n", sum.cells())
	if len(failed) > 0 {
		b.WriteString("Runs that failed:\n\n" + strings.Join(failed, "") + "\n")
	}
	var hits []string
	for _, p := range slices.Sorted(maps.Keys(points)) {
		hits = append(hits, fmt.Sprintf("%s %d", p, points[p]))
	}
	return b.String() + "Points at which a process killed or stopped itself, or a call failed, and how often: " + strings.Join(hits, ", ") + ".\n"
}

func clipped(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return s[:most] + " …"
}

// newest is how each mutant fared when it was played last.
func newest(log *history[caught]) map[string]*caught {
	by := map[string]*caught{}
	for i := range log.all {
		by[log.all[i].Mutant+" in "+log.all[i].Scenario] = &log.all[i]
	}
	return by
}

// mutantsTable says which scenario has caught which planted bug, when it was played last.
func mutantsTable(log *history[caught]) string {
	played := newest(log)
	var b strings.Builder
	b.WriteString("| planted bug | in | caught by | in run | at | what it said |\n|---|---|---|---|---|---|\n")
	for _, m := range mutants() {
		for _, scenario := range m.scenarios() {
			c := played[m.name+" in "+scenario]
			if c == nil {
				fmt.Fprintf(&b, "| %s | `%s` | `%s`: not played | – | – | – |\n", m.name, m.file, scenario)
				continue
			}
			by, said := "`"+c.Scenario+"`", strings.TrimSpace(c.By)
			if said == "" {
				by, said = "not by "+by, "–"
			}
			fmt.Fprintf(&b, "| %s | `%s` | %s | %d | %s | %s |\n", m.name, m.file, by, c.Runs, c.Commit, clipped(strings.ReplaceAll(said, "|", "/"), 300))
		}
	}
	return b.String()
}

// The document has a part for the runs and one for the planted bugs; each command replaces its own.
const (
	runsPart    = "## Runs\n"
	mutantsPart = "## Planted bugs\n"
)

// write writes a table into its part of the document, if there is to be one.
func (o *options) write(which string, table func() string) error {
	if o.results == "" {
		return nil
	}
	before, err := os.ReadFile(o.results)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text, bugs, _ := strings.Cut(string(before), mutantsPart)
	_, runs, _ := strings.Cut(text, runsPart)
	part := fmt.Sprintf("\nMachine: %s/%s, %d cores.\n\n%s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), table())
	if which == mutantsPart {
		bugs = part
	} else {
		runs = part + "\n"
	}
	if err := os.MkdirAll(filepath.Dir(o.results), 0o755); err != nil { //nolint:gosec // documents are for everybody
		return err
	}
	return os.WriteFile(o.results, []byte("# What broke, and what came out\n\nWhat is promised: [docs/guarantees.md](../../docs/guarantees.md).\n\n"+
		runsPart+runs+mutantsPart+bugs), 0o644) //nolint:gosec // documents are for everybody
}

// commit names what is checked out, and says if files differ from it, other than results.
func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	name := strings.TrimSpace(string(out))
	if exec.CommandContext(ctx, "git", "diff", "--quiet", "HEAD", "--", ":!benchmarks/results").Run() != nil {
		name += "+"
	}
	return name
}
