package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/tidewatch/tidewatch/stream"
)

// A receiver such as Redis may lose what it holds. The tasks then show again all that they hold: values of windows, final
// ones that wait in a sink for their part to be finished, and how far they have got. What is final and finished is not with
// them any more: whoever asks reads it from where it was revealed, after Refresh has returned.

// NewestVersion is that of final rows that are shown again: the windows are gone from the state, so nothing newer comes.
func NewestVersion() stream.Version {
	return stream.Version{Offset: math.MaxInt64, Step: math.MaxUint32}
}

// refresh is a request to a task. The task answers once.
type refresh struct {
	works chan []stream.Work
}

// errEnded says that a task was taken away or has begun anew.
var errEnded = errors.New("the task has ended; ask again")

// Refresh asks tasks of this worker to show again all that they hold, and waits until their receivers have it. done lists
// the tasks that have succeeded, in the order of ids; err tells about the others. Any goroutine may call it; ctx bounds it.
func (r *Runner) Refresh(ctx context.Context, ids []stream.TaskID) (done []stream.TaskID, err error) {
	errs := make([]error, len(ids))
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() {
			if err := r.refresh(ctx, id); err != nil {
				errs[i] = fmt.Errorf("refresh %s: %w", id, err)
			}
		})
	}
	wg.Wait()
	for i, id := range ids {
		if errs[i] == nil {
			done = append(done, id)
		}
	}
	return done, errors.Join(errs...)
}

func (r *Runner) refresh(ctx context.Context, id stream.TaskID) error {
	t := r.present(id)
	if t == nil {
		return errEnded
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan struct{})
	go func() { // ends with the call
		defer close(ended)
		select {
		case <-t.ended:
			cancel(errEnded)
		case <-ctx.Done():
		}
	}()
	defer func() { cancel(nil); <-ended }()
	ask := &refresh{works: make(chan []stream.Work, 1)}
	t.asked.Store(ask) // another caller's request may be displaced: it ends with its ctx, and what it wanted happens
	select {
	case works := <-ask.works:
		for _, w := range works {
			if _, err := w(ctx); err != nil {
				return err
			}
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// present is the task's attempt of now, nil if it is not assigned here.
func (r *Runner) present(id stream.TaskID) *task {
	r.mu.Lock()
	run := r.mu.tasks[id]
	r.mu.Unlock()
	if run == nil {
		return nil
	}
	run.mu.Lock()
	defer run.mu.Unlock()
	return run.mu.now
}

// answer does what a Refresh has asked for. It waits until everything that was claimed is revealed: what a sink has let go
// of can be read then.
func (t *task) answer(ctx context.Context) error {
	ask := t.asked.Load()
	if ask == nil || t.inFlight || t.commit.unrevealed.Load() > 0 {
		return nil
	}
	works, err := t.lane.chain.refresh(ctx, t.lane.at, t.claimedMark)
	if err != nil {
		return err
	}
	if t.asked.CompareAndSwap(ask, nil) {
		ask.works <- works
	}
	return nil
}

// refresh shows again all that the operators and the sinks hold. The works wait until it has arrived.
func (c *chain) refresh(ctx context.Context, at stream.Version, claimed stream.Time) (works []stream.Work, err error) {
	c.forget()
	if err := c.publish(ctx, at); err != nil {
		return nil, err
	}
	for i := range c.outputs {
		sink, ok := c.outputs[i].Sink.(stream.HoldingSink)
		if !ok {
			continue
		}
		err := sink.Held(func(b *stream.Batch) error { return c.showFinal(c.outputs[i].Of, b) })
		if err != nil {
			return nil, fmt.Errorf("show what output %s holds: %w", c.outputs[i].Name, err)
		}
	}
	for _, o := range c.outputs {
		if sink, ok := o.Sink.(stream.RefreshingSink); ok {
			works = append(works, sink.Refresh(claimed))
		}
	}
	return works, nil
}

// forget makes the operators show again, with the next publication, all that they hold.
func (c *chain) forget() {
	for _, s := range c.steps {
		if op, ok := s.Operator.(stream.Refresher); ok {
			op.Refresh()
		}
	}
}

// showFinal writes final rows of a step to its outputs that can be refreshed.
func (c *chain) showFinal(of string, b *stream.Batch) error {
	b.Phase, b.Version = stream.Live, NewestVersion()
	for i := range c.outputs {
		o := &c.outputs[i]
		if _, ok := o.Sink.(stream.RefreshingSink); !ok || o.Of != of {
			continue
		}
		if err := o.Sink.Write(c.ctx, b); err != nil {
			return fmt.Errorf("write output %s: %w", o.Name, err)
		}
	}
	return nil
}
