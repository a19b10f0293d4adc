// Command peers gives the same work to Tidewatch and to the engines that people would take instead, on one broker, one after
// the other, and compares what came out with SQL over the same events. It prints a JSON line for each engine. `make bench-peers`
// runs it, and benchmarks/README.md says how to read it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() { os.Exit(command()) }

func command() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := peers(ctx, os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, "peers: "+err.Error())
		return 1
	}
	return 0
}

// options are the flags.
type options struct {
	workloads, engines           string
	events                       int64
	runs, rate, windows, hosts   int
	checkpoint, limit, killEvery time.Duration
	binary, dir, results, tables string
}

func flags() (*flag.FlagSet, *options) {
	o := &options{}
	f := flag.NewFlagSet("peers", flag.ContinueOnError)
	f.StringVar(&o.workloads, "w", "W2", "names of workloads, with commas: "+strings.Join(names(workloads(), func(w workload) string { return w.name }), ", "))
	f.StringVar(&o.engines, "engines", "flink,flink-rocksdb,kstreams,bytewax,tidewatch",
		"names of engines, with commas: "+strings.Join(names(engines(), func(e engine) string { return e.name }), ", "))
	f.Int64Var(&o.events, "events", 10_000_000, "events in the topic")
	f.IntVar(&o.hosts, "hosts", 0, "hosts, for trials with few events; event time goes as much slower, so each is heard of as often. 0: as many as the workload has")
	f.IntVar(&o.runs, "runs", 1, "runs of each engine, in turn")
	f.IntVar(&o.rate, "rate", 0, "measure latency instead, at so many events a second, for the workloads with windows")
	f.IntVar(&o.windows, "windows", 6, "windows of ten seconds whose latency is judged, after two that warm up")
	f.DurationVar(&o.checkpoint, "checkpoint", 10*time.Second, "interval of checkpoints and commits, of all engines")
	f.DurationVar(&o.killEvery, "kill-every", 20*time.Second, "of W8: an engine that has lived so long is killed (SIGKILL) and started again, until it has read everything")
	f.DurationVar(&o.limit, "limit", 40*time.Minute, "an engine that takes longer has failed")
	f.StringVar(&o.binary, "binary", "bin/tidewatch", "the product")
	f.StringVar(&o.dir, "dir", "", "folder for files and logs; default a temporary one, removed when all is equal")
	f.StringVar(&o.results, "results", "", "file that the JSON lines are appended to")
	f.StringVar(&o.tables, "tables", "", "only print the Markdown tables of a file of -results")
	f.Usage = func() {
		fmt.Fprint(f.Output(), "usage: peers [flags]\n\npeers gives the same work to several engines and compares costs and answers.\n\n"+
			"  peers -w W2 -events 200000 -engines flink,tidewatch     drain a full topic\n"+
			"  peers -w W2 -rate 50000                                 latency at a fixed rate\n"+
			"  peers -tables benchmarks/results/peers.jsonl            tables of what was saved\n\n")
		f.PrintDefaults()
	}
	return f, o
}

// names are those of a table, in its order.
func names[T any](table []T, name func(T) string) (all []string) {
	for _, entry := range table {
		all = append(all, name(entry))
	}
	return all
}

// choose picks entries of a table by their names.
func choose[T any](what, wanted string, table []T, name func(T) string) (chosen []T, err error) {
	for one := range strings.SplitSeq(wanted, ",") {
		found := false
		for _, entry := range table {
			if strings.EqualFold(name(entry), strings.TrimSpace(one)) {
				chosen, found = append(chosen, entry), true
			}
		}
		if !found {
			return nil, fmt.Errorf("%s %q: there are %s", what, one, strings.Join(names(table, name), ", "))
		}
	}
	return chosen, nil
}

func peers(ctx context.Context, args []string) error {
	f, o := flags()
	if err := f.Parse(args); err != nil {
		return err
	}
	if o.tables != "" {
		lines, err := readLines(o.tables)
		if err != nil {
			return err
		}
		fmt.Print(tables(lines))
		return nil
	}
	works, err := choose("-w", o.workloads, workloads(), func(w workload) string { return w.name })
	if err != nil {
		return err
	}
	chosen, err := choose("-engines", o.engines, engines(), func(e engine) string { return e.name })
	if err != nil {
		return err
	}
	if err := o.check(works); err != nil {
		return err
	}
	temporary := o.dir == ""
	if temporary {
		if o.dir, err = os.MkdirTemp("", "peers-"); err != nil {
			return err
		}
	} else if o.dir, err = filepath.Abs(o.dir); err == nil {
		err = os.MkdirAll(o.dir, 0o700)
	}
	if err != nil {
		return err
	}
	if err := o.run(ctx, works, chosen); err != nil {
		return fmt.Errorf("%w; files and logs are in %s", err, o.dir)
	}
	if temporary {
		return os.RemoveAll(o.dir)
	}
	return nil
}

func (o *options) check(works []workload) error {
	switch {
	case o.events < 1 || o.runs < 1 || o.windows < 1 || o.rate < 0 || o.hosts < 0:
		return errors.New("-events, -runs and -windows must be at least 1, -rate and -hosts at least 0")
	case o.checkpoint < 100*time.Millisecond:
		return errors.New("-checkpoint must be at least 100ms")
	case o.killEvery < time.Second:
		return errors.New("-kill-every must be at least 1s")
	case o.rate > 0 && o.hosts > 0:
		return fmt.Errorf("-hosts is for drains: with -rate there are always %d", latencyHosts)
	case o.rate > 0 && o.rate < latencyHosts:
		return fmt.Errorf("-rate %d: each of %d hosts has to be heard of in each window, give at least that many a second", o.rate, latencyHosts)
	}
	for i := range works {
		if w := &works[i]; o.rate > 0 && !w.latency {
			return fmt.Errorf("-rate: the latency of %s is not measured", w.name)
		}
	}
	return nil
}

// run has every engine do every workload.
func (o *options) run(ctx context.Context, works []workload, chosen []engine) (err error) {
	l, err := openLab(ctx, o, chosen)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	for i := range works {
		if o.rate > 0 {
			err = l.latencies(ctx, &works[i], chosen)
		} else {
			err = l.drains(ctx, &works[i], chosen)
		}
		if err != nil {
			return err
		}
	}
	fmt.Fprint(os.Stderr, "\n"+tables(l.lines))
	if l.wrong > 0 {
		return fmt.Errorf("%d of %d runs failed, or their answers are not equal", l.wrong, len(l.lines))
	}
	return nil
}
