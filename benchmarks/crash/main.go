// Command crash shows that the answer is the same, whatever breaks: real workers on real servers are killed, paused and cut
// off at points that a seed draws, and what came out is compared with what an oracle computes from the input alone. A failing
// run prints the command that plays the same schedule again. `make crash` runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

func main() { os.Exit(command()) }

func command() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := crash(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "crash: "+err.Error())
		return 1
	}
	return 0
}

// options are the flags.
type options struct {
	binary, dir, only, results, log string
	share, mutant                   string
	seed                            uint64
	runs                            int
	minutes                         float64
	short, mutants, missing         bool
	commit                          string
}

func crash(ctx context.Context, args []string) error {
	var o options
	f := flag.NewFlagSet("crash", flag.ContinueOnError)
	f.StringVar(&o.binary, "binary", "bin/tidewatch-faults", "the product, built with the tag faults")
	f.StringVar(&o.dir, "dir", "", "folder for files and logs; default a temporary one, removed when all is equal")
	f.StringVar(&o.only, "scenario", "", "names of scenarios, with commas; default all")
	f.StringVar(&o.results, "results", "", "Markdown file that takes the table of all that is in the log")
	f.StringVar(&o.log, "log", "", "file of JSON lines that each run is appended to; default NAME-runs.jsonl or NAME-mutants.jsonl beside -results NAME.md")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the first run; the next ones count up")
	f.IntVar(&o.runs, "runs", 1, "runs of each scenario")
	f.Float64Var(&o.minutes, "minutes", 0, "play round after round for so long instead, with seeds that the log does not hold")
	f.StringVar(&o.share, "share", shareEven, "kills: scenarios that kill most are played between any two others; even: all alike")
	f.BoolVar(&o.short, "short", false, "the bounded form: some of the scenarios, with half of the load")
	f.BoolVar(&o.mutants, "mutants", false, "plant bugs instead, and see each caught by its scenario")
	f.BoolVar(&o.missing, "missing", false, "of the bugs only those that the log does not show as caught")
	f.StringVar(&o.mutant, "mutant", "", "a part of the names of the bugs to be planted; default all")
	if err := f.Parse(args); err != nil {
		return err
	}
	if o.share != shareEven && o.share != shareKills {
		return fmt.Errorf("-share %s: there are %s and %s", o.share, shareEven, shareKills)
	}
	chosen, err := choose(o.only)
	if err != nil {
		return err
	}
	if o.short {
		chosen = slices.DeleteFunc(chosen, func(s scenario) bool { return !s.short })
	}
	o.commit = commit(ctx)
	if name, ok := strings.CutSuffix(o.results, ".md"); ok && o.log == "" {
		o.log = name + map[bool]string{false: "-runs.jsonl", true: "-mutants.jsonl"}[o.mutants]
	}
	temporary := o.dir == ""
	if temporary {
		if o.dir, err = os.MkdirTemp("", "crash-"); err != nil {
			return err
		}
	} else if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return err
	}
	if err := o.play(ctx, chosen); err != nil {
		return err
	}
	if temporary {
		return os.RemoveAll(o.dir)
	}
	return nil
}

// play does what the flags say, on servers of its own.
func (o *options) play(ctx context.Context, chosen []scenario) (err error) {
	l, err := openLab(ctx, o.dir, o.binary)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.end()) }()
	l.short = o.short
	if o.mutants {
		log, err := openHistory[caught](o.log)
		if err != nil {
			return err
		}
		return l.mutate(ctx, o, log)
	}
	log, err := openHistory[outcome](o.log)
	if err != nil {
		return err
	}
	return l.all(ctx, chosen, o, log)
}

func choose(names string) (chosen []scenario, err error) {
	all := scenarios()
	if names == "" {
		return all, nil
	}
	for name := range strings.SplitSeq(names, ",") {
		found := false
		for _, s := range all {
			if s.name == name {
				chosen, found = append(chosen, s), true
			}
		}
		if !found {
			var known []string
			for _, s := range all {
				known = append(known, s.name)
			}
			return nil, fmt.Errorf("-scenario %s: there are %s", name, strings.Join(known, ", "))
		}
	}
	return chosen, nil
}
