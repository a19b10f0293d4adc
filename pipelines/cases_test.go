package pipelines_test

import (
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/pipelines"
)

// What a run of cases says, also about cases that fail.
func TestCases(t *testing.T) {
	c := components()
	runTextCases(t, "cases_*.txt", func(t *testing.T, input string) string {
		t.Helper()
		var out []string
		for _, s := range parseGood(t, c, input) {
			results, err := pipelines.RunCases(t.Context(), s, c)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range results {
				out = append(out, r.String())
			}
		}
		return strings.Join(out, "\n")
	})
}
