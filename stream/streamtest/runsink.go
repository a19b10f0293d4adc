package streamtest

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// SinkHarness tells RunSink how to reach a receiver and what to write.
type SinkHarness struct {
	// New makes an empty receiver. What it needs ends with t.
	New func(t testing.TB) SinkReceiver
	// History draws what one task writes; a longer one the larger size is.
	History func(t testing.TB, rng *rand.Rand, size int) []SinkStep
	// Staged sinks show nothing before the reveal, and the same bytes for ever behind it. The others send absolute values
	// with their versions at once.
	Staged bool
	// Cuts says that epochs end where the steps say it, and only there, as in the raw archive.
	Cuts bool
	// Histories is how often each demand is tried; 0 is 40.
	Histories int
}

// SinkReceiver is where the rows of one task go.
type SinkReceiver struct {
	// Open opens the task's sink, as a process does that has taken the task over: there may be older ones that still go on. It is
	// not closed with t, but by the suite. The faults of the life are to be found in what lies beneath, where that is possible;
	// what a life that is dead had not sent by then must not arrive.
	Open func(t testing.TB, l *Life) stream.Sink
	// Visible is what readers see, for comparison: what is there twice for readers that drop repeats is there once. Sinks that
	// were closed have sent all they had.
	Visible func(t testing.TB) map[string]string
	// Lose makes the receiver lose everything; nil for one that is not expected to.
	Lose func(t testing.TB)
}

// SinkStep is what a task hands to its sinks up to a version. Between two steps there may be an epoch.
type SinkStep struct {
	At  stream.Version
	Do  []SinkCall
	Cut bool // an epoch ends here
}

// SinkCall is one of these; those that a sink has not the ability for are left out.
type SinkCall struct {
	Rows    *stream.Batch
	To      *stream.Advance
	Control *stream.Control
}

// SinkSteps makes steps out of what operators emit: window rows and progress by version, events by record. Idle ticks are
// control records.
func SinkSteps(steps []OperatorStep) []SinkStep {
	w := &written{}
	for _, s := range steps {
		switch {
		case s.To != nil:
			w.at = s.To.At
			if s.To.Provisional {
				w.tick(s.To)
			}
			w.add(SinkCall{To: s.To})
		case ofWindow(s.Rows):
			w.at = s.Rows.Version
			w.add(SinkCall{Rows: s.Rows})
		default:
			w.events(s.Rows)
		}
	}
	return w.steps
}

// written are the steps so far.
type written struct {
	steps []SinkStep
	at    stream.Version
}

// step is the step of the present version.
func (w *written) step() *SinkStep {
	if n := len(w.steps); n == 0 || w.steps[n-1].At != w.at {
		w.steps = append(w.steps, SinkStep{At: w.at})
	}
	return &w.steps[len(w.steps)-1]
}

func (w *written) add(c SinkCall) {
	s := w.step()
	s.Do = append(s.Do, c)
}

// tick puts the control record before everything that it causes.
func (w *written) tick(to *stream.Advance) {
	s := w.step()
	if len(s.Do) == 0 || s.Do[0].Control == nil {
		s.Do = append([]SinkCall{{Control: &stream.Control{Kind: "tick", At: to.At, Mark: to.Mark}}}, s.Do...)
	}
	s.Do[0].Control.Mark = max(s.Do[0].Control.Mark, to.Mark)
}

func (w *written) events(b *stream.Batch) {
	for lo := 0; lo < b.Len(); {
		hi := lo + 1
		for hi < b.Len() && b.Offset[hi] == b.Offset[lo] {
			hi++
		}
		rows := stream.NewBatch(b.Schema)
		copyRows(rows, b, lo, hi)
		w.at.Offset = b.Offset[lo] + 1
		w.add(SinkCall{Rows: rows})
		lo = hi
	}
}

// RunSink checks a sink against the contract of stream.Sink: whatever happens to the processes that write, readers see in
// the end what an undisturbed one would have left.
func RunSink(t *testing.T, h SinkHarness) {
	t.Helper()
	runParts(t, sinkParts(h))
}

