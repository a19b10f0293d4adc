package pipelines_test

import (
	"slices"
	"testing"

	"github.com/tidewatch/tidewatch/pipelines"
)

// A pipeline gives the same answers in one stage and re-keyed: the cases of the shipped ones pass both ways.
func TestKeyedOrRekeyedIsTheSame(t *testing.T) {
	c := components()
	specs, err := pipelines.LoadLibrary(c)
	if err != nil {
		t.Fatal(err)
	}
	stages := map[int]int{}
	for _, s := range specs {
		i := slices.IndexFunc(s.Steps, func(s pipelines.Step) bool { return s.Window != nil })
		if i < 0 {
			continue
		}
		declared := s.Source.KeyedBy
		for _, keys := range [][]pipelines.Text{nil, {s.Steps[i].Window.By[len(s.Steps[i].Window.By)-1]}} {
			s.Source.KeyedBy = keys
			s.Cases = slices.DeleteFunc(s.Cases, func(k pipelines.Case) bool { // would belie the declaration
				return len(keys) > 0 && slices.ContainsFunc(k.Given, func(g pipelines.Given) bool { return g.Part.Value > 0 })
			})
			p, err := pipelines.Compile(s, c)
			if err != nil {
				if keys != nil && declared == nil { // a computed column is no key
					continue
				}
				t.Fatal(err)
			}
			stages[len(p.Stages)]++
			results, err := pipelines.RunCases(t.Context(), s, c)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range results {
				if !r.OK {
					t.Errorf("keyed by %v: %v", keys, r)
				}
			}
		}
	}
	if stages[1] < 3 || stages[2] < 3 {
		t.Errorf("plans by number of stages: %v", stages)
	}
}
