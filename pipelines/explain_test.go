package pipelines_test

import (
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/pipelines"
)

func parseGood(t *testing.T, c *pipelines.Components, input string) []*pipelines.Spec {
	t.Helper()
	specs, problems := pipelines.Parse("p.yaml", []byte(input))
	problems = append(problems, pipelines.Validate(specs, c)...)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return specs
}

// A pipeline that is about a drawing is drawn.
func TestExplain(t *testing.T) {
	c := components()
	runTextCases(t, "explain_*.txt", func(t *testing.T, input string) string {
		t.Helper()
		var out strings.Builder
		for _, s := range parseGood(t, c, input) {
			show := pipelines.Explain
			if strings.HasPrefix(s.About.Value, "drawn") {
				show = pipelines.Dot
			}
			text, err := show(s, c)
			if err != nil {
				t.Fatal(err)
			}
			out.WriteString(text)
		}
		return out.String()
	})
}
