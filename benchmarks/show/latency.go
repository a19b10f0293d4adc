package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
)

//go:embed pipelines/latency.yaml
var latencyPipeline string

const (
	latencyHosts      = 20_000
	latencyPartitions = 4
	latencyWindow     = 5 * time.Second
	latencyDisorder   = time.Second // out_of_order of the pipeline
	latencyEventBytes = 250
	// latencyRare is one in how many hosts is loaded in a window.
	latencyRare = 400
	// latencyLook is how often Postgres is asked for new transitions: as much too old may one look.
	latencyLook = 5 * time.Millisecond
)

// latencyReport is the line that show-alert-latency prints. A latency begins when the broker has acknowledged the record that
// moves the watermark past the window's end, and ends when the transition is seen in Postgres.
type latencyReport struct {
	Epoch       string  `json:"epoch"`
	Rate        int     `json:"events_per_second"`
	Seconds     float64 `json:"seconds"`
	Events      int64   `json:"events"`
	EventBytes  int     `json:"event_bytes"`
	Series      int     `json:"series"`
	Windows     int     `json:"windows"`
	Transitions int     `json:"transitions"`
	Missing     int     `json:"missing"`
	Foreign     int     `json:"not_expected"`
	P50         float64 `json:"p50_ms"`
	P99         float64 `json:"p99_ms"`
	Max         float64 `json:"max_ms"`
	Behind      float64 `json:"producer_behind_max_ms"` // of its own clock; the machine is too busy if it is much
	CPUShare    float64 `json:"cpu_share"`              // of the worker, of one core
	RSS         float64 `json:"rss_peak_mb"`
	Machine     string  `json:"machine"`
}

// latencyID is a transition that must come, and nothing else must.
type latencyID struct {
	host  string
	state string
	at    int64 // ns
}

// latencyRun is one worker, one producer at a fixed rate, and one who looks into Postgres.
type latencyRun struct {
	c       *bed.Cluster
	rate    int
	windows int
	begin   time.Time // of the first window

	mu struct {
		sync.Mutex
		acked  map[latencyCut]time.Time
		failed error
	}
	seen map[latencyID]time.Time
}

// latencyCut is the end of a window as a partition meets it.
type latencyCut struct {
	partition int32
	end       int64 // ns
}

// alertLatency measures how long an alert takes at a fixed rate, and whether exactly those come that must.
func alertLatency(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("alert-latency", flag.ContinueOnError)
	binary := f.String("binary", "bin/tidewatch", "the product")
	rate := f.Int("rate", 50_000, "events per second")
	epoch := f.String("epoch", "200ms", "interval.epoch of the pipeline")
	windows := f.Int("windows", 12, "windows of five seconds that are judged")
	keep := f.String("dir", "", "folder for logs; default a temporary one")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *rate < latencyHosts {
		return fmt.Errorf("rate %d: each of %d hosts has to be heard of in each window, give at least that many a second", *rate, latencyHosts)
	}
	dir, done, err := workFolder(*keep, "show-alert-latency")
	if err != nil {
		return err
	}
	c, err := bed.For(ctx, dir, *binary, "latency.yaml", []byte(strings.Replace(latencyPipeline, "EPOCH", *epoch, 1)))
	if err != nil {
		return done(err)
	}
	r := &latencyRun{c: c, rate: *rate, windows: *windows, seen: map[latencyID]time.Time{}}
	r.mu.acked = map[latencyCut]time.Time{}
	report, err := r.all(ctx)
	if err = errors.Join(err, c.Close()); err != nil {
		return done(err)
	}
	report.Epoch = *epoch
	return done(printReport(report, report.Missing == 0 && report.Foreign == 0 && report.Transitions > 0))
}

