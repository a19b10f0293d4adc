package engine

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// phase is a part of the commit of an epoch whose duration is measured.
type phase uint8

const (
	phaseCapture phase = iota
	phaseStage
	phaseClaim
	phaseReveal
	phases
)

var phaseNames = [phases]string{"capture", "stage", "claim", "reveal"}

// status is what a task shows of itself. The task's two goroutines write it, readers take copies.
type status struct {
	stateBytes atomic.Int64
	keys       atomic.Pointer[[]keySight] // nil before the first; what it points to is never changed
	mu         struct {
		sync.Mutex
		now   TaskStatus
		owner stream.Row
	}
}

// TaskStatus is how a task stands.
type TaskStatus struct {
	Task       stream.TaskID
	Pipeline   string
	State      string // "starting", "isolating", "running", "failed"
	Problem    string // of a failed task, of a task that tries again, or what refutes the pipeline's declaration
	Epoch      int64
	At         stream.Version
	First      int64
	End        int64 // end of the log, -1 unknown
	Lag        int64 // records between At and End, -1 unknown
	LagTime    time.Duration
	Mark       stream.Time // watermark, idle ticks included
	RecordMark stream.Time
	Complete   stream.Time // the mark up to which everything is claimed, and every output has what it has to take
	Ledger     stream.Ledger
	Gaps       stream.Gaps // of the ledger
	Events     int64
	StateBytes int64 // memory of the operators' state
	Groups     int64
	Limit      GroupLimit
	Snapshot   SnapshotStatus
	Skew       []ProducerSkew    // of the producers whose clocks differ most; it is never changed
	Outputs    map[string]string // troubles by output, "" if none
	Parked     map[string]int64  // rows by output that its server refused since the task started here; it is never changed
	Durations  map[string]Duration
	// Quarantined is how many records were set aside since the partition is here.
	Quarantined int64
}

// GroupLimit tells how near the groups of a window are to what the pipeline allows.
type GroupLimit struct {
	Most     int64 // groups of a window; 0: no limit
	Groups   int64 // of the fullest window now
	Overflow int64 // rows that were counted in the other group, since the task started
}

// SnapshotStatus tells of the newest snapshot.
type SnapshotStatus struct {
	At    stream.Version
	Bytes int64
}

// Duration sums up how long a phase of the commit took.
type Duration struct {
	Count int64
	Total time.Duration
	Last  time.Duration
}

const (
	showEvery = 200 * time.Millisecond
	skewEvery = 5 * time.Second
)

// start begins the status of a task that has arrived where its row is.
func (s *status) start(t *task, cp *stream.Checkpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.owner = stream.Row{Epoch: cp.Epoch, Owner: t.owner, Timeline: cp.Timeline}
	s.mu.now.Epoch = cp.Epoch
	if t.journal == nil {
		s.mu.now.State = "running"
	}
}

// isolate tells why the task works alone or waits for that, and begins to run if it does so no more.
func (s *status) isolate(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.now.State, s.mu.now.Problem = "isolating", why
	if why == "" {
		s.mu.now.State = "running"
	}
}

// row is what the task believes of its row.
func (s *status) row() (stream.Row, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.owner, s.mu.owner.Owner != ""
}

// get returns a copy.
func (s *status) get() TaskStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.mu.now
	now.Outputs, now.Durations = map[string]string{}, map[string]Duration{}
	maps.Copy(now.Outputs, s.mu.now.Outputs)
	maps.Copy(now.Durations, s.mu.now.Durations)
	return now
}

// fail records why the task has stopped.
func (s *status) fail(state string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.now.State, s.mu.now.Problem = state, err.Error()
}

// show refreshes the status, a few times a second at most.
func (t *task) show(now time.Time) {
	if now.Sub(t.lastShow) < showEvery {
		return
	}
	t.lastShow = now
	l := t.lane
	l.chain.keys.show(&t.status)
	for _, o := range l.chain.outputs {
		if err := trouble(o.Sink); err != nil {
			t.note(o.Name, err)
		}
	}
	mark, record := l.marker.Marks()
	bytes, groups := l.chain.size()
	if now.Sub(t.lastSkew) >= skewEvery {
		t.lastSkew, t.skew = now, l.skew.worst()
	}
	lag, lagTime := int64(-1), time.Duration(0)
	if t.end >= 0 {
		lag = max(t.end-l.at.Offset, 0)
	}
	if lag != 0 && record != stream.NoTime {
		lagTime = max(now.Sub(record.Go()), 0)
	}
	s := &t.status
	s.mu.Lock()
	defer s.mu.Unlock()
	n := &s.mu.now
	n.At, n.First, n.End, n.Lag, n.LagTime = l.at, l.first, t.end, lag, lagTime
	n.Mark, n.RecordMark, n.Ledger, n.Events = mark, record, l.chain.ledger(), l.chain.events
	n.Gaps = l.gaps
	n.Skew, n.Limit = t.skew, l.chain.limits()
	n.StateBytes, n.Groups, n.Snapshot = bytes, groups, SnapshotStatus{At: t.snapshotAt, Bytes: s.stateBytes.Load()}
}

// note records that an output works or what its trouble is; from either goroutine of the task.
func (t *task) note(output string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	s := &t.status
	s.mu.Lock()
	if s.mu.now.Outputs == nil {
		s.mu.now.Outputs = map[string]string{}
	}
	before := s.mu.now.Outputs[output]
	s.mu.now.Outputs[output] = text
	s.mu.Unlock()
	switch {
	case text != "" && before == "":
		t.log.Warn("output is behind; what it lacks is kept and repeated", "output", output, "error", text)
	case text == "" && before != "":
		t.log.Info("output works again", "output", output)
	}
}

// timing records how long a phase took; from either goroutine of the task.
func (t *task) timing(p phase, d time.Duration) {
	s := &t.status
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.now.Durations == nil {
		s.mu.now.Durations = map[string]Duration{}
	}
	sum := s.mu.now.Durations[phaseNames[p]]
	s.mu.now.Durations[phaseNames[p]] = Duration{Count: sum.Count + 1, Total: sum.Total + d, Last: d}
}

// completeTo records how far results are final.
func (t *task) completeTo(mark stream.Time) {
	t.status.mu.Lock()
	defer t.status.mu.Unlock()
	t.status.mu.now.Complete = mark
}

// claimedEpoch records the newest claim.
func (t *task) claimedEpoch(epoch int64) {
	t.status.mu.Lock()
	defer t.status.mu.Unlock()
	t.status.mu.now.Epoch, t.status.mu.owner.Epoch = epoch, epoch
}
