package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/tidewatch/tidewatch/stream"
)

// The commit of an epoch, in the order of docs/design/engine.md: capture (task.go), flush and stage, claim, reveal. The
// committer is the second goroutine of a task: everything here waits for others, while the task goes on.

// flushPatience is how long a snapshot waits for live outputs to be acknowledged. After that the epoch is claimed without
// one: the replay would send again what is missing.
const flushPatience = 5 * time.Second

// snapshotPatience is how long an epoch waits for its snapshot to be uploaded.
const snapshotPatience = 10 * time.Second

// revealPatience bounds one attempt to reveal a receipt; what is left over is carried by the next epoch.
const revealPatience = 10 * time.Second

// errLost says that the row belongs to another owner by now.
var errLost = errors.New("the task was taken over by another worker")

// capture is an epoch frozen at a record boundary.
type capture struct {
	at           stream.Version
	mark, record stream.Time
	ledger       stream.Ledger
	gaps         stream.Gaps
	state        *state // of a snapshot; nil if none is due
	prefix       string
	works        []stageWork
	decisions    []stream.Decision
	control      *stream.Control
	passed       bool // the frontier
	started      time.Time
}

type stageWork struct {
	sink string
	live bool
	run  stream.Work
}

// outcome is what the committer tells the task.
type outcome struct {
	claimed *capture // the claim was won
	err     error    // errLost, or what is fatal
}

// prefix is where the work may have put objects; "" for outputs that put none, so that nobody looks for garbage there.
func (w *stageWork) prefix(e *capture) string {
	if w.live || w.sink == rekeyOutput {
		return ""
	}
	return e.prefix
}

// committer works off captures, one after the other. All fields belong to its goroutine once run has begun.
type committer struct {
	t          *task
	checkpoint stream.Checkpoint // the newest claim that was won, or the row as taken over
	rec        stream.Record     // what its bytes say
	layers     *layers           // of the snapshot that rec names
	left       []stream.Staged   // receipts of rec that are not revealed yet
	unrevealed atomic.Int64      // how many; for the task
	sinks      map[string]stream.Sink
	behind     map[string]bool // live outputs that have not acknowledged all they were given
	lagging    atomic.Bool     // there are some; for the task
	queue      chan *capture
	outcomes   chan outcome
	idle       chan struct{} // closed by run at its end
}

// run ends when the queue is closed and nothing is left to reveal, when a claim is lost, or when ctx is done.
func (c *committer) run(ctx context.Context) {
	defer close(c.idle)
	wait := firstBackoff
	c.reveal(ctx)
	for {
		var retry <-chan time.Time
		if len(c.left) > 0 {
			retry = c.t.deps.Clock.After(wait)
		}
		select {
		case <-ctx.Done():
			return
		case <-retry:
			wait = min(2*wait, lastBackoff)
			c.reveal(ctx)
			c.complete()
		case e, open := <-c.queue:
			switch {
			case open:
				if err := c.commit(ctx, e); err != nil {
					c.outcomes <- outcome{err: err}
					return
				}
				wait = firstBackoff
			case len(c.left) == 0:
				return
			default:
				c.queue = nil // go on revealing
			}
		}
		if c.queue == nil && len(c.left) == 0 {
			return
		}
	}
}

// commit takes one capture through stage, claim and reveal.
func (c *committer) commit(ctx context.Context, e *capture) error {
	ctx, span := c.t.deps.Tracer.Start(ctx, "epoch", trace.WithTimestamp(e.started), trace.WithAttributes(
		attribute.String("task", c.t.id.String()), attribute.Int64("offset", e.at.Offset), attribute.Bool("snapshot", e.state != nil)))
	defer span.End()
	staged, snapshot, uploaded, err := c.stage(ctx, e)
	if err != nil {
		return err
	}
	next, rec, err := c.claimOf(e, staged, snapshot)
	if err != nil {
		return err
	}
	if err := c.claim(ctx, next); err != nil {
		return err
	}
	released := released(&c.rec, rec)
	next.Decisions = nil
	c.checkpoint, c.rec, c.left = *next, *rec, rec.Staged
	if snapshot != nil {
		c.layers = uploaded
	}
	c.unrevealed.Store(int64(len(c.left)))
	c.t.claimedEpoch(next.Epoch)
	if e.control != nil {
		if err := c.t.keep(ctx, e.control); err != nil {
			return err
		}
	}
	c.outcomes <- outcome{claimed: e}
	c.t.deps.collector.schedule(released)
	c.reveal(ctx)
	c.complete()
	return nil
}

