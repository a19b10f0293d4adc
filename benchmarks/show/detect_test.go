package main

import (
	"bytes"
	"io/fs"
	"slices"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/sources/generate"
	"github.com/tidewatch/tidewatch/stream"
)

// Every shipped rule finds some kind of incident, every rule that is to find something is shipped, and every kind of incident
// has one.
func TestTruthsNameShippedRules(t *testing.T) {
	all, err := ruledPipelines()
	if err != nil {
		t.Fatal(err)
	}
	var rules []string
	for _, p := range all {
		rules = append(rules, p.rules...)
	}
	kinds := map[string]bool{}
	for _, scenario := range []string{"platform", "access"} {
		c := generate.Default(scenario)
		g, err := generate.New(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range g.Incidents(c.Start.Add(3 * time.Hour)) {
			kinds[in.Kind] = true
		}
	}
	unplanted := slices.Clone(rules)
	for kind, s := range truths() {
		unplanted = slices.DeleteFunc(unplanted, func(rule string) bool { return slices.Contains(s.must, rule) })
		if !kinds[kind] || len(s.must) == 0 {
			t.Errorf("%s is never planted, or nothing must find it", kind)
		}
		delete(kinds, kind)
		for _, rule := range slices.Concat(s.must, s.may) {
			if !slices.Contains(rules, rule) {
				t.Errorf("%s shall be found by %s, which is not shipped", kind, rule)
			}
		}
	}
	if len(unplanted) > 0 {
		t.Errorf("nothing is planted for %v: plant it in sources/generate, and name it in truths", unplanted)
	}
	for kind := range kinds {
		t.Errorf("nobody looks for %s", kind)
	}
}

func fired(name string, at time.Duration, labels map[string]string) firedAlert {
	var a firedAlert
	a.Transition.At = stream.Time(at).Go()
	a.Transition.Alert.Name, a.Transition.Alert.Labels = name, labels
	return a
}

// A pipeline whose rules are left out is shipped, and no other one is.
func TestOwnPipelinesAreShipped(t *testing.T) {
	judged, err := ruledPipelines()
	if err != nil {
		t.Fatal(err)
	}
	for name := range ownPipelines() {
		text, err := fs.ReadFile(pipelines.Library(), name+".yaml")
		if err != nil || !bytes.Contains(text, []byte("- alert:")) || !bytes.Contains(text, []byte(`"tidewatch.`)) {
			t.Errorf("%s is no shipped pipeline with a rule on Tidewatch itself: %v", name, err)
		}
		if slices.ContainsFunc(judged, func(p libraryPipeline) bool { return p.name == name }) {
			t.Errorf("%s is judged all the same", name)
		}
	}
}

// An alert is true if it is of the incident's kind, time and victim; what is planted too late to be found is left out.
func TestScore(t *testing.T) {
	host := func(name string) map[string]string { return map[string]string{"host": name} }
	l := &life{end: stream.Time(10 * time.Hour), incidents: []generate.Incident{
		{Kind: generate.Saturation, From: stream.Time(time.Hour), To: stream.Time(time.Hour + 5*time.Minute), Labels: host("a")},
		{Kind: generate.SilentHost, From: stream.Time(2 * time.Hour), To: stream.Time(2*time.Hour + 5*time.Minute), Labels: host("b")},
		{Kind: generate.Saturation, From: stream.Time(10*time.Hour - 1), To: stream.Time(11 * time.Hour), Labels: host("a")},
	}}
	l.alerts = []firedAlert{
		fired("HostCPUHigh", time.Hour+2*time.Minute, host("a")),
		fired("HostCPUHigh", time.Hour+9*time.Minute, host("a")),
		fired("HostCPUHigh", time.Hour+2*time.Minute, host("b")),  // another host
		fired("HostSilent", time.Hour+2*time.Minute, host("a")),   // another kind
		fired("HostCPUHigh", 3*time.Hour, host("a")),              // another time
		fired("HostCPUHigh", 10*time.Hour+time.Minute, host("a")), // of what nobody counts
	}
	r := &detectReport{Rules: map[string]*ruleScore{"HostCPUHigh": {}, "HostSilent": {}}}
	r.add(l, 10, false)
	r.finish()
	if r.Planted != 2 || r.Found != 1 || r.Alerts != 6 || r.False != 3 || r.FalsePerHour != 0.3 || r.DelaySeconds != 120 {
		t.Errorf("%+v", *r)
	}
	if s := r.Rules["HostSilent"]; s.Alerts != 1 || s.True != 0 || s.Planted != 1 || s.Found != 0 || *s.Recall != 0 {
		t.Errorf("HostSilent: %+v", *s)
	}
	r.CloudTrail = &detectTrail{Found: true}
	if r.good() {
		t.Error("an incident is not found, but all is well")
	}
}

// All is well only if every rule had something to find, and found it.
func TestEveryRuleCounts(t *testing.T) {
	report := func(scores map[string]*ruleScore) *detectReport {
		r := &detectReport{Rules: scores, Planted: 2, Found: 2, Hours: 1, CloudTrail: &detectTrail{Found: true}}
		r.finish()
		return r
	}
	if r := report(map[string]*ruleScore{"a": {Planted: 1, Found: 1}, "b": {Planted: 1, Found: 1}}); !r.good() {
		t.Errorf("all is found, and yet: %+v", *r)
	}
	if r := report(map[string]*ruleScore{"a": {Planted: 2, Found: 2}, "b": {}}); r.good() || !slices.Equal(r.Unplanted, []string{"b"}) {
		t.Errorf("nothing was planted for b: %+v", *r)
	}
	if report(map[string]*ruleScore{"a": {Planted: 2, Found: 2}, "b": {Planted: 2, Found: 1}}).good() {
		t.Error("another rule has found what b has not")
	}
}
