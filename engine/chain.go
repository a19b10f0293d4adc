package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/tidewatch/tidewatch/stream"
)

// chain links the operators of a stage with its outputs. It belongs to the goroutine of its task.
type chain struct {
	ctx       context.Context //nolint:containedctx // of the call in progress: operators pass none on, sinks need it
	steps     []Step
	outputs   []Output
	taps      [][]int // by step, 0 is the source: indexes into outputs
	nodes     []node
	events    int64 // rows of the source since the task's first offset
	counts    stream.Ledger
	decisions []stream.Decision
	keys      *keySample   // nil if nothing is to be verified
	view      stream.Batch // of an output that sees leading columns only
	gate      int          // the step whose windows are cut, counted from one; 0 if there is none
	span      span
	rows      *stream.Batch  // scratch: those of a batch that are within the span
	muted     bool           // while a task replays, its decisions are in the store already
	at        stream.Version // where in the log rows of windows leave
}

// node is the emitter of one step: it delivers to the outputs of the step and to the next one.
type node struct {
	c    *chain
	step int // 0 is the source
}

func newChain(steps []Step, outputs []Output) (*chain, error) {
	c := &chain{span: wholeTime(), steps: steps, outputs: outputs, taps: make([][]int, len(steps)+1), nodes: make([]node, len(steps)+1)}
	names := []string{"source"}
	for _, s := range steps {
		names = append(names, s.Name)
	}
	for i, o := range outputs {
		at := slices.Index(names, o.Of)
		if at < 0 {
			return nil, fmt.Errorf("link output %s: there is no step %q", o.Name, o.Of)
		}
		c.taps[at] = append(c.taps[at], i)
	}
	for i := range c.nodes {
		c.nodes[i] = node{c, i}
	}
	return c, nil
}

// process takes events of the source.
func (c *chain) process(ctx context.Context, b *stream.Batch) error {
	c.ctx = ctx
	return c.nodes[0].Emit(b)
}

// advance tells every operator, first to last, that progress has crossed a point of the grid, then the sinks.
func (c *chain) advance(ctx context.Context, to stream.Advance) error {
	c.ctx, c.at = ctx, to.At
	for i, s := range c.steps {
		to, told := c.span.advance(to, c.gate > 0 && i >= c.gate)
		if !told {
			continue
		}
		if err := s.Operator.Advance(to, &c.nodes[i+1]); err != nil {
			return fmt.Errorf("advance step %s: %w", s.Name, err)
		}
	}
	for _, o := range c.outputs {
		if sink, ok := o.Sink.(stream.AdvancingSink); ok {
			if err := sink.Advance(ctx, to); err != nil {
				return fmt.Errorf("advance output %s: %w", o.Name, err)
			}
		}
	}
	return nil
}

// publish shows the values of open windows.
func (c *chain) publish(ctx context.Context, at stream.Version) (err error) {
	defer blame(&err, nil)
	c.ctx, c.at = ctx, at
	for i, s := range c.steps {
		if op, ok := s.Operator.(stream.Publisher); ok {
			if err := op.Publish(at, &c.nodes[i+1]); err != nil {
				return fmt.Errorf("publish step %s: %w", s.Name, err)
			}
		}
	}
	return nil
}

// Emit implements stream.Emitter.
func (n *node) Emit(b *stream.Batch) error {
	if b.Len() == 0 && len(b.Gone) > 0 {
		return n.erase(b)
	}
	if b.Len() == 0 || n.step == n.c.gate && n.c.span.outside(b) {
		return nil
	}
	b.At = n.c.at
	for _, i := range n.c.taps[n.step] {
		o := &n.c.outputs[i]
		if !slices.Contains(o.Phases, b.Phase) {
			continue
		}
		rows := n.c.within(b)
		if rows.Len() == 0 {
			continue
		}
		if err := o.Sink.Write(n.c.ctx, n.c.leading(o, rows)); err != nil {
			return fmt.Errorf("write output %s: %w", o.Name, err)
		}
	}
	if n.step == len(n.c.steps) || b.Phase == stream.Late {
		return nil
	}
	next := n.c.steps[n.step]
	if k := n.c.keys; k != nil && k.of.Step == n.step {
		k.look(b)
	}
	if err := next.Operator.Process(b, &n.c.nodes[n.step+1]); err != nil {
		return fmt.Errorf("process step %s: %w", next.Name, err)
	}
	return nil
}

// Wants implements stream.Emitter. What the next step makes of a phase is its own affair.
func (n *node) Wants(p stream.Phase) bool {
	return n.step < len(n.c.steps) || slices.ContainsFunc(n.c.taps[n.step], func(i int) bool { return slices.Contains(n.c.outputs[i].Phases, p) })
}

// erase tells the outputs of slots that are empty now. Nobody judges those.
func (n *node) erase(b *stream.Batch) error {
	for _, i := range n.c.taps[n.step] {
		o := &n.c.outputs[i]
		sink, ok := o.Sink.(stream.ErasingSink)
		if !ok || !slices.Contains(o.Phases, b.Phase) || n.c.span.outside(b) {
			continue
		}
		if err := sink.Erase(n.c.ctx, b.Window, b.Version, b.Gone); err != nil {
			return fmt.Errorf("erase from output %s: %w", o.Name, err)
		}
	}
	return nil
}

