package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/sources/archive"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// TestReplayEqualsLive: what a pipeline computes from the archive is what it has computed live, wherever idle ticks fell:
// closed, revised, final and late rows with their versions, transitions of alerts with their revisions, files of final and of
// provisional rows byte by byte. Some lives crash, stand still, and are taken over. The archive of the archive is itself.
func TestReplayEqualsLive(t *testing.T) {
	n := *histories
	switch {
	case n == 0 && testing.Short():
		n = 25
	case n == 0:
		n = 200
	}
	ticks, revised, provisional, followed := 0, 0, 0, 0
	for seed := *firstSeed; seed < *firstSeed+n; seed++ {
		h := newArchived(uint64(seed))
		synctest.Test(t, h.run)
		again := h.replay(t, "archive").world.Visible()
		if diff := diff(again, withPrefix(h.world.Visible(), "raw/")); diff != "" {
			t.Fatalf("seed %d: the archive of the archive: %s", seed, diff)
		}
		for _, p := range h.plans {
			r := h.replay(t, p)
			if diff := h.differs(p, r); diff != "" {
				t.Fatalf("seed %d (run with -seed %d -histories 1): %s: %s", seed, seed, p, diff)
			}
			if h.silent && p == "rekeyed" {
				followed += len(r.decisions)
			}
			ticks += r.ticks
			revised += strings.Count(strings.Join(slices.Collect(maps.Values(r.decisions)), ""), `"revised":true`)
			provisional += len(withPrefix(r.world.Visible(), "provisional/"))
		}
	}
	if n > 10 && (ticks < n || revised < n/4 || provisional < n/4 || followed < n/10) {
		t.Errorf("%d ticks, %d revisions, %d provisional files, %d transitions beside a silent partition in %d histories: they test nothing",
			ticks, revised, provisional, followed, n)
	}
}

func withPrefix(m map[string]string, prefix string) map[string]string {
	some := maps.Clone(m)
	maps.DeleteFunc(some, func(k, _ string) bool { return !strings.HasPrefix(k, prefix) })
	return some
}

const archivedSources = 3

// archived is a history of three pipelines over one topic: its archive, one that is keyed and one that re-keys.
type archived struct {
	*history
	logs    [archivedSources][]event
	silent  bool // the last partition has no events
	cut     int64
	horizon stream.Time // windows that end before it are final, and all that led there is archived
	plans   []string
	live    map[string]*seen // by pipeline
}

func newArchived(seed uint64) *archived {
	a := &archived{history: newHistory(seed), plans: []string{"keyed", "rekeyed"}, live: map[string]*seen{}}
	h := a.history
	a.silent, a.cut, h.slow, h.quiet = h.rng.IntN(4) == 0, 1+h.rng.Int64N(9), true, 40*time.Second
	if h.rng.IntN(60) == 0 {
		h.quiet = 15 * time.Minute // so long that windows become final
	}
	at := 1000 * time.Second
	for range 20 + h.rng.IntN(60) {
		at += time.Duration(h.rng.IntN(2500)) * time.Millisecond
		p := h.rng.IntN(a.sources())
		e := event{at: at - time.Duration(h.rng.IntN(4000))*time.Millisecond, key: fmt.Sprint(string(rune('a'+h.rng.IntN(2))), p)}
		if h.rng.IntN(8) == 0 {
			e.at -= time.Duration(h.rng.IntN(60)) * time.Second
		}
		e.bad = h.rng.IntN(15) == 0
		a.logs[p] = append(a.logs[p], e)
	}
	a.horizon = stream.Time(at + time.Hour)
	for p := range a.sources() {
		for k := range 3 {
			a.logs[p] = append(a.logs[p], event{at: at + time.Duration(k+1)*30*time.Minute, key: fmt.Sprint("end", p)})
		}
		for range a.cut { // the last part is not archived; these are late beyond everything
			a.logs[p] = append(a.logs[p], event{at: time.Second, key: "pad"})
		}
	}
	return a
}

func (a *archived) sources() int {
	if a.silent {
		return archivedSources - 1
	}
	return archivedSources
}

func (a *archived) run(t *testing.T) {
	for _, p := range a.plans {
		a.live[p] = newSeen()
	}
	var at [archivedSources]int
	produce := func(n int) {
		for ; n > 0; n-- {
			p := a.rng.IntN(archivedSources)
			if at[p] < len(a.logs[p]) {
				a.world.Append(streamtest.LogID{Topic: "events", Partition: int32(p)}, a.logs[p][at[p]].message())
				at[p]++
			}
		}
	}
	if a.seed%2 == 0 {
		a.lives(t, a.start, produce)
		a.live["keyed"].rows, a.live["rekeyed"].rows = nil, nil // those of an overtaken owner are among them
		return
	}
	p := a.start(nil)
	for range 1 + a.rng.IntN(6) {
		produce(a.rng.IntN(40))
		p.live(t, a.while())
	}
	produce(everything)
	p.live(t, 3*time.Second)
	p.stop()
	if p.err != nil {
		t.Error(p.err)
	}
}

