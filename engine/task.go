package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// task runs one partition of one stage: read, decode, mark, operators, sinks on its own goroutine, and the commit of
// epochs on a second one. It is made for one ownership: after a lost claim a new task takes over anew.
type task struct {
	id    stream.TaskID
	stage *Stage
	deps  *deps
	log   *slog.Logger
	drain <-chan struct{} // closed: finish what is held, with a snapshot, and stop

	owner    string
	lane     *lane
	reader   stream.Reader
	commit   *committer
	inFlight bool  // a capture is not claimed yet
	held     int64 // bytes that sinks kept at the newest capture
	dead     DeadLetters
	claimed  stream.Version // of the newest claim
	end      int64          // log end as last seen, -1 unknown

	lastEpoch, lastSnapshot, lastPublish, lastData, lastShow, lastSkew time.Time

	published bool // since the task has read anything

	snapshotAt stream.Version

	taken     bool     // the row was
	journal   *journal // while the task works alone, or waits for that
	careful   bool     // it claims behind each input, up to an offset
	carefulTo int64    // -1: it is not known yet
	noted     bool     // the journal holds an entry of it

	suspect *suspicion // shared with the attempts before and after
	met     int64      // offset of the row that was taken over

	moved    bool             // the row was met on another timeline of the store
	fellBack bool             // the newest snapshot was damaged, the one before it is used
	frontier stream.Version   // no new control record before it
	lost     []stream.Control // ahead of the row, to be claimed again
	skew     []ProducerSkew   // as of lastSkew

	claimedMark stream.Time             // of the newest claim, NoTime if there is none
	asked       atomic.Pointer[refresh] // by Runner.Refresh
	ended       chan struct{}           // closed behind run

	overtaken atomic.Bool // set by the watcher of rows
	verified  *[]keySight // the sample that was compared last; of the watcher
	saved     savedKeys   // of the watcher
	status    status
}

// deps is what all tasks of a worker share.
type deps struct {
	Config
	claims    *claimer
	collector *collector
	siblings  func(*Stage) stream.Time // lowest known mark of the stage's tasks
	turn      lock                     // of the one task that works alone, or asks for it
}

// run owns the task until it is drained, overtaken (errLost), cancelled, or fails.
func (t *task) run(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer func() {
		t.release(ctx)
		err = errors.Join(err, t.close(cancel, err))
	}()
	if err := t.takeOver(ctx); errors.Is(err, errDrained) {
		return nil
	} else if err != nil {
		return fmt.Errorf("take over %s: %w", t.id, err)
	}
	for {
		select {
		case <-t.drain:
			return t.finish(ctx)
		default:
		}
		if err := t.tend(ctx); err != nil {
			return err
		}
		in, err := t.reader.Read(ctx)
		if errors.Is(err, io.EOF) {
			return t.finish(ctx)
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", t.id, err)
		}
		if err := t.take(ctx, in); err != nil {
			return err
		}
	}
}

// close ends the committer and everything the task has opened. The committer goes on revealing only after a clean end.
func (t *task) close(cancel context.CancelCauseFunc, cause error) error {
	if t.commit != nil {
		if cause != nil {
			cancel(cause)
		}
		close(t.commit.queue)
		<-t.commit.idle
	}
	var errs []error
	if t.reader != nil {
		errs = append(errs, t.reader.Close())
	}
	if t.lane != nil {
		errs = append(errs, t.lane.chain.close())
	}
	if t.dead != nil {
		errs = append(errs, t.dead.Close())
	}
	return errors.Join(errs...)
}

// take works off one input; at each cut an epoch is captured before the next record.
func (t *task) take(ctx context.Context, in *stream.Input) error {
	t.end = in.End
	now := t.deps.Clock.Now()
	if in.End < 0 {
		t.lastData = now // idle is who is known to have read everything; while no broker answers nobody knows
	}
	if in.Next > in.From {
		t.lastData = now
		t.deps.Observer.Fetched(t.id, in.Next-in.From)
	} else if in.Batch == nil || in.Batch.Len() == 0 {
		return t.starve(ctx)
	}
	if err := t.lane.give(in); err != nil {
		return stream.Mark(stream.Fatal, err)
	}
	if err := t.workOff(ctx); err != nil {
		return err
	}
	return t.tread(ctx)
}

// cut captures an epoch where a part ends.
func (t *task) cut(ctx context.Context) error {
	if err := t.settle(ctx); err != nil {
		return err
	}
	return t.capture(ctx, true, nil)
}