func (r *latencyRun) all(ctx context.Context) (*latencyReport, error) {
	if err := r.c.CreateTopic(ctx, "metrics", latencyPartitions); err != nil {
		return nil, err
	}
	w, err := r.c.AddWorker(ctx, "latency")
	if err != nil {
		return nil, err
	}
	wanted := []bed.Want{{Pipeline: "latency", Stage: "main", Tasks: latencyPartitions}}
	if _, err := r.c.Await(ctx, time.Minute, wanted, func([]bed.Task) bool { return true }); err != nil {
		return nil, err
	}
	db, err := pgx.Connect(ctx, r.c.Postgres.DSN("tidewatch"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close(context.WithoutCancel(ctx)) }()
	r.begin = time.Now().Truncate(latencyWindow).Add(2 * latencyWindow)
	progress("%d events a second from %s on, for %d windows", r.rate, r.begin.Format("15:04:05"), r.windows)
	looking, stop := context.WithCancel(ctx)
	looked := make(chan error, 1)
	go func() { looked <- r.look(looking, db) }()
	before, _, err := cpuOf(w.Cmd.Process.Pid)
	if err != nil {
		stop()
		return nil, errors.Join(err, <-looked)
	}
	report := &latencyReport{Rate: r.rate, EventBytes: latencyEventBytes, Series: latencyHosts, Windows: r.windows, Machine: machine()}
	began := time.Now()
	err = r.produce(ctx, report)
	report.Seconds = time.Since(began).Seconds()
	after, _, cpuErr := cpuOf(w.Cmd.Process.Pid)
	report.CPUShare = (after - before) / report.Seconds
	err = errors.Join(err, cpuErr)
	report.RSS = bed.Peak(w.Cmd.Process.Pid)
	if err == nil {
		err = r.settle(ctx)
	}
	stop()
	if err = errors.Join(err, <-looked); err != nil {
		return nil, err
	}
	w.Signal(syscall.SIGTERM)
	<-w.Ended
	return report, r.compare(report)
}

// loaded says which hosts are in a window over the threshold.
func loaded(host, window int) bool {
	if window < 0 {
		return false
	}
	x := uint64(host)*0x9e3779b97f4a7c15 ^ uint64(window+1)*0xbf58476d1ce4e5b9
	x ^= x >> 31
	x *= 0x94d049bb133111eb
	return (x^x>>29)%latencyRare == 0
}

// expected follows from the input alone: a host fires at the end of a loaded window, and is resolved at the end of the next one
// that is not. The last windows are not closed by any record.
func (r *latencyRun) expected() map[latencyID]latencyCut {
	want := map[latencyID]latencyCut{}
	for window := range r.windows {
		end := r.begin.Add(time.Duration(window+1) * latencyWindow).UnixNano()
		for host := range latencyHosts {
			id := latencyID{host: hostName(host), at: end}
			switch now, before := loaded(host, window), loaded(host, window-1); {
			case now && !before:
				id.state = "firing"
			case before && !now:
				id.state = "resolved"
			default:
				continue
			}
			want[id] = latencyCut{int32(host % latencyPartitions), end}
		}
	}
	return want
}

func hostName(host int) string { return fmt.Sprintf("host-%05d", host) }

// produce sends events at the rate, with the wall clock as their time, until the last window has been closed in every partition.
func (r *latencyRun) produce(ctx context.Context, report *latencyReport) error {
	if err := sleepTo(ctx, r.begin); err != nil {
		return err
	}
	last := r.begin.Add(time.Duration(r.windows)*latencyWindow + latencyDisorder + 200*time.Millisecond)
	each := time.Second / time.Duration(r.rate)
	ends := [latencyPartitions]int{} // windows whose end the partition has passed
	for i := int64(0); ; i++ {
		at := r.begin.Add(time.Duration(i) * each)
		if at.After(last) {
			report.Events = i
			return errors.Join(r.c.Client.Flush(ctx), r.failure())
		}
		if i%50 == 0 {
			if err := sleepTo(ctx, at); err != nil {
				return err
			}
			report.Behind = max(report.Behind, float64(time.Since(at).Microseconds())/1000)
		}
		host := int(i % latencyHosts)
		p := host % latencyPartitions
		var cut *latencyCut
		if end := r.begin.Add(time.Duration(ends[p]+1) * latencyWindow); !at.Before(end.Add(latencyDisorder)) {
			ends[p]++
			cut = &latencyCut{int32(p), end.UnixNano()}
		}
		r.c.Client.Produce(ctx, &kgo.Record{Topic: "metrics", Partition: int32(p), Key: []byte(hostName(host)), Value: r.event(host, at)},
			func(_ *kgo.Record, err error) { r.acked(cut, err) })
	}
}

func sleepTo(ctx context.Context, at time.Time) error {
	sleepUntil(ctx, at)
	return ctx.Err()
}

func (r *latencyRun) acked(cut *latencyCut, err error) {
	if cut == nil && err == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.mu.failed = err
	} else {
		r.mu.acked[*cut] = time.Now()
	}
}