// leading is what the output sees of the rows.
func (c *chain) leading(o *Output, b *stream.Batch) *stream.Batch {
	if o.Schema == nil || len(o.Schema.Fields) == len(b.Cols) {
		return b
	}
	c.view = *b
	c.view.Schema, c.view.Cols = o.Schema, b.Cols[:len(o.Schema.Fields)]
	return &c.view
}

// Decide implements stream.Emitter.
func (n *node) Decide(d stream.Decision) error {
	if !n.c.muted {
		n.c.decisions = append(n.c.decisions, d)
	}
	return nil
}

// Count implements stream.Emitter.
func (n *node) Count(bucket stream.Bucket, rows int64) { n.c.counts[bucket] += rows }

// ledger is where every offset so far has ended: what no operator counted is Counted.
func (c *chain) ledger() stream.Ledger {
	l := c.counts
	l[stream.BucketCounted] = c.events
	for _, b := range []stream.Bucket{stream.BucketFiltered, stream.BucketDuplicate, stream.BucketLate, stream.BucketRevised} {
		l[stream.BucketCounted] -= l[b]
	}
	return l
}

// grids collects the points at which the operators have something to decide.
func (c *chain) grids() (gs stream.Grids) {
	for _, s := range c.steps {
		if op, ok := s.Operator.(stream.Gridded); ok {
			gs = append(gs, op.Grids()...)
		}
	}
	return gs
}

// due is the next point at which an operator has something to decide.
func (c *chain) due() stream.Time {
	due := stream.MaxTime
	for i, s := range c.steps {
		if op, ok := s.Operator.(stream.Dated); ok {
			due = min(due, c.span.due(op.Due(), c.gate > 0 && i >= c.gate))
		}
	}
	return due
}

// size is the memory of the operators' state, and their live groups.
func (c *chain) size() (bytes, groups int64) {
	for _, s := range c.steps {
		if op, ok := s.Operator.(stream.Sized); ok {
			b, g := op.Size()
			bytes, groups = bytes+b, groups+g
		}
	}
	return bytes, groups
}

// limits is what the operators tell of their limit of groups; there is one window in a chain.
func (c *chain) limits() (l GroupLimit) {
	for _, s := range c.steps {
		if op, ok := s.Operator.(stream.Limited); ok {
			l.Most, l.Groups, l.Overflow = op.Limits()
		}
	}
	return l
}

// held is the memory of the rows that sinks keep until a file is finished.
func (c *chain) held() (bytes int64) {
	for _, o := range c.outputs {
		if s, ok := o.Sink.(stream.Sized); ok {
			b, _ := s.Size()
			bytes += b
		}
	}
	return bytes
}

// full says that an epoch has as many decisions as it should, or that a sink holds as many of its rows.
func (c *chain) full() bool {
	return len(c.decisions) >= maxDecisions || slices.ContainsFunc(c.outputs, func(o Output) bool {
		s, ok := o.Sink.(stream.FullSink)
		return ok && s.Full()
	})
}

// relieve drops, in a replay, what full sinks hold: it is staged or visible already.
func (c *chain) relieve(e stream.Epoch) {
	for _, o := range c.outputs {
		if s, ok := o.Sink.(stream.FullSink); ok && s.Full() {
			o.Sink.Stage(e)
		}
	}
}

// snapshot writes the ledger, the operators and the sinks that keep rows.
func (c *chain) snapshot(w *stream.StateWriter) error {
	w.Scope("engine/")
	w.Section("ledger", 1)
	w.Int(c.events)
	w.Ints(c.counts[:])
	for i, s := range c.steps {
		w.Scope(stepScope(i, s.Name))
		if err := s.Operator.Snapshot(w); err != nil {
			return fmt.Errorf("snapshot step %s: %w", s.Name, err)
		}
	}
	for _, o := range c.outputs {
		if sink, ok := o.Sink.(stream.StatefulSink); ok {
			w.Scope("output/" + o.Name + "/")
			if err := sink.Snapshot(w); err != nil {
				return fmt.Errorf("snapshot output %s: %w", o.Name, err)
			}
		}
	}
	return nil
}

// stepScope is where the state of a step is in a snapshot.
func stepScope(i int, name string) string { return fmt.Sprintf("step/%d/%s/", i, name) }

func (c *chain) restore(r *stream.StateReader) error {
	r.Scope("engine/")
	if version, _ := r.Section("ledger"); version != 1 {
		return fmt.Errorf("restore ledger: section version %d, want 1", version)
	}
	c.events = r.Int()
	if n := copy(c.counts[:], r.Ints()); n != len(c.counts) {
		return fmt.Errorf("restore ledger: %d buckets, want %d", n, len(c.counts))
	}
	for i, s := range c.steps {
		r.Scope(stepScope(i, s.Name))
		if err := s.Operator.Restore(r); err != nil {
			return fmt.Errorf("restore step %s: %w", s.Name, err)
		}
	}
	for _, o := range c.outputs {
		if sink, ok := o.Sink.(stream.StatefulSink); ok {
			r.Scope("output/" + o.Name + "/")
			if err := sink.Restore(r); err != nil {
				return fmt.Errorf("restore output %s: %w", o.Name, err)
			}
		}
	}
	return r.Err()
}

// close closes the sinks, and the operators that hold something.
func (c *chain) close() error {
	var errs []error
	for _, o := range c.outputs {
		errs = append(errs, o.Sink.Close())
	}
	for _, s := range c.steps {
		if op, ok := s.Operator.(io.Closer); ok {
			errs = append(errs, op.Close())
		}
	}
	return errors.Join(errs...)
}