// tend does what is due by the wall clock. It changes when something is written, never what.
func (t *task) tend(ctx context.Context) error {
	if t.overtaken.Load() {
		return errLost
	}
	if err := t.outcomes(ctx, false); err != nil {
		return err
	}
	now, i := t.deps.Clock.Now(), &t.stage.Interval
	t.show(now)
	if t.stage.Cut != nil {
		return nil
	}
	if err := t.answer(ctx); err != nil {
		return err
	}
	read := t.lane.at.Offset > t.lane.first
	if due(now, t.lastPublish, i.Publish) || read && !t.published { // whoever waits for the first values waits no interval
		t.lastPublish, t.published = now, read
		if err := t.lane.chain.publish(ctx, t.lane.at); err != nil {
			return err
		}
	}
	if t.inFlight {
		return t.bound(ctx)
	}
	if tick := t.idleTick(now); tick != nil {
		return t.controlEpoch(ctx, tick)
	}
	changed := t.lane.at != t.claimed || len(t.lane.chain.decisions) > 0 || t.commit.lagging.Load()
	if !changed || !due(now, t.lastEpoch, t.patience()) && !t.lane.chain.full() {
		return nil
	}
	return t.capture(ctx, now.Sub(t.lastSnapshot) >= i.Snapshot, nil)
}

// What a task holds for its next epoch. Beyond that the epoch ends before its interval; and while the one before it is not
// claimed, because a store is slow or away, the task stops reading until the claim is answered.
const (
	maxDecisions = 2_000    // of some kilobytes each, until the claim is answered
	maxHeld      = 32 << 20 // bytes of rows that sinks have kept for files since then
)

// bound waits for the epoch in flight if too much has gathered behind it.
func (t *task) bound(ctx context.Context) error {
	if c := t.lane.chain; len(c.decisions) < maxDecisions && c.held()-t.held < maxHeld {
		return nil
	}
	return t.settle(ctx)
}

// patience is the interval to the next epoch. What somebody waits for is claimed after a tenth of it: a decision, and in front of
// an internal topic the mark that leads to one. Windows end where epochs do, on round times, so that what follows from
// their ends would else wait for almost a whole interval. A task that catches up claims no more often: all of it is late.
func (t *task) patience() time.Duration {
	if t.lane.at.Offset < t.end {
		return t.stage.Interval.Epoch
	}
	mark, _ := t.lane.marker.Marks()
	crossed := t.stage.Internal != "" && t.lane.grids.Next(t.claimedMark) <= mark
	if len(t.lane.chain.decisions) > 0 || crossed {
		return t.stage.Interval.Epoch / 10
	}
	return t.stage.Interval.Epoch
}

// due reports whether a multiple of the interval has passed since last, or all of it where the clock was set back: tasks
// that are due at the same moments share claims and requests.
func due(now, last time.Time, every time.Duration) bool {
	return now.Truncate(every).After(last) || now.Sub(last) >= every
}

// idleTick is the control record that is due when the partition has shown nothing for a while: what is known plus the
// elapsed time. It is taken only if the broker says that all was read, and if it crosses a point of the grid.
func (t *task) idleTick(now time.Time) *stream.Control {
	idle, after := now.Sub(t.lastData), t.stage.Time.IdleAfter
	if after <= 0 || idle < after || t.end < 0 || t.lane.at.Offset < t.end || len(t.lane.grids) == 0 || t.stage.Partial != nil || !t.mayControl() {
		return nil
	}
	mark, _ := t.lane.marker.Marks()
	if mark == stream.NoTime { // nothing was ever read here: the siblings' progress is what is known
		if mark = t.deps.siblings(t.stage); mark == stream.NoTime {
			return nil
		}
	} else if mark = mark.Add(idle); mark < t.lane.grids.Next(mark.Add(-idle)) {
		return nil
	}
	at := t.lane.at
	at.Step++
	return &stream.Control{Kind: controlTick, At: at, Mark: mark}
}

// controlEpoch claims a control record and lets it take effect; reading waits.
func (t *task) controlEpoch(ctx context.Context, k *stream.Control) error {
	// Everything a crossing could close leaves before the claim that holds it.
	if err := t.lane.chain.publish(ctx, t.lane.at); err != nil {
		return err
	}
	if err := t.capture(ctx, false, k); err != nil {
		return err
	}
	if err := t.settle(ctx); err != nil {
		return err
	}
	t.lastData = t.deps.Clock.Now() // the elapsed time is used up
	return t.captureControl(ctx)
}

