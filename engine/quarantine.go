package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"sync/atomic"

	"github.com/tidewatch/tidewatch/stream"
)

// A record that makes an operator panic must not stop its partition for ever. The panic ends the attempt, since the state is
// half changed. The next one works off the records that were in work one by one; the record that panics again is quarantined
// by a control record, claimed before it: whoever replays sets it aside at the same place. What it had changed may have left
// through an owner that got past it, so the claim raises the generation: see renew.

const (
	// detailBytes bounds the stack in a control record: each row carries those since its snapshot.
	detailBytes = 4 << 10
	reasonBytes = 200
	// maxStreak is how many records in a row may be quarantined. More is no property of a record.
	maxStreak = 16
	// maxReplays is how often a replay may panic at what was worked off once.
	maxReplays = 3
)

// panicked is what was recovered from the work of a lane, with the offsets of the records in work. The state is dirty.
type panicked struct {
	value    any
	stack    string
	from, to int64 // equal if no record was in work
}

// Error implements error.
func (p *panicked) Error() string {
	switch {
	case p.from == p.to:
		return fmt.Sprintf("panic, while no record was in work: %v", p.value)
	case p.one():
		return fmt.Sprintf("panic at offset %d: %v", p.from, p.value)
	}
	return fmt.Sprintf("panic at one of the offsets %d to %d: %v", p.from, p.to-1, p.value)
}

// one reports whether it is known which record was in work.
func (p *panicked) one() bool { return p.to-p.from == 1 }

// blame turns a panic of an operator, a decoder or a sink into an error. It is deferred where the engine calls them; at are the
// records in work, nil if there are none.
func blame(err *error, at *inWork) {
	v := recover()
	if v == nil {
		return
	}
	p := &panicked{value: v, stack: string(debug.Stack())}
	if at != nil {
		p.from, p.to = at.from, at.to
	}
	*err = p
}

// inWork is a span of offsets.
type inWork struct{ from, to int64 }

func (w inWork) holds(offset int64) bool { return w.from <= offset && offset < w.to }

// quarantine is the control record that sets one record aside. Its version is given when the task stands before the record.
func (p *panicked) quarantine() *stream.Control {
	return &stream.Control{
		Kind: controlQuarantine, At: stream.Version{Offset: p.from},
		Reason: clipped("panic: "+fmt.Sprint(p.value), reasonBytes), Detail: clipped(p.stack, detailBytes),
	}
}

func clipped(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return s[:most]
}

// suspicion is what a task that is started again knows of the records that ended the attempts before. Its attempts, which run
// one after the other, share it.
type suspicion struct {
	alone     inWork            // records to be worked off one by one
	once      map[int64]bool    // records that have panicked, and are known to
	condemned []*stream.Control // records that are to be quarantined when the task gets there, by offset
	last      int64             // the newest of them so far
	streak    int               // how many there were without a record between them that was worked off
	replays   int               // panics at what was claimed already
	aside     atomic.Int64      // records that were quarantined
}

func newSuspicion() *suspicion { return &suspicion{last: math.MinInt64, once: map[int64]bool{}} }

// found draws the conclusions of a panic. claimed is what the row says to be worked off, passed the last offset that this
// attempt has worked off. An error says why the task is not to be started again.
func (s *suspicion) found(p *panicked, claimed, passed int64) error {
	switch {
	case p.from == p.to:
		return fmt.Errorf("%w: no record can be set aside for it. The pipeline stands still here; the stack is in the log", p)
	case p.from < claimed:
		if s.replays++; s.replays >= maxReplays {
			return fmt.Errorf("%w: the record was worked off and claimed before, so it cannot be set aside any more. Run the version of tidewatch "+
				"that has claimed it, or apply a changed pipeline; the stack is in the log", p)
		}
		s.alone = inWork{p.from, p.to} // to know which it is
	case p.one() && !s.once[p.from] && !s.alone.holds(p.from):
		s.once[p.from] = true
	case p.one():
		if passed > s.last {
			s.streak = 0
		}
		if s.streak++; s.streak > maxStreak {
			return fmt.Errorf("%w: %d records in a row were quarantined before it, so it is not the records: mend the pipeline, and send them "+
				"again with tidewatch dlq retry; the stack is in the log", p, maxStreak)
		}
		delete(s.once, p.from)
		s.last = max(s.last, p.from)
		s.condemn(p.quarantine())
	default:
		s.alone = inWork{p.from, p.to}
	}
	return nil
}

func (s *suspicion) condemn(k *stream.Control) {
	s.condemned = append(s.condemned, k)
	slices.SortFunc(s.condemned, func(x, y *stream.Control) int { return x.At.Compare(y.At) })
}

// next is the record that is to be quarantined next, nil if there is none.
func (s *suspicion) next() *stream.Control {
	if len(s.condemned) == 0 {
		return nil
	}
	return s.condemned[0]
}

// errRaised ends an attempt that has claimed the quarantine of a record: the next one opens the outputs under the new
// generation.
var errRaised = errors.New("a record was quarantined")

