package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
)

//go:embed pipelines/cloudtrail.yaml
var cloudtrailPipeline []byte

// The intruder of the records, and when they were there: the session that Invictus recorded. It must be found.
const (
	trailIntruder = "bert-jan"
	trailFrom     = "2023-07-10T11:50:00Z"
	trailTo       = "2023-07-10T12:40:00Z"
)

// trailSpans are what is queried. A query may not span all the time between the two collections of records, and need not.
func trailSpans() [][2]string {
	return [][2]string{{"2023-07-01T00:00:00Z", "2023-08-01T00:00:00Z"}, {"2024-07-01T00:00:00Z", "2025-01-01T00:00:00Z"}}
}

// trailWay is the records in one order through one plan of the pipeline, with a topic of its own. Each runs twice: live
// on one set of stores, and by replay on another.
type trailWay struct {
	name     string // of pipeline and topic
	pipeline []byte
	lines    [][]byte
	tasks    []bed.Want
}

// ways are the three of them. In the order of time nothing is late; in the order of the files much is.
func ways(inFiles, inTime [][]byte) []*trailWay {
	folded := func(name string) []bed.Want {
		return []bed.Want{{Pipeline: name, Stage: "fold", Tasks: 1}, {Pipeline: name, Stage: "merge", Tasks: exactMerges}}
	}
	keyed := bytes.Replace(cloudtrailPipeline, []byte("schema: security}"), []byte("schema: security, keyed_by: [account, user]}"), 1)
	return []*trailWay{
		{name: "cloudtrail", pipeline: cloudtrailPipeline, lines: inTime, tasks: folded("cloudtrail")},
		{name: "cloudtrail-files", pipeline: renamed(keyed, "cloudtrail-files", "Files"), lines: inFiles, tasks: []bed.Want{{Pipeline: "cloudtrail-files", Stage: "main", Tasks: 1}}},
		{name: "cloudtrail-rekeyed", pipeline: renamed(cloudtrailPipeline, "cloudtrail-rekeyed", "Rekeyed"), lines: inFiles, tasks: folded("cloudtrail-rekeyed")},
	}
}

// renamed is the pipeline under another name, with a topic of that name, and with rules of other names: alerts of rules
// that are named alike are the same alerts, whichever pipeline they come from.
func renamed(pipeline []byte, name, rules string) []byte {
	for _, change := range [][2]string{
		{"pipeline: cloudtrail\n", "pipeline: " + name + "\n"}, {"topics: [cloudtrail]", "topics: [" + name + "]"}, {"      name: ", "      name: " + rules},
	} {
		pipeline = bytes.ReplaceAll(pipeline, []byte(change[0]), []byte(change[1]))
	}
	return pipeline
}

// trailRun is one run of show-cloudtrail.
type trailRun struct {
	live   side
	replay side // other stores of the same servers
	rng    *rand.Rand
}

// trailReport is the line that show-cloudtrail prints.
type trailReport struct {
	Records     int         `json:"records"`
	Sorted      *trailOrder `json:"sorted"`
	FileOrder   *trailOrder `json:"file_order"`
	Rekeyed     *trailOrder `json:"file_order_rekeyed"`
	AttackFound bool        `json:"attack_found"`
	Seconds     float64     `json:"seconds"`
}

func (r *trailReport) good() bool {
	return r.Records > 0 && r.AttackFound && r.Sorted.good(r.Records) && r.FileOrder.good(r.Records) && r.Rekeyed.good(r.Records) &&
		r.FileOrder.Rollups == r.Rekeyed.Rollups // both plans answer alike
}

// cloudtrail shows that a replay answers what the live run answered.
func cloudtrail(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("cloudtrail", flag.ContinueOnError)
	binary := f.String("binary", "bin/tidewatch", "the product")
	from := f.String("from", "sources/replay/testdata/cloudtrail.ndjson.gz", "the records, JSON lines")
	seed := f.Uint64("seed", 7, "seed of the sizes in which the records are produced")
	keep := f.String("dir", "", "folder for files and logs; default a temporary one, removed when all is equal")
	if err := f.Parse(args); err != nil {
		return err
	}
	dir, done, err := workFolder(*keep, "show-cloudtrail")
	if err != nil {
		return err
	}
	inFiles, err := readLines(*from)
	if err != nil {
		return err
	}
	inTime, err := byTime(inFiles)
	if err != nil {
		return err
	}
	r, all := &trailRun{rng: rand.New(rand.NewPCG(*seed, 99))}, ways(inFiles, inTime)
	var pipelines [][]byte
	for _, w := range all {
		pipelines = append(pipelines, w.pipeline)
	}
	c, err := bed.For(ctx, dir, *binary, "cloudtrail.yaml", bytes.Join(pipelines, []byte("---\n")))
	if err != nil {
		return err
	}
	r.live = side{Cluster: c, name: "live", database: c.Name, prefix: c.Name}
	report, err := r.all(ctx, all)
	if err = errors.Join(err, c.Close()); err != nil {
		return err
	}
	return done(printReport(report, report.good()))
}

// readLines reads a compressed file of JSON lines.
func readLines(path string) (lines [][]byte, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	s := bufio.NewScanner(z)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		lines = append(lines, slices.Clone(s.Bytes()))
	}
	return lines, s.Err()
}

// byTime are the lines in the order of their event times; equal times stay in the order of the file.
func byTime(lines [][]byte) ([][]byte, error) {
	type timed struct {
		line []byte
		at   time.Time
	}
	all := make([]timed, len(lines))
	for i, line := range lines {
		var e struct{ EventTime time.Time }
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("read record %d: %w", i+1, err)
		}
		all[i] = timed{line, e.EventTime}
	}
	slices.SortStableFunc(all, func(a, b timed) int { return a.at.Compare(b.at) })
	sorted := make([][]byte, len(all))
	for i := range all {
		sorted[i] = all[i].line
	}
	return sorted, nil
}

