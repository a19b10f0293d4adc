package aggregate_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/operators/aggregate"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]aggregate.Spec{
		"avg(value)":        {Function: "avg", Column: "value"},
		"count()":           {Function: "count"},
		" count( user ) ":   {Function: "count", Column: "user"},
		"max(http.status)":  {Function: "max", Column: "http.status"},
		"sum (bytes_total)": {Function: "sum", Column: "bytes_total"},

		"count_distinct(user)":        {Function: "count_distinct", Column: "user"},
		"count_distinct( user ,1000)": {Function: "count_distinct", Column: "user", Limit: 1000},
	} {
		got, err := aggregate.Parse(text)
		if err != nil || got != want {
			t.Errorf("Parse(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":               "known are avg, count, count_distinct, count_if, first, last, max, min, slope, sum",
		"averge(value)":  `unknown function "averge"; known are avg, count, count_distinct, count_if, first, last, max, min, slope, sum`,
		"avg":            "write avg(column)",
		"count":          "write count() or count(column)",
		"avg(":           "write avg(column)",
		"avg()":          "avg takes one column: write avg(column)",
		"avg(a, b)":      "avg takes one column: write avg(column)",
		"avg((a))":       "write avg(column)",
		"avg(a) + 1":     "write avg(column)",
		"quantile(a, 1)": "unknown function",

		"count_distinct()":        "count_distinct takes one column",
		"count_distinct(a, 0)":    "the limit is from 1 to 4096",
		"count_distinct(a, 4097)": "the limit is from 1 to 4096",
		"count_distinct(a, b)":    "the limit is no whole number",
		"count_distinct(a, 1, 2)": "the limit is no whole number",
		"count_distinct(a":        "write count_distinct(column) or count_distinct(column, limit)",
	} {
		_, err := aggregate.Parse(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q): error %v does not say %q", text, err, want)
		}
	}
}

func TestNamesAreSortedAndParse(t *testing.T) {
	names := aggregate.Names()
	if !slices.IsSorted(names) {
		t.Errorf("not sorted: %v", names)
	}
	for _, n := range names {
		if _, err := aggregate.Parse(n + "(x)"); err != nil {
			t.Error(err)
		}
	}
}

// FuzzParse: what Parse accepts, it prints in a form that it reads again.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"avg(value)", "count()", "sum(a,b)", "max ( x )", "min(()", ")(", "count(\x00)", "count_distinct(a, 5)"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		spec, err := aggregate.Parse(text)
		if err != nil {
			return
		}
		again, err := aggregate.Parse(spec.String())
		if err != nil || again != spec {
			t.Errorf("Parse(%q) = %+v, but reading %q again gives %+v, %v", text, spec, spec, again, err)
		}
	})
}
