package pipelines_test

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/pipelines"
)

// unitPipeline is a pipeline with a filter, steps before its window, and more words in it.
func unitPipeline(filter, project, more string) string {
	return `pipeline: p
source:
  kafka: {topics: [metrics]}
steps:
  - filter: ` + filter + "\n" + project + `
  - window:
      tumbling: 10s
      by: [tenant, host]
      aggregate: {avg: avg(value), high: max(value), steep: slope(value), n: count(), distinct: count_distinct(service)}
` + more + `
    as: w
sinks:
  redis: {of: w}
`
}

func describe(t *testing.T, text string) (*pipelines.Description, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "p.yaml")
	writeFile(t, file, text)
	c := components()
	specs, err := pipelines.Load(c, file)
	if err != nil {
		return nil, err
	}
	d, err := pipelines.Describe(specs[0], c)
	if err != nil {
		t.Fatal(err)
	}
	return d, nil
}

// TestUnits: a column has the unit that the file names, else that of the events, if they are of one metric or say it.
func TestUnits(t *testing.T) {
	const copied, computed = "  - project: {tenant: tenant, host: host, service: service, value: value}", "  - project: {tenant: tenant, host: host, service: service, value: value * 100}"
	instances := map[string]bool{}
	for _, tc := range []struct {
		filter, project, more string
		want                  map[string]string // all others have none
	}{
		{`name == "system.cpu.utilization"`, "", "", map[string]string{"avg": "1", "high": "1", "steep": "1/h"}},
		{`name == "system.cpu.utilization"`, "", "      unit: By", map[string]string{"avg": "By", "high": "By", "steep": "By/h"}},
		{`name == "system.cpu.utilization"`, "", "      unit: {high: 1, n: \"{sample}\"}", map[string]string{"avg": "1", "high": "1", "steep": "1/h", "n": "{sample}"}},
		{`name == "system.cpu.utilization"`, "", "      unit:\n        avg: ms\n        steep: m/s", map[string]string{"avg": "ms", "high": "1", "steep": "m/s"}},
		{`name == "system.cpu.utilization"`, copied, "", map[string]string{"avg": "1", "high": "1", "steep": "1/h"}},
		{`name == "system.cpu.utilization"`, computed, "", nil},
		{`name == "system.cpu.utilization"`, computed, "      unit: \"%\"", map[string]string{"avg": "%", "high": "%", "steep": "%/h"}},
		{`name == "shop.cart.duration"`, "", "", nil},
		{`name in ["system.disk.io", "system.network.errors"]`, "", "", nil},
		{`name startsWith "shop." and unit == "s"`, "", "", map[string]string{"avg": "s", "high": "s", "steep": "s/h"}},
		{`name == "http.server.duration" and unit == "s"`, "", "", map[string]string{"avg": "s", "high": "s", "steep": "s/h"}},
	} {
		d, err := describe(t, unitPipeline(tc.filter, tc.project, tc.more))
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, c := range d.Rollups[0].Columns {
			if c.Unit != "" {
				got[c.Name] = c.Unit
			}
		}
		if !maps.Equal(got, tc.want) {
			t.Errorf("%s %s %s: %v, want %v", tc.filter, tc.project, tc.more, got, tc.want)
		}
		if tc.filter == `name == "system.cpu.utilization"` && tc.project == "" {
			instances[d.Instance] = true
		}
	}
	if len(instances) != 1 {
		t.Errorf("a unit makes another version of the pipeline: %v", instances)
	}
}

// TestMistakenUnits names what is wrong, and where.
func TestMistakenUnits(t *testing.T) {
	for more, want := range map[string]string{
		"      unit: kilo bytes":  "`unit`: `kilo bytes` is none: a unit is in UCUM, such as ms, By, 1 or {request}",
		"      unit: {request}":   "`request` has no unit; a unit in braces needs quotes: \"{request}\"",
		"      unit: {avrg: ms}":  "the window has no aggregate `avrg`, did you mean `avg`?",
		"      unit: {host: ms}":  "`host` is a field of `by`: only aggregates have a unit",
		"      unit: {avg: [ms]}": "the unit of `avg` is a text, not a list",
		"      unit: [ms]":        "`unit` is a text, not a list",
		"      unit: {avg: \"\"}": "the unit of `avg`: `` is none",
		"      unti: ms":          "unknown word `unti` in the window, did you mean `unit`?",
	} {
		_, err := describe(t, unitPipeline(`name == "a"`, "", more))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "p.yaml:11") {
			t.Errorf("%s: %v, want %s", more, err, want)
		}
	}
}

// TestUnitsOfTheLibrary are those of what is shipped, as pages show them.
func TestUnitsOfTheLibrary(t *testing.T) {
	c := components()
	specs, err := pipelines.LoadLibrary(c)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, s := range specs {
		d, err := pipelines.Describe(s, c)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range d.Rollups {
			for _, col := range r.Columns {
				if col.Unit != "" {
					b.WriteString(d.Name + " " + col.Name + " " + col.Unit + "\n")
				}
			}
		}
	}
	want, err := os.ReadFile("testdata/units.txt")
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("units of the library:\n%s\nwant testdata/units.txt:\n%s", b.String(), want)
	}
}