// start begins a life that runs all pipelines.
func (a *archived) start(faults streamtest.Plan) *process {
	life := streamtest.NewLife(a.world, faults)
	topics := map[string]int32{"events": archivedSources, "partials": rekeyMerges}
	p := &process{life: life, source: life.Source(topics, rand.New(rand.NewPCG(a.seed, a.rng.Uint64()))), done: make(chan error, 1)}
	plans := []*engine.Plan{a.archivePlan(life)}
	for _, name := range a.plans {
		plans = append(plans, a.plan(name, life, a.live[name], true))
	}
	runner := newTestRunner(p.source, life, plans)
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go func() { p.done <- runner.Run(ctx) }()
	return p
}

// replayed is what a replay has seen.
type replayed struct {
	*seen
	world     *streamtest.World
	decisions map[string]string
	ticks     int
}

// replay runs the pipeline over the archive of the world, into a new one.
func (a *archived) replay(t *testing.T, plan string) *replayed {
	t.Helper()
	r := &replayed{seen: newSeen(), world: streamtest.NewWorld(), decisions: map[string]string{}}
	life := streamtest.NewLife(r.world, nil)
	local := &engine.Local{Clock: clock.System{}, Objects: life.Objects(), Decide: func(d stream.Decision) error {
		r.decisions[d.ID] = string(d.Body)
		return nil
	}}
	p := a.archivePlan(life)
	if plan != "archive" {
		p = a.plan(plan, life, r.seen, false)
	}
	res, err := local.Run(t.Context(), p, a.inputs(t, p.Instance))
	if err != nil {
		t.Fatalf("seed %d: replay of %s: %v", a.seed, plan, err)
	}
	r.ticks = res.Ticks
	_ = life.Objects().List(t.Context(), "state/", func(o stream.Object) error {
		t.Errorf("%s is left behind", o.Key)
		return nil
	})
	return r
}

// inputs are the partitions as the archive holds them.
func (a *archived) inputs(t *testing.T, instance string) (inputs []engine.LocalInput) {
	t.Helper()
	c := archive.Default()
	c.Objects = streamtest.NewLife(a.world, nil).Objects()
	src, err := archive.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	controls, err := src.Controls(t.Context(), "events", instance)
	if err != nil {
		t.Fatal(err)
	}
	for n := range int32(archivedSources) {
		in := engine.LocalInput{Partition: stream.Partition{Topic: "events", Number: n}, Partitions: archivedSources, Controls: controls[n]}
		in.Open = func(ctx context.Context, d stream.Decoder) (stream.Reader, error) {
			if first, err := src.LogStart(ctx, in.Partition); err == nil {
				return src.Open(ctx, in.Partition, first, d)
			}
			return emptyReader{}, nil
		}
		inputs = append(inputs, in)
	}
	return inputs
}

// differs compares. Everything of the replay must have been live; and what was live up to the horizon is replayed, unless a
// partition without events holds up the second stage: its newest ticks are not archived.
func (a *archived) differs(plan string, r *replayed) string {
	if err := a.world.Violation(); err != nil {
		return err.Error()
	}
	whole := plan == "keyed" || !a.silent
	decisions := map[string]string{}
	for _, d := range a.world.Decisions() {
		if strings.HasPrefix(d.ID, plan) {
			decisions[d.ID] = string(d.Body)
		}
	}
	if d := a.compare(r.decisions, decisions, whole, func(_, body string) stream.Time {
		var t alerts.Transition
		if err := json.Unmarshal([]byte(body), &t); err != nil {
			panic(err)
		}
		return stream.TimeOf(t.At)
	}); d != "" {
		return "transitions: " + d
	}
	files := maps.Clone(a.world.Visible())
	maps.DeleteFunc(files, func(k, _ string) bool { return !strings.Contains(k, "/pipeline="+plan+"/") })
	if d := a.compare(r.world.Visible(), files, whole, func(key, _ string) stream.Time {
		at, err := time.Parse("20060102T150405Z.parquet", key[strings.LastIndex(key, "-")+1:])
		if err != nil {
			panic(err)
		}
		return stream.TimeOf(at)
	}); d != "" {
		return "files: " + d
	}
	if a.live[plan].rows == nil {
		return ""
	}
	if d := a.compare(r.rows, a.live[plan].rows, whole, func(row, _ string) stream.Time { return a.live[plan].end(row) }); d != "" {
		return "rows: " + d
	}
	return ""
}

func (a *archived) compare(got, live map[string]string, whole bool, at func(k, v string) stream.Time) string {
	want := maps.Clone(live)
	maps.DeleteFunc(want, func(k, v string) bool {
		_, replayed := got[k]
		return !replayed && (!whole || at(k, v) >= a.horizon)
	})
	return diff(got, want)
}