func sinkParts(h SinkHarness) (parts []part) {
	if h.Histories == 0 {
		h.Histories = 40
	}
	r := &sinkRun{h}
	for _, p := range []struct {
		name string
		run  func(t testing.TB, rng *rand.Rand, size int)
	}{
		{"batch borders and epochs change nothing", r.borders},
		{"a crash at any call changes nothing", r.crash},
		{"owners that wake up late change nothing", r.late},
		{"lost replies and failures change nothing", r.faults},
		{"a reveal may be repeated, by anybody", r.reveals},
		{"what is not revealed is not visible, and not lost", r.unrevealed},
		{"what is older changes nothing", r.older},
		{"the committer works beside the task", r.beside},
		{"work that was cancelled is done again", r.cancelled},
		{"snapshots are exact", r.snapshots},
		{"damaged receipts are refused", r.damaged},
		{"Close may be repeated", r.closed},
		{"what the receiver has lost comes back", r.lost},
	} {
		parts = append(parts, part{p.name, func(t testing.TB) { histories(t, h.Histories, p.run) }})
	}
	return parts
}

type sinkRun struct{ SinkHarness }

// draw draws a history, and what an undisturbed task leaves of it.
func (r *sinkRun) draw(t testing.TB, rng *rand.Rand, size int) (steps []SinkStep, want map[string]string) {
	t.Helper()
	steps = r.History(t, rng, size)
	calm := r.task(t, nil, steps)
	calm.run()
	return steps, calm.receiver.Visible(t)
}

func (r *sinkRun) task(t testing.TB, rng *rand.Rand, steps []SinkStep) *sinkTask {
	t.Helper()
	return &sinkTask{t: t, h: r, rng: rng, steps: steps, receiver: r.New(t), world: NewWorld(), claimedMark: stream.NoTime}
}

// check compares what a task has left.
func (k *sinkTask) check(want map[string]string) {
	k.t.Helper()
	if d := diffMaps(k.receiver.Visible(k.t), want); d != "" {
		k.t.Fatalf("visible is not what an undisturbed run leaves: %s", d)
	}
}

func (r *sinkRun) borders(t testing.TB, rng *rand.Rand, size int) {
	steps, want := r.draw(t, rng, size)
	k := r.task(t, rng, steps)
	k.run()
	k.check(want)
}

// crash tries every call of a run, before and behind it. The next owner is healthy.
func (r *sinkRun) crash(t testing.TB, rng *rand.Rand, size int) {
	steps, want := r.draw(t, rng, min(size, 12))
	seed := rng.Uint64()
	again := func() *rand.Rand { return rand.New(rand.NewPCG(seed, 2)) }
	counting := r.task(t, again(), steps)
	counting.run()
	counting.check(want)
	at := rng.IntN(counting.calls + 1) // one of them in each history: there are many histories
	for range 2 {
		k := r.task(t, again(), steps)
		k.dieAt = 1 + at%max(counting.calls, 1)
		k.run()
		k.check(want)
		at++
	}
}

func (r *sinkRun) late(t testing.TB, rng *rand.Rand, size int) {
	steps, want := r.draw(t, rng, size)
	k := r.task(t, rng, steps)
	k.deaths, k.zombies = 6, true
	if r.Staged {
		k.shows = want
	}
	k.run()
	k.check(want)
}

func (r *sinkRun) faults(t testing.TB, rng *rand.Rand, size int) {
	steps, want := r.draw(t, rng, size)
	k := r.task(t, rng, steps)
	k.deaths, k.zombies = 2, true
	k.plan = RandomPlan(rand.New(rand.NewPCG(rng.Uint64(), 3)), map[Fault]int{Fail: 60, LoseReply: 90})
	k.run()
	k.check(want)
}

func (r *sinkRun) reveals(t testing.TB, rng *rand.Rand, size int) {
	steps, want := r.draw(t, rng, size)
	k := r.task(t, rng, steps)
	k.repeats = true
	k.run()
	k.check(want)
	last := k.open()
	for range 2 {
		for _, receipt := range k.all {
			if err := k.insist("reveal", func() error { return last.sink.Reveal(t.Context(), receipt) }); err != nil {
				t.Fatalf("reveal a receipt again: %v", err)
			}
		}
	}
	last.close()
	k.check(want)
}

