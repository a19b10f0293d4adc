package pipelines_test

import (
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/pipelines"
)

// mutation is one changed threshold of a rule.
type mutation struct {
	what   string
	change func(a *pipelines.Alert)
}

var (
	numberPattern     = regexp.MustCompile(`\b\d+(\.\d+)?\b`)
	comparisonPattern = regexp.MustCompile(`[<>]=?`)
)

// mutations changes every number and comparison of the condition, and the durations by one window.
func mutations(a *pipelines.Alert, window time.Duration) (list []mutation) {
	when := a.When.Value
	replace := func(at []int, with string) {
		changed := when[:at[0]] + with + when[at[1]:]
		list = append(list, mutation{when + " to " + changed, func(a *pipelines.Alert) { a.When.Value = changed }})
	}
	for _, at := range numberPattern.FindAllStringIndex(when, -1) {
		for _, n := range neighbours(when[at[0]:at[1]]) {
			replace(at, n)
		}
	}
	for _, at := range comparisonPattern.FindAllStringIndex(when, -1) {
		op := when[at[0]:at[1]]
		if with, strict := strings.CutSuffix(op, "="); strict {
			replace(at, with)
		} else {
			replace(at, op+"=")
		}
	}
	for _, d := range []time.Duration{-window, window} {
		if d+a.For.Duration >= 0 {
			list = append(list, mutation{fmt.Sprintf("for %v to %v", a.For.Duration, a.For.Duration+d), func(a *pipelines.Alert) { a.For.Duration += d }})
		}
		if d+a.KeepFiringFor.Duration >= 0 {
			what := fmt.Sprintf("keep_firing_for %v to %v", a.KeepFiringFor.Duration, a.KeepFiringFor.Duration+d)
			list = append(list, mutation{what, func(a *pipelines.Alert) { a.KeepFiringFor.Duration += d }})
		}
	}
	return list
}

// neighbours are the numbers beside n: one more or less, or one per cent.
func neighbours(n string) []string {
	if i, err := strconv.Atoi(n); err == nil {
		return []string{strconv.Itoa(i - 1), strconv.Itoa(i + 1)}
	}
	f, err := strconv.ParseFloat(n, 64)
	if err != nil {
		panic(err)
	}
	return []string{strconv.FormatFloat(f*0.99, 'g', 6, 64), strconv.FormatFloat(f*1.01, 'g', 6, 64)}
}

// The cases of every shipped pipeline notice if a threshold of a rule is changed.
func TestCasesNoticeChangedThresholds(t *testing.T) {
	c := components()
	library := pipelines.Library()
	names, err := fs.Glob(library, "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rules := 0
	for _, name := range names {
		data, err := fs.ReadFile(library, name)
		if err != nil {
			t.Fatal(err)
		}
		for i, n := 0, len(parseGood(t, c, string(data))); i < n; i++ {
			rules += mutateRules(t, c, name, string(data), i)
		}
	}
	if rules < 5 {
		t.Errorf("only %d rules are shipped", rules)
	}
}

// mutateRules runs the cases of pipeline i of a file under each mutation of each of its rules.
func mutateRules(t *testing.T, c *pipelines.Components, name, data string, i int) (rules int) {
	t.Helper()
	steps := parseGood(t, c, data)[i].Steps
	var window time.Duration
	for j := range steps {
		if w := steps[j].Window; w != nil {
			window = w.Step()
		}
		if steps[j].Alert == nil {
			continue
		}
		rules++
		for _, m := range mutations(steps[j].Alert, window) {
			t.Run(fmt.Sprintf("%s/%s/%s", name, steps[j].Name, m.what), func(t *testing.T) {
				t.Parallel()
				spec := parseGood(t, c, data)[i]
				m.change(spec.Steps[j].Alert)
				results, err := pipelines.RunCases(t.Context(), spec, c)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range results {
					if !r.OK {
						return
					}
				}
				t.Errorf("no case of %s notices", name)
			})
		}
	}
	return rules
}
