package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/tidewatch/tidewatch/stream"
)

// What a Runner does between two inputs, by claims and clocks, a Local does at once: let control records take effect, make
// durable and visible what the sinks have finished, hand partials and progress to the second stage.

// stageEvery is after how many inputs the sinks of a lane are staged, even if progress crosses no point of the grid.
const stageEvery = 64

// controlsHere lets the control records take effect that the live task has claimed at the lane's offset.
func (r *Local) controlsHere(ctx context.Context, l *localLane) error {
	for len(l.controls) > 0 && l.controls[0].At.Offset <= l.at.Offset {
		c := l.controls[0]
		l.controls = l.controls[1:]
		if err := r.control(ctx, l, &c); err != nil {
			return err
		}
	}
	return nil
}

// control lets a control record take effect. Like a live task the lane first lets go of everything that it could close, and
// then of its progress by the control record alone.
func (r *Local) control(ctx context.Context, l *localLane, c *stream.Control) error {
	if len(r.second) > 0 {
		if err := l.chain.publish(ctx, l.at); err != nil {
			return err
		}
		if err := r.pass(ctx, l); err != nil {
			return err
		}
	}
	if err := l.control(ctx, c); err != nil {
		return err
	}
	if c.Kind == controlTick {
		r.ticks++
	}
	return r.pass(ctx, l)
}

// tick lets an idle tick take effect in every partition of the first stage: progress at least to mark.
func (r *Local) tick(ctx context.Context, mark stream.Time) error {
	for _, l := range r.first {
		at := l.at
		at.Step++
		if err := r.control(ctx, l, &stream.Control{Kind: controlTick, At: at, Mark: mark}); err != nil {
			return err
		}
	}
	return nil
}

// pass hands on what a lane of the first stage has emitted: to the second stage, to the sinks, and decisions.
func (r *Local) pass(ctx context.Context, l *localLane) error {
	l.inputs++
	if len(r.second) > 0 || l.due() {
		if err := r.stage(ctx, l); err != nil {
			return err
		}
	}
	return r.drain(ctx)
}

// due says whether the sinks of the lane may have something to finish. When they are staged changes only how much they hold.
func (l *localLane) due() bool { return l.inputs >= stageEvery || l.grids.Next(l.staged) <= l.mark }

// drain lets the second stage read what the first has appended, and takes decisions.
func (r *Local) drain(ctx context.Context) error {
	for _, l := range r.second {
		if err := r.drainLog(ctx, l); err != nil {
			return err
		}
	}
	for _, l := range r.all() {
		for _, d := range l.chain.decisions {
			if r.Decide == nil {
				continue
			}
			if err := r.Decide(d); err != nil {
				return err
			}
		}
		l.chain.decisions = l.chain.decisions[:0]
	}
	return nil
}

func (r *Local) drainLog(ctx context.Context, l *localLane) error {
	for _, m := range l.pending {
		l.batch.Reset()
		if err := l.decoder.Decode(m, l.batch); err != nil {
			return err
		}
		l.batch.Settle()
		if err := l.give(&stream.Input{Batch: l.batch, From: m.Offset, Next: m.Offset + 1, End: m.Offset + 1}); err != nil {
			return err
		}
		if err := r.workOff(ctx, l); err != nil {
			return err
		}
		l.inputs++
	}
	l.pending = l.pending[:0]
	if !l.due() {
		return nil
	}
	return r.stage(ctx, l)
}

// stage lets the sinks of the lane make durable and visible what is finished.
func (r *Local) stage(ctx context.Context, l *localLane) error {
	l.staged, l.inputs = l.mark, 0
	mark, record := l.marker.Marks()
	e := stream.Epoch{
		At: l.at, Mark: mark, RecordMark: record, Ledger: l.chain.ledger(), Snapshot: true, Prefix: objectPrefix(l.task, l.at, r.owner),
	}
	files := false
	for _, w := range l.chain.stage(e) {
		receipt, err := w.run(ctx)
		if err != nil {
			return fmt.Errorf("stage output %s: %w", w.sink, err)
		}
		if len(receipt) == 0 {
			continue
		}
		at := slices.IndexFunc(l.chain.outputs, func(o Output) bool { return o.Name == w.sink })
		if err := l.chain.outputs[at].Sink.Reveal(ctx, receipt); err != nil {
			return fmt.Errorf("reveal output %s: %w", w.sink, err)
		}
		files = files || !w.live && w.sink != rekeyOutput
	}
	if !files || r.Objects == nil {
		return nil
	}
	if err := deleteAll(ctx, r.Objects, e.Prefix); err != nil {
		return fmt.Errorf("remove staged files: %w", err)
	}
	return nil
}

// memoryLog is the internal topic of a local run: what is appended waits in the lanes of the second stage.
type memoryLog struct{ r *Local }

// Append implements LogWriter.
func (m memoryLog) Append(_ context.Context, partition int32, value []byte) error {
	l := m.r.second[partition]
	l.pending = append(l.pending, &stream.Message{Offset: l.offset, Value: value})
	l.offset++
	return nil
}

// Flush implements LogWriter: memory needs none.
func (m memoryLog) Flush(context.Context) error { return nil }

// Close implements LogWriter.
func (m memoryLog) Close() error { return nil }