// captureControl claims an epoch at the version at which a control record has taken effect, before anything is read. So
// the progress that this version reveals is that of the control record alone: the next stage learns which windows it has
// closed, and that partials of an owner that did not know it do not count there. The row lists the control records since the
// snapshot, and the next owner applies them all, so a task that sees nothing else takes a snapshot now and then.
func (t *task) captureControl(ctx context.Context) error {
	if t.lane.isRaised() { // shown, and acknowledged by the next stage, before the next stage drops what it had
		if err := t.lane.chain.publish(ctx, t.lane.at); err != nil {
			return err
		}
	}
	old := t.deps.Clock.Now().Sub(t.lastSnapshot) >= quietSnapshots*t.stage.Interval.Snapshot
	return t.capture(ctx, old, nil)
}

// quietSnapshots is how many of their intervals pass between the snapshots of a task that has only control records.
const quietSnapshots = 20

// settle waits until no capture is in flight.
func (t *task) settle(ctx context.Context) error {
	for t.inFlight {
		if err := t.outcomes(ctx, true); err != nil {
			return err
		}
	}
	return nil
}

// outcomes takes what the committer has to tell.
func (t *task) outcomes(ctx context.Context, wait bool) error {
	for {
		var o outcome
		if wait {
			select {
			case o = <-t.commit.outcomes:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			wait = false
		} else {
			select {
			case o = <-t.commit.outcomes:
			default:
				return nil
			}
		}
		if o.err != nil {
			return o.err
		}
		t.inFlight, t.claimed, t.claimedMark = false, o.claimed.at, o.claimed.mark
		if o.claimed.control != nil {
			if o.claimed.control.Kind == controlQuarantine {
				t.suspect.aside.Add(1)
				return errRaised
			}
			if err := t.lane.control(ctx, o.claimed.control); err != nil {
				return err
			}
		}
	}
}

// capture freezes an epoch and hands it to the committer. No other capture is in flight.
func (t *task) capture(ctx context.Context, snapshot bool, control *stream.Control) error {
	now := t.deps.Clock.Now()
	if snapshot {
		// What the snapshot holds as shown must have been shown: a restored operator shows only what changes later.
		if err := t.lane.chain.publish(ctx, t.lane.at); err != nil {
			return err
		}
	}
	l := t.lane
	mark, record := l.marker.Marks()
	e := &capture{
		at: l.at, mark: mark, record: record, ledger: l.chain.ledger(), gaps: l.gaps, control: control, passed: t.mayControl(), started: now,
		decisions: l.chain.decisions, prefix: objectPrefix(t.id, l.at, t.owner),
	}
	l.chain.decisions = nil
	if snapshot {
		var err error
		if e.state, err = l.snapshot(); err != nil {
			return fmt.Errorf("capture %s: %w", t.id, err)
		}
		t.lastSnapshot, t.snapshotAt = now, l.at
		t.status.stateBytes.Store(int64(len(e.state.data)))
	}
	e.works = t.stageOutputs(e)
	t.held = l.chain.held()
	t.lastEpoch, t.inFlight = now, true
	t.timing(phaseCapture, t.deps.Clock.Now().Sub(now))
	select {
	case t.commit.queue <- e:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stageOutputs ends the epoch's part of every sink, and of the dead letters.
func (t *task) stageOutputs(e *capture) (works []stageWork) {
	works = t.lane.chain.stage(stream.Epoch{
		At: e.at, Mark: e.mark, RecordMark: e.record, Ledger: e.ledger, Snapshot: e.state != nil, Raised: t.lane.isRaised(), Prefix: e.prefix,
	})
	flush := func(ctx context.Context) (stream.Receipt, error) { return nil, t.dead.Flush(ctx) }
	return append(works, stageWork{sink: deadLetterOutput, run: flush})
}

// deadLetterOutput names the dead letters in messages and status.
const deadLetterOutput = "dead-letters"

// finish takes a last snapshot and waits until it is claimed and revealed: the next owner has nothing to replay.
func (t *task) finish(ctx context.Context) error {
	if err := t.settle(ctx); err != nil {
		return err
	}
	changed := t.lane.at != t.claimed || t.snapshotAt != t.lane.at || len(t.lane.chain.decisions) > 0
	if t.stage.Cut == nil && changed {
		if err := t.capture(ctx, true, nil); err != nil {
			return err
		}
		if err := t.settle(ctx); err != nil {
			return err
		}
	}
	t.show(t.deps.Clock.Now())
	return nil
}

// maxOffset is no limit.
const maxOffset = math.MaxInt64

// objectPrefix is where the objects of an epoch go. It holds the task, the version and the owner, so that no two owners
// ever write the same name.
func objectPrefix(id stream.TaskID, at stream.Version, owner string) string {
	return taskPrefix(id) + at.Hex() + "-" + owner + "/"
}

func taskPrefix(id stream.TaskID) string { return "state/" + id.String() + "/" }
