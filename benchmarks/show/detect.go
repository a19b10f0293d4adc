package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/sources/generate"
	"github.com/tidewatch/tidewatch/stream"
)

// Detection is shown on lives that nobody has looked at: rules were tuned on tunedSeeds, and are shown on others.
const (
	tunedSeeds = "1,2,3"
	shownSeeds = "11,12,13"

	detectCalm  = 30 * time.Minute
	detectHosts = 24
	detectUsers = 200
	// detectPartitions without keys: no rule may depend on how producers choose partitions.
	detectPartitions = 4
	// falsePerHour is what people bear.
	falsePerHour = 1.0
)

// detectRun is one run of show-detect.
type detectRun struct {
	binary, dir string
	hours       int
	library     []libraryPipeline
}

// libraryPipeline is a shipped pipeline with rules.
type libraryPipeline struct {
	name, topic string
	rules       []string
	text        []byte
}

// detect shows what the shipped rules find of what was planted, and how often they cry wolf. It runs them by `tidewatch replay`:
// the operators of a worker, in virtual time, without servers.
func detect(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("detect", flag.ContinueOnError)
	binary := f.String("binary", "bin/tidewatch", "the product")
	seeds := f.String("seeds", shownSeeds, "seeds of the lives; rules were tuned on "+tunedSeeds)
	hours := f.Int("hours", 6, "simulated hours of each life")
	trail := f.String("cloudtrail", "sources/replay/testdata/cloudtrail.ndjson.gz", "real CloudTrail records, JSON lines")
	verbose := f.Bool("v", false, "tell of false alerts, and of incidents that are not found")
	keep := f.String("dir", "", "folder for events; default a temporary one, removed when all is well")
	if err := f.Parse(args); err != nil {
		return err
	}
	dir, done, err := workFolder(*keep, "show-detect")
	if err != nil {
		return err
	}
	path, err := filepath.Abs(*binary)
	if err != nil {
		return err
	}
	r := &detectRun{binary: path, dir: dir, hours: *hours}
	if r.library, err = ruledPipelines(); err != nil {
		return err
	}
	report, err := r.all(ctx, *seeds, *trail, *verbose)
	if err != nil {
		return done(err)
	}
	return done(printReport(report, report.good()))
}

// ruledPipelines are the shipped pipelines that have rules on what happens to others.
func ruledPipelines() (all []libraryPipeline, err error) {
	names, err := fs.Glob(pipelines.Library(), "*.yaml")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		text, err := fs.ReadFile(pipelines.Library(), name)
		if err != nil {
			return nil, err
		}
		specs, problems := pipelines.Parse(name, text)
		if len(problems) > 0 {
			return nil, fmt.Errorf("read shipped pipeline %s: %w", name, problems)
		}
		if len(specs) != 1 {
			return nil, fmt.Errorf("read shipped pipeline %s: the file holds %d, not one", name, len(specs))
		}
		p := libraryPipeline{name: specs[0].Name.Value, topic: specs[0].Source.Topics[0].Value, text: text}
		for i := range specs[0].Steps {
			if a := specs[0].Steps[i].Alert; a != nil {
				p.rules = append(p.rules, a.Name.Value)
			}
		}
		if len(p.rules) > 0 && ownPipelines()[p.name] == "" {
			all = append(all, p)
		}
	}
	return all, nil
}

func (r *detectRun) all(ctx context.Context, seeds, trail string, verbose bool) (*detectReport, error) {
	began := time.Now()
	report := &detectReport{TunedOn: tunedSeeds, ShownOn: seeds, Rules: map[string]*ruleScore{}, Unplanted: []string{}, Excepted: ownPipelines()}
	for _, p := range r.library {
		for _, rule := range p.rules {
			report.Rules[rule] = &ruleScore{}
		}
	}
	for text := range strings.SplitSeq(seeds, ",") {
		seed, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read seeds: %w", err)
		}
		l, err := r.life(ctx, seed)
		if err != nil {
			return nil, err
		}
		report.add(l, float64(r.hours), verbose)
	}
	var err error
	if report.CloudTrail, err = r.trail(ctx, trail); err != nil {
		return nil, err
	}
	report.finish()
	report.tell()
	report.Seconds = time.Since(began).Round(time.Second).Seconds()
	return report, nil
}

// life is what happened in one simulated life, and which alerts fired.
type life struct {
	seed      uint64
	events    int64
	end       stream.Time         // what was planted right before it cannot be found in time, but may be told of
	incidents []generate.Incident // those that begin before the end
	alerts    []firedAlert
}

// firedAlert is an alert that began to fire.
type firedAlert struct {
	Pipeline   string `json:"pipeline"`
	Transition struct {
		From  string    `json:"from"` // the same as To where only a revision is noted
		To    string    `json:"to"`
		At    time.Time `json:"at"`
		Alert struct {
			Name    string            `json:"name"`
			Labels  map[string]string `json:"labels"`
			Summary string            `json:"summary"`
		} `json:"alert"`
	} `json:"transition"`
}

