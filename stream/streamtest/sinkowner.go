package streamtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// errDied says that the process has died at the call.
var errDied = errors.New("the process died")

// sinkOwner is a process that owns the task, or believes so.
type sinkOwner struct {
	k            *sinkTask
	id           string
	sink         stream.Sink
	life         *Life
	killed       bool // nothing of it arrives any more, as far as the harness sees to that
	at           int  // steps written
	op, row      int  // where in the next step, if it was begun
	mark, record stream.Time
	in           *stream.Batch
	commits      *rand.Rand // chance of the committer
	leaves       bool       // reveals nothing
	until        int        // steps to write, of all
	wait         func() error
}

func (o *sinkOwner) close() {
	o.k.t.Helper()
	if err := o.sink.Close(); err != nil {
		o.k.t.Fatalf("close: %v", err)
	}
}

// wake lets an owner that was overtaken go on: it writes what comes next, and stages it, but its claim is lost.
func (o *sinkOwner) wake() {
	o.k.t.Helper()
	for range 1 + o.k.rng.IntN(3) {
		if o.at == len(o.k.steps) {
			return
		}
		s := &o.k.steps[o.at]
		if err := o.hand(s, func(do func() error) error { return do() }); err != nil {
			if stream.KindOfError(err) == stream.Retry {
				return
			}
			o.k.t.Fatalf("an owner that woke up writes: %v", err)
		}
		o.at++
		if !o.k.h.Cuts || s.Cut {
			if work := o.sink.Stage(o.epoch(true)); work != nil {
				_, _ = work(o.k.t.Context())
			}
		}
	}
}

// call kills the process before the call, or behind it.
func (o *sinkOwner) call(do func() error) error {
	if o.k.beside {
		return do()
	}
	if o.k.dies() {
		return errDied
	}
	if err := do(); err != nil {
		return err
	}
	if o.k.dies() {
		return errDied
	}
	return nil
}

// live takes over and writes to the end, or dies.
func (o *sinkOwner) live() error {
	k := o.k
	if err := o.restore(); err != nil {
		return err
	}
	early := chance(k.rng, 2)
	if early && !o.leaves {
		if err := o.reveal(); err != nil {
			return err
		}
	}
	for o.at < k.claimed {
		if err := o.write(&k.steps[o.at]); err != nil {
			return err
		}
	}
	if k.claimed > 0 {
		o.sink.Stage(o.epoch(false)) // staged or visible already: the work is dropped
	}
	if err := o.reveal(); err != nil && !o.leaves {
		return err
	}
	for o.at < o.until {
		s := &k.steps[o.at]
		if err := o.write(s); err != nil {
			return err
		}
		last := o.at == len(k.steps)
		if s.Cut || !k.h.Cuts && (last || k.rng != nil && k.rng.IntN(3) == 0) {
			if err := o.commit(last || k.h.Cuts || chance(k.rng, 2)); err != nil {
				return err
			}
		}
		if chance(k.rng, 6) {
			k.bury(1)
		}
	}
	if err := o.join(); err != nil {
		return err
	}
	return o.reveal()
}

func (o *sinkOwner) restore() error {
	o.at = o.k.stateAt
	for _, s := range o.k.steps[:o.at] {
		o.progress(&s)
	}
	if s, ok := o.sink.(stream.StatefulSink); ok && o.k.state != nil {
		return restoreSink(s, o.k.state)
	}
	return nil
}

func restoreSink(s stream.StatefulSink, state []byte) error {
	r, err := stream.NewStateReader(state)
	if err != nil {
		return err
	}
	r.Scope("suite/")
	if err := s.Restore(r); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return r.Err()
}

// progress notes the marks of a step.
func (o *sinkOwner) progress(s *SinkStep) {
	for _, do := range s.Do {
		if do.To != nil {
			o.mark, o.record = max(o.mark, do.To.Mark), max(o.record, do.To.RecordMark)
		}
	}
}

// write hands over a step.
func (o *sinkOwner) write(s *SinkStep) error {
	if err := o.hand(s, o.call); err != nil {
		return err
	}
	o.at++
	return nil
}

