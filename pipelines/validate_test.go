package pipelines_test

import (
	"testing"

	"github.com/tidewatch/tidewatch/pipelines"
)

func TestMistakes(t *testing.T) {
	c := components()
	runTextCases(t, "mistakes_*.txt", func(_ *testing.T, input string) string {
		specs, problems := pipelines.Parse("p.yaml", []byte(input))
		problems = append(problems, pipelines.Validate(specs, c)...)
		if len(problems) == 0 {
			return "no mistakes"
		}
		return problems.Error()
	})
}