// unrevealed leaves receipts to the next owner, and looks at the receiver meanwhile.
func (r *sinkRun) unrevealed(t testing.TB, rng *rand.Rand, size int) {
	steps, want := r.draw(t, rng, size)
	k := r.task(t, rng, steps)
	first := k.open()
	first.leaves = true
	first.until = rng.IntN(len(steps) + 1)
	if err := first.live(); err != nil {
		t.Fatal(err)
	}
	first.close()
	if seen := k.receiver.Visible(t); r.Staged && len(seen) > 0 {
		t.Fatalf("nothing was revealed, but visible is %s", diffMaps(seen, nil))
	}
	k.run()
	k.check(want)
}

// older lets owners that nobody knows write parts of the history once more.
func (r *sinkRun) older(t testing.TB, rng *rand.Rand, size int) {
	steps, want := r.draw(t, rng, size)
	k := r.task(t, rng, steps)
	k.run()
	k.check(want)
	for i := range 4 {
		stale := r.task(t, rng, steps[:rng.IntN(len(steps)+1)])
		stale.receiver, stale.owners = k.receiver, 1000*(i+1)
		stale.run()
		k.check(want)
	}
}

// beside runs works and reveals on a goroutine of their own while the task writes.
func (r *sinkRun) beside(t testing.TB, rng *rand.Rand, size int) {
	steps, want := r.draw(t, rng, size)
	k := r.task(t, rng, steps)
	k.beside = true
	k.run()
	k.check(want)
}

func (r *sinkRun) cancelled(t testing.TB, rng *rand.Rand, size int) {
	steps, want := r.draw(t, rng, size)
	k := r.task(t, rng, steps)
	k.cancels = true
	k.run()
	k.check(want)
}

func (r *sinkRun) snapshots(t testing.TB, rng *rand.Rand, size int) {
	steps, want := r.draw(t, rng, size)
	k := r.task(t, rng, steps)
	k.verifies = true
	k.run()
	k.check(want)
}

func (r *sinkRun) damaged(t testing.TB, rng *rand.Rand, size int) {
	steps, want := r.draw(t, rng, size)
	k := r.task(t, rng, steps)
	k.run()
	if len(k.all) == 0 {
		return // it has nothing to reveal
	}
	o := k.open()
	for _, receipt := range k.all {
		if !json.Valid(receipt) {
			t.Fatalf("a receipt is no JSON: %s", receipt)
		}
		for _, damaged := range []stream.Receipt{receipt[:len(receipt)/2], []byte(`"` + "x" + `"`), []byte(`[1]`)} {
			if err := o.sink.Reveal(t.Context(), damaged); err == nil {
				t.Errorf("the damaged receipt %q is revealed", damaged)
			}
		}
	}
	o.close()
	k.check(want)
}

func (r *sinkRun) closed(t testing.TB, rng *rand.Rand, size int) {
	steps, want := r.draw(t, rng, size)
	k := r.task(t, rng, steps)
	for range 2 {
		o := k.open()
		for range 3 {
			o.close()
		}
	}
	k.run()
	o := k.open()
	for range 3 {
		o.close()
	}
	k.check(want)
}

// lost empties the receiver; the task shows everything again, and describes the output anew.
func (r *sinkRun) lost(t testing.TB, rng *rand.Rand, size int) {
	steps, want := r.draw(t, rng, size)
	k := r.task(t, rng, steps)
	k.run()
	if k.receiver.Lose == nil {
		return
	}
	k.receiver.Lose(t)
	o := k.open()
	for _, s := range steps {
		if err := o.write(&s); err != nil {
			t.Fatal(err)
		}
	}
	if f, ok := o.sink.(stream.RefreshingSink); ok {
		work := f.Refresh(k.claimedMark)
		if _, err := work(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	o.close()
	k.check(want)
}

// done is a context that is done.
func done(t testing.TB) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// heldTexts are the rows that a sink holds.
func heldTexts(t testing.TB, s stream.Sink) (texts []string) {
	t.Helper()
	h, ok := s.(stream.HoldingSink)
	if !ok {
		return nil
	}
	err := h.Held(func(b *stream.Batch) error {
		if err := checkBatch(b); err != nil {
			return err
		}
		for i := range b.Len() {
			texts = append(texts, rowText(b, i))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clip(texts)
}
