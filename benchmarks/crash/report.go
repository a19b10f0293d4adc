package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
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

// writeResults writes the table.
func writeResults(ctx context.Context, file string, rows []*tally, args []string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# What broke, and what came out\n\nMachine: %s, %d cores. Command: `crash %s`, commit %s.\n\n",
		runtime.GOOS+"/"+runtime.GOARCH, runtime.NumCPU(), strings.Join(args, " "), commit(ctx))
	b.WriteString("| scenario | runs | kills | records | lost | doubled | wrong | slowest catch-up, s |\n|---|---|---|---|---|---|---|---|\n")
	var sum tally
	points := map[string]int{}
	for _, t := range rows {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %d | %.1f |\n", t.scenario.name, t.runs, t.kills, t.records, t.lost, t.doubled, t.wrong, t.slowest)
		sum.runs, sum.kills, sum.records = sum.runs+t.runs, sum.kills+t.kills, sum.records+t.records
		sum.lost, sum.doubled, sum.wrong = sum.lost+t.lost, sum.doubled+t.doubled, sum.wrong+t.wrong
		for p, n := range t.points {
			points[p] += n
		}
	}
	fmt.Fprintf(&b, "| **all** | %d | %d | %d | %d | %d | %d | |\n\n", sum.runs, sum.kills, sum.records, sum.lost, sum.doubled, sum.wrong)
	var names []string
	for p := range points {
		names = append(names, p)
	}
	slices.Sort(names)
	b.WriteString("Points at which a process was killed or stopped, or a call failed, and how often:")
	for i, p := range names {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %s %d", p, points[p])
	}
	b.WriteString("\n")
	return os.WriteFile(file, []byte(b.String()), 0o644) //nolint:gosec // a document
}

func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
