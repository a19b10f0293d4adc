package pipelines_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/stream"
)

const cpuPipeline = `
pipeline: cpu
source: {kafka: {topics: [metrics], keyed_by: [host]}}
steps:
  - filter: name == "system.cpu.utilization"
  - window: {tumbling: 10s, by: [host], aggregate: {avg: avg(value)}}
    as: w
  - alert: {name: High, when: avg > 0.9, for: 1m}
sinks: {redis: {of: w}, parquet: {of: w}, kafka: {of: [w, w.late]}}
`

func compileOne(t *testing.T, text string, c *pipelines.Components) *engine.Plan {
	t.Helper()
	specs := parseGood(t, c, text)
	p, err := pipelines.Compile(specs[0], c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The instance follows from what a pipeline means, not from how or for whom it is written.
func TestInstance(t *testing.T) {
	c := components()
	base := compileOne(t, cpuPipeline, c).Instance
	same := map[string][2]string{
		"formatting": {"{redis: {of: w}, parquet: {of: w}, kafka: {of: [w, w.late]}}", "\n  redis:\n    of: [w] # a comment\n  parquet: {of: w}\n  kafka: {of: [w, w.late]}"},
		"about":      {"pipeline: cpu", "pipeline: cpu\nabout: more words"},
		"interval":   {"pipeline: cpu", "pipeline: cpu\ninterval: {epoch: 5s}"},
		"cases":      {"pipeline: cpu", "pipeline: cpu\ncases: [{about: x, given: [{at: 0s}], expect: {no_alerts: true}}]"},
		"defaults":   {"keyed_by", "format: auto, schema: metric/1, keyed_by"},
		"time":       {"pipeline: cpu", "pipeline: cpu\ntime: {out_of_order: 2000ms, allowed_lateness: 1m, max_jump: 60s, idle_after: 30s}"},
		"archive":    {"parquet: {of: w}", "parquet: {of: [w, source]}"},
	}
	for name, change := range same {
		if got := compileOne(t, strings.Replace(cpuPipeline, change[0], change[1], 1), c).Instance; got != base {
			t.Errorf("%s: the instance is %s, it was %s", name, got, base)
		}
	}
	seen := map[string]string{base: "nothing"}
	for name, change := range map[string][2]string{
		"name": {"pipeline: cpu", "pipeline: cpu2"}, "filter": {"utilization", "time"}, "window": {"tumbling: 10s", "tumbling: 20s"},
		"by": {"by: [host]", "by: [host, tenant]"}, "aggregate": {"avg(value)", "max(value)"}, "step name": {"as: w", "as: w # same"},
		"threshold": {"> 0.9", "> 0.91"}, "for": {"for: 1m", "for: 2m"}, "keep": {"redis: {of: w}", "redis: {of: w, keep: 7h}"},
		"severity": {"for: 1m", "for: 1m, severity: critical"}, "label": {"for: 1m", "for: 1m, labels: {a: b}"}, "keyed": {", keyed_by: [host]", ""},
		"lateness": {"pipeline: cpu", "pipeline: cpu\ntime: {allowed_lateness: 2m}"}, "topic": {"topics: [metrics]", "topics: [m2], schema: metric"},
		"output": {"kafka: {of: [w, w.late]}", "kafka: {of: [w]}"}, "kafka topic": {"kafka: {of: [w, w.late]}", "kafka: {of: w, topic: t}"},
	} {
		got := compileOne(t, strings.Replace(cpuPipeline, change[0], change[1], 1), c).Instance
		if name == "step name" {
			continue
		}
		if other, ok := seen[got]; ok {
			t.Errorf("%s and %s give the same instance", name, other)
		}
		seen[got] = name
	}
}

// recordingSinks notes the configurations of the sinks that a stage opens.
func recordingSinks(c *pipelines.Components, opened *[]pipelines.SinkConfig) {
	c.NewSink = func(_ context.Context, s pipelines.SinkConfig, _ engine.TaskContext) (stream.Sink, error) {
		*opened = append(*opened, s)
		return nopSink{}, nil
	}
}

type nopSink struct{}

func (nopSink) Write(context.Context, *stream.Batch) error   { return nil }
func (nopSink) Stage(stream.Epoch) stream.Work               { return nil }
func (nopSink) Reveal(context.Context, stream.Receipt) error { return nil }
func (nopSink) Close() error                                 { return nil }

func TestOutputs(t *testing.T) {
	c := components()
	var opened []pipelines.SinkConfig
	recordingSinks(c, &opened)
	for _, keyed := range []bool{true, false} {
		text := cpuPipeline
		if !keyed {
			text = strings.Replace(text, ", keyed_by: [host]", "", 1)
		}
		p := compileOne(t, text, c)
		got := map[string]string{}
		for _, s := range p.Stages {
			outputs, err := s.NewSinks(t.Context(), engine.TaskContext{Stage: s})
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range outputs {
				got[o.Name] = s.Name + " " + o.Of + " " + phasesText(o.Phases)
				if o.Live != (o.Name == "redis.w") {
					t.Errorf("%s: live is %t", o.Name, o.Live)
				}
			}
		}
		first, last := "main", "main"
		if !keyed {
			first, last = "fold", "merge"
		}
		want := map[string]string{
			"redis.w": last + " w live,closed,revised", "parquet.w": last + " w closed,final", "kafka.w": last + " w closed,revised",
			"kafka.w.late": first + " w late",
		}
		for name, text := range want {
			if got[name] != text {
				t.Errorf("keyed %t: output %s is %q, want %q", keyed, name, got[name], text)
			}
		}
		if len(got) != len(want) {
			t.Errorf("outputs %v", got)
		}
	}
	for _, s := range opened {
		if windowed := s.Output == "w"; windowed != (s.Window > 0 && s.Groups == 1 && len(s.Schema.Fields) == 2) || s.Schema == nil {
			t.Errorf("sink %+v", s)
		}
	}
}

func phasesText(phases []stream.Phase) string {
	var names []string
	for _, p := range phases {
		names = append(names, p.String())
	}
	return strings.Join(names, ",")
}

func TestStages(t *testing.T) {
	c := components()
	keyed := compileOne(t, cpuPipeline, c)
	if len(keyed.Stages) != 1 || keyed.Stages[0].Plan != keyed || keyed.Stages[0].Internal != "" {
		t.Fatalf("keyed plan: %+v", keyed)
	}
	p := compileOne(t, strings.Replace(cpuPipeline, "keyed_by: [host]", "keyed_by: [tenant]", 1), c)
	fold, merge := p.Stages[0], p.Stages[1]
	if fold.Internal == "" || !slices.Equal(merge.Topics, []string{fold.Internal}) || merge.NewDecoder != nil || merge.Partial == nil {
		t.Fatalf("re-keyed plan: %+v %+v", fold, merge)
	}
	version := p.Instance[strings.Index(p.Instance, "@")+1:]
	if fold.Internal != "tidewatch.cpu.fold."+version {
		t.Errorf("internal topic %s of %s", fold.Internal, p.Instance)
	}
	for _, s := range p.Stages {
		steps, err := s.NewSteps(engine.TaskContext{Stage: s})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, step := range steps {
			names = append(names, step.Name)
		}
		want := map[string]string{"fold": "filter w", "merge": "w High"}[s.Name]
		if strings.Join(names, " ") != want {
			t.Errorf("stage %s has steps %v, want %s", s.Name, names, want)
		}
	}
}

// The decoder reads what is used, and nothing else.
func TestProjectionPushdown(t *testing.T) {
	c := components()
	for text, want := range map[string]string{
		cpuPipeline: "time name kind unit value tenant service host producer attributes", // late events are whole
		strings.Replace(cpuPipeline, "[w, w.late]", "w", 1): "name value host",
		`
pipeline: p
source: {kafka: {topics: [metrics]}}
steps:
  - filter: attributes.zone != "b" and unit == "1"
  - project: {region: attributes.region, double: value * 2}
  - filter: double > 1
  - window: {tumbling: 10s, by: [region], aggregate: {n: count(), m: max(double)}}
sinks: {redis: {of: window}}
`: "unit value attributes.region attributes.zone",
		`
pipeline: p
source: {kafka: {topics: [metrics], keyed_by: [tenant]}}
steps:
  - dedupe: {by: [tenant, host], within: 1m}
  - project: [service]
sinks: {kafka: {of: project}}
`: "tenant service host",
		`
pipeline: p
source: {kafka: {topics: [metrics]}}
steps:
  - window: {tumbling: 10s, by: [], aggregate: {n: count()}}
sinks: {redis: {of: window}}
`: "",
	} {
		d, err := compileOne(t, text, c).Stages[0].NewDecoder()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(d.Schema().Names(), " "); got != want {
			t.Errorf("it decodes %q, want %q:%s", got, want, text)
		}
	}
}

func TestArchives(t *testing.T) {
	c := components()
	var opened []pipelines.SinkConfig
	recordingSinks(c, &opened)
	specs := parseGood(t, c, `
pipeline: a
source: {kafka: {topics: [security, metrics]}}
sinks: {parquet: {of: source}}
---
pipeline: b
source: {kafka: {topics: [metrics]}}
time: {out_of_order: 30s}
steps: [{filter: value > 1}]
sinks: {parquet: {of: source}, kafka: {of: filter}}
`)
	plans := pipelines.Archives(specs, c, pipelines.CutSlot)
	if len(plans) != 2 || plans[0].Pipeline != "archive.metrics" || plans[1].Pipeline != "archive.security" {
		t.Fatalf("plans %+v", plans)
	}
	if again := pipelines.Archives(specs[1:], c, pipelines.CutSlot); len(again) != 1 || again[0].Instance != plans[0].Instance {
		t.Error("who asks for an archive changes it")
	}
	if p, err := pipelines.Compile(specs[0], c); p != nil || err != nil {
		t.Errorf("a pipeline that only archives has the plan %v, %v", p, err)
	}
	s := plans[0].Stages[0]
	outputs, err := s.NewSinks(t.Context(), engine.TaskContext{Stage: s})
	if err != nil || len(outputs) != 1 || outputs[0].Of != "source" || s.Cut == nil || s.Cut.Records != 1_000_000 {
		t.Errorf("outputs %+v, %v, cut %+v", outputs, err, s.Cut)
	}
	if len(opened) != 1 || !opened[0].Raw || opened[0].Topic != "metrics" || opened[0].Schema.Index("attributes") < 0 {
		t.Errorf("sink %+v", opened)
	}
}
