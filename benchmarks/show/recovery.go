package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
)

//go:embed pipelines/recovery.yaml
var recoveryPipeline []byte

const recoveryPartitions = 4

// recoveryReport is the line that show-recovery prints: once with the copies of snapshots on the worker's disk, once without.
type recoveryReport struct {
	Groups     int64     `json:"groups"`
	StateBytes int64     `json:"state_bytes"`
	Behind     int64     `json:"records_behind"` // of the snapshots, when the worker was killed
	Cached     *recovery `json:"with_cache"`
	Fetched    *recovery `json:"without_cache"`
}

type recovery struct {
	Seconds float64 `json:"seconds"` // from kill -9 to lag zero
	Loading float64 `json:"loading"` // of which the slowest task got its snapshot
	Bytes   int64   `json:"fetched_bytes"`
	Slices  int64   `json:"slices"`
}

type recoveryRun struct {
	c        *bed.Cluster
	groups   int64
	behind   int64
	sent     int64
	start    time.Time
	cacheDir string
}

// recoverWorker shows how long a worker with many live groups takes from kill -9 until it has read everything.
func recoverWorker(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("recovery", flag.ContinueOnError)
	r := &recoveryRun{start: time.Now().UTC().Truncate(time.Hour)}
	binary := f.String("binary", "bin/tidewatch", "the product")
	f.Int64Var(&r.groups, "groups", 1_000_000, "live groups")
	f.Int64Var(&r.behind, "behind", 200_000, "records that come between the snapshots and the kill")
	limit := f.Duration("limit", 0, "fail if a recovery with copies takes longer; 0: never")
	keep := f.String("dir", "", "folder for files and logs; default a temporary one, removed when all is well")
	if err := f.Parse(args); err != nil {
		return err
	}
	dir, done, err := workFolder(*keep, "show-recovery")
	if err != nil {
		return err
	}
	r.cacheDir = filepath.Join(dir, "cache")
	if r.c, err = bed.For(ctx, dir, *binary, "recovery.yaml", recoveryPipeline); err != nil {
		return err
	}
	report, err := r.all(ctx)
	if err = errors.Join(err, r.c.Close()); err != nil {
		return done(err)
	}
	return done(printReport(report, *limit == 0 || report.Cached.Seconds <= limit.Seconds()))
}

func (r *recoveryRun) all(ctx context.Context) (*recoveryReport, error) {
	if err := r.c.CreateTopic(ctx, "metrics", recoveryPartitions); err != nil {
		return nil, err
	}
	w := r.c.NewWorker(ctx, "worker-0")
	w.Env = []string{"TIDEWATCH_OBJECTS__CACHE=" + r.cacheDir, "TIDEWATCH_OBJECTS__CACHE_MIB=8192"}
	if err := w.Start(ctx); err != nil {
		return nil, err
	}
	if err := r.produce(ctx, r.groups); err != nil {
		return nil, err
	}
	out := &recoveryReport{Groups: r.groups, Behind: r.behind}
	var err error
	if out.Cached, out.StateBytes, err = r.killed(ctx, w); err != nil {
		return nil, err
	}
	w.Env = nil
	out.Fetched, _, err = r.killed(ctx, w)
	return out, err
}

// killed waits until the snapshots hold everything, sends some more, kills the worker, and starts it again.
func (r *recoveryRun) killed(ctx context.Context, w *bed.Worker) (*recovery, int64, error) {
	wanted := []bed.Want{{Pipeline: "recovery", Stage: "main", Tasks: recoveryPartitions}}
	if err := r.settle(ctx, wanted); err != nil {
		return nil, 0, err
	}
	log, err := os.Stat(w.Log())
	if err != nil {
		return nil, 0, err
	}
	if err := r.produce(ctx, r.behind); err != nil {
		return nil, 0, err
	}
	began := time.Now()
	w.Kill()
	if err := w.Start(ctx); err != nil {
		return nil, 0, err
	}
	for {
		if all, err := r.c.Tasks(ctx); err == nil && bed.Missing(all, wanted) == "" {
			break
		}
		if time.Since(began) > 10*time.Minute {
			return nil, 0, fmt.Errorf("the worker did not catch up; its log is %s", w.Log())
		}
		if !sleepUntil(ctx, time.Now().Add(20*time.Millisecond)) {
			return nil, 0, ctx.Err()
		}
	}
	seconds := time.Since(began).Seconds()
	out, state, err := loadedSince(w.Log(), log.Size())
	if err != nil {
		return nil, 0, err
	}
	out.Seconds = math.Round(seconds*100) / 100
	progress("%.2f s from kill to lag zero, %d bytes fetched", out.Seconds, out.Bytes)
	return out, state, nil
}

// settle waits until everything is read and part of a snapshot.
func (r *recoveryRun) settle(ctx context.Context, wanted []bed.Want) error {
	if _, err := r.c.Await(ctx, 10*time.Minute, wanted, func([]bed.Task) bool { return true }); err != nil {
		return err
	}
	for range 20 {
		if err := r.produce(ctx, recoveryPartitions); err != nil { // a task that reads nothing takes no snapshot
			return err
		}
		for range 12 { // longer than the interval of snapshots
			if !sleepUntil(ctx, time.Now().Add(time.Second)) {
				return ctx.Err()
			}
			held, err := snapshotOffsets(ctx, r.c, "recovery@%")
			if err != nil || held == r.sent {
				return err
			}
			progress("the snapshots hold %d of %d records", held, r.sent)
		}
	}
	return errors.New("the snapshots never held everything")
}

// produce sends a record of each of n hosts, in turn.
func (r *recoveryRun) produce(ctx context.Context, n int64) error {
	for range n {
		host := r.sent % r.groups
		at := r.start.Add(time.Duration(r.sent) * 10 * time.Microsecond)
		value := fmt.Appendf(nil, `{"time":%d,"name":"load","value":%d,"host":"host-%07d.eu-west-1.example"}`, at.UnixMilli(), r.sent%100, host)
		r.c.Client.Produce(ctx, &kgo.Record{Topic: "metrics", Partition: int32(host % recoveryPartitions), Value: value}, func(_ *kgo.Record, err error) {
			if err != nil && ctx.Err() == nil {
				progress("produce: %v", err)
			}
		})
		r.sent++
	}
	return r.c.Client.Flush(ctx)
}

var loadedLine = regexp.MustCompile(`snapshot loaded.*pipeline"?[=:]"?recovery.*\bbytes"?[=:](\d+).*slices"?[=:](\d+).*fetched_bytes"?[=:](\d+).*seconds"?[=:]([\d.e-]+)`)

// loadedSince adds up what the worker's log says of snapshots behind so many bytes.
func loadedSince(name string, from int64) (out *recovery, state int64, err error) {
	text, err := os.ReadFile(filepath.Clean(name))
	if err != nil {
		return nil, 0, err
	}
	out = &recovery{}
	for _, m := range loadedLine.FindAllSubmatch(text[from:], -1) {
		var v [4]float64
		for i := range v {
			if v[i], err = strconv.ParseFloat(string(m[i+1]), 64); err != nil {
				return nil, 0, err
			}
		}
		state += int64(v[0])
		out.Slices += int64(v[1])
		out.Bytes += int64(v[2])
		out.Loading = max(out.Loading, math.Round(v[3]*1000)/1000)
	}
	if state == 0 {
		return nil, 0, fmt.Errorf("the log of the worker does not say that it has loaded a snapshot: %s", name)
	}
	return out, state, nil
}