// stage runs the works of the sinks and uploads the snapshot. snapshot is nil if there is none, in the end.
func (c *committer) stage(ctx context.Context, e *capture) (staged []stream.Staged, snapshot *stream.Snapshot, uploaded *layers, err error) {
	ctx, span := c.t.deps.Tracer.Start(ctx, "stage")
	defer span.End()
	began := c.t.deps.Clock.Now()
	acknowledged := true
	for _, w := range e.works {
		receipt, err := c.work(ctx, w, e.state != nil)
		switch {
		case err != nil && w.live && ctx.Err() == nil:
			acknowledged, c.behind[w.sink] = false, true
			c.t.note(w.sink, err)
		case err != nil:
			return nil, nil, nil, fmt.Errorf("stage output %s: %w", w.sink, err)
		case w.live && c.behind[w.sink]:
			delete(c.behind, w.sink)
			c.t.note(w.sink, nil)
		}
		if err == nil && len(receipt) > 0 {
			staged = append(staged, stream.Staged{Sink: w.sink, Prefix: w.prefix(e), Receipt: receipt})
		}
	}
	c.lagging.Store(len(c.behind) > 0)
	c.t.timing(phaseStage, c.t.deps.Clock.Now().Sub(began))
	if e.state == nil || !acknowledged {
		return staged, nil, nil, nil
	}
	snapshot, uploaded, err = c.upload(ctx, e)
	if err != nil {
		if c.t.stage.Cut == nil && ctx.Err() == nil && stream.KindOfError(err) == stream.Retry {
			c.t.note(snapshotOutput, err)
			return staged, nil, nil, nil
		}
		return nil, nil, nil, fmt.Errorf("put snapshot: %w", err)
	}
	c.t.note(snapshotOutput, nil)
	return staged, snapshot, uploaded, nil
}

// snapshotOutput names the snapshots in the status.
const snapshotOutput = "snapshots"

// put uploads a snapshot. A store that is away costs the snapshot and not the epoch, but where snapshots are all that epochs
// are for.
func (c *committer) put(ctx context.Context, key string, state []byte) error {
	limited, cancel := ctx, context.CancelFunc(func() {})
	if c.t.stage.Cut == nil {
		limited, cancel = context.WithTimeout(ctx, snapshotPatience)
	}
	defer cancel()
	err := again(limited, c.t.deps.Clock, c.t.log, "put snapshot", func(ctx context.Context) error {
		return c.t.deps.Objects.Put(ctx, key, state)
	})
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return stream.Mark(stream.Retry, err)
	}
	return err
}

// complete shows how far results are final: up to the mark of the newest claim, if every output has all that it has to take.
func (c *committer) complete() {
	if len(c.left) > 0 || len(c.behind) > 0 {
		return
	}
	for _, s := range c.sinks {
		if trouble(s) != nil {
			return
		}
	}
	c.t.completeTo(c.rec.Mark)
}

// trouble is why the sink's receiver does not take what it is sent.
func trouble(s stream.Sink) error {
	if t, ok := s.(stream.TroubledSink); ok {
		return t.Trouble()
	}
	return nil
}

// work runs one piece of work until it succeeds; that of a live output only as long as the snapshot is worth it.
func (c *committer) work(ctx context.Context, w stageWork, snapshot bool) (receipt stream.Receipt, err error) {
	if w.live && snapshot {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, flushPatience)
		defer cancel()
	}
	err = again(ctx, c.t.deps.Clock, c.t.log, "stage output "+w.sink, func(ctx context.Context) error {
		receipt, err = w.run(ctx)
		return err
	})
	return receipt, err
}

