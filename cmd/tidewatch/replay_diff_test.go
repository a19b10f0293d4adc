package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/internal/columnfile"
	"github.com/tidewatch/tidewatch/internal/golden"
	"github.com/tidewatch/tidewatch/internal/objects"
	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/sources/replay"
	"github.com/tidewatch/tidewatch/stream"
)

// archiveCommand is `archive FILE TOPIC FOLDER` of scripts: the plan of a worker writes the raw archive of the events of a file.
func archiveCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: archive FILE TOPIC FOLDER")
	}
	ts.Check(archiveFile(context.Background(), ts.MkAbs(args[0]), args[1], ts.MkAbs(args[2])))
}

func archiveFile(ctx context.Context, from, topic, folder string) error {
	store, err := objects.Open(ctx, objects.Config{URL: "file://" + filepath.ToSlash(folder)})
	if err != nil {
		return err
	}
	c := components(stores{objects: store})
	specs, err := pipelines.LoadLibrary(c)
	if err != nil {
		return err
	}
	plans := pipelines.Archives(specs, c, pipelines.CutSlot)
	i := slices.IndexFunc(plans, func(p *engine.Plan) bool { return p.Stages[0].Topics[0] == topic })
	if i < 0 {
		return fmt.Errorf("nobody archives topic %s", topic)
	}
	files, err := replay.Find(from, topic)
	if err != nil {
		return err
	}
	r := &engine.Local{Clock: clock.System{}, Objects: store}
	_, err = r.Run(ctx, plans[i], []engine.LocalInput{{
		Partition: files[0].Partition, Partitions: 1,
		Open: func(ctx context.Context, d stream.Decoder) (stream.Reader, error) { return files[0].Open(ctx, d, nil) },
	}})
	return err
}

// TestDiffAlerts compares alerts that a case writes down, one a line: side, fingerprint, seconds from the start of the first
// window that held over the firing to the resolution (- if there is none), and severity and labels if they matter.
func TestDiffAlerts(t *testing.T) {
	golden.Run(t, "testdata/diff.txt", func(t *testing.T, c golden.Case) string {
		t.Helper()
		var list [sides][]*episode
		for line := range strings.Lines(c.Input) {
			w := strings.Fields(line)
			side := slices.Index(sideNames[:], w[0])
			list[side] = append(list[side], episodeOf(t, w[1:]))
		}
		var b strings.Builder
		for _, d := range diffAlerts(list[sideBefore], list[sideAfter]) {
			fmt.Fprintf(&b, "%s  %s  %s  %s\n", d.Name, d.Before.text(), d.After.text(), d.verdictText())
		}
		return b.String()
	})
}

var diffStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func episodeOf(t *testing.T, w []string) *episode {
	t.Helper()
	second := func(text string) time.Time {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return diffStart.Add(time.Duration(n) * time.Second)
	}
	x := &episode{name: w[0], fingerprint: w[0], judged: second(w[1]), FiredAt: second(w[2]), Severity: alerts.Warning, Labels: map[string]string{}}
	if w[3] != "-" {
		end := second(w[3])
		x.ResolvedAt = &end
	}
	for _, more := range w[4:] {
		key, value, ok := strings.Cut(more, "=")
		switch {
		case !ok:
			x.Severity = alerts.Severity(more)
		case key == "summary":
			x.Summary = value
		default:
			x.Labels[key] = value
		}
	}
	return x
}

// drawEpisodes makes the alerts of a replay: those of a group follow one another.
func drawEpisodes(t *rapid.T, label string) (all []*episode) {
	for _, fingerprint := range []string{"a", "b"} {
		at, n := diffStart, rapid.IntRange(0, 6).Draw(t, label)
		step := func() time.Duration { return time.Duration(rapid.IntRange(1, 5).Draw(t, "seconds")) * time.Second }
		for range n {
			x := &episode{name: fingerprint, fingerprint: fingerprint, Severity: rapid.SampledFrom(alerts.Severities()).Draw(t, "severity")}
			x.judged = at.Add(step())
			x.FiredAt = x.judged.Add(step())
			at = x.FiredAt.Add(step())
			end := at
			x.ResolvedAt = &end
			all = append(all, x)
		}
		if n > 0 && rapid.Bool().Draw(t, "goes on") {
			all[len(all)-1].ResolvedAt = nil
		}
	}
	return rapid.Permutation(all).Draw(t, "order")
}

// TestDiffAlertsProperties: against itself nothing differs; each alert is in one line; an alert is in a pair only with one that
// overlaps; two alerts that overlap are not both left alone; the other way round the verdicts are mirrored.
func TestDiffAlertsProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, after := drawEpisodes(t, "before"), drawEpisodes(t, "after")
		for _, d := range diffAlerts(before, before) {
			if d.Verdict != unchanged || d.Before != d.After {
				t.Fatalf("against itself: %+v", d)
			}
		}
		seen := map[*episode]int{}
		var alone [sides][]*episode
		counts := map[string]int{}
		for _, d := range diffAlerts(before, after) {
			seen[d.Before]++
			seen[d.After]++
			counts[d.Verdict]++
			switch {
			case d.After == nil:
				alone[sideBefore] = append(alone[sideBefore], d.Before)
			case d.Before == nil:
				alone[sideAfter] = append(alone[sideAfter], d.After)
			case !overlap(d.Before, d.After):
				t.Fatalf("a pair that does not overlap: %+v %+v", d.Before, d.After)
			}
		}
		for _, x := range slices.Concat(before, after) {
			if seen[x] != 1 {
				t.Fatalf("%+v is in %d lines", x, seen[x])
			}
		}
		for _, x := range alone[sideBefore] {
			if i := slices.IndexFunc(alone[sideAfter], func(y *episode) bool { return overlap(x, y) }); i >= 0 {
				t.Fatalf("both are left alone: %+v %+v", x, alone[sideAfter][i])
			}
		}
		mirrored := map[string]int{}
		for _, d := range diffAlerts(after, before) {
			mirrored[d.Verdict]++
		}
		mirrored[onlyBefore], mirrored[onlyAfter] = mirrored[onlyAfter], mirrored[onlyBefore]
		for _, v := range []string{onlyBefore, onlyAfter} {
			if counts[v] != mirrored[v] {
				t.Fatalf("%s: %d, the other way round %d", v, counts[v], mirrored[v])
			}
		}
	})
}

