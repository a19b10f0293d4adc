package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
	"github.com/tidewatch/tidewatch/pipelines"
)

// outageReport is the line that show-outage prints.
type outageReport struct {
	Sink    string  `json:"sink"`
	How     string  `json:"how"`
	Minutes float64 `json:"minutes"`
	exactReport
	Lost    int     `json:"lost"`    // answers that are missing or different
	Doubled int     `json:"doubled"` // rows and transitions that are there more than once
	Before  float64 `json:"rss_before_mb"`
	During  float64 `json:"rss_peak_mb"` // while the server was away
	After   float64 `json:"rss_after_mb"`
	Held    float64 `json:"heap_growth_mb"` // live heap: the most while it was away, less the most before
	Told    float64 `json:"told_seconds"`   // until /readyz named it
	Since   float64 `json:"since_error_s"`  // how far what /api/v2/status calls the beginning is from it
	Final   float64 `json:"promised_s"`     // event time that complete_through has moved on while it was away, once it was told
	Catchup float64 `json:"catchup_seconds"`
	LogRows int     `json:"log_lines"` // of the worker, in the whole run
	Machine string  `json:"machine"`
}

// server is what an outage does to a server.
type server interface {
	Kill() error
	Start(ctx context.Context) error
	Pause() error
	Resume() error
}

// outageRun is an exactRun in which one server goes away and comes back.
type outageRun struct {
	exactRun
	sink, how string
	away      time.Duration
	calm      time.Duration // before and after
	w         *bed.Worker
	report    outageReport
	samples   []outageSample
}

// outageSample is what the worker shows at one moment.
type outageSample struct {
	at       time.Time
	rss      float64
	heap     float64 // live after the last collection, MB: what Go takes its next goal from
	lag      int64   // of all tasks; -1 if one is unknown
	complete time.Time
	ready    string               // what /readyz says is wrong
	problems map[string]time.Time // by dependency that is away: since when
}

// outage shows that a server may be away: nothing is lost, nothing is doubled, nothing is promised meanwhile, and memory is bounded.
func outage(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("outage", flag.ContinueOnError)
	r := &outageRun{}
	binary := f.String("binary", "bin/tidewatch", "the product")
	f.StringVar(&r.sink, "sink", "redis", "redis, postgres, objects or kafka")
	f.StringVar(&r.how, "how", "kill", "kill: killed, and started again with the data that it keeps; pause: it stands still and answers nobody")
	minutes := f.Float64("minutes", 10, "how long it is away")
	f.DurationVar(&r.calm, "calm", 0, "time before and after; default 45s, and what fills the raw archive once for outages of more than two minutes")
	f.Int64Var(&r.rate, "rate", 5000, "events a second")
	seed := f.Uint64("seed", 7, "seed of the events")
	keep := f.String("dir", "", "folder for files and logs; default a temporary one, removed when all is equal")
	if err := f.Parse(args); err != nil {
		return err
	}
	if !slices.Contains([]string{"redis", "postgres", "objects", "kafka"}, r.sink) || r.how != "kill" && r.how != "pause" {
		return fmt.Errorf("-sink %s -how %s: there are redis, postgres, objects, kafka, and kill, pause", r.sink, r.how)
	}
	r.away = time.Duration(*minutes * float64(time.Minute))
	switch {
	case r.calm > 0:
	case r.away > 2*time.Minute:
		r.calm = pipelines.CutSlot + 30*time.Second
	default:
		r.calm = 45 * time.Second
	}
	r.events = r.rate * int64((r.calm+r.away+min(r.calm, 45*time.Second))/time.Second) / exactPartitions * exactPartitions
	r.rng = rand.New(rand.NewPCG(*seed, 99))
	dir, done, err := workFolder(*keep, "show-outage")
	if err != nil {
		return err
	}
	pipeline := bytes.Replace(exactPipeline, []byte("sinks:\n"), []byte("sinks:\n  kafka: {of: rollup, topic: answers}\n"), 1)
	if r.c, err = bed.For(ctx, dir, *binary, "exact.yaml", pipeline); err != nil {
		return err
	}
	r.report = outageReport{Sink: r.sink, How: r.how, Minutes: *minutes, Machine: machine()}
	err = r.all(ctx, *seed)
	if err = errors.Join(err, r.c.Close()); err != nil {
		return err
	}
	return done(printReport(&r.report, r.report.good()))
}

