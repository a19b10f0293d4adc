// Command guard measures whether a commit costs more than another: it builds both, and has each drain the same topic in turn.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
	"github.com/tidewatch/tidewatch/benchmarks/drain"
)

// Exit statuses.
const (
	statusRegression = 1
	statusFailed     = 2
)

const (
	sideBase = "base"
	sideHead = "head"
	// leastRuns is how many runs of each can say anything: of three and three that cost the same, one side is the dearer in
	// all in one of ten cases.
	leastRuns = 4
)

type options struct {
	base, head, workload, results, dir string
	runs                               int
	events                             int64
	threshold                          float64
}

func flags() (*flag.FlagSet, *options) {
	o := &options{}
	f := flag.NewFlagSet("guard", flag.ContinueOnError)
	f.StringVar(&o.base, "base", "", "revision to compare with: a commit, branch or tag")
	f.StringVar(&o.head, "head", "", "revision that is judged; default the working tree as it is")
	f.StringVar(&o.workload, "w", "W2", "workload: W2 (keyed) or W4 (the same, re-keyed)")
	f.IntVar(&o.runs, "runs", 5, "runs of each, at least 4")
	f.Int64Var(&o.events, "events", 2_000_000, "events of the topic")
	f.Float64Var(&o.threshold, "threshold", 5, "percent that are a regression if a change counts")
	f.StringVar(&o.results, "results", "", "file to which a JSON line for each run is added")
	f.StringVar(&o.dir, "dir", "", "folder for binaries and logs; default a temporary one")
	f.Usage = func() {
		fmt.Fprint(f.Output(), "usage: guard -base REVISION [flags]\n\n"+
			"guard builds two revisions, fills one topic, and has one worker of each drain it in turn: base, head, base, head, …\n"+
			"Run 0 warms up the servers and is not counted. The machine should do nothing else.\n\n"+
			"  guard -base v1.0                        the working tree against a tag\n"+
			"  guard -base HEAD~5 -head HEAD -w W4     two commits\n\n"+
			"A change counts only if the medians are further apart than the larger of the two ranges between quartiles, and runs that\n"+
			fmt.Sprintf("cost the same would be ordered so by chance in less than %g %% of cases (exact test of Mann and Whitney). A change that\n", 100*mostChance)+
			"counts and is more than the threshold for the worse is a regression. Objects are of no consequence while both make\n"+
			fmt.Sprintf("fewer than %g for an event. Exit status: 0 no regression, 1 a regression, 2 nothing was found out.\n\n", leastObjects))
		f.PrintDefaults()
	}
	return f, o
}

func (o *options) check() error {
	switch {
	case o.base == "":
		return errors.New("-base is missing: name the revision to compare with, such as -base HEAD~1")
	case o.runs < leastRuns:
		return fmt.Errorf("-runs %d: at least %d runs of each are needed to tell a change from chance", o.runs, leastRuns)
	case o.events < 1:
		return errors.New("-events must be at least 1")
	case o.threshold < 0:
		return errors.New("-threshold must be at least 0 percent")
	}
	return nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	regressions, err := guard(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "guard: "+err.Error())
		os.Exit(statusFailed)
	case regressions > 0:
		os.Exit(statusRegression)
	}
}

func guard(ctx context.Context, args []string) (regressions int, err error) {
	f, o := flags()
	if err := f.Parse(args); err != nil {
		return 0, err
	}
	if err := o.check(); err != nil {
		return 0, err
	}
	w, err := drain.Find(o.workload)
	if err != nil {
		return 0, fmt.Errorf("-w: %w", err)
	}
	dir, done, err := bed.WorkFolder(o.dir, "guard")
	if err != nil {
		return 0, err
	}
	runs, err := o.measure(ctx, w, dir)
	if err = done(err); err != nil {
		return 0, err
	}
	verdicts := judge(runs, o.threshold)
	fmt.Print(table(verdicts, runs))
	return worse(verdicts), nil
}

// line is what is kept of a run.
type line struct {
	Command  string `json:"command"`
	Workload string `json:"workload"`
	Side     string `json:"side"`
	Commit   string `json:"commit"`
	Run      int    `json:"run"`
	Events   int64  `json:"events"`
	drain.Costs
	Machine string `json:"machine"`
}

// contest is two binaries on the same servers.
type contest struct {
	*options
	w       *drain.Workload
	dir     string
	sides   []binary
	servers *bed.Servers
	load    drain.Load
	count   bool // instructions
	lines   []line
}

type binary struct{ side, commit, path string }

// measure builds both, and runs them in turn.
func (o *options) measure(ctx context.Context, w *drain.Workload, dir string) (lines []line, err error) {
	c := &contest{options: o, w: w, dir: dir, load: drain.DefaultLoad(w, o.events), count: true}
	if err := c.build(ctx); err != nil {
		return nil, err
	}
	if err := drain.CanCount(); err != nil {
		bed.Progress("%v", err)
		c.count = false
	}
	if c.servers, err = bed.StartServers(ctx, bed.ForSpeed()); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.servers.Close()) }()
	bed.Progress("filling the topic with %d events", o.events)
	if err := c.load.Fill(ctx, c.servers); err != nil {
		return nil, err
	}
	if _, err := c.run(ctx, &c.sides[0], 0); err != nil { // the servers warm up
		return nil, err
	}
	for run := range o.runs {
		for i := range c.sides {
			l, err := c.run(ctx, &c.sides[i], run+1)
			if err != nil {
				return nil, err
			}
			c.lines = append(c.lines, *l)
			if err := keep(o.results, l); err != nil {
				return nil, err
			}
		}
	}
	return c.lines, nil
}

func (c *contest) build(ctx context.Context) error {
	for _, side := range []struct{ name, revision string }{{sideBase, c.base}, {sideHead, c.head}} {
		commit, err := bed.Commit(ctx, side.revision)
		if err != nil {
			return fmt.Errorf("-%s: %w", side.name, err)
		}
		bed.Progress("building %s, %s", side.name, commit)
		b := binary{side: side.name, commit: commit, path: filepath.Join(c.dir, "tidewatch-"+side.name)}
		if err := build(ctx, side.revision, filepath.Join(c.dir, side.name), b.path); err != nil {
			return err
		}
		c.sides = append(c.sides, b)
	}
	return nil
}

// run has one of them drain the topic once.
func (c *contest) run(ctx context.Context, b *binary, run int) (*line, error) {
	job := &drain.Job{
		Name: fmt.Sprintf("%s_%d", b.side, run), Dir: c.dir, Binary: b.path, Load: c.load, Pipelines: []drain.Pipeline{c.w.Pipeline(c.load)}, Count: c.count,
	}
	costs, err := job.Run(ctx, c.servers)
	if err != nil {
		return nil, fmt.Errorf("run %s at %s: %w", b.side, b.commit, err)
	}
	bed.Progress("run %d, %s at %s: %.3f CPU-s per million, peak %.0f MB", run, b.side, b.commit, costs.CPU, costs.RSS)
	return &line{
		Command: "guard", Workload: c.w.Name, Side: b.side, Commit: b.commit, Run: run, Events: c.events, Costs: *costs, Machine: bed.Machine(),
	}, nil
}

// keep adds a line to the file of results, if there is to be one.
func keep(name string, l *line) error {
	if name == "" {
		return nil
	}
	return bed.AppendLine(name, l)
}