func (r *latencyRun) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.failed
}

// event has a length of latencyEventBytes.
func (r *latencyRun) event(host int, at time.Time) []byte {
	value := 0.2
	if loaded(host, int(at.Sub(r.begin)/latencyWindow)) {
		value = 0.95
	}
	e := fmt.Appendf(make([]byte, 0, latencyEventBytes), `{"time":"%s","name":"system.load","kind":"gauge","value":%.2f,"tenant":"acme","service":"shop","host":"%s","attributes":{"region":"eu-1","fill":"`,
		at.UTC().Format("2006-01-02T15:04:05.000000000Z"), value, hostName(host))
	for len(e) < latencyEventBytes-len(`"}}`) {
		e = append(e, 'x')
	}
	return append(e, `"}}`...)
}

// look asks Postgres for new transitions again and again.
func (r *latencyRun) look(ctx context.Context, db *pgx.Conn) error {
	tick := time.NewTicker(latencyLook)
	defer tick.Stop()
	since := r.begin.Add(-time.Hour)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		asked := time.Now()
		rows, err := db.Query(context.WithoutCancel(ctx), `SELECT at, body FROM tidewatch.tidewatch_transitions
			WHERE created_at > $1 AND body->>'from' <> body->>'to'`, since)
		if err != nil {
			return err
		}
		for rows.Next() {
			var at int64
			var body []byte
			if err := rows.Scan(&at, &body); err != nil {
				return err
			}
			if err := r.note(at, body); err != nil {
				return err
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		since = asked.Add(-2 * time.Second)
	}
}

// note remembers when a transition was seen first.
func (r *latencyRun) note(at int64, body []byte) error {
	var t struct {
		To    string `json:"to"`
		Alert struct {
			Labels map[string]string `json:"labels"`
		} `json:"alert"`
	}
	if err := json.Unmarshal(body, &t); err != nil {
		return fmt.Errorf("read transition: %w", err)
	}
	id := latencyID{host: t.Alert.Labels["host"], state: t.To, at: at}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.seen[id]; !known {
		r.seen[id] = time.Now()
	}
	return nil
}

// settle waits until everything that must come is there.
func (r *latencyRun) settle(ctx context.Context) error {
	want := len(r.expected())
	err := poll(ctx, 15*time.Second, "all transitions are there", func() (bool, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.seen) >= want, nil
	})
	if ctx.Err() != nil {
		return err
	}
	return nil // what is missing is in the report
}

func (r *latencyRun) compare(report *latencyReport) error {
	var all []time.Duration
	want := r.expected()
	for id, cut := range want {
		seen, ok := r.seen[id]
		if !ok {
			report.Missing++
			continue
		}
		acked, ok := r.mu.acked[cut]
		if !ok {
			return fmt.Errorf("no record has closed the window of partition %d that ends at %d", cut.partition, cut.end)
		}
		all = append(all, max(seen.Sub(acked), 0))
	}
	for id := range r.seen {
		if _, ok := want[id]; !ok {
			report.Foreign++
		}
	}
	report.Transitions = len(all)
	if len(all) == 0 {
		return errors.New("no alert has come; see the log of the worker")
	}
	slices.Sort(all)
	ms := func(share float64) float64 {
		return float64(all[int(share*float64(len(all)-1))].Microseconds()) / 1000
	}
	report.P50, report.P99, report.Max = ms(0.5), ms(0.99), ms(1)
	return nil
}
