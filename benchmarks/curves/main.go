// Command curves measures what one worker costs when one thing of a workload changes: partitions, keys, open windows, cores, or
// pipelines that read the same topic.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
	"github.com/tidewatch/tidewatch/benchmarks/drain"
)

type options struct {
	curves, results, binary, dir string
	events                       int64
	runs                         int
	svg                          bool
}

func flags() (*flag.FlagSet, *options) {
	o := &options{}
	f := flag.NewFlagSet("curves", flag.ContinueOnError)
	f.StringVar(&o.curves, "curve", strings.Join(names(), ","), "curves to measure or to draw")
	f.Int64Var(&o.events, "events", 10_000_000, "events of each topic")
	f.IntVar(&o.runs, "runs", 3, "drains of each topic at each point")
	f.StringVar(&o.results, "results", "benchmarks/results/curves.jsonl", "file to which a JSON line for each drain is added; the pictures are put beside it")
	f.StringVar(&o.binary, "binary", "bin/tidewatch", "the product")
	f.StringVar(&o.dir, "dir", "", "folder for logs; default a temporary one")
	f.BoolVar(&o.svg, "svg", false, "measure nothing, only draw what the file of results holds")
	f.Usage = func() {
		fmt.Fprint(f.Output(), "usage: curves [flags]\n\n"+
			"curves has one worker drain full topics of the workload W2 (4 partitions, 20,000 keys, 14 open windows, all cores, one\n"+
			"pipeline), of which each curve changes one thing. Run 0 warms up the servers and is not kept. The machine should do nothing else.\n\n"+
			"  curves                                  all curves, about an hour\n"+
			"  curves -curve partitions,keys -runs 5   two of them\n"+
			"  curves -svg                             draw them again\n\n"+
			"A picture shows the newest lines of its curve: those with the commit, machine and number of events of the last one.\n\n")
		f.PrintDefaults()
	}
	return f, o
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "curves: "+err.Error())
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	f, o := flags()
	if err := f.Parse(args); err != nil {
		return err
	}
	if o.events < 1 || o.runs < 1 {
		return errors.New("-events and -runs must be at least 1")
	}
	chosen, err := choose(o.curves)
	if err != nil {
		return err
	}
	if !o.svg {
		if err := o.measureAll(ctx, chosen); err != nil {
			return err
		}
	}
	return o.draw(chosen)
}

// choose picks curves by their names.
func choose(wanted string) (chosen []curve, err error) {
	all := curves()
	for name := range strings.SplitSeq(wanted, ",") {
		i := slices.IndexFunc(all, func(c curve) bool { return c.name == strings.TrimSpace(name) })
		if i < 0 {
			return nil, fmt.Errorf("-curve %q: there are %s", name, strings.Join(names(), ", "))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// bench is what all points share.
type bench struct {
	*options
	w               *drain.Workload
	servers         *bed.Servers
	machine, commit string
	jobs            int
}

func (o *options) measureAll(ctx context.Context, chosen []curve) (err error) {
	b := &bench{options: o, machine: bed.Machine()}
	if b.w, err = drain.Find("W2"); err != nil {
		return err
	}
	if b.commit, err = bed.Commit(ctx, ""); err != nil {
		return err
	}
	if o.binary, err = bed.Product(o.binary); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(o.results), 0o755); err != nil {
		return err
	}
	dir, done, err := bed.WorkFolder(o.dir, "curves")
	if err != nil {
		return err
	}
	o.dir = dir
	if b.servers, err = bed.StartServers(ctx, bed.ForSpeed()); err != nil {
		return done(err)
	}
	for i := range chosen {
		if err = b.measure(ctx, &chosen[i]); err != nil {
			err = fmt.Errorf("curve %s: %w", chosen[i].name, err)
			break
		}
	}
	return done(errors.Join(err, b.servers.Close()))
}

// measure measures all points of a curve. Points that read the same events share a topic, and take turns.
func (b *bench) measure(ctx context.Context, c *curve) error {
	for _, group := range b.groups(c) {
		load := group[0].load
		bed.Progress("%s: filling topic %s with %d events", c.name, load.Topic, load.Events)
		if err := load.Fill(ctx, b.servers); err != nil {
			return err
		}
		if b.jobs == 0 { // the servers warm up
			if _, err := b.drain(ctx, c, &group[0], 0); err != nil {
				return err
			}
		}
		if err := b.turns(ctx, c, group); err != nil {
			return err
		}
		if err := load.Remove(ctx, b.servers); err != nil {
			return err
		}
	}
	return nil
}

// turns drains a topic for each of its points, again and again.
func (b *bench) turns(ctx context.Context, c *curve, group []point) error {
	for run := range b.runs {
		for i := range group {
			l, err := b.drain(ctx, c, &group[i], run+1)
			if err != nil {
				return err
			}
			if err := bed.AppendLine(b.results, l); err != nil {
				return err
			}
		}
	}
	return nil
}

// groups are the points of a curve by the events that they read.
func (b *bench) groups(c *curve) (groups [][]point) {
	for _, x := range c.values {
		if c.needs != nil && !c.needs(x, b.events) {
			bed.Progress("%s: %d is left out: with %d events there would not be so many", c.name, x, b.events)
			continue
		}
		p := point{x: x, load: drain.DefaultLoad(b.w, b.events), pipelines: 1}
		c.set(&p, x)
		last := len(groups) - 1
		if last >= 0 && p.sameEvents(&groups[last][0]) {
			p.load.Topic = groups[last][0].load.Topic
			groups[last] = append(groups[last], p)
			continue
		}
		p.load.Topic = fmt.Sprintf("metrics-%s-%d", c.name, x)
		groups = append(groups, []point{p})
	}
	return groups
}

func (b *bench) drain(ctx context.Context, c *curve, p *point, run int) (*line, error) {
	b.jobs++
	j := &drain.Job{Name: fmt.Sprintf("job_%d", b.jobs), Dir: b.dir, Binary: b.binary, Env: p.env, Load: p.load}
	for i := range p.pipelines {
		j.Pipelines = append(j.Pipelines, b.w.Named(fmt.Sprintf("w2-%d", i+1), p.load))
	}
	costs, err := j.Run(ctx, b.servers)
	if err != nil {
		return nil, fmt.Errorf("at %d: %w", p.x, err)
	}
	bed.Progress("%s %d, run %d: %.3f CPU-s per million, peak %.0f MB, %.1f s", c.name, p.x, run, costs.CPU, costs.RSS, costs.Wall)
	return &line{Curve: c.name, X: p.x, Run: run, Events: b.events, Costs: *costs, Machine: b.machine, Commit: b.commit}, nil
}
