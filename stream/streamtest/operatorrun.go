package streamtest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// operatorRun feeds one operator with the steps of a case, as a lane of the engine does.
type operatorRun struct {
	t   testing.TB
	c   *OperatorCase
	rng *rand.Rand // nil: nothing happens by chance
	habits
	op   stream.Operator
	out  *transcript
	in   *stream.Batch
	at   stream.Version
	told stream.Advance // progress that the operator knows
	// after, if there is one, is called with the progress that the operator was told of.
	after func(to stream.Advance)
}

func (r *operatorRun) step(i int) error {
	s := r.c.Steps[i]
	if s.To != nil {
		if err := r.progress(*s.To); err != nil {
			return err
		}
		r.between()
		return nil
	}
	crossing := i+1 < len(r.c.Steps) && r.c.Steps[i+1].To != nil && !r.c.Steps[i+1].To.Provisional
	return r.feed(s.Rows, crossing)
}

// feed hands over rows. Nothing comes between the last record and the progress that it makes.
func (r *operatorRun) feed(rows *stream.Batch, crossing bool) error {
	for lo := 0; lo < rows.Len(); {
		var rng *rand.Rand
		if r.cuts {
			rng = r.rng
		}
		hi := border(rng, rows, lo)
		if r.in == nil || r.in.Schema != rows.Schema || chance(r.rng, 9) {
			r.in = stream.NewBatch(rows.Schema)
		}
		copyRows(r.in, rows, lo, hi)
		if err := r.op.Process(r.in, r.out); err != nil {
			return err
		}
		if r.spoils {
			spoil(r.in, r.rng.IntN(4) == 0)
		}
		if len(rows.Offset) > 0 {
			r.at.Offset = rows.Offset[hi-1] + 1
		} else if ofWindow(rows) {
			r.at = rows.Version
		}
		if lo = hi; lo < rows.Len() || !crossing {
			r.between()
		}
	}
	return nil
}

// progress tells of a step from point to point, as the engine does (see engine/climb.go), and of its end: there another
// operator of the chain may have something to decide.
func (r *operatorRun) progress(to stream.Advance) error {
	if dated, ok := r.op.(stream.Dated); ok {
		if err := r.climb(dated, to); err != nil {
			return err
		}
	}
	return r.advance(to)
}

func (r *operatorRun) climb(dated stream.Dated, to stream.Advance) error {
	grids := r.c.Grids
	if g, ok := dated.(stream.Gridded); ok {
		grids = g.Grids()
	}
	for {
		point, due := stream.MaxTime, dated.Due()
		if t := pointAfter(grids, r.told.Mark, due); t <= to.Mark {
			point = t
		}
		if t := pointAfter(grids, r.told.RecordMark, due); t <= to.RecordMark {
			point = min(point, t)
		}
		if point == stream.MaxTime {
			return nil
		}
		next := to
		next.Mark, next.RecordMark = max(r.told.Mark, min(point, to.Mark)), max(r.told.RecordMark, min(point, to.RecordMark))
		if err := r.advance(next); err != nil {
			return err
		}
	}
}

func pointAfter(grids stream.Grids, t, due stream.Time) stream.Time {
	if due > t && due != stream.MaxTime {
		t = due - 1
	}
	return grids.Next(t)
}

// advance tells of one point, and perhaps again, and of less.
func (r *operatorRun) advance(to stream.Advance) error {
	before := r.told
	r.told, r.at = to, to.At
	if err := r.op.Advance(to, r.out); err != nil {
		return err
	}
	if d, ok := r.op.(stream.Dated); ok && d.Due() <= min(to.Mark, to.RecordMark) {
		r.t.Fatalf("after %+v something is still due at %v", to, d.Due())
	}
	if r.after != nil {
		r.after(to)
	}
	if !r.repeats {
		return nil
	}
	state, known := snapshotOf(r.t, r.op), r.out.state()
	back := to
	back.Mark, back.RecordMark = before.Mark, before.RecordMark
	for _, again := range []stream.Advance{to, back, to} {
		if err := r.op.Advance(again, r.out); err != nil {
			return err
		}
		if now := r.out.state(); now != known {
			r.t.Fatalf("progress to %v (records %v) was known, and yet it emitted %q", again.Mark, again.RecordMark, r.out.lines[known.lines:])
		}
		if now := snapshotOf(r.t, r.op); !bytes.Equal(now, state) {
			r.t.Fatalf("progress to %v (records %v) was known, and yet it changed the state: %s", again.Mark, again.RecordMark, diffStates(r.t, now, state))
		}
	}
	return nil
}

