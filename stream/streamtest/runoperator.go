package streamtest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// OperatorHarness tells RunOperator how to make an operator and what to feed it with.
type OperatorHarness struct {
	// Draw draws a configuration, and input for it: about size rows.
	Draw func(t testing.TB, rng *rand.Rand, size int) OperatorCase
	// Histories is how often each demand is tried; 0 is 100.
	Histories int
}

// OperatorCase is one configuration with its input.
type OperatorCase struct {
	// New makes a fresh operator.
	New func() stream.Operator
	// Steps are what a task would hand over, in order. Rows and the progress that their last record makes are never parted;
	// other steps may be.
	Steps []OperatorStep
	// Grids are those of the stage, for operators that are Dated but bring none.
	Grids stream.Grids
	// Keys is how many leading columns of Partial rows name the group.
	Keys int
}

// OperatorStep is rows, or progress behind the rows before.
type OperatorStep struct {
	Rows *stream.Batch
	To   *stream.Advance
}

// RunOperator checks an operator against the contract of stream.Operator: what it emits follows from its input, and from
// nothing else.
func RunOperator(t *testing.T, h OperatorHarness) {
	t.Helper()
	runParts(t, operatorParts(h))
}

func operatorParts(h OperatorHarness) (parts []part) {
	if h.Histories == 0 {
		h.Histories = 100
	}
	for _, p := range []struct {
		name string
		run  func(t testing.TB, rng *rand.Rand, c *OperatorCase)
	}{
		{"two runs are equal", twice},
		{"batch borders have no meaning", cutting},
		{"the input is not kept", spoiling},
		{"a restored operator goes on as the other would have", moving},
		{"what is shown decides nothing", showing},
		{"progress that is known changes nothing", repeating},
		{"nothing comes of nothing", nothing},
		{"snapshots of other versions are refused", refusing},
		{"errors of the emitter come back", interrupting},
	} {
		parts = append(parts, part{p.name, func(t testing.TB) {
			histories(t, h.Histories, func(t testing.TB, rng *rand.Rand, size int) {
				c := h.Draw(t, rng, size)
				p.run(t, rng, &c)
			})
		}})
	}
	return parts
}

// habits are what a run does beside feeding the operator.
type habits struct {
	cuts, spoils, moves, shows, repeats bool
}