func overlap(x, y *episode) bool {
	return x.fingerprint == y.fingerprint && x.judged.Before(y.end()) && y.judged.Before(x.end())
}

// TestDiffOfItself runs shipped pipelines against themselves, over events in which they find something: nothing may differ.
func TestDiffOfItself(t *testing.T) {
	dir := t.TempDir()
	for scenario, names := range map[string][]string{
		"hosts":  {"host-cpu"},
		"logins": {"authentication", "authentication-sources", "brute-force", "password-spraying"},
	} {
		events := filepath.Join(dir, scenario+".jsonl")
		tidewatch(t, "gen", "--scenario", scenario, "--seed", "7", "--hosts", "20", "--events", "40000", "--start", "2026-01-01T00:00:00Z", "--to", events)
		fired := 0
		for _, name := range names {
			out, errs := tidewatch(t, "replay", "--pipeline", name, "--against", name, "--from", events, "--diff", "--fail-on-change", "-v", "-o", "json")
			var all []alertDiff
			if err := json.Unmarshal([]byte(out), &all); err != nil {
				t.Fatal(err)
			}
			fired += len(all)
			if !strings.Contains(errs, fmt.Sprintf("0 gone, 0 new, 0 changed, %d same\n", len(all))) || strings.Contains(errs, " 0 equal, ") ||
				!strings.Contains(errs, " equal, 0 different, 0 only before, 0 only after\n") {
				t.Errorf("%s differs from itself: %s", name, errs)
			}
		}
		if fired == 0 {
			t.Errorf("nothing fires in %s", scenario)
		}
	}
}

const tickedPipeline = `pipeline: %s
source:
  kafka: {topics: [metrics], format: auto, keyed_by: [host]}
steps:
  - window: {tumbling: 10s, by: [host], aggregate: {avg: avg(value)}}
  - alert: {name: Busy, when: avg > 0.9, severity: warning, summary: "{{ host }}"}
sinks:
  redis: {of: window, keep: 1h}
`

// TestDiffSharesTicks: what runs has resolved an alert by an idle tick. In a pipeline that has never run, the tick takes effect
// too; without it the alert would seem to be changed.
func TestDiffSharesTicks(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var events bytes.Buffer
	const n = 24
	for i := range n {
		fmt.Fprintf(&events, "{\"time\":%d,\"name\":\"m\",\"value\":0.95,\"host\":\"web-1\"}\n", diffStart.Add(time.Duration(i)*5*time.Second).UnixMilli())
	}
	runs, changed := write("runs.yaml", fmt.Appendf(nil, tickedPipeline, "runs")), write("other.yaml", fmt.Appendf(nil, tickedPipeline, "other"))
	store := filepath.Join(dir, "objects")
	if err := archiveFile(t.Context(), write("events.jsonl", events.Bytes()), "metrics", store); err != nil {
		t.Fatal(err)
	}
	plan, err := replayPlan(components(stores{}), &replayFlags{pipeline: runs})
	if err != nil {
		t.Fatal(err)
	}
	diff := func() (all []alertDiff) {
		t.Helper()
		out, _ := tidewatch(t, "replay", "--pipeline", changed, "--against", runs, "--from", store, "--diff", "-v", "-o", "json")
		if err := json.Unmarshal([]byte(out), &all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	if all := diff(); len(all) != 1 || all[0].Before.ResolvedAt != nil || all[0].After.ResolvedAt != nil {
		t.Fatalf("without a tick: %+v", all)
	}
	meta := columnfile.ControlMeta{ControlName: columnfile.ControlName{Topic: "metrics", Instance: plan.Instance, Stage: plan.Stages[0].Name, Hour: stream.TimeOf(diffStart)}}
	meta, data, err := columnfile.EncodeControls(meta, []stream.Control{{Kind: "tick", At: stream.Version{Offset: n, Step: 1}, Mark: stream.TimeOf(diffStart.Add(10 * time.Minute))}})
	if err != nil {
		t.Fatal(err)
	}
	write(filepath.Join("objects", meta.Key()), data)
	if all := diff(); len(all) != 1 || all[0].Before.ResolvedAt == nil || all[0].Verdict != unchanged {
		t.Errorf("with a tick: %+v", all)
	}
}

// tidewatch runs a command that must succeed.
func tidewatch(t *testing.T, args ...string) (out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	if code := run(args, nil, &o, &e); code != exitOK {
		t.Fatalf("tidewatch %s ends with %d: %s", strings.Join(args, " "), code, e.String())
	}
	return o.String(), e.String()
}
