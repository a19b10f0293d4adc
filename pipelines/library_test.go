package pipelines_test

import (
	"testing"

	"github.com/tidewatch/tidewatch/pipelines"
)

// Every shipped pipeline is without mistakes, has cases, and passes them.
func TestLibrary(t *testing.T) {
	c := components()
	specs, err := pipelines.LoadLibrary(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range specs {
		t.Run(s.Name.Value, func(t *testing.T) {
			if len(s.Cases) < 2 {
				t.Error("it has too few cases")
			}
			results, err := pipelines.RunCases(t.Context(), s, c)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range results {
				if !r.OK {
					t.Error(r)
				}
			}
		})
	}
}
