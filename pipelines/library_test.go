package pipelines_test

import (
	"os"
	"strings"
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

// TestReadmeNamesTheLibrary demands that the list of the shipped pipelines has all of them, with their rules.
func TestReadmeNamesTheLibrary(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	specs, err := pipelines.LoadLibrary(components())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range specs {
		if !strings.Contains(string(text), "`"+s.Name.Value+"`") {
			t.Errorf("the list does not have the pipeline %s", s.Name)
		}
		for i := range s.Steps {
			if rule := s.Steps[i].Alert; rule != nil && !strings.Contains(string(text), rule.Name.Value) {
				t.Errorf("the list does not have the rule %s of %s", rule.Name, s.Name)
			}
		}
	}
}
