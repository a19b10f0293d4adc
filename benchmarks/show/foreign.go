package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
	"github.com/tidewatch/tidewatch/benchmarks/oracle"
	"github.com/tidewatch/tidewatch/internal/testservers"
)

//go:embed foreign.py
var foreignProducer []byte

const foreignPartitions = 3

// foreignReport is the line that show-foreign prints.
type foreignReport struct {
	Events      int64            `json:"events"`
	Aborted     int64            `json:"aborted"`
	DeadLetters equality         `json:"dead_letters"`
	Rollups     equality         `json:"rollups"`
	Transitions equality         `json:"transitions"`
	LedgerDiff  int64            `json:"ledger_diff"`
	Ledger      map[string]int64 `json:"ledger"`
	Seconds     float64          `json:"seconds"`
}

func (r *foreignReport) good() bool {
	return r.Events > 0 && r.Aborted > 0 && r.LedgerDiff == 0 && r.DeadLetters.all() && r.Rollups.all() && r.Transitions.all()
}

// all reports whether there is something to compare, and all of it is equal.
func (e equality) all() bool { return e.Expected > 0 && e.Expected == e.Equal }

// foreign shows that it does not matter who produces: librdkafka instead of our client, every codec, JSON as it comes,
// transactions.
func foreign(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("foreign", flag.ContinueOnError)
	r := &exactRun{}
	binary := f.String("binary", "bin/tidewatch", "the product")
	seed := f.Uint64("seed", 7, "seed of events and forms")
	f.Int64Var(&r.events, "events", 20_000, "events that count")
	keep := f.String("dir", "", "folder for files and logs; default a temporary one, removed when all is equal")
	if err := f.Parse(args); err != nil {
		return err
	}
	dir, done, err := workFolder(*keep, "show-foreign")
	if err != nil {
		return err
	}
	if r.c, err = bed.For(ctx, dir, *binary, "exact.yaml", exactPipeline); err != nil {
		return err
	}
	report, err := r.foreign(ctx, *seed)
	if err = errors.Join(err, r.c.Close()); err != nil {
		return err
	}
	return done(printReport(report, report.good()))
}

// foreign lets Python produce for a running worker, and compares.
func (r *exactRun) foreign(ctx context.Context, seed uint64) (*foreignReport, error) {
	began := time.Now()
	if err := r.c.CreateTopic(ctx, "metrics", foreignPartitions); err != nil {
		return nil, err
	}
	if _, err := r.c.AddWorker(ctx, "worker-0"); err != nil {
		return nil, err
	}
	told, err := r.produceForeign(ctx, seed)
	if err != nil {
		return nil, err
	}
	progress("%d events are produced, and %d that were aborted; waiting until everything is read", told.Events, told.Aborted)
	o, err := oracle.New(ctx, r.c.Dir, map[string]any{
		"events": r.file, "partitions": foreignPartitions, "size": 10_000, "out_of_order": 2000, "lateness": 60_000, "threshold": 990, "hold": 20_000,
	}, "rollups.sql", "transitions.sql")
	if err != nil {
		return nil, err
	}
	tasks, err := r.awaitForeign(ctx, o)
	if err != nil {
		return nil, err
	}
	report, err := r.compareForeign(ctx, o, tasks, told)
	if err == nil {
		report.Seconds = math.Round(time.Since(began).Seconds())
	}
	return report, err
}

// told is what the producer says of itself.
type told struct{ Events, Aborted, Markers int64 }

func (r *exactRun) produceForeign(ctx context.Context, seed uint64) (t told, err error) {
	cache, err := testservers.Cache()
	if err != nil {
		return t, err
	}
	python, err := testservers.FindPython(cache)
	if err != nil {
		return t, err
	}
	script := filepath.Join(r.c.Dir, "foreign.py")
	if err := os.WriteFile(script, foreignProducer, 0o600); err != nil {
		return t, err
	}
	progress("confluent-kafka for Python produces %d events", r.events)
	cmd := exec.CommandContext(ctx, python, script, strings.Join(r.c.Kafka.Brokers(), ","), "metrics",
		strconv.Itoa(foreignPartitions), strconv.FormatInt(r.events, 10), strconv.FormatUint(seed, 10), r.c.Dir)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return t, fmt.Errorf("produce with Python: %w: %s", err, said.String())
	}
	r.file = filepath.Join(r.c.Dir, "expected.jsonl")
	data, err := os.ReadFile(filepath.Join(r.c.Dir, "summary.json"))
	if err != nil {
		return t, err
	}
	return t, json.Unmarshal(data, &t)
}

