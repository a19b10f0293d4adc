package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// A record whose processing ends the process, without a panic that could be recovered from, takes one worker after the other
// down. The store counts how many owners of a task in a row have ended without a word. After two such deaths a task is careful:
// it claims an epoch behind each input, so that its row tells where it stands. After three it is suspected: it works alone, one
// suspected task at a time in the cluster, and what it has in work is in the journal before it begins. If the process dies once
// more, the next owner works off those records one by one. The one with which the process dies twice in a row, alone in work,
// is quarantined like one that panics. See docs/design/0010-crash-journal.md.

const (
	carefulAfter    = 2 // deaths of owners in a row
	suspectAfter    = 3
	condemnAfter    = 2 // deaths in a row with one record in work
	blankAfter      = 3 // deaths in a row with no record in work: others go first
	firstWay        = 10 * time.Second
	lastWay         = 10 * time.Minute
	spanWidth       = 1024             // offsets in work at once, about an input
	workPatience    = 30 * time.Second // a record that takes the process down does so sooner
	turnPatience    = 30 * time.Second // for the claim behind a span: others wait meanwhile
	askEvery        = 100 * time.Millisecond
	beatEvery       = stream.IsolationLapse / 5
	deathsKept      = 8
	releasePatience = 2 * time.Second
)

// offsets are From up to To; none if they are equal.
type offsets struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

func (o offsets) holds(offset int64) bool { return o.From <= offset && offset < o.To }

// entry is what the journal holds of a suspected task.
type entry struct {
	Deaths   int       `json:"deaths"`             // so far
	Worker   string    `json:"worker,omitempty"`   // of the owner
	Began    string    `json:"began,omitempty"`    // by its clock, for people
	Isolated bool      `json:"isolated,omitempty"` // it works; else it waits for its turn
	Restores bool      `json:"restores,omitempty"` // its state, before it reads anything
	Work     offsets   `json:"work"`               // in work
	Noted    bool      `json:"noted,omitempty"`    // an entry without Work follows when it is worked off; else the claim tells
	Regions  []offsets `json:"regions,omitempty"`  // what was in work when the process died: to be worked off one by one
	Alone    []lone    `json:"alone,omitempty"`    // records with which alone in work it died
	Blank    int       `json:"blank,omitempty"`    // deaths in a row with no record in work
	Streak   int       `json:"streak,omitempty"`   // records that were condemned one after the other
	Died     []death   `json:"died,omitempty"`     // in isolation, the newest last
	Stopped  string    `json:"stopped,omitempty"`  // why nobody runs the task any more
}

// lone is a record with which, alone in work, the process died so many times in a row.
type lone struct {
	Offset int64 `json:"offset"`
	Deaths int   `json:"deaths"`
}

type death struct {
	Worker string  `json:"worker"`
	Began  string  `json:"began"`
	Work   offsets `json:"work"`
}

// judge draws the conclusions of how the owner before has ended, which wrote the entry. claimed is the offset of the row.
func (e *entry) judge(ended stream.Ended, claimed int64) {
	if ended.Deaths > 0 {
		e.Deaths++
	}
	if ended.Deaths > 0 && e.Isolated {
		e.Died = append(e.Died, death{e.Worker, e.Began, e.Work})
		e.Died = e.Died[max(len(e.Died)-deathsKept, 0):]
		e.conclude(ended.Lasted, claimed)
	}
	e.Isolated, e.Restores, e.Work = false, false, offsets{}
}

func (e *entry) conclude(lasted time.Duration, claimed int64) {
	w := e.Work
	switch {
	case lasted > workPatience && !e.Restores:
		return // it hung, and somebody ended it
	case w.To <= w.From || !e.Noted && w.To <= claimed:
		e.Blank++
		return
	}
	e.Blank = 0
	if w.To-w.From > 1 {
		e.Regions = append(e.Regions, w)
		return
	}
	if deaths := e.alone(w.From); deaths < condemnAfter {
		return
	} else if w.From < claimed {
		e.stop(fmt.Sprintf("while the record at offset %d was in work, which was worked off and claimed before, so that it cannot be set aside "+
			"any more. Run the version of tidewatch that has claimed it, give the process more memory, or apply a changed pipeline", w.From), deaths)
	} else if e.Streak++; e.Streak > maxStreak {
		e.stop(fmt.Sprintf("at one record after the other: %d in a row were quarantined, so it is not the records. Mend the pipeline, and send them "+
			"again with tidewatch dlq retry", maxStreak), deaths)
	}
}