// between does what may happen between two calls.
func (r *operatorRun) between() {
	if s, ok := r.op.(stream.Sized); ok {
		if size, groups := s.Size(); size < 0 || groups < 0 {
			r.t.Fatalf("its size is %d bytes and %d groups", size, groups)
		}
	}
	if r.moves && chance(r.rng, 5) {
		r.move()
	}
	if r.shows && chance(r.rng, 8) {
		if f, ok := r.op.(stream.Refresher); ok {
			f.Refresh()
		}
	}
	if r.shows && chance(r.rng, 3) {
		r.publish()
	}
}

func (r *operatorRun) publish() {
	if p, ok := r.op.(stream.Publisher); ok {
		if err := p.Publish(r.at, r.out); err != nil {
			r.t.Fatal(err)
		}
	}
}

// move restores the state into a fresh operator, and goes on with it, or with the old one, which must not mind.
func (r *operatorRun) move() {
	state := snapshotOf(r.t, r.op)
	fresh := r.c.New()
	if err := restoreInto(fresh, state); err != nil {
		r.t.Fatalf("restore a snapshot that was just taken: %v", err)
	}
	if again := snapshotOf(r.t, fresh); !bytes.Equal(again, state) {
		r.t.Fatalf("the snapshot of the restored operator differs: %s", diffStates(r.t, again, state))
	}
	if r.rng.IntN(4) > 0 {
		r.op, fresh = fresh, r.op
	}
	closeOperator(r.t, fresh)
}

// transcript is what an operator has emitted. It implements stream.Emitter.
type transcript struct {
	t      testing.TB
	keys   int
	failAt int // call that fails; 0 none
	calls  int
	then   func(b *stream.Batch) // sees every batch; may be nil

	lines     []string // rows and decisions in their order
	decided   []string // those that do not depend on what was shown
	decisions map[string]string
	counts    stream.Ledger
	first     display
	last      display
	ends      map[string]int // last slot by what a batch shares
	left      []byte         // the state in the end
}

// transcriptState tells whether something was emitted since.
type transcriptState struct {
	lines  int
	counts stream.Ledger
}

func (tr *transcript) state() transcriptState { return transcriptState{len(tr.lines), tr.counts} }

func (tr *transcript) call() error {
	if tr.calls++; tr.calls == tr.failAt {
		return errEmitter
	}
	return nil
}

// Emit implements stream.Emitter.
func (tr *transcript) Emit(b *stream.Batch) error {
	if err := tr.call(); err != nil {
		return err
	}
	if err := checkBatch(b); err != nil {
		tr.t.Fatalf("emitted %s: %v", headText(b), err)
	}
	tr.ordered(b)
	for i := range b.Len() {
		text := rowText(b, i)
		tr.lines = append(tr.lines, text)
		if b.Phase != stream.Live && b.Phase != stream.Partial {
			tr.decided = append(tr.decided, text)
		}
	}
	if tr.then != nil {
		tr.then(b)
	}
	tr.first.take(b, tr.keys, false)
	tr.last.take(b, tr.keys, true)
	return nil
}

// ordered checks that slots come complete and in order.
func (tr *transcript) ordered(b *stream.Batch) {
	if !bySlots(b) || b.Len() == 0 {
		return
	}
	if !slices.IsSorted(b.Slot) {
		tr.t.Fatalf("emitted %s: the slots are not in order: %v", headText(b), b.Slot)
	}
	if b.Phase == stream.Live {
		return // the same version may be shown again
	}
	if tr.ends == nil {
		tr.ends = map[string]int{}
	}
	head := headText(b)
	if end, ok := tr.ends[head]; ok && int(b.Slot[0]) <= end {
		tr.t.Fatalf("emitted %s: slot %d comes behind slot %d, so not complete or not in order", head, b.Slot[0], end)
	}
	tr.ends[head] = int(b.Slot[b.Len()-1])
}