func (c *OperatorCase) play(t testing.TB, rng *rand.Rand, h habits) *transcript {
	t.Helper()
	r := &operatorRun{t: t, c: c, rng: rng, habits: h, out: &transcript{t: t, keys: c.Keys}, told: stream.Advance{Mark: stream.NoTime, RecordMark: stream.NoTime}}
	r.op = c.New()
	defer func() { closeOperator(t, r.op) }()
	for i := range c.Steps {
		if err := r.step(i); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	r.publish()
	r.out.left = snapshotOf(t, r.op)
	return r.out
}

func twice(t testing.TB, _ *rand.Rand, c *OperatorCase) {
	c.play(t, nil, habits{}).compare(t, c.play(t, nil, habits{}))
}

func cutting(t testing.TB, rng *rand.Rand, c *OperatorCase) {
	c.play(t, rng, habits{cuts: true}).compare(t, c.play(t, nil, habits{}))
}

func spoiling(t testing.TB, rng *rand.Rand, c *OperatorCase) {
	c.play(t, rng, habits{cuts: true, spoils: true}).compare(t, c.play(t, nil, habits{}))
}

func moving(t testing.TB, rng *rand.Rand, c *OperatorCase) {
	c.play(t, rng, habits{cuts: true, spoils: true, moves: true}).compare(t, c.play(t, nil, habits{}))
}

func showing(t testing.TB, rng *rand.Rand, c *OperatorCase) {
	c.play(t, rng, habits{cuts: true, spoils: true, moves: true, shows: true}).compareDecided(t, c.play(t, nil, habits{}))
}

func repeating(t testing.TB, rng *rand.Rand, c *OperatorCase) {
	c.play(t, rng, habits{repeats: true}).compare(t, c.play(t, nil, habits{}))
}

// nothing: an operator that was given no rows has nothing to say, however far time goes.
func nothing(t testing.TB, _ *rand.Rand, c *OperatorCase) {
	op, out := c.New(), &transcript{t: t}
	defer closeOperator(t, op)
	for _, s := range c.Steps {
		var err error
		switch {
		case s.To != nil:
			err = op.Advance(*s.To, out)
		default:
			empty := stream.NewBatch(s.Rows.Schema)
			copyRows(empty, s.Rows, 0, 0)
			err = op.Process(empty, out)
		}
		if err != nil {
			t.Fatal(err)
		}
		if f, ok := op.(stream.Refresher); ok {
			f.Refresh()
		}
		if p, ok := op.(stream.Publisher); ok {
			if err := p.Publish(stream.Version{Offset: 1}, out); err != nil {
				t.Fatal(err)
			}
		}
		if d, ok := op.(stream.Dated); ok && d.Due() != stream.MaxTime {
			t.Fatalf("without rows something is due at %v", d.Due())
		}
	}
	if len(out.lines) > 0 || out.counts != (stream.Ledger{}) {
		t.Fatalf("without rows it emitted %q and counted %v", out.lines, out.counts.Map())
	}
}

// refusing changes the sections of a snapshot: each to another version, each left out, each cut short.
func refusing(t testing.TB, rng *rand.Rand, c *OperatorCase) {
	r := &operatorRun{t: t, c: c, op: c.New(), out: &transcript{t: t}, told: stream.Advance{Mark: stream.NoTime, RecordMark: stream.NoTime}}
	defer closeOperator(t, r.op)
	for i := range c.Steps[:rng.IntN(len(c.Steps)+1)] {
		if err := r.step(i); err != nil {
			t.Fatal(err)
		}
	}
	sections := splitState(t, snapshotOf(t, r.op))
	for i, s := range sections {
		for what, changed := range map[string][]stateSection{
			"of a later version":   {{s.name, s.version + 1, s.body}},
			"of an earlier format": {{s.name, s.version + 1<<20, s.body}},
			"left out":             nil,
			"cut short":            {{s.name, s.version, s.body[:len(s.body)/2]}},
		} {
			if what == "cut short" && len(s.body) == 0 {
				continue
			}
			all := append(append(append([]stateSection{}, sections[:i]...), changed...), sections[i+1:]...)
			op := c.New()
			if err := restoreInto(op, joinState(all)); err == nil {
				t.Errorf("a snapshot with section %s %s is accepted", s.name, what)
			}
			closeOperator(t, op)
		}
	}
	if err := r.intoFresh(joinState(sections)); err != nil {
		t.Errorf("the snapshot itself: %v", err)
	}
}

func (r *operatorRun) intoFresh(state []byte) error {
	op := r.c.New()
	defer closeOperator(r.t, op)
	return restoreInto(op, state)
}

// errEmitter is what emitters of tests fail with.
var errEmitter = errors.New("downstream has failed")

// interrupting fails one call of the emitter; the operator must return that very error.
func interrupting(t testing.TB, rng *rand.Rand, c *OperatorCase) {
	all := c.play(t, nil, habits{})
	if all.calls == 0 {
		return
	}
	r := &operatorRun{t: t, c: c, op: c.New(), out: &transcript{t: t, failAt: 1 + rng.IntN(all.calls)}, told: stream.Advance{Mark: stream.NoTime, RecordMark: stream.NoTime}}
	defer closeOperator(t, r.op)
	for i := range c.Steps {
		err := r.step(i)
		if failed := r.out.failAt > 0 && r.out.calls >= r.out.failAt; failed && err != errEmitter { //nolint:errorlint // unchanged
			t.Fatalf("step %d: call %d of the emitter failed, and the operator returned %v, not the emitter's error", i, r.out.failAt, err)
		}
		if err != nil {
			if err != errEmitter { //nolint:errorlint // unchanged
				t.Fatal(err)
			}
			return
		}
	}
}

// snapshotOf takes two snapshots, which must be the same bytes.
func snapshotOf(t testing.TB, op stream.Operator) []byte {
	t.Helper()
	first, second := stream.NewStateWriter(), stream.NewStateWriter()
	for _, w := range []*stream.StateWriter{first, second} {
		w.Scope("suite/")
		if err := op.Snapshot(w); err != nil {
			t.Fatal(err)
		}
	}
	a, b := first.Finish(), second.Finish()
	if !bytes.Equal(a, b) {
		t.Fatalf("two snapshots with nothing between differ: %s", diffStates(t, a, b))
	}
	return a
}

func restoreInto(op stream.Operator, state []byte) error {
	r, err := stream.NewStateReader(state)
	if err != nil {
		return err
	}
	r.Scope("suite/")
	if err := op.Restore(r); err != nil {
		return err
	}
	return r.Err()
}

func closeOperator(t testing.TB, op stream.Operator) {
	if c, ok := op.(interface{ Close() error }); ok {
		if err := c.Close(); err != nil {
			t.Error(fmt.Errorf("close operator: %w", err))
		}
	}
}
