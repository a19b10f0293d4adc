package main

import (
	"bufio"
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/sources/generate"
	"github.com/tidewatch/tidewatch/stream"
)

//go:embed pipelines/w*.yaml
var workloads embed.FS

const (
	benchHosts      = 20_000
	benchPartitions = 4
)

// bench measures one workload: a worker process reads a full topic, with ledger, checkpoints and Redis on.
func bench(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	w := f.String("w", "W2", "workload: W2 (keyed) or W4 (the same, re-keyed)")
	events := f.Int64("events", 10_000_000, "events")
	binary := f.String("binary", "bin/tidewatch", "the product")
	keep := f.String("dir", "", "folder for logs; default a temporary one")
	if err := f.Parse(args); err != nil {
		return err
	}
	name := strings.ToLower(*w)
	pipeline, err := workloads.ReadFile("pipelines/" + name + ".yaml")
	if err != nil {
		return fmt.Errorf("there is no workload %s; there are W2 and W4", *w)
	}
	dir, done, err := workFolder(*keep, "bench")
	if err != nil {
		return err
	}
	c, err := clusterFor(ctx, dir, *binary, name+".yaml", pipeline)
	if err != nil {
		return err
	}
	err = measure(ctx, c, name, *events)
	return done(errors.Join(err, c.close()))
}

func measure(ctx context.Context, c *cluster, name string, events int64) error {
	if err := c.createTopic(ctx, "metrics", benchPartitions); err != nil {
		return err
	}
	progress("filling the topic with %d events", events)
	if err := fill(ctx, c, events, name == "w4"); err != nil {
		return err
	}
	began := time.Now()
	w, err := c.addWorker(ctx, "bench")
	if err != nil {
		return err
	}
	allocs, err := allocations(ctx, w, began, events)
	if err != nil {
		return err
	}
	wanted := []want{{name, "main", benchPartitions}}
	if name == "w4" {
		wanted = []want{{name, "fold", benchPartitions}, {name, "merge", 4}}
	}
	tasks, err := c.await(ctx, 5*time.Minute, wanted, func([]task) bool { return true })
	if err != nil {
		return err
	}
	wall := time.Since(began) - time.Second // await sees three calm polls, half a second apart
	var counted int64
	for _, t := range tasks {
		if t.Pipeline == name && t.Stage != "merge" {
			for _, n := range t.Ledger {
				counted += n
			}
		}
	}
	if counted != events {
		return fmt.Errorf("the ledger holds %d of %d events", counted, events)
	}
	rss := peak(w.cmd.Process.Pid)
	w.signal(syscall.SIGTERM)
	<-w.ended
	cpu := (w.cmd.ProcessState.UserTime() + w.cmd.ProcessState.SystemTime()).Seconds()
	fmt.Printf("%s events=%d cpu_s_per_million=%.3f rss_peak_mb=%.0f allocs_per_event=%.5f wall_s=%.1f machine=%q\n",
		strings.ToUpper(name), events, cpu/float64(events)*1e6, rss, allocs, wall.Seconds(), machine())
	return nil
}

// allocations is how many the worker makes for an event after warm-up: between a quarter of the events, by when an empty
// Redis is filled and the buffers have their size, and about three quarters. Nobody asks the worker anything meanwhile, and
// what the first look itself costs is taken off, as two looks in a row tell.
func allocations(ctx context.Context, w *worker, began time.Time, events int64) (float64, error) {
	warm, err := warmUp(ctx, w, events/4)
	if err != nil {
		return 0, err
	}
	again, err := sample(ctx, w)
	if err != nil {
		return 0, err
	}
	while := time.Duration(0.45 * float64(time.Since(began)) * float64(events) / max(again.fetched, 1))
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(while):
	}
	end, err := sample(ctx, w)
	if err != nil {
		return 0, err
	}
	// Between two looks in a row lies one look and what few events cost; between the second and the last one look more.
	perEvent := func(looks float64) float64 {
		return (end.mallocs - again.mallocs - looks) / max(end.fetched-again.fetched, 1)
	}
	look := again.mallocs - warm.mallocs - perEvent(0)*(again.fetched-warm.fetched)
	return perEvent(look), nil
}

// fill produces the events; keyed by host, or without keys.
func fill(ctx context.Context, c *cluster, events int64, nilKeys bool) error {
	g := generate.Default("bench")
	g.Seed, g.Hosts, g.Partitions, g.NilKeys = 7, benchHosts, benchPartitions, nilKeys
	g.Start = stream.TimeOf(time.Now().Add(-2 * time.Hour).Truncate(time.Second))
	gen, err := generate.New(g)
	if err != nil {
		return err
	}
	var failed error
	for i := range events {
		var e generate.Event
		gen.Event(i, &e)
		c.client.Produce(ctx, &kgo.Record{Topic: "metrics", Partition: e.Partition, Key: e.Key, Value: e.Value}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed = err
			}
		})
	}
	return errors.Join(c.client.Flush(ctx), failed)
}

// counters are what a worker tells on its admin port.
type counters struct {
	mallocs, fetched float64
	byPipeline       map[string]float64 // fetched of the topic metrics
}

func (c *counters) pipeline(name string) float64 { return c.byPipeline[name] }

func sample(ctx context.Context, w *worker) (s counters, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.admin+"/metrics", nil)
	if err != nil {
		return s, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	s.byPipeline = map[string]float64{}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		v, _ := strconv.ParseFloat(value, 64)
		switch {
		case name == "go_memstats_mallocs_total":
			s.mallocs = v
		case strings.HasPrefix(name, "tidewatch_records_fetched_total{") && strings.Contains(name, `topic="metrics"`):
			s.fetched += v
			_, rest, _ := strings.Cut(name, `pipeline="`)
			pipeline, _, _ := strings.Cut(rest, `"`)
			s.byPipeline[pipeline] += v
		}
	}
	return s, lines.Err()
}

// warmUp waits until so many events are read.
func warmUp(ctx context.Context, w *worker, events int64) (counters, error) {
	for deadline := time.Now().Add(time.Minute); ; {
		s, err := sample(ctx, w)
		if err == nil && s.fetched >= float64(events) {
			return s, nil
		}
		if time.Now().After(deadline) {
			return s, fmt.Errorf("the worker read %.0f events in a minute: %w", s.fetched, errors.Join(err, errors.New("see its log in "+w.c.dir)))
		}
		select {
		case <-ctx.Done():
			return s, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// peak is the highest resident memory of a process in megabytes, 0 where the system does not tell.
func peak(pid int) float64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.SplitSeq(string(data), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024
		}
	}
	return 0
}

// machine names the processor and how many there are.
func machine() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	model, n := "unknown", 0
	for line := range strings.SplitSeq(string(data), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model, n = strings.TrimSpace(value), n+1
		}
	}
	return fmt.Sprintf("%d x %s", n, model)
}
