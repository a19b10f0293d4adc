package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// TestReplayOfShippedPipelines runs all shipped pipelines over a life with pauses, in which idle ticks decide, and with workers
// that crash and hand over to each other. The replay of the archive that the run has written says the same: files of rollups byte
// for byte, transitions, values that displays see, and what the ledger counts. `make show-replay` does it with real servers.
func TestReplayOfShippedPipelines(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	t.Logf("run with -life %d", *lifeSeed)
	logs, pauses := pausingLife(t, *lifeSeed)
	live := &shippedRun{t: t, seed: *lifeSeed, logs: logs, pauses: pauses, workers: 2, most: 500, chunks: 24, restarts: true}
	live.every = engine.Intervals{Epoch: time.Second, Snapshot: 15 * time.Second, Publish: time.Second}
	synctest.Test(t, func(*testing.T) { live.run() })
	archive := live.archived()
	got, want := said{files: map[string]string{}, live: map[string]string{}, decisions: map[string]string{}}, live.said()
	maps.DeleteFunc(want.files, func(key, _ string) bool {
		return !strings.HasPrefix(key, "rollups/") && !strings.HasPrefix(key, "provisional/")
	})
	ticks := 0
	for _, spec := range shippedSpecs(t) {
		one, res := live.replay(spec, archive)
		if res == nil { // it only archives
			continue
		}
		if one.silent() || res.Ticks == 0 {
			t.Errorf("%s: %d files, %d values for displays, %d transitions, %d ticks: that is too little", spec.Name.Value, len(one.files), len(one.live), len(one.decisions), res.Ticks)
		}
		live.sameLedger(spec, &res.Ledger)
		maps.Copy(got.files, one.files)
		maps.Copy(got.live, one.live)
		maps.Copy(got.decisions, one.decisions)
		ticks += res.Ticks
	}
	equal(t, "replayed files", got.files, want.files)
	equal(t, "replayed values for displays", got.live, want.live)
	equal(t, "replayed transitions", got.decisions, want.decisions)
	provisional := strings.Count(strings.Join(slices.Collect(maps.Values(want.decisions)), ""), `"provisional":true`)
	t.Logf("equal: %d files, %d values for displays, %d transitions, %d of them by ticks, of which there were %d", len(got.files), len(got.live), len(got.decisions), provisional, ticks)
	if provisional < 10 {
		t.Error("ticks decide too little")
	}
}

// shippedSpecs are all shipped pipelines, one for each file of the library at least.
func shippedSpecs(t *testing.T) []*pipelines.Spec {
	t.Helper()
	specs, err := pipelines.LoadLibrary(components(stores{}))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join("..", "..", "pipelines", "library", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there is no library: %v", err)
	}
	for _, file := range files {
		if !slices.ContainsFunc(specs, func(s *pipelines.Spec) bool { return filepath.Base(s.File) == filepath.Base(file) }) {
			t.Errorf("no pipeline of %s is run", file)
		}
	}
	return specs
}

// pausingLife is recordedLife with a gap of twelve minutes, before which one partition has fallen silent already. Behind the end
// each partition has an event that is much too late for everything: the archive takes a part when the next one begins.
func pausingLife(t *testing.T, seed uint64) (records []lifeRecord, pauses []pause) {
	t.Helper()
	whole := recordedLife(t, seed)
	start := whole[0].at
	minute := func(n int) stream.Time { return start.Add(time.Duration(n) * time.Minute) }
	for _, r := range whole {
		if r.at >= minute(40) && r.at < minute(52) || r.partition == lifePartitions-1 && r.at >= minute(30) && r.at < minute(52) {
			continue
		}
		records = append(records, r)
	}
	for p := range int32(lifePartitions) {
		for topic, value := range map[string]string{
			"metrics": `{"time":%q,"name":"m","value":1,"host":"h","service":"s"}`, "security": `{"time":%q,"class":"authentication","status":"success","user":"u"}`,
		} {
			at := minute(75)
			records = append(records, lifeRecord{topic, p, at, stream.Message{Timestamp: at, Value: fmt.Appendf(nil, value, start)}})
		}
	}
	return records, []pause{{minute(12), 70 * time.Second}, {minute(24), 40 * time.Second}, {minute(35), 45 * time.Second}, {minute(52), 100 * time.Second}}
}

// archived writes what the run has made visible into a folder.
func (r *shippedRun) archived() (folder string) {
	folder = r.t.TempDir()
	for key, text := range r.world.Visible() {
		file := filepath.Join(folder, filepath.FromSlash(key))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
	return folder
}

// replay runs a pipeline over an archive; the result is nil for one that has nothing to run.
func (r *shippedRun) replay(spec *pipelines.Spec, archive string) (said, *engine.LocalResult) {
	world := streamtest.NewWorld()
	life := streamtest.NewLife(world, nil)
	plan, err := pipelines.Compile(spec, shippedComponents(life))
	if err != nil {
		r.t.Fatal(err)
	}
	if plan == nil {
		return said{}, nil
	}
	a := &app{out: &bytes.Buffer{}, errs: &bytes.Buffer{}, quiet: true}
	in, err := a.replayInputs(r.t.Context(), &replayFlags{from: archive}, reading{[]*engine.Plan{plan}, func(int64) {}})
	if err != nil {
		r.t.Fatal(err)
	}
	decisions := map[string]string{}
	local := &engine.Local{Clock: clock.System{}, Objects: life.Objects(), Decide: func(d stream.Decision) error {
		decisions[d.ID] = string(d.Body)
		return nil
	}}
	res, err := local.Run(r.t.Context(), plan, in.inputs)
	if err != nil {
		r.t.Fatalf("replay of %s: %v", plan.Pipeline, err)
	}
	s := newSaid(world)
	s.decisions = decisions
	return s, res
}

// sameLedger compares what became of events. What does not decode is not in the archive, nor is the last event of a partition,
// which every pipeline drops.
func (r *shippedRun) sameLedger(spec *pipelines.Spec, replayed *stream.Ledger) {
	r.t.Helper()
	var live stream.Ledger
	for name, row := range r.world.Rows() {
		if pipeline, _, _ := strings.Cut(row.Task.Instance, "@"); pipeline != spec.Name.Value || !isSource(row.Task.Partition.Topic) {
			continue
		}
		one, err := ledgerOfRow(name, row.Epoch, row.Record)
		if err != nil {
			r.t.Fatal(err)
		}
		live.Add(&one.counts)
	}
	dropped := func(l *stream.Ledger) int64 { return l[stream.BucketFiltered] + l[stream.BucketLate] }
	for _, b := range []stream.Bucket{stream.BucketCounted, stream.BucketDuplicate, stream.BucketRevised} {
		if live[b] != replayed[b] {
			r.t.Errorf("%s: %d records are %s, %d in the replay", spec.Name.Value, live[b], b, replayed[b])
		}
	}
	if last := int64(lifePartitions * len(spec.Source.Topics)); dropped(&live) != dropped(replayed)+last {
		r.t.Errorf("%s: %d records are filtered or late, %d in the replay, and %d should not be there", spec.Name.Value, dropped(&live), dropped(replayed), last)
	}
}