// hand goes on where it stopped, if the owner was dead for a while.
func (o *sinkOwner) hand(s *SinkStep, call func(func() error) error) error {
	ctx := o.k.t.Context()
	for o.op < len(s.Do) {
		do := &s.Do[o.op]
		if do.Rows != nil {
			if err := o.rows(ctx, do.Rows, call); err != nil {
				return err
			}
			continue
		}
		err := call(func() error {
			o.op++
			if sink, ok := o.sink.(stream.ControlSink); ok && do.Control != nil {
				sink.Control(do.Control)
			}
			if sink, ok := o.sink.(stream.AdvancingSink); ok && do.To != nil {
				return sink.Advance(ctx, *do.To)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	o.op = 0
	o.progress(s)
	return nil
}

// rows writes some rows of a batch.
func (o *sinkOwner) rows(ctx context.Context, rows *stream.Batch, call func(func() error) error) error {
	hi := border(o.k.rng, rows, o.row)
	if o.in == nil || o.in.Schema != rows.Schema || chance(o.k.rng, 9) {
		o.in = stream.NewBatch(rows.Schema)
	}
	copyRows(o.in, rows, o.row, hi)
	err := call(func() error {
		if o.row = hi; hi == rows.Len() {
			o.op, o.row = o.op+1, 0
		}
		o.in.At = o.in.Version
		return o.sink.Write(ctx, o.in)
	})
	if err == nil && o.k.rng != nil {
		spoil(o.in, chance(o.k.rng, 4))
	}
	return err
}

func (o *sinkOwner) epoch(snapshot bool) stream.Epoch {
	at := stream.Version{}
	if o.at > 0 {
		at = o.k.steps[o.at-1].At
	}
	return stream.Epoch{At: at, Mark: o.mark, RecordMark: o.record, Snapshot: snapshot, Prefix: fmt.Sprintf("state/suite/%s-%s/", at.Hex(), o.id)}
}

// commit takes an epoch through stage, claim and reveal.
func (o *sinkOwner) commit(snapshot bool) error {
	if err := o.join(); err != nil {
		return err
	}
	k := o.k
	var state []byte
	if s, ok := o.sink.(stream.StatefulSink); ok && snapshot {
		state = o.snapshot(s)
	}
	work, steps, mark := o.sink.Stage(o.epoch(snapshot)), o.at, o.mark
	finish := func() error {
		receipt, err := o.work(work)
		if err != nil {
			return err
		}
		k.claimed, k.claimedMark = steps, mark
		if snapshot {
			k.state, k.stateAt = state, steps
		}
		if len(receipt) > 0 {
			k.staged, k.all = append(k.staged, receipt), append(k.all, receipt)
		}
		if chance(o.commits, 4) && steps < len(k.steps) { // a slow reveal is left to the next epoch
			return nil
		}
		return o.reveal()
	}
	if k.beside {
		ended := make(chan error, 1)
		go func() { ended <- finish() }()
		o.wait = func() error { return <-ended }
		return nil
	}
	return finish()
}

// join waits for the works beside.
func (o *sinkOwner) join() error {
	if o.wait == nil {
		return nil
	}
	wait := o.wait
	o.wait = nil
	return wait()
}

// work makes a part durable; like the committer it tries until that succeeds, and now and then once more.
func (o *sinkOwner) work(work stream.Work) (receipt stream.Receipt, err error) {
	if work == nil {
		return nil, nil
	}
	k := o.k
	if k.cancels {
		if _, err := work(done(k.t)); err != nil && !errors.Is(err, context.Canceled) {
			return nil, fmt.Errorf("work that is cancelled: %w", err)
		}
	}
	for range 1 + map[bool]int{true: 1}[chance(o.commits, 3)] {
		var again stream.Receipt
		err := o.call(func() error {
			return k.insist("work", func() (err error) {
				again, err = work(k.t.Context())
				return err
			})
		})
		if err != nil {
			return nil, err
		}
		if receipt != nil && !bytes.Equal(receipt, again) {
			return nil, fmt.Errorf("work that is repeated gives the receipt %s, and %s before", again, receipt)
		}
		receipt = slices.Clone(again)
	}
	return receipt, nil
}

// reveal works off the receipts, oldest first.
func (o *sinkOwner) reveal() error {
	k := o.k
	if o.leaves {
		return nil
	}
	for len(k.staged) > 0 {
		if err := o.revealOne(k.staged[0]); err != nil {
			return err
		}
		k.staged = k.staged[1:]
	}
	return nil
}

func (o *sinkOwner) revealOne(receipt stream.Receipt) error {
	k := o.k
	if k.cancels {
		if err := o.sink.Reveal(done(k.t), receipt); err != nil && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("a reveal that is cancelled: %w", err)
		}
	}
	if !k.repeats {
		return o.revealBy(o.sink, receipt)
	}
	if o.commits.IntN(2) == 0 { // somebody else does it, perhaps alone
		other := k.open()
		err := o.revealBy(other.sink, receipt)
		other.sink.Stage(o.epoch(false)) // the replay has arrived
		other.close()
		if err != nil || o.commits.IntN(2) == 0 {
			return err
		}
	}
	for range 1 + o.commits.IntN(3) {
		if err := o.revealBy(o.sink, receipt); err != nil {
			return err
		}
	}
	return nil
}

func (o *sinkOwner) revealBy(s stream.Sink, receipt stream.Receipt) error {
	return o.call(func() error {
		return o.k.insist("reveal", func() error { return s.Reveal(o.k.t.Context(), receipt) })
	})
}

// snapshot takes the sink's state, and tries it out.
func (o *sinkOwner) snapshot(s stream.StatefulSink) []byte {
	t := o.k.t
	t.Helper()
	state := sinkState(t, s)
	if !o.k.verifies {
		return state
	}
	if again := sinkState(t, s); !bytes.Equal(again, state) {
		t.Fatalf("two snapshots with nothing between differ: %s", diffStates(t, again, state))
	}
	other := o.k.open()
	fresh := other.sink.(stream.StatefulSink)
	if err := restoreSink(fresh, state); err != nil {
		t.Fatal(err)
	}
	if again := sinkState(t, fresh); !bytes.Equal(again, state) {
		t.Fatalf("the snapshot of the restored sink differs: %s", diffStates(t, again, state))
	}
	if d := diffLines(heldTexts(t, other.sink), heldTexts(t, o.sink)); d != "" {
		t.Fatalf("of what the restored sink holds, %s", d)
	}
	other.close()
	for i, section := range splitState(t, state) {
		if i > 0 {
			break
		}
		section.version += 1 << 20
		refuses := o.k.open()
		if err := restoreSink(refuses.sink.(stream.StatefulSink), joinState([]stateSection{section})); err == nil {
			t.Fatal("a snapshot of another version is accepted")
		}
		refuses.close()
	}
	return state
}

func sinkState(t testing.TB, s stream.StatefulSink) []byte {
	t.Helper()
	w := stream.NewStateWriter()
	w.Scope("suite/")
	if err := s.Snapshot(w); err != nil {
		t.Fatal(err)
	}
	return w.Finish()
}