// guarded is the decoder of a lane: it refuses the records that are set aside, so that the reader hands over their bytes as
// those of rejected ones, and tells which record makes the decoder panic.
type guarded struct {
	stream.Decoder
	aside map[int64]*stream.Control
}

// errAside is replaced by the lane.
var errAside = stream.Mark(stream.Reject, errors.New("the record is quarantined"))

// Decode implements stream.Decoder.
func (g *guarded) Decode(m *stream.Message, b *stream.Batch) (err error) {
	defer blame(&err, &inWork{m.Offset, m.Offset + 1})
	if len(g.aside) > 0 && g.aside[m.Offset] != nil {
		return errAside
	}
	return g.Decoder.Decode(m, b)
}

// setAside makes the lane pass by the record at the offset of a control record.
func (l *lane) setAside(k *stream.Control) { l.aside[k.At.Offset] = k }

// isRaised reports whether a quarantine has taken effect at the present version.
func (l *lane) isRaised() bool { return l.at == l.raised && l.at.Step > 0 }

// label makes quarantined records of those that the decoder was told to refuse, and counts them.
func (l *lane) label(dead []stream.Rejected) (quarantined int64) {
	for i := range dead {
		k := l.aside[dead[i].Offset]
		if k == nil {
			continue
		}
		dead[i].Kind, dead[i].Reason, dead[i].Detail = stream.LetterQuarantined, cmp.Or(k.Reason, errAside.Error()), k.Detail
		quarantined++
	}
	return quarantined
}

// endOfRecord is the row behind the record that row i is of.
func endOfRecord(b *stream.Batch, i int) int {
	at := b.Offset[i]
	for i < b.Len() && b.Offset[i] == at {
		i++
	}
	return i
}

// single is where the rows end that may be worked off together from the present one on, below hi.
func (l *lane) single(hi int) int {
	b := l.in.Batch
	if l.alone.holds(b.Offset[l.row]) {
		return min(endOfRecord(b, l.row), hi)
	}
	for i := l.row; i < hi; i++ {
		if l.alone.holds(b.Offset[i]) {
			return i
		}
	}
	return hi
}

// apply lets a claimed control record take effect. Behind a quarantine everything that is held is shown anew: under the new
// generation nothing was.
func (t *task) apply(ctx context.Context, k *stream.Control) error {
	if err := t.lane.control(ctx, k); err != nil {
		return err
	}
	if k.Kind == controlQuarantine {
		t.lane.chain.forget()
	}
	return nil
}

// setAside tells the lane of the records that it will pass by, and that are worked off one by one, before anything is read.
func (t *task) setAside(rec *stream.Record) {
	s, l := t.suspect, t.lane
	for _, list := range [][]stream.Control{claimedControls(rec), t.lost} {
		for i := range list {
			if k := &list[i]; k.Kind == controlQuarantine {
				l.setAside(k)
			}
		}
	}
	s.condemned = slices.DeleteFunc(s.condemned, func(k *stream.Control) bool {
		return k.At.Offset < rec.At.Offset || l.aside[k.At.Offset] != nil
	})
	for _, k := range s.condemned {
		l.setAside(k)
	}
	l.alone = s.alone
}

// quarantine claims that the next record is set aside, if it is the condemned one. The attempt ends with the claim.
func (t *task) quarantine(ctx context.Context) error {
	k := t.suspect.next()
	if k == nil || k.At.Offset != t.lane.at.Offset {
		return nil
	}
	if err := t.settle(ctx); err != nil {
		return err
	}
	at, mark := t.lane.at, t.lane.mark
	at.Step++
	claim := *k
	claim.At, claim.Mark = at, max(mark, 0)
	t.log.Error("a record is quarantined; it goes to the dead letters", "offset", k.At.Offset, "reason", k.Reason, "stack", k.Detail)
	return t.controlEpoch(ctx, &claim)
}

// panicked is the panic that has ended the attempt, nil if it was something else.
func (t *task) panicked(err error) *panicked {
	p, _ := errors.AsType[*panicked](err)
	return p
}

// floor is the offset up to which the row is known to be worked off.
func (t *task) floor() int64 { return max(t.met, t.claimed.Offset) }

// snapshotAside writes the record that is to be passed by next.
func (l *lane) snapshotAside(w *stream.StateWriter) {
	k := l.aside[l.at.Offset]
	if k == nil || k.At.Step == 0 || k.At.Step > l.at.Step { // it has not taken effect yet
		return
	}
	w.Section("quarantine", 1)
	w.Uint(uint64(k.At.Step))
	w.Text(k.Reason)
	w.Text(k.Detail)
}

func (l *lane) restoreAside(r *stream.StateReader) {
	if _, ok := r.Section("quarantine"); ok {
		at := stream.Version{Offset: l.at.Offset, Step: uint32(r.Uint())}
		l.setAside(&stream.Control{Kind: controlQuarantine, At: at, Reason: r.Text(), Detail: r.Text()})
	}
}
