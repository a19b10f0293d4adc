package main

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
)

// patience bounds how long the workers may take to catch up when nothing disturbs them any more.
const patience = 90 * time.Second

// settle waits until everything is read and decided, and drains the workers: what they have not written then, they never will.
func (r *run) settle(ctx context.Context) error {
	woken, done := context.WithCancel(ctx)
	defer done()
	go r.wake(woken)
	if err := r.catchUp(ctx); err != nil {
		return err
	}
	return r.drain(ctx)
}

// catchUp waits until everything is read and decided.
func (r *run) catchUp(ctx context.Context) (err error) {
	r.calm = time.Now()
	if r.log.plain, err = r.readLog(ctx, r.plain); err != nil {
		return err
	}
	if r.log.keyed, err = r.readLog(ctx, r.keyed); err != nil {
		return err
	}
	mark := time.UnixMilli(judge(r.log.plain, rules{}).mark)
	parts, plainParts := int(max(r.load.partitions, r.load.keyedGrown)), int(max(r.load.partitions, r.load.grown))
	wanted := []bed.Want{
		{Pipeline: "plain", Stage: "fold", Tasks: plainParts},
		{Pipeline: "plain", Stage: "merge", Tasks: 4},
		{Pipeline: "archive." + r.plain, Stage: "archive", Tasks: plainParts},
		{Pipeline: "keyed", Stage: "main", Tasks: parts},
	}
	if err := r.await(ctx, wanted, mark); err != nil {
		return err
	}
	if err := r.filled(ctx); err != nil {
		return err
	}
	r.caughtUp = time.Now()
	return nil
}

// wake wakes workers until ctx is done: one may reach the point at which it was to stop only after it was woken.
func (r *run) wake(ctx context.Context) {
	for sleepUntil(ctx, time.Now().Add(200*time.Millisecond)) {
		for _, w := range r.bed.Workers {
			w.Signal(syscall.SIGCONT)
		}
	}
}

func (r *run) await(ctx context.Context, wanted []bed.Want, mark time.Time) error {
	deadline := time.Now().Add(r.patience)
	last, calm := "", 0
	for time.Now().Before(deadline) && ctx.Err() == nil {
		all, err := r.bed.Tasks(ctx)
		if err != nil {
			last = err.Error()
		} else {
			last = bed.Missing(all, wanted)
		}
		for _, t := range all {
			if t.Stage == "merge" && (t.Watermark == nil || t.Watermark.Before(mark)) {
				last += fmt.Sprintf("; the watermark of %s/%d is %v, not %v", t.Stage, t.Partition, t.Watermark, mark)
			}
		}
		if calm++; last != "" {
			calm = 0
		}
		if calm == 2 {
			return nil
		}
		sleepUntil(ctx, time.Now().Add(150*time.Millisecond))
	}
	return fmt.Errorf("the workers did not catch up within %s: %s", r.patience, strings.TrimPrefix(last, "; "))
}

// drain ends the workers with SIGTERM.
func (r *run) drain(ctx context.Context) error {
	for _, w := range r.bed.Workers {
		w.Signal(syscall.SIGTERM)
	}
	late := time.After(20 * time.Second)
	for _, w := range r.bed.Workers {
		select {
		case <-w.Ended:
		case <-late:
			return fmt.Errorf("%s did not drain within 20 s; its log is %s", w.ID, w.Log())
		case <-ctx.Done():
			return ctx.Err()
		}
		if code := w.Cmd.ProcessState.ExitCode(); code != 0 {
			return fmt.Errorf("%s ended with %d after SIGTERM; its log is %s", w.ID, code, w.Log())
		}
	}
	return nil
}

// filled waits until every worker says that it is ready: that Redis holds everything, too.
func (r *run) filled(ctx context.Context) error {
	deadline := time.Now().Add(patience)
	var last error
	for time.Now().Before(deadline) && ctx.Err() == nil {
		last = nil
		for _, w := range r.bed.Workers {
			var answer map[string]any
			if err := bed.GetJSON(ctx, "http://"+w.HTTP+"/readyz", &answer); err != nil {
				last = err
			}
		}
		if last == nil {
			return nil
		}
		sleepUntil(ctx, time.Now().Add(150*time.Millisecond))
	}
	return fmt.Errorf("the workers were not ready within %s: %w", patience, last)
}