// awaitForeign waits until all is read and decided.
func (r *exactRun) awaitForeign(ctx context.Context, o *oracle.Oracle) ([]bed.Task, error) {
	var end []struct{ Mark int64 }
	if err := o.Query(ctx, "SELECT mark FROM final_mark", &end); err != nil {
		return nil, err
	}
	wanted := []bed.Want{{Pipeline: "exact", Stage: "fold", Tasks: foreignPartitions}, {Pipeline: "exact", Stage: "merge", Tasks: exactMerges}, {Pipeline: "archive.metrics", Stage: "archive", Tasks: foreignPartitions}}
	return r.c.Await(ctx, time.Minute, wanted, func(all []bed.Task) bool { return reached(all, time.UnixMilli(end[0].Mark)) })
}

func (r *exactRun) compareForeign(ctx context.Context, o *oracle.Oracle, tasks []bed.Task, t told) (*foreignReport, error) {
	var exact exactReport
	exact.Ledger = map[string]any{}
	err := errors.Join(r.compareRollups(ctx, o, &exact), r.compareTransitions(ctx, o, &exact), r.compareLedger(ctx, o, tasks, &exact))
	if err != nil {
		return nil, err
	}
	report := &foreignReport{
		Events: t.Events, Aborted: t.Aborted, Rollups: exact.Rollups, Transitions: exact.Transitions, LedgerDiff: exact.LedgerDiff,
		Ledger: ledgerOf(tasks, "exact", "fold"),
	}
	if report.DeadLetters, err = r.compareDeadLetters(ctx); err != nil {
		return nil, err
	}
	// Every record of the aborted transactions is a gap, and so is each transaction's marker in each partition.
	for _, b := range []struct {
		name string
		want int64
	}{{"rejected", int64(report.DeadLetters.Expected)}, {"gap", t.Aborted + t.Markers}} {
		if d := report.Ledger[b.name] - b.want; d != 0 {
			progress("ledger: %s is %d, want %d", b.name, report.Ledger[b.name], b.want)
			report.LedgerDiff += max(d, -d)
		}
	}
	return report, nil
}

// ledgerOf adds up the ledgers of a stage.
func ledgerOf(tasks []bed.Task, pipeline, stage string) map[string]int64 {
	sum := map[string]int64{}
	for _, t := range tasks {
		if t.Pipeline != pipeline || t.Stage != stage {
			continue
		}
		for b, n := range t.Ledger {
			sum[b] += n
		}
	}
	return sum
}

// deadRecord is what a dead letter must say, and what the producer wrote.
type deadRecord struct {
	Partition  int32
	Offset     int64
	Code       string // of the producer
	Raw        []byte
	Rejections []struct{ Pipeline, Reason string } // of the letters
}

// reason is that of the pipeline that is shown; it begins with the code.
func (d *deadRecord) reason() string {
	for _, r := range d.Rejections {
		if r.Pipeline == "exact" {
			return r.Reason
		}
	}
	return ""
}

func readDead(r io.Reader) (map[string]deadRecord, error) {
	all := map[string]deadRecord{}
	for d := json.NewDecoder(bufio.NewReader(r)); ; {
		var x deadRecord
		err := d.Decode(&x)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read dead letters: %w", err)
		}
		all[fmt.Sprintf("%d/%d", x.Partition, x.Offset)] = x
	}
}

// compareDeadLetters compares place, reason and bytes of every dead letter.
func (r *exactRun) compareDeadLetters(ctx context.Context) (e equality, err error) {
	file, err := os.Open(filepath.Join(r.c.Dir, "dead.jsonl"))
	if err != nil {
		return e, err
	}
	defer file.Close()
	want, err := readDead(file)
	if err != nil {
		return e, err
	}
	text, err := r.c.Run(ctx, "dlq", "ls", "--pipeline", "exact", "--topic", "metrics", "-o", "jsonl")
	if err != nil {
		return e, err
	}
	got, err := readDead(bytes.NewReader(text))
	if err != nil {
		return e, err
	}
	e.Expected = len(want)
	for _, place := range slices.Sorted(maps.Keys(want)) {
		w := want[place]
		g, found := got[place]
		if found && strings.HasPrefix(g.reason(), w.Code+": ") && bytes.Equal(g.Raw, w.Raw) {
			e.Equal++
			continue
		}
		progress("dead letter %s differs: want %s of %q, got %q of %q", place, w.Code, w.Raw, g.reason(), g.Raw)
	}
	if len(got) > len(want) {
		progress("%d dead letters are there, %d are expected", len(got), len(want))
		e.Equal -= len(got) - len(want)
	}
	return e, nil
}