// alone counts a death with one record in work.
func (e *entry) alone(offset int64) (deaths int) {
	i := slices.IndexFunc(e.Alone, func(l lone) bool { return l.Offset == offset })
	if i < 0 {
		i, e.Alone = len(e.Alone), append(e.Alone, lone{Offset: offset})
	}
	e.Alone[i].Deaths++
	return e.Alone[i].Deaths
}

// survived forgets the deaths with a record in work that was worked off.
func (e *entry) survived(w offsets) {
	e.Alone = slices.DeleteFunc(e.Alone, func(l lone) bool { return w.holds(l.Offset) && l.Deaths < condemnAfter })
}

// single tells that the record is to be worked off alone, and where the next ones are for which that is so.
func (e *entry) single(offset int64) (alone bool, next int64) {
	next = maxOffset
	for _, r := range e.Regions {
		if r.holds(offset) {
			return true, offset
		}
		if r.From > offset {
			next = min(next, r.From)
		}
	}
	return slices.ContainsFunc(e.Alone, func(l lone) bool { return l.Offset == offset }), next
}

// last is where the last region ends.
func (e *entry) last() (end int64) {
	for _, r := range e.Regions {
		end = max(end, r.To)
	}
	return end
}

// stop keeps all workers from running the task.
func (e *entry) stop(why string, times int) {
	e.Stopped = fmt.Sprintf("the process died %d times in a row while this task worked alone, %s; to have the task tried again, delete its row "+
		"of the table tidewatch_journal", times, why)
}

// quarantines are the control records of the records that are found.
func (e *entry) quarantines() (found []*stream.Control) {
	for _, l := range e.Alone {
		if l.Deaths >= condemnAfter {
			found = append(found, &stream.Control{
				Kind: controlQuarantine, At: stream.Version{Offset: l.Offset},
				Reason: fmt.Sprintf("the process died %d times while this record alone was in work", l.Deaths), Detail: clipped(e.detail(), detailBytes),
			})
		}
	}
	return found
}

// detail tells of the deaths.
func (e *entry) detail() string {
	var detail strings.Builder
	fmt.Fprintf(&detail, "%d deaths, of which these while the task worked alone:\n", e.Deaths)
	for _, d := range e.Died {
		fmt.Fprintf(&detail, "%s worker %s: ", d.Began, d.Worker)
		switch {
		case d.Work.From == d.Work.To:
			detail.WriteString("no record in work\n")
		case d.Work.To-d.Work.From == 1:
			fmt.Fprintf(&detail, "offset %d in work\n", d.Work.From)
		default:
			fmt.Fprintf(&detail, "offsets %d to %d in work\n", d.Work.From, d.Work.To-1)
		}
	}
	return detail.String()
}

// journal is the isolation of a suspected task.
type journal struct {
	t     *task
	ctx   context.Context //nolint:containedctx // of the attempt: decoders are given none
	store stream.Journal
	entry entry

	turn      bool // of this process is this task's
	replaying bool
	start     stream.Version // of the row that was taken over
	passed    int64          // the newest record that the replay has worked off
	decoding  offsets        // covered while they are decoded
	endBeats  func()
}

// errDrained ends an attempt that waited for its turn.
var errDrained = errors.New("the task is drained")

// isolate returns at once if nobody suspects the task, else when it may work alone.
func (t *task) isolate(ctx context.Context, cp *stream.Checkpoint, rec *stream.Record) error {
	store, ok := t.deps.Store.(stream.Journal)
	if !ok {
		return nil
	}
	t.careful, t.carefulTo = cp.Ended.Deaths >= carefulAfter, -1
	after := suspectAfter
	if cp.Ended.Isolation { // what dies beside a task that works alone must not be taken for its death again
		after = 1
	}
	if cp.Ended.Entry == nil && cp.Ended.Deaths < after {
		return nil
	}
	j := &journal{t: t, ctx: ctx, store: store, replaying: true, start: rec.At, endBeats: func() {}}
	if json.Unmarshal(cp.Ended.Entry, &j.entry) != nil || cp.Ended.Entry == nil {
		j.entry = entry{Deaths: cp.Ended.Deaths - 1} // one that cannot be read costs some deaths
	}
	e := &j.entry
	e.judge(cp.Ended, rec.At.Offset)
	t.journal, t.careful = j, true
	if err := t.enter(ctx, e); err != nil {
		return err
	}
	if e.Stopped != "" {
		return stream.Mark(stream.Fatal, errors.New(e.Stopped))
	}
	for _, k := range e.quarantines() {
		if !slices.ContainsFunc(t.suspect.condemned, func(c *stream.Control) bool { return c.At.Offset == k.At.Offset }) {
			t.suspect.condemn(k)
		}
	}
	t.log.Warn("processes have died again and again before this task has claimed anything: its records are worked off in isolation",
		"deaths", e.Deaths, "regions", e.Regions, "alone", e.Alone)
	if err := j.await(ctx); err != nil {
		return err
	}
	j.show("the records that it has in work are in the journal")
	e.Isolated, e.Restores = true, true
	if err := t.enter(ctx, e); err != nil {
		return err
	}
	j.beat(ctx)
	return nil
}

