package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
	"github.com/tidewatch/tidewatch/stream"
)

// restartReport is the line that show-restart prints.
type restartReport struct {
	exactReport
	KilledAt  int64 `json:"killed_at"`
	Snapshot  int64 `json:"snapshot_at"` // offsets that the newest snapshots covered when the worker died
	Refetched int64 `json:"refetched"`   // records that the new worker read again: below what had been read
	Allowed   int64 `json:"allowed"`     // records since the snapshots, and 100,000
}

// restart shows that a killed worker reads again from its newest snapshot only.
func restart(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("restart", flag.ContinueOnError)
	r := &exactRun{rng: rand.New(rand.NewPCG(7, 99)), paused: make(chan struct{}), resume: make(chan struct{})}
	binary := f.String("binary", "bin/tidewatch", "the product")
	f.Int64Var(&r.events, "events", 2_000_000, "events")
	f.Int64Var(&r.rate, "rate", 60_000, "events a second")
	keep := f.String("dir", "", "folder for files and logs; default a temporary one, removed when all is equal")
	if err := f.Parse(args); err != nil {
		return err
	}
	r.pauseAt = r.events / 100 * 95 / 4 * 4
	dir, done, err := workFolder(*keep, "show-restart")
	if err != nil {
		return err
	}
	pipeline := bytes.Replace(exactPipeline, []byte("snapshot: 5s"), []byte("snapshot: 2s"), 1)
	if r.c, err = bed.For(ctx, dir, *binary, "exact.yaml", pipeline); err != nil {
		return err
	}
	report, err := r.killOnce(ctx)
	if err = errors.Join(err, r.c.Close()); err != nil {
		return err
	}
	return done(printReport(report, report.good() && report.Refetched <= report.Allowed))
}

// killOnce kills the only worker when 95 of 100 events are produced.
func (r *exactRun) killOnce(ctx context.Context) (*restartReport, error) {
	began := time.Now()
	if err := r.c.CreateTopic(ctx, "metrics", exactPartitions); err != nil {
		return nil, err
	}
	w, err := r.c.AddWorker(ctx, "worker-0")
	if err != nil {
		return nil, err
	}
	produced := make(chan error, 1)
	go func() { produced <- r.produce(ctx, 7) }()
	select {
	case <-r.paused:
	case err := <-produced:
		return nil, fmt.Errorf("the producer ended early: %w", err)
	}
	w.Kill()
	r.kills++
	out := &restartReport{KilledAt: r.pauseAt}
	if out.Snapshot, err = snapshotOffsets(ctx, r.c, "exact@%/fold/%"); err != nil {
		return nil, err
	}
	out.Allowed = r.pauseAt - out.Snapshot + 100_000
	progress("killed at %d; the newest snapshots cover %d", r.pauseAt, out.Snapshot)
	if err := w.Start(ctx); err != nil {
		return nil, err
	}
	close(r.resume)
	if err := <-produced; err != nil {
		return nil, err
	}
	report, err := r.judge(ctx)
	if err != nil {
		return nil, err
	}
	fetched, err := fetchedBy(ctx, w, "exact")
	if err != nil {
		return nil, err
	}
	// The archive reads the topic too, from its last cut; the pipeline's own first stage is what counts here.
	out.exactReport, out.Refetched = *report, fetched-(r.events+6*exactPartitions-r.pauseAt)
	out.Seconds = math.Round(time.Since(began).Seconds())
	return out, nil
}

// snapshotOffsets adds up the offsets of the snapshots that the rows of some tasks name.
func snapshotOffsets(ctx context.Context, c *bed.Cluster, tasks string) (sum int64, err error) {
	conn, err := pgx.Connect(ctx, c.Postgres.DSN("tidewatch"))
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "SELECT record FROM tidewatch.tidewatch_tasks WHERE task LIKE $1", tasks)
	if err != nil {
		return 0, err
	}
	records, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return 0, err
	}
	for _, raw := range records {
		var rec stream.Record
		if len(raw) > 0 { // nothing is claimed yet
			err = json.Unmarshal(raw, &rec)
		}
		if err != nil {
			return 0, err
		}
		sum += rec.Snapshot.At.Offset
	}
	return sum, nil
}
