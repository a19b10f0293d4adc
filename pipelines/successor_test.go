package pipelines_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/pipelines"
)

const keyedFile = `pipeline: logins
source:
  kafka: {topics: [security], format: json, keyed_by: [user]}
time: {out_of_order: 2s, allowed_lateness: 1m}
steps:
  - filter: class == "authentication"
  - dedupe: {by: [user, src_ip], within: 1m}
  - window:
      tumbling: 10s
      by: [user]
      aggregate: {n: count()}
    as: logins
  - absence: {forget: 1h}
    as: silence
  - alert: {name: Silent, when: missed > 3, for: 30s}
sinks:
  redis: {of: logins, keep: 1h}
`

func load(t *testing.T, c *pipelines.Components, text string) *pipelines.Spec {
	t.Helper()
	specs, err := pipelines.LoadText(c, "logins.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	return specs[0]
}

// TestFollow: which steps of a new version go on with what they knew.
func TestFollow(t *testing.T) {
	for _, tc := range []struct {
		name, old, new string // old becomes new in the file
		inherit, fresh string
		every          time.Duration
		err            string
	}{
		{"a rule", "missed > 3", "missed > 4", "dedupe silence Silent", "", 10 * time.Second, ""},
		{"a rule's name", "name: Silent", "name: Gone", "dedupe silence", "Gone", 10 * time.Second, ""},
		{"what is remembered", "forget: 1h", "forget: 2h", "dedupe Silent", "silence", 10 * time.Second, ""},
		{"the filter", `class == "authentication"`, `class == "authentication" && user != "root"`, "Silent", "dedupe silence", 10 * time.Second, ""},
		{"the window", "tumbling: 10s", "tumbling: 15s", "dedupe", "silence Silent", 30 * time.Second, ""},
		{"the group", "by: [user]\n      agg", "by: [user, tenant]\n      agg", "dedupe", "silence Silent", 10 * time.Second, ""},
		{"the topic", "topics: [security], format: json", "topics: [other], format: json, schema: security", "", "", 0, "reads other topics"},
		{"the name", "pipeline: logins", "pipeline: signins", "", "", 0, "has another name"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := components()
			if !strings.Contains(keyedFile, tc.old) {
				t.Fatalf("%q is not in the file", tc.old)
			}
			f, err := pipelines.Follow(load(t, c, keyedFile), load(t, c, strings.Replace(keyedFile, tc.old, tc.new, 1)), c)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("error %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var inherit []string
			for _, h := range f.Inherit {
				inherit = append(inherit, h.Step)
			}
			if got := strings.Join(inherit, " "); got != tc.inherit || strings.Join(f.Fresh, " ") != tc.fresh || f.Every != tc.every {
				t.Errorf("inherit %q, fresh %q, every %v; want %q, %q, %v", got, f.Fresh, f.Every, tc.inherit, tc.fresh, tc.every)
			}
		})
	}
}

// TestTakes: a text that runs again is another instance, and tells its sinks what the version before has.
func TestTakes(t *testing.T) {
	c := components()
	first, second := load(t, c, keyedFile), load(t, c, strings.Replace(keyedFile, "missed > 3", "missed > 4", 1))
	var names []string
	for _, s := range []*pipelines.Spec{first, second.After(first, 5, 1), first.After(second, 9, 2)} {
		name, err := pipelines.InstanceOf(s, c)
		if err != nil {
			t.Fatal(err)
		}
		p, err := pipelines.Compile(s, c)
		if err != nil || p.Instance != name {
			t.Errorf("compiled as %s, %v; want %s", p.Instance, err, name)
		}
		names = append(names, name)
	}
	if names[2] != names[0]+"-2" || names[1] == names[0] || slices.Contains(names[:2], names[2]) {
		t.Errorf("instances %v", names)
	}
}
