package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// tally adds up the runs of a scenario.
type tally struct {
	scenario                                   *scenario
	runs, kills, records, lost, doubled, wrong int
	slowest                                    float64 // seconds to catch up
	points                                     map[string]int
}

func (t *tally) add(r *run, v *verdict) {
	t.runs++
	t.kills += r.kills
	t.records += v.Records
	t.lost += v.Lost
	t.doubled += v.Doubled
	t.wrong += v.Wrong
	t.slowest = max(t.slowest, r.caughtUp.Sub(r.calm).Seconds())
	for p, n := range r.faults.hits {
		t.points[p] += n
	}
}

// runsTable is the table of all runs.
func runsTable(rows []*tally) string {
	var b strings.Builder
	b.WriteString("| scenario | runs | kills | records | lost | doubled | wrong | slowest catch-up, s |\n|---|---|---|---|---|---|---|---|\n")
	var sum tally
	points := map[string]int{}
	for _, t := range rows {
		fmt.Fprintf(&b, "| `%s` | %d | %d | %d | %d | %d | %d | %.1f |\n", t.scenario.name, t.runs, t.kills, t.records, t.lost, t.doubled, t.wrong, t.slowest)
		sum.runs, sum.kills, sum.records = sum.runs+t.runs, sum.kills+t.kills, sum.records+t.records
		sum.lost, sum.doubled, sum.wrong = sum.lost+t.lost, sum.doubled+t.doubled, sum.wrong+t.wrong
		for p, n := range t.points {
			points[p] += n
		}
	}
	fmt.Fprintf(&b, "| **all** | %d | %d | %d | %d | %d | %d | |\n\n", sum.runs, sum.kills, sum.records, sum.lost, sum.doubled, sum.wrong)
	var names []string
	for p, n := range points {
		names = append(names, fmt.Sprintf("%s %d", p, n))
	}
	slices.Sort(names)
	return b.String() + "Points at which a process killed or stopped itself, or a call failed, and how often: " + strings.Join(names, ", ") + ".\n"
}

// mutantsTable says which scenario has caught which planted bug.
func mutantsTable(all []*caught) string {
	var b strings.Builder
	b.WriteString("| planted bug | in | caught by | in run | what it said |\n|---|---|---|---|---|\n")
	for _, c := range all {
		by, said := "`"+c.scenario+"`", strings.TrimSpace(c.by)
		if said == "" {
			by, said = "nothing", "–"
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %d | %s |\n", c.name, c.file, by, c.runs, strings.ReplaceAll(said, "|", "/"))
	}
	return b.String()
}

// The document has a part for the runs and one for the planted bugs; each command replaces its own.
const (
	runsPart    = "## Runs\n"
	mutantsPart = "## Planted bugs\n"
)

// writeResults writes the table into its part of the document.
func writeResults(ctx context.Context, o *options, table string) error {
	before, err := os.ReadFile(o.results)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text, bugs, _ := strings.Cut(string(before), mutantsPart)
	_, runs, _ := strings.Cut(text, runsPart)
	part := fmt.Sprintf("\nMachine: %s/%s, %d cores. Command: `%s`, at commit %s.\n\n%s",
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), o.again(), commit(ctx), table)
	if o.mutants {
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

// again is the command that does the same.
func (o *options) again() string {
	target, more := "crash", fmt.Sprintf(" SEED=%d RUNS=%d", o.seed, o.runs)
	if o.mutants {
		target, more = "crash-mutants", fmt.Sprintf(" SEED=%d", o.seed)
	}
	if o.only != "" {
		more += " SCENARIO=" + o.only
	}
	if o.short {
		more = " SHORT=1" + more
	}
	return "make " + target + more
}

func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