// claimOf builds the claim: what earlier reveals left undone comes first.
func (c *committer) claimOf(e *capture, staged []stream.Staged, snapshot *stream.Snapshot) (*stream.Checkpoint, *stream.Record, error) {
	rec := c.rec
	rec.At, rec.Mark, rec.RecordMark, rec.Ledger, rec.Control = e.at, e.mark, e.record, e.ledger, e.control
	rec.Gaps = nil
	if e.gaps != (stream.Gaps{}) {
		rec.Gaps = &e.gaps
	}
	rec.Staged = slices.Concat(c.left, staged)
	if e.passed {
		rec.Frontier = nil
	}
	if e.control != nil && e.control.Kind == controlQuarantine {
		rec.Generation++
	}
	if snapshot != nil {
		before := rec.Snapshot
		rec.Snapshot, rec.Previous = *snapshot, &before
	}
	rec.Controls = nil
	for _, k := range claimedControls(&c.rec) {
		if k.At.Compare(oldest(&rec).At) > 0 {
			rec.Controls = append(rec.Controls, k)
		}
	}
	next := c.checkpoint
	next.Epoch++
	raw, err := encodeRecord(next.Task, next.Epoch, &rec)
	if err != nil {
		return nil, nil, err
	}
	next.Record, next.Decisions = raw, e.decisions
	return &next, &rec, nil
}

// claim sends the claim, with the same bytes, until it is answered.
func (c *committer) claim(ctx context.Context, next *stream.Checkpoint) error {
	ctx, span := c.t.deps.Tracer.Start(ctx, "claim", trace.WithAttributes(attribute.Int64("epoch", next.Epoch)))
	defer span.End()
	began := c.t.deps.Clock.Now()
	var won bool
	err := again(ctx, c.t.deps.Clock, c.t.log, "claim epoch", func(ctx context.Context) (err error) {
		won, err = c.t.deps.claims.claim(ctx, next)
		return err
	})
	c.t.timing(phaseClaim, c.t.deps.Clock.Now().Sub(began))
	switch {
	case err != nil:
		return fmt.Errorf("claim epoch %d: %w", next.Epoch, err)
	case !won:
		return errLost
	}
	return nil
}

// reveal tries every receipt of the row once, oldest first for each sink. What fails stays and is carried.
func (c *committer) reveal(ctx context.Context) {
	if len(c.left) == 0 {
		return
	}
	ctx, span := c.t.deps.Tracer.Start(ctx, "reveal")
	defer span.End()
	began := c.t.deps.Clock.Now()
	var left []stream.Staged
	stuck := map[string]bool{}
	for _, s := range c.left {
		if !stuck[s.Sink] {
			err := c.revealOne(ctx, s)
			if err == nil {
				if !c.behind[s.Sink] && trouble(c.sinks[s.Sink]) == nil { // what it reveals is not all that it has to take
					c.t.note(s.Sink, nil)
				}
				continue
			}
			c.t.note(s.Sink, err)
			stuck[s.Sink] = true
		}
		left = append(left, s)
	}
	c.left = left
	c.unrevealed.Store(int64(len(c.left)))
	c.t.timing(phaseReveal, c.t.deps.Clock.Now().Sub(began))
}

func (c *committer) revealOne(ctx context.Context, s stream.Staged) error {
	sink, ok := c.sinks[s.Sink]
	if !ok {
		return fmt.Errorf("reveal output %s: the pipeline has no such output any more", s.Sink)
	}
	ctx, cancel := context.WithTimeout(ctx, revealPatience)
	defer cancel()
	if err := sink.Reveal(ctx, s.Receipt); err != nil {
		return fmt.Errorf("reveal output %s: %w", s.Sink, err)
	}
	return nil
}

// claimedControls lists the control records after the snapshots of r, in order, that which takes effect now included.
func claimedControls(r *stream.Record) []stream.Control {
	all := slices.Clone(r.Controls)
	if r.Control != nil {
		all = append(all, *r.Control)
	}
	return all
}

// named lists the prefixes in the object store that a record keeps alive.
func named(r *stream.Record) (prefixes []string) {
	add := func(slices []stream.Slice) {
		for _, s := range slices {
			prefixes = append(prefixes, s.Object[:strings.LastIndexByte(s.Object, '/')+1])
		}
	}
	add(r.Snapshot.Slices)
	if r.Previous != nil {
		add(r.Previous.Slices)
	}
	for _, s := range r.Staged {
		if s.Prefix != "" {
			prefixes = append(prefixes, s.Prefix)
		}
	}
	for _, k := range claimedControls(r) {
		if k.Inherit != nil {
			add(k.Inherit.Slices)
		}
	}
	return prefixes
}

// released lists what the record before kept alive and the next one does not.
func released(before, next *stream.Record) (prefixes []string) {
	keep := named(next)
	for _, p := range named(before) {
		if !slices.Contains(keep, p) && !slices.Contains(prefixes, p) {
			prefixes = append(prefixes, p)
		}
	}
	return prefixes
}
