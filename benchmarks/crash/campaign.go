package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// shortFor bounds the bounded form: no run begins later.
const shortFor = 4 * time.Minute

// runLimit bounds a run that hangs.
const runLimit = 6 * time.Minute

// round is the order in which the scenarios are played once. If the share is that of kills, those that kill most come again
// between any two of the others.
func round(chosen []scenario, share string) (all []*scenario) {
	var heavy []*scenario
	for i := range chosen {
		if chosen[i].heavy && share == shareKills {
			heavy = append(heavy, &chosen[i])
		}
	}
	for i := range chosen {
		if !chosen[i].heavy || share != shareKills {
			all = append(append(all, &chosen[i]), heavy...)
		}
	}
	if len(all) == 0 {
		return heavy
	}
	return all
}

// What -share may be.
const (
	shareEven  = "even"
	shareKills = "kills"
)

// turns is what is played: round after round, so that a command that is aborted has seen something of each scenario. With a
// time to fill it goes on until then, with seeds that the log does not hold yet.
func (o *options) turns(chosen []scenario, log *history[outcome]) iter.Seq2[*scenario, uint64] {
	type key struct {
		scenario string
		seed     uint64
	}
	played := map[key]bool{}
	for i := range log.all {
		played[key{log.all[i].Scenario, log.all[i].Seed}] = o.minutes > 0
	}
	next := map[*scenario]uint64{}
	until := time.Now().Add(time.Duration(o.minutes * float64(time.Minute)))
	over := func(n int) bool {
		if o.minutes > 0 {
			return !time.Now().Before(until)
		}
		return n >= o.runs
	}
	return func(yield func(*scenario, uint64) bool) {
		for n := 0; !over(n); n++ {
			for _, s := range round(chosen, o.share) {
				seed := o.seed + next[s]
				for ; played[key{s.name, seed}]; seed++ {
				}
				next[s] = seed - o.seed + 1
				if o.minutes > 0 && over(n) || !yield(s, seed) {
					return
				}
			}
		}
	}
}

// all plays what there is to play. A run that fails is noted like any other, and keeps its folder.
func (l *lab) all(ctx context.Context, chosen []scenario, o *options, log *history[outcome]) error {
	var failed []error
	began := time.Now()
	for s, seed := range o.turns(chosen, log) {
		if o.short && time.Since(began) > shortFor {
			fmt.Printf("%-22s not played: %s were over\n", s.name, shortFor)
			continue
		}
		out, err := l.once(ctx, s, seed)
		if err != nil {
			return errors.Join(append(failed, err)...)
		}
		out.Commit = o.commit
		if err := errors.Join(log.add(*out), o.write(runsPart, func() string { return runsTable(log) })); err != nil {
			return err
		}
		if out.Failed != "" {
			failed = append(failed, fmt.Errorf("%s with seed %d: %s\nfiles and logs are in %s; again: make crash SCENARIO=%s SEED=%d RUNS=1",
				s.name, seed, out.Failed, l.last, s.name, seed))
			fmt.Fprintln(os.Stderr, failed[len(failed)-1])
		}
	}
	return errors.Join(failed...)
}

// once plays one run and prints its line. It is an error only if no other can be played.
func (l *lab) once(ctx context.Context, s *scenario, seed uint64) (*outcome, error) {
	limited, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	if l.broken {
		if err := l.restart(ctx); err != nil {
			return nil, err
		}
	}
	out := &outcome{Scenario: s.name, Seed: seed, At: time.Now().UTC().Truncate(time.Second)}
	r, err := l.open(limited, s, seed)
	if err == nil {
		r.began = time.Now()
		err = r.all(limited, s, out)
		err = errors.Join(err, r.hits())
		out.Kills, out.Points, out.Seconds = r.kills, r.faults.hits, tenth(time.Since(r.began))
		fmt.Printf("%-22s seed=%d kills=%d records=%d lost=%d doubled=%d wrong=%d catch_up_s=%.1f seconds=%.1f\n", s.name, seed,
			out.Kills, out.Records, out.Lost, out.Doubled, out.Wrong, out.CatchUp, out.Seconds)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err == nil {
		return out, errors.Join(r.leave(ctx), os.RemoveAll(r.dir))
	}
	out.Failed, l.broken = err.Error(), true
	return out, l.keep(r)
}

func tenth(d time.Duration) float64 {
	return float64(d.Round(100*time.Millisecond)) / float64(time.Second)
}

// all plays the scenario and judges what came out.
func (r *run) all(ctx context.Context, s *scenario, out *outcome) error {
	if err := s.play(ctx, r); err != nil {
		return err
	}
	if !s.settled {
		if err := r.settle(ctx); err != nil {
			return err
		}
	}
	v, err := r.compare(ctx)
	if err != nil {
		return err
	}
	out.Records, out.Lost, out.Doubled, out.Wrong = v.Records, v.Lost, v.Doubled, v.Wrong
	out.CatchUp = tenth(r.caughtUp.Sub(r.calm))
	if !v.good() {
		return errors.New("not equal:\n  " + strings.Join(v.Examples, "\n  "))
	}
	return nil
}

// keep keeps what a failed run has written, to be looked at, unless it was one of a planted bug.
func (l *lab) keep(r *run) error {
	if r == nil || r.bed == nil {
		return nil
	}
	r.bed.Leave()
	if l.hunting {
		return os.RemoveAll(r.dir)
	}
	if err := os.CopyFS(filepath.Join(r.dir, "objects"), os.DirFS(r.objects())); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keep the files of a failed run: %w", err)
	}
	return nil
}

// restart gets fresh servers after a run that failed: some may be away, and topics may be left. On a busy machine a broker may
// not be up in time.
func (l *lab) restart(ctx context.Context) (err error) {
	for range 3 {
		_ = l.end() // whatever state they are in
		if err = l.start(ctx); err == nil || ctx.Err() != nil {
			break
		}
	}
	l.broken = err != nil
	return err
}