func (r *detectRun) life(ctx context.Context, seed uint64) (*life, error) {
	l := &life{seed: seed}
	progress("seed %d: %d hours of life", seed, r.hours)
	folder := filepath.Join(r.dir, fmt.Sprint("seed-", seed))
	for _, scenario := range []string{"platform", "access"} {
		c := generate.Default(scenario)
		c.Seed, c.Hosts, c.Users, c.Partitions, c.NilKeys, c.Calm = seed, detectHosts, detectUsers, detectPartitions, true, detectCalm
		g, err := generate.New(c)
		if err != nil {
			return nil, err
		}
		events, err := writeLife(g, filepath.Join(folder, g.Topic()), r.hours)
		if err != nil {
			return nil, err
		}
		l.events += events
		l.end = c.Start.Add(time.Duration(r.hours) * time.Hour)
		l.incidents = append(l.incidents, g.Incidents(l.end.Add(3*time.Hour))...)
	}
	for _, p := range r.library {
		fired, err := r.replay(ctx, p.name, filepath.Join(folder, p.topic))
		if err != nil {
			return nil, err
		}
		l.alerts = append(l.alerts, fired...)
	}
	return l, os.RemoveAll(folder)
}

// writeLife writes the events of some hours, a file for each partition.
func writeLife(g *generate.Generator, folder string, hours int) (n int64, err error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return 0, err
	}
	var files [detectPartitions]*bufio.Writer
	for i := range files {
		file, err := os.Create(filepath.Join(folder, fmt.Sprintf("%d.jsonl", i)))
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		files[i] = bufio.NewWriterSize(file, 1<<18)
	}
	until := g.Time(0).Add(time.Duration(hours) * time.Hour)
	var e generate.Event
	for ; g.Time(n) < until; n++ {
		g.Event(n, &e)
		if _, err := files[e.Partition].Write(append(e.Value, '\n')); err != nil {
			return n, err
		}
	}
	for _, w := range files {
		err = errors.Join(err, w.Flush())
	}
	return n, err
}

// replay runs a pipeline over the files of a folder, or over one file, and lists the alerts that fired.
func (r *detectRun) replay(ctx context.Context, pipeline, from string) (fired []firedAlert, err error) {
	cmd := exec.CommandContext(ctx, r.binary, "replay", "-q", "--pipeline", pipeline, "--from", from)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if !bytes.Contains(lines.Bytes(), []byte(`"transition"`)) {
			continue
		}
		var a firedAlert
		if err = json.Unmarshal(lines.Bytes(), &a); err != nil {
			break
		}
		if a.Transition.To == "firing" && a.Transition.From != "firing" {
			fired = append(fired, a)
		}
	}
	if err = errors.Join(err, lines.Err(), cmd.Wait()); err != nil {
		return nil, fmt.Errorf("tidewatch replay --pipeline %s: %w: %s", pipeline, err, errs.String())
	}
	return fired, nil
}

// detectTrail tells whether the shipped rules find the session of the intruder in real records.
type detectTrail struct {
	Records int      `json:"records"`
	Rules   []string `json:"rules"` // that fired for the intruder while they were there
	Found   bool     `json:"found"`
}

// trailPipelines are the shipped ones that judge API calls.
var trailPipelines = []string{"api-activity", "secrets", "sensitive-calls"}

func (r *detectRun) trail(ctx context.Context, path string) (*detectTrail, error) {
	progress("real CloudTrail records")
	lines, err := readLines(path)
	if err != nil {
		return nil, err
	}
	if lines, err = byTime(lines); err != nil {
		return nil, err
	}
	file := filepath.Join(r.dir, "cloudtrail.jsonl")
	if err := os.WriteFile(file, append(bytes.Join(lines, []byte("\n")), '\n'), 0o600); err != nil {
		return nil, err
	}
	t := &detectTrail{Records: len(lines)}
	for _, p := range r.library {
		if !slices.Contains(trailPipelines, p.name) {
			continue
		}
		spec := filepath.Join(r.dir, p.name+".yaml")
		text := bytes.Replace(p.text, []byte("{topics: [security]}"), []byte("{topics: [security], format: cloudtrail}"), 1)
		if err := os.WriteFile(spec, text, 0o600); err != nil {
			return nil, err
		}
		fired, err := r.replay(ctx, spec, file)
		if err != nil {
			return nil, err
		}
		t.note(fired)
	}
	slices.Sort(t.Rules)
	t.Found = slices.Contains(t.Rules, "SecretsRead") && slices.Contains(t.Rules, "AuditTrailTouched")
	return t, nil
}

// note keeps the rules that caught the intruder.
func (t *detectTrail) note(fired []firedAlert) {
	for _, a := range fired {
		at := a.Transition.At.Format(time.RFC3339)
		if a.Transition.Alert.Labels["user"] == trailIntruder && at >= trailFrom && at <= trailTo && !slices.Contains(t.Rules, a.Transition.Alert.Name) {
			t.Rules = append(t.Rules, a.Transition.Alert.Name)
		}
	}
}
