package main

import (
	"context"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/internal/testservers"
)

// TestTask runs the engine, and knows what an object goes through.
func TestTask(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	run, err := runTask(ctx, pace{speed: 1000, length: 13 * time.Minute, perSecond: 20, hosts: 50})
	if err != nil {
		t.Fatal(err)
	}
	all := lives(run.calls)
	for k, want := range map[kind]map[op]float64{
		snapshotKind: {opPut: 1, opDelete: 1}, cutKind: {opPut: 1}, rawKind: {opPut: 1, opCopy: 1}, rollupKind: {opPut: 1, opCopy: 1},
	} {
		l := all[k]
		for o, n := range want {
			if math.Abs(l.Calls[o]-n) > 1e-9 {
				t.Errorf("%s: %v calls of %s each, want %v; all are %+v", k, l.Calls[o], o, n, l)
			}
		}
		if l.Objects == 0 || l.Bytes <= 0 || l.Calls[opGet] != 0 {
			t.Errorf("%s: %+v", k, l)
		}
	}
	if l := all[snapshotKind].Calls[opList]; l <= 0.5 || l > 1 {
		t.Errorf("a snapshot is listed %v times, want once, or less where a file lies beside it", l)
	}
	if row := string(run.row()); !strings.Contains(row, `"snapshot":{`) || !strings.Contains(row, partition(0).Incarnation) || run.eventBytes < 200 {
		t.Errorf("the row is %s, an event has %v bytes", row, run.eventBytes)
	}
}

func TestLives(t *testing.T) {
	const folder = "state/fleet@1/main/metrics.x/0/000000000000000000000001-0a/"
	const other = "state/fleet@1/main/metrics.x/0/000000000000000000000002-0a/"
	const file = "rollups/pipeline=fleet/a.parquet"
	all := lives([]call{
		{opPut, "state/fleet@1/main/metrics.x/0/000000000000000000000000-0a/snapshot", 7},
		{opPut, folder + "snapshot", 100},
		{opPut, folder + file, 10},
		{opCopy, file, 0},
		{opList, file, 0},
		{opPut, other + "snapshot", 300},
		{opList, "state/fleet@1/main/metrics.x/0/", 0}, // of a take-over
		{opList, folder, 0},
		{opDelete, folder + "snapshot", 0},
		{opDelete, folder + file, 0},
	})
	snapshot, rollup := all[snapshotKind], all[rollupKind]
	if len(all) != 2 || snapshot.Objects != 2 || snapshot.Bytes != 200 || rollup.Objects != 1 {
		t.Fatalf("%+v", all)
	}
	for o, want := range map[op]float64{opPut: 1, opList: 0.5, opDelete: 1} {
		if got := snapshot.Calls[o]; got != want {
			t.Errorf("a snapshot has %v calls of %s, want %v", got, o, want)
		}
	}
	for o, want := range map[op]float64{opPut: 1, opCopy: 1, opList: 1.5, opDelete: 1} {
		if got := rollup.Calls[o]; got != want {
			t.Errorf("a rollup file has %v calls of %s, want %v", got, o, want)
		}
	}
}