// Bounds of a good run.
const (
	outageHeap  = 256 // MB that the live heap may grow while a server is away: what is held is bounded, for however long
	outageTold  = 15  // seconds until /readyz names it
	outageFinal = 1   // seconds of event time that may be promised after that
	// Without the object store, epochs that need no object are claimed: until the next snapshot, see exact.yaml.
	outageFinalObjects = 6
)

func (r *outageReport) good() bool {
	promised := float64(outageFinal)
	if r.Sink == "objects" {
		promised = outageFinalObjects
	}
	return r.exactReport.good() && r.Lost == 0 && r.Doubled == 0 && r.Held < outageHeap && r.Told >= 0 && r.Told < outageTold &&
		math.Abs(r.Since) < outageTold && r.Final < promised && r.Catchup >= 0
}

// outageNames are those of the servers in /api/v2/status.
var outageNames = map[string]string{"redis": "Redis", "postgres": "Postgres", "objects": "object store", "kafka": "Kafka"}

func (r *outageRun) server() server {
	switch r.sink {
	case "postgres":
		return r.c.Postgres
	case "objects":
		return r.c.S3
	case "kafka":
		return r.c.Kafka
	}
	return r.c.Redis
}

// all produces at a steady rate, takes the server away and back, and compares.
func (r *outageRun) all(ctx context.Context, seed uint64) error {
	began := time.Now()
	err := r.through(ctx, seed, r.disturb, func(equal *exactReport) {
		r.report.exactReport = *equal
		r.report.Seconds = math.Round(time.Since(began).Seconds())
	})
	if err != nil {
		return err
	}
	return r.account()
}

