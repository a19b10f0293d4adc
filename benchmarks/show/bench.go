package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
	"github.com/tidewatch/tidewatch/benchmarks/drain"
)

// bench measures one workload: a worker process reads a full topic, with ledger, checkpoints and Redis on.
func bench(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.Usage = func() {
		fmt.Fprint(f.Output(), "bench prints one line. cpu_s_per_million: all CPU time of the worker process, from its start to its end.\n"+
			"allocs_per_event: objects allocated on the heap after warm-up, from a quarter of the events to about seven tenths.\n"+
			"fetch_cpu_s_per_million: what franz-go takes that fetches the same topic in a process of its own and does nothing with it.\n"+
			"rss_peak_mb: of the whole run. The machine should do nothing else.\n\n")
		f.PrintDefaults()
	}
	name := f.String("w", "W2", "workload: W2 (keyed) or W4 (the same, re-keyed)")
	events := f.Int64("events", 10_000_000, "events")
	binary := f.String("binary", "bin/tidewatch", "the product")
	profile := f.String("profile", "", "file for a CPU profile of about half the run, which costs some percent")
	keep := f.String("dir", "", "folder for logs; default a temporary one")
	if err := f.Parse(args); err != nil {
		return err
	}
	w, err := drain.Find(*name)
	if err != nil {
		return err
	}
	product, err := bed.Product(*binary)
	if err != nil {
		return err
	}
	dir, done, err := workFolder(*keep, "bench")
	if err != nil {
		return err
	}
	s, err := bed.StartServers(ctx, bed.ForSpeed())
	if err != nil {
		return done(err)
	}
	load := drain.DefaultLoad(w, *events)
	costs, err := measure(ctx, s, w, &drain.Job{Name: "bench", Dir: dir, Binary: product, Load: load, Profile: *profile})
	var bare float64
	if err == nil {
		bare, err = fetchCost(ctx, s.Kafka.Address(), load.Topic, *events)
	}
	if err = done(errors.Join(err, s.Close())); err != nil {
		return err
	}
	allocs := "unknown"
	if costs.Allocs != nil {
		allocs = fmt.Sprintf("%.5f", *costs.Allocs)
	}
	fmt.Printf("%s events=%d cpu_s_per_million=%.3f fetch_cpu_s_per_million=%.3f times_fetch=%.2f rss_peak_mb=%.0f allocs_per_event=%s wall_s=%.1f machine=%q\n",
		w.Name, *events, costs.CPU, bare, costs.CPU/bare, costs.RSS, allocs, costs.Wall, machine())
	return nil
}

func measure(ctx context.Context, s *bed.Servers, w *drain.Workload, j *drain.Job) (*drain.Costs, error) {
	progress("filling the topic with %d events", j.Load.Events)
	if err := j.Load.Fill(ctx, s); err != nil {
		return nil, err
	}
	j.Pipelines = []drain.Pipeline{w.Pipeline(j.Load)}
	return j.Run(ctx, s)
}

// cutLast is what stands before and after the last space.
func cutLast(line string) (front, last string) {
	i := strings.LastIndexByte(line, ' ')
	return line[:max(i, 0)], line[i+1:]
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
