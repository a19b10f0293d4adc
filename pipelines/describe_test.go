package pipelines_test

import (
	"slices"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/pipelines"
)

// TestDescribe holds the description of every shipped pipeline against its plan.
func TestDescribe(t *testing.T) {
	c := components()
	specs, err := pipelines.LoadLibrary(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range specs {
		d, err := pipelines.Describe(s, c)
		if err != nil {
			t.Fatal(err)
		}
		known := map[string]bool{}
		for _, n := range d.Nodes {
			if known[n.ID] || n.Kind == "" || n.Label == "" {
				t.Errorf("%s: node %+v", d.Name, n)
			}
			known[n.ID] = true
		}
		for _, e := range d.Edges {
			if !known[e.From] || !known[e.To] {
				t.Errorf("%s: edge %v to nowhere", d.Name, e)
			}
		}
		if p, err := pipelines.Compile(s, c); err != nil || p != nil && p.Instance != d.Instance {
			t.Errorf("%s: instance %s, %v", d.Name, d.Instance, err)
		}
	}
}

func TestDescribeHostCPU(t *testing.T) {
	c := components()
	specs, err := pipelines.LoadLibrary(c)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(specs, func(s *pipelines.Spec) bool { return s.Name.Value == "host-cpu" })
	d, err := pipelines.Describe(specs[i], c)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(d.Demands["name"], []string{"system.cpu.utilization"}) || d.Event != "metric" || d.Lateness != 2*time.Minute {
		t.Errorf("%+v", d)
	}
	avg := pipelines.RollupColumn{Name: "avg", Function: "avg", Of: "value", Unit: "1", Always: true}
	if len(d.Rollups) != 1 || d.Rollups[0].Window != 10*time.Second || !slices.Equal(d.Rollups[0].Groups, []string{"tenant", "host"}) || d.Rollups[0].Columns[0] != avg {
		t.Errorf("%+v", d.Rollups)
	}
	if !slices.Contains(d.Edges, pipelines.Edge{From: "main cpu", To: "output redis cpu"}) {
		t.Errorf("%+v", d.Edges)
	}
	if len(d.Rules) == 0 || d.Rules[0].Name != "HostCPUHigh" || d.Rules[0].For != time.Minute {
		t.Errorf("%+v", d.Rules)
	}
}
