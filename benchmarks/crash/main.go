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
	"strings"
	"syscall"
	"time"
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
	binary, dir, only, results string
	seed                       uint64
	runs                       int
	short, mutants             bool
}

func crash(ctx context.Context, args []string) error {
	var o options
	f := flag.NewFlagSet("crash", flag.ContinueOnError)
	f.StringVar(&o.binary, "binary", "bin/tidewatch-faults", "the product, built with the tag faults")
	f.StringVar(&o.dir, "dir", "", "folder for files and logs; default a temporary one, removed when all is equal")
	f.StringVar(&o.only, "scenario", "", "names of scenarios, with commas; default all")
	f.StringVar(&o.results, "results", "", "Markdown file that takes the table")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the first run; the next ones count up")
	f.IntVar(&o.runs, "runs", 1, "runs of each scenario")
	f.BoolVar(&o.short, "short", false, "the bounded form: some of the scenarios, once each")
	f.BoolVar(&o.mutants, "mutants", false, "plant bugs instead, and see each caught by its scenario")
	if err := f.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(o.only)
	if err != nil {
		return err
	}
	temporary := o.dir == ""
	if temporary {
		if o.dir, err = os.MkdirTemp("", "crash-"); err != nil {
			return err
		}
	} else if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return err
	}
	l, err := openLab(ctx, o.dir, o.binary)
	if err != nil {
		return err
	}
	var text string
	if o.mutants {
		var all []*caught
		all, err = l.mutate(ctx, &o)
		text = mutantsTable(all)
	} else {
		var rows []*tally
		rows, err = l.all(ctx, chosen, &o)
		text = runsTable(rows)
	}
	err = errors.Join(err, l.end())
	if o.results != "" {
		err = errors.Join(err, writeResults(ctx, &o, text))
	}
	if err == nil && temporary {
		return os.RemoveAll(o.dir)
	}
	return err
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

// all plays the scenarios in turn, so that an aborted run has seen something of each. It stops at the first failure.
func (l *lab) all(ctx context.Context, chosen []scenario, o *options) ([]*tally, error) {
	rows := make([]*tally, len(chosen))
	for i := range chosen {
		rows[i] = &tally{scenario: &chosen[i], points: map[string]int{}}
	}
	for n := range o.runs {
		for i := range chosen {
			if o.short && n >= chosen[i].short {
				continue
			}
			seed := o.seed + uint64(n)
			if err := l.once(ctx, rows[i], seed); err != nil {
				return rows, fmt.Errorf("%s with seed %d: %w\nfiles and logs are in %s; again: make crash SCENARIO=%s SEED=%d RUNS=1",
					chosen[i].name, seed, err, l.dir, chosen[i].name, seed)
			}
		}
	}
	return rows, nil
}

// once plays one run, prints its line, and adds it to the row of its scenario.
func (l *lab) once(ctx context.Context, row *tally, seed uint64) error {
	r, err := l.open(ctx, row.scenario, seed)
	if err != nil {
		return err
	}
	r.began = time.Now()
	v, err := r.all(ctx, row.scenario)
	if err == nil {
		row.add(r, v)
		fmt.Printf("%-22s seed=%d kills=%d records=%d lost=%d doubled=%d wrong=%d catch_up_s=%.1f seconds=%.1f\n", row.scenario.name, seed,
			r.kills, v.Records, v.Lost, v.Doubled, v.Wrong, r.caughtUp.Sub(r.calm).Seconds(), time.Since(r.began).Seconds())
		if !v.good() {
			err = fmt.Errorf("not equal:\n  %s", strings.Join(v.Examples, "\n  "))
		}
	}
	if err != nil && !l.hunting {
		r.bed.Leave() // what it has written stays, to be looked at
		return err
	}
	return errors.Join(err, r.leave(ctx))
}

func (r *run) all(ctx context.Context, s *scenario) (*verdict, error) {
	if err := s.play(ctx, r); err != nil {
		return nil, err
	}
	if !s.settled {
		if err := r.settle(ctx); err != nil {
			return nil, err
		}
	}
	if err := r.hits(); err != nil {
		return nil, err
	}
	return r.compare(ctx)
}