func TestKinds(t *testing.T) {
	for key, want := range map[string]kind{
		"state/archive.metrics@1/archive/metrics.x/0/000000000000000000000001-0a/snapshot":    cutKind,
		"state/fleet@1/main/metrics.x/0/000000000000000000000001-0a/snapshot":                 snapshotKind,
		"state/archive.metrics@1/archive/metrics.x/0/000000000000000000000001-0a/raw/topic=a": rawKind,
		"raw/topic=a/b.parquet":                      rawKind,
		"rollups/pipeline=a/b.parquet":               rollupKind,
		"controls/topic=a/b.parquet":                 "",
		"state/fleet@1/main/metrics.x/0/controls/01": "",
	} {
		if got := kindOf(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}

func TestSpacing(t *testing.T) {
	pipeline, err := compile("keyed.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := archive("keyed.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	raw.Stages[0].Cut = &engine.Cut{Records: 1000, Bytes: 1 << 20, Slot: 5 * time.Minute}
	for _, c := range []struct {
		rate, bytes float64
		want        time.Duration
	}{
		{1, 1, 5 * time.Minute},
		{10, 1, 100 * time.Second},                       // 3,000 records
		{1, 1 << 20, time.Second},                        // 300 MiB
		{1000. / 300, (1 << 20) / 1000, 5 * time.Minute}, // just full
	} {
		got := spacing(pipeline, raw, c.rate, c.bytes)
		if got[rawKind] != c.want || got[cutKind] != c.want {
			t.Errorf("%v events a second of %v bytes: a part every %v, want %v", c.rate, c.bytes, got[rawKind], c.want)
		}
		if got[snapshotKind] != pipeline.Stages[0].Interval.Snapshot {
			t.Errorf("a snapshot every %v", got[snapshotKind])
		}
	}
}

func TestCosts(t *testing.T) {
	all, total := costs(
		map[kind]life{
			snapshotKind: {Objects: 3, Bytes: 1e6, Calls: map[op]float64{opPut: 1, opList: 0.5, opDelete: 1}},
			rawKind:      {Objects: 1, Bytes: 1e9, Calls: map[op]float64{opPut: 1, opCopy: 1}},
		},
		map[kind]time.Duration{snapshotKind: 10 * time.Second, rawKind: 100 * time.Second},
		map[op]priced{opPut: {Writes: 1, Reads: 1}, opCopy: {Writes: 1, Reads: 1}, opList: {Writes: 1}, opDelete: {Free: 1}},
		200, prices{Write: 0.01, Read: 0.001})
	if len(all) != 2 || all[0].Each != (priced{1.5, 1, 1}) || all[0].PerSecond != (priced{30, 20, 20}) || all[1].PerSecond != (priced{4, 4, 0}) {
		t.Fatalf("%+v", all)
	}
	if want := (30*0.01 + 20*0.001) / 1000 * 730 * 3600; math.Abs(all[0].Month-want) > 1e-6 {
		t.Errorf("snapshots are %v a month, want %v", all[0].Month, want)
	}
	if total.PerSecond != (priced{34, 24, 20}) || total.Upload != 20 || math.Abs(total.Month-all[0].Month-all[1].Month) > 1e-9 {
		t.Errorf("%+v", total)
	}
}

// TestRequestsOfCalls counts before a real server.
func TestRequestsOfCalls(t *testing.T) {
	t.Parallel()
	all, err := requestsTo(t.Context(), testservers.S3(t))
	if err != nil {
		t.Fatal(err)
	}
	for o, want := range map[op]priced{
		opPut: {Writes: 1, Reads: 1}, opCopy: {Writes: 1, Reads: 1}, opList: {Writes: 1}, opDelete: {Free: 1},
	} {
		if all[o] != want {
			t.Errorf("%s takes %+v, want %+v", o, all[o], want)
		}
	}
	if get := all[opGet]; get.Writes != 0 || get.Reads < 1 {
		t.Errorf("get takes %+v", get)
	}
}

func TestPriceOf(t *testing.T) {
	for request, want := range map[string]priced{
		"PUT /b/k": {Writes: 1}, "POST /b/k?uploads": {Writes: 1}, "GET /b/?list-type=2&prefix=a": {Writes: 1}, "GET /b/k": {Reads: 1},
		"HEAD /b/k": {Reads: 1}, "DELETE /b/k": {Free: 1},
	} {
		method, target, _ := strings.Cut(request, " ")
		r, err := http.NewRequestWithContext(t.Context(), method, "http://s3"+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := priceOf(r); got != want {
			t.Errorf("%s is %+v, want %+v", request, got, want)
		}
	}
}

// TestClaims claims in a real server.
func TestClaims(t *testing.T) {
	t.Parallel()
	_, o := flags()
	o.workers, o.partitions, o.connections, o.packs, o.claimFor = 10, 40, 4, numbers{1, 8}, time.Second
	c, err := claimsIn(t.Context(), o, testservers.Postgres(t), []byte(`{"format":2}`))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Rates) < 2 || c.Tasks != 4 || c.Pack < 1 || c.Pack > 4 || c.FleetConnections[0] != 10 {
		t.Errorf("%+v", c)
	}
	for _, r := range c.Rates {
		if r.P50 <= 0 || r.P99 < r.P50 || r.WAL <= 0 || math.Abs(r.Tasks/r.Transactions-float64(r.Pack)) > 1e-6 {
			t.Errorf("%+v", r)
		}
	}
}

func TestNeeds(t *testing.T) {
	r := packRate{Pack: 10, Tasks: 2000, WAL: 1000}
	r.multiply(1000, durations{200 * time.Millisecond, time.Second})
	if n := r.Needs; n[0].Tasks != 5000 || n[0].Share != 2.5 || n[0].WAL != 5 || n[1].Share != 0.5 || r.Burst != 0.5 {
		t.Errorf("%+v", r)
	}
	want := "So this server bears epochs of 1s, and of 500ms at the least"
	if got := verdict(&r); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := verdict(&packRate{Pack: 1}); !strings.Contains(got, "none of these") {
		t.Error(got)
	}
}

func TestQuantile(t *testing.T) {
	var all []time.Duration
	for i := range 100 {
		all = append(all, time.Duration(i+1))
	}
	if p50, p99, one := quantile(all, 0.5), quantile(all, 0.99), quantile(all[:1], 0.99); p50 != 50 || p99 != 99 || one != 1 {
		t.Errorf("%v, %v, %v", p50, p99, one)
	}
}