// Decide implements stream.Emitter.
func (tr *transcript) Decide(d stream.Decision) error {
	if err := tr.call(); err != nil {
		return err
	}
	if tr.decisions == nil {
		tr.decisions = map[string]string{}
	}
	if body, ok := tr.decisions[d.ID]; ok && body != string(d.Body) {
		tr.t.Fatalf("decision %s has two bodies: %s and %s", d.ID, body, d.Body)
	}
	tr.decisions[d.ID] = string(d.Body)
	text := fmt.Sprintf("decision %s: %s", d.ID, d.Body)
	tr.lines, tr.decided = append(tr.lines, text), append(tr.decided, text)
	return nil
}

// Wants implements stream.Emitter.
func (*transcript) Wants(stream.Phase) bool { return true }

// Count implements stream.Emitter.
func (tr *transcript) Count(bucket stream.Bucket, n int64) { tr.counts[bucket] += n }

// compare demands the same output in the same order, and the same state in the end.
func (tr *transcript) compare(t testing.TB, want *transcript) {
	t.Helper()
	if d := diffLines(tr.lines, want.lines); d != "" {
		t.Fatalf("of the output, %s", d)
	}
	tr.compareDecided(t, want)
	if !bytes.Equal(tr.left, want.left) {
		t.Fatalf("the state in the end differs: %s", diffStates(t, tr.left, want.left))
	}
}

// compareDecided demands the same decisions, and the same display in the end.
func (tr *transcript) compareDecided(t testing.TB, want *transcript) {
	t.Helper()
	if d := diffLines(tr.decided, want.decided); d != "" {
		t.Fatalf("of what is decided, %s", d)
	}
	if tr.counts != want.counts {
		t.Fatalf("the counts are %v, want %v", tr.counts.Map(), want.counts.Map())
	}
	for _, d := range []*display{&tr.first, &tr.last} {
		if d := diffMaps(d.texts(), want.last.texts()); d != "" {
			t.Fatalf("in the end is shown: %s", d)
		}
	}
}

// display is a receiver of values that keeps the newest version of each slot of a window, as Redis does, and the newest
// partial of each group. Of equal versions some receivers keep the first, and some the last; it must not matter.
type display struct{ held map[string]shown }

type shown struct {
	version stream.Version
	text    string
}

func (d *display) take(b *stream.Batch, keys int, takesEqual bool) {
	if d.held == nil {
		d.held = map[string]shown{}
	}
	switch b.Phase {
	case stream.Partial:
		for i := range b.Len() {
			key := fmt.Sprintf("%d %v %s", b.Window.Start, b.AfterClose, valuesText(b, i, min(keys, len(b.Cols))))
			d.put(key, shown{b.Version, valuesText(b, i, len(b.Cols))}, true)
		}
	case stream.Live, stream.Closed, stream.Revised:
		for lo := 0; lo < b.Len() && len(b.Slot) > 0; {
			hi := lo + 1
			for hi < b.Len() && b.Slot[hi] == b.Slot[lo] {
				hi++
			}
			var rows []string
			for i := lo; i < hi; i++ {
				rows = append(rows, valuesText(b, i, len(b.Cols)))
			}
			d.put(fmt.Sprintf("%d slot %d", b.Window.Start, b.Slot[lo]), shown{b.Version, strings.Join(rows, "\n")}, takesEqual)
			lo = hi
		}
	case stream.Event, stream.Final, stream.Late:
	}
}

func (d *display) put(key string, s shown, takesEqual bool) {
	held, ok := d.held[key]
	if c := s.version.Compare(held.version); !ok || c > 0 || c == 0 && takesEqual {
		d.held[key] = s
	}
}

func (d *display) texts() map[string]string {
	texts := map[string]string{}
	for k, s := range d.held {
		texts[k] = s.text
	}
	return texts
}
