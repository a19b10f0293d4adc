package alerts

import (
	"fmt"
	"slices"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// OperatorConfig says what an Operator judges.
type OperatorConfig struct {
	Rule         Rule
	Pipeline     string        // name, for the alert
	Version      string        // of the pipeline, for the alert
	Topic        string        // of the events, for the evidence
	GroupColumns []string      // of the rollup, in its order
	WindowSize   time.Duration // windows follow each other without a gap
}

// Validate says what is wrong with everything that does not need a schema.
func (c OperatorConfig) Validate() error {
	if err := c.Rule.Validate(); err != nil {
		return err
	}
	if c.WindowSize <= 0 {
		return fmt.Errorf("check rule %s: its window has no length", c.Rule.Name)
	}
	for _, name := range c.Rule.labelNames() {
		if slices.Contains(c.GroupColumns, name) {
			return fmt.Errorf("check rule %s: label %q is a column of the group: choose another name", c.Rule.Name, name)
		}
	}
	return nil
}

// Operator judges the windows of a rollup and emits what changes as decisions. It is a stream.Operator on window rows:
//
//   - Closed rows are judged, each window once. Windows without any row are judged too: false for every group.
//   - Revised rows, which come once for a window, right before it is final, change no state. If a row differs from what was
//     judged, and its window belongs to an episode, the alert is marked.
//   - Final rows tell that a window cannot be revised any more; then what was kept for that is forgotten, in Advance.
//
// Every batch goes on unchanged, so that several rules can follow one window. Decisions leave in Advance, ordered by time
// and group key, so they depend on neither the borders nor the order of batches of a window. What an alert calls complete
// is the end of its window, or the mark by records if an idle tick has closed the window before.
//
// It is used from the task's goroutine.
type Operator struct {
	cfg    OperatorConfig
	timing Timing
	rows   rowReader
	groups map[string]*group
	listed []*group // in no order; some of their episodes may have ended since sweep
	live   int      // groups with an episode that goes on, all of them listed
	kept   [stream.Slots]int32
	// judged is the end of the last window that every group has been judged on; NoTime before the first.
	judged stream.Time
	// open is the window whose Closed batches are arriving.
	open        stream.Window
	isOpen      bool
	provisional bool        // of open
	final       stream.Time // windows that end up to here are never revised any more
	forgotten   stream.Time // final when that was last acted upon
	touches     []touch     // revised rows since they were settled last
	changes     []change    // since the last Advance
	pass        []bool
	key         []byte
}

// NewOperator checks the rule against the rollup's schema. A mistake in an expression or template is an *expression.Error
// in the chain of the error.
func NewOperator(cfg OperatorConfig, in *stream.Schema) (*Operator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	rows, err := newRowReader(cfg, in)
	if err != nil {
		return nil, err
	}
	return &Operator{
		cfg: cfg, timing: cfg.Rule.Timing(), rows: rows, groups: map[string]*group{}, judged: stream.NoTime, final: stream.NoTime,
		forgotten: stream.NoTime,
	}, nil
}

// Process implements stream.Operator.
func (o *Operator) Process(b *stream.Batch, out stream.Emitter) error {
	switch b.Phase {
	case stream.Closed:
		if err := o.judge(b); err != nil {
			return err
		}
	case stream.Revised:
		o.touch(b)
	case stream.Final:
		o.final = max(o.final, b.Window.End)
	case stream.Event, stream.Live, stream.Late, stream.Partial:
	}
	return out.Emit(b)
}

// judge takes rows of a closed window. A row is judged at once: its verdict does not depend on other groups.
func (o *Operator) judge(b *stream.Batch) error {
	if err := o.enter(b); err != nil {
		return err
	}
	o.pass = o.rows.when.Bool(b, o.pass)
	for i, holds := range o.pass {
		if !holds && (o.live == 0 || o.kept[slotOf(b, i)] == 0) {
			continue
		}
		o.key = stream.AppendKey(o.key[:0], b, o.rows.groups, i)
		g := o.groups[string(o.key)]
		if g == nil && holds {
			g = o.newGroup(b, i)
		}
		if g != nil && (holds || g.isLive()) {
			o.step(g, verdict{end: b.Window.End, holds: holds, batch: b, row: i})
		}
	}
	return nil
}

// slotOf is 0 for batches without slots: then one count stands for all groups.
func slotOf(b *stream.Batch, i int) uint8 {
	if len(b.Slot) == 0 {
		return 0
	}
	return b.Slot[i]
}

// enter makes the batch's window the open one, and first judges everything before it.
func (o *Operator) enter(b *stream.Batch) error {
	if o.isOpen && o.open == b.Window {
		o.provisional = o.provisional || b.Provisional
		return nil
	}
	o.finish()
	if b.Window.End <= o.judged {
		return fmt.Errorf("judge rule %s: the window that ends at %s was closed after the one that ends at %s", o.cfg.Rule.Name, b.Window.End, o.judged)
	}
	o.settle()
	if o.live > 0 {
		o.lapse(b.Window.End.Add(-o.cfg.WindowSize))
	}
	o.open, o.isOpen, o.provisional = b.Window, true, b.Provisional
	return nil
}

// finish ends the open window: groups without a row count as false.
func (o *Operator) finish() {
	if !o.isOpen {
		return
	}
	for _, g := range o.listed {
		if e := g.current(); e != nil && e.seen != o.open.End {
			o.step(g, verdict{end: o.open.End})
		}
	}
	o.sweep()
	o.isOpen, o.judged = false, o.open.End
}

// lapse judges the windows without any row up to until.
func (o *Operator) lapse(until stream.Time) {
	from := o.judged.Add(o.cfg.WindowSize)
	for _, g := range o.listed {
		e := g.current()
		if e == nil {
			continue
		}
		next, notice, changed := o.timing.Lapse(e.status, from, until, o.cfg.WindowSize)
		if changed {
			o.change(g, e, next, notice, verdict{end: notice.At})
		}
	}
	o.sweep()
	o.judged = max(o.judged, until)
}

// sweep takes the groups whose episode has ended off the list, all at once: one by one the cost would be quadratic.
func (o *Operator) sweep() {
	o.listed = slices.DeleteFunc(o.listed, func(g *group) bool {
		g.listed = g.isLive()
		return !g.listed
	})
}

// step judges one group on one window.
func (o *Operator) step(g *group, v verdict) {
	e := g.current()
	if e == nil {
		e = &episode{}
	}
	next, notice, changed := o.timing.Step(e.status, Signal{End: v.end, Holds: v.holds})
	e.seen = v.end
	if v.batch != nil {
		e.rows = append(e.rows, judgedRow{v.end, o.rows.hash(v.batch, v.row)})
	}
	if changed {
		o.change(g, e, next, notice, v)
		return
	}
	e.status = next
}

// Advance implements stream.Operator.
func (o *Operator) Advance(to stream.Advance, out stream.Emitter) error {
	if o.isOpen && o.open.End <= to.Mark {
		o.finish()
	}
	o.settle()
	if o.live > 0 && !o.isOpen && to.Mark > o.judged {
		phase := o.judged - o.judged.Floor(o.cfg.WindowSize)
		o.lapse((to.Mark - phase).Floor(o.cfg.WindowSize) + phase)
	}
	if err := o.flush(to, out); err != nil {
		return err
	}
	o.forget()
	return nil
}

// Due implements stream.Dated: a group that is not inactive is judged on the next window, with or without a row in it.
func (o *Operator) Due() stream.Time {
	switch {
	case o.live == 0:
		return stream.MaxTime
	case o.isOpen:
		return o.open.End
	}
	return o.judged.Add(o.cfg.WindowSize)
}

// Size implements stream.Sized: the groups that are not inactive, or may still be revised.
func (o *Operator) Size() (bytes, groups int64) {
	for _, g := range o.groups {
		bytes += g.size()
	}
	return bytes, int64(len(o.groups))
}