// through produces while one worker goes through what happens to it, and gives judged what came out.
func (r *outageRun) through(ctx context.Context, seed uint64, happens func(context.Context) error, judged func(*exactReport)) (err error) {
	for _, topic := range []string{"metrics", "answers"} {
		if err := r.c.CreateTopic(ctx, topic, exactPartitions); err != nil {
			return err
		}
	}
	if r.w, err = r.c.AddWorker(ctx, "worker-0"); err != nil {
		return err
	}
	produced := make(chan error, 1)
	go func() { produced <- r.produce(ctx, seed) }()
	if err := happens(ctx); err != nil {
		return err
	}
	select {
	case err = <-produced:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	progress("all %d events are produced; waiting until everything is read", r.events)
	equal, err := r.judge(ctx)
	if err != nil {
		return err
	}
	judged(equal)
	return nil
}

// account says what is lost and what is there twice. The comparison counts a transition that is there twice as not equal;
// rows of the archive are told apart by their offsets.
func (r *outageRun) account() error {
	p := &r.report
	p.Lost = p.Rollups.Expected - p.Rollups.Equal + p.Transitions.Expected - p.Transitions.Equal + int(max(p.Events-p.ArchiveRows, 0))
	p.Doubled = int(max(p.ArchiveRows-p.Events, 0))
	log, err := os.ReadFile(r.w.Log())
	p.LogRows = bytes.Count(log, []byte("\n"))
	return err
}

// disturb takes the server away between two calm times, and looks at the worker once a second.
func (r *outageRun) disturb(ctx context.Context) error {
	if err := r.watch(ctx, r.calm, nil); err != nil {
		return err
	}
	before := len(r.samples)
	progress("%s goes away (%s) for %s", r.sink, r.how, r.away)
	gone := time.Now()
	stop, start := r.server().Kill, func() error { return r.server().Start(context.WithoutCancel(ctx)) }
	if r.how == "pause" {
		stop, start = r.server().Pause, r.server().Resume
	}
	if err := stop(); err != nil {
		return err
	}
	if err := r.watch(ctx, r.away, nil); err != nil {
		return err
	}
	during := len(r.samples)
	progress("%s comes back", r.sink)
	back := time.Now()
	if err := start(); err != nil {
		return err
	}
	r.report.Catchup = -1
	err := r.watch(ctx, 5*time.Minute, func(s *outageSample) bool {
		if s.ready != "" || s.lag < 0 || s.lag > r.rate || !s.complete.After(r.samples[during-1].complete) {
			return false
		}
		r.report.Catchup = math.Round(s.at.Sub(back).Seconds()*10) / 10
		return true
	})
	if err == nil {
		err = r.watch(ctx, min(r.calm/2, 30*time.Second), nil)
	}
	r.sum(before, during, gone)
	return err
}

// watch takes samples for so long, or until one is the last.
func (r *outageRun) watch(ctx context.Context, limit time.Duration, last func(*outageSample) bool) error {
	deadline := time.Now().Add(limit)
	for next := time.Now(); next.Before(deadline); next = next.Add(time.Second) {
		if !sleepUntil(ctx, next) {
			return ctx.Err()
		}
		select {
		case <-r.w.Ended:
			return fmt.Errorf("the worker has ended; its log is %s", r.w.Log())
		default:
		}
		s := r.look(ctx)
		r.samples = append(r.samples, s)
		if last != nil && last(&s) {
			return nil
		}
	}
	if last != nil {
		return fmt.Errorf("the worker did not catch up within %s; its log is %s", limit, r.w.Log())
	}
	return nil
}

// look asks the worker for all that it shows. What it does not answer stays unknown.
func (r *outageRun) look(ctx context.Context) outageSample {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s := outageSample{at: time.Now(), lag: -1, problems: map[string]time.Time{}}
	if mb, err := residentMB(r.w.Cmd.Process.Pid); err == nil {
		s.rss = mb
	}
	if text := getText(ctx, "http://"+r.w.HTTP+"/readyz"); !strings.Contains(text, `"ready"`) {
		s.ready = text
	}
	text := getText(ctx, "http://"+r.w.Admin+"/metrics")
	s.heap = metricOf(text, "go_memstats_next_gc_bytes") / (1 + metricOf(text, "go_gc_gogc_percent")/100) / (1 << 20)
	var status struct {
		Dependencies []struct {
			Name  string     `json:"name"`
			Since *time.Time `json:"away_since"`
		} `json:"dependencies"`
		Pipelines []struct {
			Name     string     `json:"name"`
			Complete *time.Time `json:"complete_through"`
			Tasks    []bed.Task `json:"partitions"`
		} `json:"pipelines"`
	}
	if bed.GetJSON(ctx, "http://"+r.w.HTTP+"/api/v2/status", &status) != nil {
		return s
	}
	for _, d := range status.Dependencies {
		if d.Since != nil {
			s.problems[d.Name] = *d.Since
		}
	}
	for _, p := range status.Pipelines {
		if p.Name == "exact" && p.Complete != nil {
			s.complete = *p.Complete
		}
		if p.Name == "exact" {
			s.lag = lagOf(p.Tasks)
		}
	}
	return s
}

// lagOf adds up the lag of tasks; -1 if it is unknown of one.
func lagOf(tasks []bed.Task) (sum int64) {
	for _, t := range tasks {
		if t.Lag == nil || t.State != "running" {
			return -1
		}
		sum += *t.Lag
	}
	if len(tasks) == 0 {
		return -1
	}
	return sum
}

// sum fills the report from the samples.
func (r *outageRun) sum(before, during int, gone time.Time) {
	p := &r.report
	calm, away, after := r.samples[:before], r.samples[before:during], r.samples[during:]
	rss := func(s outageSample) float64 { return s.rss }
	heap := func(s outageSample) float64 { return s.heap }
	p.Before, p.During, p.After = most(calm, rss), most(away, rss), most(after[max(len(after)-5, 0):], rss)
	p.Held = math.Round(most(away, heap) - most(calm, heap))
	p.Told, p.Since, p.Final = -1, math.Inf(1), 0
	var told time.Time
	for _, s := range away {
		if p.Told < 0 && s.ready != "" {
			p.Told, told = math.Round(s.at.Sub(gone).Seconds()*10)/10, s.complete
		}
		if since, away := s.problems[outageNames[r.sink]]; away {
			p.Since = math.Round(since.Sub(gone).Seconds()*10) / 10
		}
		if p.Told >= 0 && !told.IsZero() && s.complete.After(told) {
			p.Final = s.complete.Sub(told).Seconds()
		}
	}
	if math.IsInf(p.Since, 1) {
		p.Since = 1e9
	}
}

func most(samples []outageSample, of func(outageSample) float64) (peak float64) {
	for _, s := range samples {
		peak = max(peak, math.Round(of(s)))
	}
	return peak
}

func getText(ctx context.Context, url string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err.Error()
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return string(text)
}

// metricOf reads a metric without labels from what Prometheus scrapes.
func metricOf(text, name string) (v float64) {
	_, rest, found := strings.Cut(text, "\n"+name+" ")
	if found {
		_, _ = fmt.Sscan(rest, &v)
	}
	return v
}