func (j *journal) show(what string) {
	j.t.status.isolate(fmt.Sprintf("the process died %d times before this task has claimed anything: %s", j.entry.Deaths, what))
}

// await returns when this task may work alone.
func (j *journal) await(ctx context.Context) error {
	t := j.t
	if err := j.giveWay(ctx); err != nil {
		return err
	}
	j.show("it waits until it may work alone")
	select {
	case t.deps.turn <- struct{}{}: // of this process, so that one task of it asks the store
		j.turn = true
	case <-t.drain:
		return errDrained
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for {
		var alone, mine bool
		err := again(ctx, t.deps.Clock, t.log, "isolate task", func(ctx context.Context) (err error) {
			alone, mine, err = j.store.Isolate(ctx, t.id, t.owner)
			return err
		})
		switch {
		case err != nil:
			return err
		case !mine:
			return errLost
		case alone:
			return nil
		}
		select {
		case <-t.deps.Clock.After(askEvery):
		case <-t.drain:
			return errDrained
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// giveWay waits, if the process has died with no record in work: no record can be set aside for it, and perhaps nothing of this task
// was the reason. So it is tried again and again, but less and less often, and all others work meanwhile.
func (j *journal) giveWay(ctx context.Context) error {
	if j.entry.Blank < blankAfter {
		return nil
	}
	wait := min(firstWay<<min(j.entry.Blank-blankAfter, 10), lastWay)
	j.show(fmt.Sprintf("%d times in a row while it worked alone and no record was in work. Its state may need more memory than the process may have. It is "+
		"tried again in %v", j.entry.Blank, wait))
	select {
	case <-j.t.deps.Clock.After(wait):
		return nil
	case <-j.t.drain:
		return errDrained
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// beat stays isolated until endBeats. A task that was not seen for too long ends: another one works alone now.
func (j *journal) beat(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	j.endBeats = func() {
		cancel()
		<-done
	}
	go func() { // endBeats waits for it
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-j.t.deps.Clock.After(beatEvery):
			}
			if alone, _, err := j.store.Isolate(ctx, j.t.id, j.t.owner); err == nil && !alone {
				j.t.overtaken.Store(true)
				return
			}
		}
	}()
}

// enter writes the entry of the journal, or deletes it.
func (t *task) enter(ctx context.Context, e *entry) error {
	var body []byte
	if e != nil {
		e.Worker, e.Began = t.deps.Worker, t.deps.Clock.Now().UTC().Format(time.RFC3339)
		var err error
		if body, err = json.Marshal(e); err != nil {
			return fmt.Errorf("encode entry of the journal: %w", err)
		}
	}
	var mine bool
	err := again(ctx, t.deps.Clock, t.log, "write journal", func(ctx context.Context) (err error) {
		mine, err = t.deps.Store.(stream.Journal).Note(ctx, t.id, t.owner, body)
		return err
	})
	if err == nil && !mine {
		return errLost
	}
	t.noted = e != nil
	return err
}

// cover writes down what comes into work, from one record on and up to limit at most, and returns where it ends.
func (j *journal) cover(ctx context.Context, from, limit int64) (to int64, err error) {
	alone, next := j.entry.single(from)
	if to = min(from+spanWidth, next, limit); alone {
		to = from + 1
	}
	j.entry.Work, j.entry.Noted, j.entry.Restores = offsets{from, to}, j.replaying || j.t.stage.Cut != nil, false
	return to, j.t.enter(ctx, &j.entry)
}

// begin covers the next records of the input, and returns how far the lane may work off: to limit, where nobody suspects the task.
func (t *task) begin(ctx context.Context, limit int64) (int64, error) {
	j, l := t.journal, t.lane
	if j == nil {
		return limit, nil
	}
	from := l.at.Offset
	if b := l.in.Batch; b != nil && l.row < b.Len() {
		from = max(from, b.Offset[l.row])
	}
	j.decoding = offsets{}
	if limit = min(limit, l.in.Next); from >= limit {
		return limit, nil
	}
	return j.cover(ctx, from, limit)
}

// done ends what begin has begun: with a claim, behind which nothing of it is in work any more, or with an entry where none may be
// claimed.
func (t *task) done(ctx context.Context) error {
	j := t.journal
	if j == nil || j.entry.Work == (offsets{}) {
		return nil
	}
	j.entry.survived(j.entry.Work)
	j.entry.Work = offsets{}
	if j.entry.Noted {
		if err := t.enter(ctx, &j.entry); err != nil {
			return err
		}
	} else if err := t.claimNow(ctx, turnPatience); err != nil {
		return err
	}
	at := t.lane.at.Offset
	if j.replaying || at < j.entry.last() || t.lane.passed == j.passed {
		return nil
	}
	if t.stage.Cut != nil && t.claimed == j.start { // no claim tells that it was passed
		return nil
	}
	return t.leave(ctx)
}

// errTurn ends an attempt whose claim takes too long: a store is away, and other tasks wait for their turn.
var errTurn = stream.Mark(stream.Retry, errors.New("the task works alone, and its epoch could not be claimed in time: others have their turn"))

// claimNow claims what is worked off, and waits for it.
func (t *task) claimNow(ctx context.Context, patience time.Duration) error {
	if patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, patience, errTurn)
		defer cancel()
	}
	if err := t.settle(ctx); err != nil {
		return err
	}
	if t.lane.at == t.claimed {
		return nil
	}
	if err := t.capture(ctx, false, nil); err != nil {
		return err
	}
	return t.settle(ctx)
}

// tread claims behind each input, until all is passed that the owners before may have read.
func (t *task) tread(ctx context.Context) error {
	if !t.careful {
		return nil
	}
	if t.carefulTo < 0 {
		t.carefulTo = t.end
	}
	if t.stage.Cut == nil {
		if t.journal != nil {
			return nil // each of its spans is claimed
		}
		if err := t.claimNow(ctx, 0); err != nil {
			return err
		}
	}
	if t.carefulTo < 0 || t.lane.at.Offset < t.carefulTo {
		return nil
	}
	return t.acquit(ctx)
}

// starve is called when there was nothing to read.
func (t *task) starve(ctx context.Context) error {
	if !t.careful || t.end < 0 || t.lane.at.Offset < t.end {
		return nil
	}
	return t.acquit(ctx)
}

// leave lets other tasks work alone. Until this one is acquitted it will be isolated at once if the process dies.
func (t *task) leave(ctx context.Context) error {
	if err := t.enter(ctx, &entry{Deaths: t.journal.entry.Deaths}); err != nil {
		return err
	}
	t.release(ctx)
	t.status.isolate("")
	return nil
}

// acquit ends all suspicion: nothing is left of what owners before may have read.
func (t *task) acquit(ctx context.Context) error {
	if t.noted {
		t.log.Info("the task has passed all that it was suspected of", "offset", t.lane.at.Offset)
		if err := t.enter(ctx, nil); err != nil {
			return err
		}
	}
	t.careful = false
	if t.journal != nil {
		t.release(ctx)
		t.status.isolate("")
	}
	return nil
}

// release tells that this process lives, and lets another task work alone.
func (t *task) release(ctx context.Context) {
	store, ok := t.deps.Store.(stream.Journal)
	if !ok || !t.taken {
		return
	}
	j := t.journal
	t.journal = nil
	if j != nil {
		j.endBeats()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releasePatience)
	defer cancel()
	if err := store.Release(ctx, t.id, t.owner); err != nil {
		t.log.Debug("releasing the row failed: the next owner takes it for a death", "error", err)
	}
	if j != nil && j.turn {
		<-t.deps.turn
	}
}

// journalled writes down what is decoded next.
type journalled struct {
	stream.Decoder
	t *task
}

// Decode implements stream.Decoder.
func (d *journalled) Decode(m *stream.Message, b *stream.Batch) error {
	j := d.t.journal
	if j != nil && !j.decoding.holds(m.Offset) && d.t.lane.aside[m.Offset] == nil {
		to, err := j.cover(j.ctx, m.Offset, maxOffset)
		if err != nil {
			return err
		}
		j.decoding = offsets{m.Offset, to}
	}
	return d.Decoder.Decode(m, b)
}
