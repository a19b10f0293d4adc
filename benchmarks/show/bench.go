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

	"github.com/tidewatch/tidewatch/benchmarks/bed"
	"github.com/tidewatch/tidewatch/sources/generate"
	"github.com/tidewatch/tidewatch/stream"
)

//go:embed pipelines/w*.yaml pipelines/latency.yaml
var workloads embed.FS

const (
	benchHosts      = 20_000
	benchPartitions = 4
)

// bench measures one workload: a worker process reads a full topic, with ledger, checkpoints and Redis on.
func bench(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.Usage = func() {
		fmt.Fprint(f.Output(), "bench prints one line. cpu_s_per_million: all CPU time of the worker process, from its start to its end.\n"+
			"allocs_per_event: objects allocated on the heap after warm-up, from a quarter of the events to about seven tenths.\n"+
			"rss_peak_mb: of the whole run. The machine should do nothing else.\n\n")
		f.PrintDefaults()
	}
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
	c, err := bed.For(ctx, dir, *binary, name+".yaml", pipeline)
	if err != nil {
		return err
	}
	err = measure(ctx, c, name, *events)
	return done(errors.Join(err, c.Close()))
}

func measure(ctx context.Context, c *bed.Cluster, name string, events int64) error {
	if err := c.CreateTopic(ctx, "metrics", benchPartitions); err != nil {
		return err
	}
	progress("filling the topic with %d events", events)
	if err := fill(ctx, c, events, name == "w4"); err != nil {
		return err
	}
	began := time.Now()
	w, err := c.AddWorker(ctx, "bench")
	if err != nil {
		return err
	}
	allocs, err := allocations(ctx, w, began, events)
	if err != nil {
		return err
	}
	wanted := []bed.Want{{Pipeline: name, Stage: "main", Tasks: benchPartitions}}
	if name == "w4" {
		wanted = []bed.Want{{Pipeline: name, Stage: "fold", Tasks: benchPartitions}, {Pipeline: name, Stage: "merge", Tasks: 4}}
	}
	tasks, err := c.Await(ctx, 5*time.Minute, wanted, func([]bed.Task) bool { return true })
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
	rss := peak(w.Cmd.Process.Pid)
	w.Signal(syscall.SIGTERM)
	<-w.Ended
	cpu := (w.Cmd.ProcessState.UserTime() + w.Cmd.ProcessState.SystemTime()).Seconds()
	fmt.Printf("%s events=%d cpu_s_per_million=%.3f rss_peak_mb=%.0f allocs_per_event=%.5f wall_s=%.1f machine=%q\n",
		strings.ToUpper(name), events, cpu/float64(events)*1e6, rss, allocs, wall.Seconds(), machine())
	return nil
}

// allocations is how many objects the worker makes on the heap for an event after warm-up: from a quarter of the events, by
// when several windows were closed, an empty Redis is filled and the buffers have their size, to about seven tenths. Nobody
// asks the worker anything meanwhile, and the two answers cost it a few dozen objects.
func allocations(ctx context.Context, w *bed.Worker, began time.Time, events int64) (float64, error) {
	objects, fetched, err := warmUp(ctx, w, events/4)
	if err != nil {
		return 0, err
	}
	while := time.Duration(0.45 * float64(time.Since(began)) * float64(events) / float64(fetched))
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(while):
	}
	objectsThen, fetchedThen, err := allocated(ctx, w)
	if err != nil {
		return 0, err
	}
	return float64(objectsThen-objects) / float64(max(fetchedThen-fetched, 1)), nil
}

// allocated asks the worker for the objects that it has allocated and the events that it has read.
func allocated(ctx context.Context, w *bed.Worker) (objects, fetched int64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.Admin+"/debug/allocations", nil)
	if err != nil {
		return 0, 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value := cutLast(lines.Text())
		n, err := strconv.ParseInt(value, 10, 64)
		switch {
		case err != nil:
			return 0, 0, fmt.Errorf("read %s: %q: %w", req.URL, lines.Text(), err)
		case name == "objects":
			objects = n
		case name == "fetched metrics":
			fetched = n
		}
	}
	return objects, fetched, lines.Err()
}

// cutLast is what stands before and after the last space.
func cutLast(line string) (front, last string) {
	i := strings.LastIndexByte(line, ' ')
	return line[:max(i, 0)], line[i+1:]
}

// fill produces the events; keyed by host, or without keys.
func fill(ctx context.Context, c *bed.Cluster, events int64, nilKeys bool) error {
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
		c.Client.Produce(ctx, &kgo.Record{Topic: "metrics", Partition: e.Partition, Key: e.Key, Value: e.Value}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed = err
			}
		})
	}
	return errors.Join(c.Client.Flush(ctx), failed)
}

// fetchedBy asks the worker how many records of the topic metrics a pipeline has read.
func fetchedBy(ctx context.Context, w *bed.Worker, pipeline string) (records int64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.Admin+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value := cutLast(lines.Text())
		if strings.HasPrefix(name, "tidewatch_records_fetched_total{") && strings.Contains(name, `topic="metrics"`) &&
			strings.Contains(name, fmt.Sprintf("pipeline=%q", pipeline)) {
			v, _ := strconv.ParseFloat(value, 64)
			records += int64(v)
		}
	}
	return records, lines.Err()
}

// warmUp waits until so many events are read.
func warmUp(ctx context.Context, w *bed.Worker, events int64) (objects, fetched int64, err error) {
	for deadline := time.Now().Add(time.Minute); ; {
		objects, fetched, err = allocated(ctx, w)
		if err == nil && fetched >= events {
			return objects, fetched, nil
		}
		if time.Now().After(deadline) {
			return 0, 0, fmt.Errorf("the worker read %d events in a minute: %w", fetched, errors.Join(err, errors.New("see its log, "+w.Log())))
		}
		select {
		case <-ctx.Done():
			return 0, 0, ctx.Err()
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