// all runs all ways.
func (r *trailRun) all(ctx context.Context, all []*trailWay) (_ *trailReport, err error) {
	began := time.Now()
	report := &trailReport{Records: len(all[0].lines)}
	if r.replay, err = r.live.twin(ctx, "replayed"); err != nil {
		return nil, err
	}
	for _, w := range all {
		if err := r.live.CreateTopic(ctx, w.name, 1); err != nil {
			return nil, err
		}
	}
	if _, err := r.live.AddWorker(ctx, "worker-0"); err != nil {
		return nil, err
	}
	for i, into := range []**trailOrder{&report.Sorted, &report.FileOrder, &report.Rekeyed} {
		if *into, err = r.both(ctx, all[i]); err != nil {
			return nil, err
		}
	}
	report.AttackFound, err = r.attackFound(ctx)
	report.Seconds = time.Since(began).Round(time.Second).Seconds()
	return report, err
}

// side is the stores of one way to run, and the servers they belong to. Only the live one has workers.
type side struct {
	*bed.Cluster
	name, database, prefix string
}

// twin is the same servers with empty stores.
func (s *side) twin(ctx context.Context, name string) (side, error) {
	c, err := s.Servers.Cluster(ctx, bed.Place{Dir: s.Dir, Binary: s.Binary, Name: name, RedisDB: 1, Routes: s.Direct()})
	if err != nil {
		return side{}, err
	}
	c.Client.Close() // nothing is produced for it
	return side{Cluster: c, name: name, database: name, prefix: name}, nil
}

// both runs a way live and by replay, and compares. The live worker may still be showing its last values, so it has time
// to become equal; the replay is finished.
func (r *trailRun) both(ctx context.Context, w *trailWay) (*trailOrder, error) {
	progress("%s: replaying %d records", w.name, len(w.lines))
	want, err := r.replayed(ctx, w)
	if err != nil {
		return nil, err
	}
	progress("%s: producing them for the worker", w.name)
	if err := r.produce(ctx, w.name, w.lines); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		got, err := r.lived(ctx, w)
		if err != nil {
			return nil, err
		}
		if got.equal(want) || time.Now().After(deadline) {
			return r.compared(w, got, want)
		}
	}
}

// replayed runs the lines through `replay` into the second stores.
func (r *trailRun) replayed(ctx context.Context, w *trailWay) (*answers, error) {
	file, spec := filepath.Join(r.live.Dir, w.name+".ndjson"), filepath.Join(r.live.Dir, w.name+".replay.yaml")
	err := errors.Join(os.WriteFile(file, append(bytes.Join(w.lines, []byte("\n")), '\n'), 0o600), os.WriteFile(spec, w.pipeline, 0o600))
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, r.replay.Binary, "replay", "--pipeline", spec, "--from", file, "--to", "config", "-c", r.replay.Config)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("tidewatch replay: %w: %s", err, errs.String())
	}
	a, err := r.replay.ask(ctx, w)
	if err != nil {
		return nil, err
	}
	said := strings.Split(strings.TrimSpace(errs.String()), "\n")
	var last struct{ Ledger map[string]int64 }
	if err := json.Unmarshal([]byte(said[len(said)-1]), &last); err != nil {
		return nil, fmt.Errorf("read what replay says, %q: %w", errs.String(), err)
	}
	a.ledger = last.Ledger
	return a, nil
}

// produce writes the lines to one partition, in portions of random size: no border must matter.
func (r *trailRun) produce(ctx context.Context, topic string, lines [][]byte) error {
	for len(lines) > 0 {
		n := min(1+r.rng.IntN(400), len(lines))
		records := make([]*kgo.Record, n)
		for i, line := range lines[:n] {
			records[i] = &kgo.Record{Topic: topic, Partition: 0, Value: line}
		}
		if err := r.live.Client.ProduceSync(ctx, records...).FirstErr(); err != nil {
			return err
		}
		lines = lines[n:]
	}
	return nil
}

// lived asks the live side when the worker has read everything.
func (r *trailRun) lived(ctx context.Context, w *trailWay) (*answers, error) {
	var ledger map[string]int64
	_, err := r.live.Await(ctx, time.Minute, w.tasks, func(all []bed.Task) bool {
		for _, t := range all {
			if t.Pipeline == w.name && t.Stage == w.tasks[0].Stage {
				ledger = t.Ledger
				return t.Offset == int64(len(w.lines))
			}
		}
		return false
	})
	if err != nil {
		return nil, err
	}
	a, err := r.live.ask(ctx, w)
	if err != nil {
		return nil, err
	}
	a.ledger = ledger
	return a, nil
}

// attackFound reports whether the live run on sorted records caught the intruder reading secrets and blinding the audit
// trail, while they were there.
func (r *trailRun) attackFound(ctx context.Context) (bool, error) {
	bodies, err := transitions(ctx, r.live.Postgres.DSN(r.live.database), `body->'alert'->>'pipeline' = 'cloudtrail' AND body->>'to' = 'firing'
		AND body->'alert'->'labels'->>'user' = $1 AND (body->>'at')::timestamptz BETWEEN $2::text::timestamptz AND $3::text::timestamptz`, trailIntruder, trailFrom, trailTo)
	if err != nil {
		return false, err
	}
	all := strings.Join(bodies, "\n")
	return strings.Contains(all, `"SecretsHarvested"`) && strings.Contains(all, `"AuditTrailBlinded"`), nil
}
