package engine

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/tidewatch/tidewatch/stream"
)

// Source is where a worker reads. sources/kafka implements it.
type Source interface {
	stream.Source
	// LogStart is the first offset that the partition still holds.
	LogStart(ctx context.Context, p stream.Partition) (int64, error)
	// LogEnd is the offset behind the last record.
	LogEnd(ctx context.Context, p stream.Partition) (int64, error)
	// Partitions is the number of partitions of the topic.
	Partitions(ctx context.Context, topic string) (int32, error)
}

// Displayer is an optional ability of a Source: offsets for the lag displays of other tools. They are never read back.
type Displayer interface {
	CommitForDisplay(p stream.Partition, offset int64)
}

// DeadLetters takes the records that do not decode, and what else is set aside. Each task has its own. Write comes from the
// task's goroutine and from those of sinks that park rows, Flush from the committer.
type DeadLetters interface {
	Write(ctx context.Context, dead []stream.Rejected) error
	// Flush returns when all that was written so far is acknowledged.
	Flush(ctx context.Context) error
	Close() error
}

// Observer is told what happens; from any goroutine of the engine.
type Observer interface {
	// Fetched: the task has read n more offsets, those of a replay included.
	Fetched(task stream.TaskID, n int64)
}

// Config is what a Runner needs. All fields are required but the durations, which have defaults.
type Config struct {
	Source         Source
	Store          stream.ClaimStore
	Objects        stream.Objects
	NewDeadLetters func(TaskContext) (DeadLetters, error)
	NewInternal    func(TaskContext) (LogWriter, error) // for the stage's internal topic
	Clock          stream.Clock
	Log            *slog.Logger
	Tracer         trace.Tracer
	Observer       Observer
	DrainTimeout   time.Duration // 8 s: soft stop, before tasks are cancelled
	Retention      time.Duration // 1 h: of objects that no row names any more
	WatchEvery     time.Duration // 10 s: between looks at the rows
	Lossless       bool          // no fail-over of Store loses a claim
	Cache          Cache         // of snapshots; nil: none
	Worker         string        // name of this process in the crash journal
}

// Runner runs the tasks of a worker: they come and go with the partitions that the source assigns.
type Runner struct {
	deps *deps

	turn struct { // taken by whoever starts and stops tasks, for as long as that takes; before mu
		lock
		ctx      context.Context //nolint:containedctx // of the tasks, while Run runs; nil before and after
		stages   map[string][]*Stage
		assigned map[stream.Partition]bool
	}

	mu struct {
		sync.Mutex
		tasks map[stream.TaskID]*running
		peers map[*Stage]stream.Time // lowest claimed mark of the stage's tasks anywhere, where somebody needs it
	}
}

// lock is a mutex that may be held for long: whoever waits for it is seen to wait by tests in virtual time.
type lock chan struct{}

func (l lock) Lock()   { l <- struct{}{} }
func (l lock) Unlock() { <-l }

// running is a task that this worker has been assigned, with all its attempts.
type running struct {
	id     stream.TaskID
	stage  *Stage
	drain  chan struct{}
	cancel context.CancelFunc
	done   chan struct{}

	suspect *suspicion // of the present attempt; of keep between two

	mu struct {
		sync.Mutex
		now *task // the present attempt
	}
}

// NewRunner prepares to run the plans. Pipelines that share a topic share its partitions' assignment.
func NewRunner(c Config, plans []*Plan) *Runner {
	if c.DrainTimeout == 0 {
		c.DrainTimeout = 8 * time.Second
	}
	if c.Retention == 0 {
		c.Retention = time.Hour
	}
	if c.WatchEvery == 0 {
		c.WatchEvery = 10 * time.Second
	}
	r := &Runner{}
	r.turn.lock = make(lock, 1)
	r.turn.stages, r.turn.assigned = map[string][]*Stage{}, map[stream.Partition]bool{}
	r.mu.tasks, r.mu.peers = map[stream.TaskID]*running{}, map[*Stage]stream.Time{}
	r.deps = &deps{
		Config: c, claims: newClaimer(c.Store), siblings: r.siblings, turn: make(lock, 1),
		collector: &collector{objects: c.Objects, clock: c.Clock, log: c.Log, retention: c.Retention},
	}
	for _, p := range plans {
		r.Add(p)
	}
	return r
}

// Add runs one more plan, from now on or from Run on. Its tasks start where their partitions are assigned already; the
// source must be told of topics that nobody read before. Any goroutine may call it.
func (r *Runner) Add(p *Plan) {
	r.turn.Lock()
	defer r.turn.Unlock()
	for _, s := range p.Stages {
		for _, topic := range s.Topics {
			r.turn.stages[topic] = append(r.turn.stages[topic], s)
			for _, at := range partitionsOf(r.turn.assigned, topic) {
				r.startTask(s, at)
			}
		}
	}
}

// Remove drains the tasks of an instance and runs it no more. Any goroutine may call it.
func (r *Runner) Remove(instance string) {
	r.turn.Lock()
	defer r.turn.Unlock()
	for topic, stages := range r.turn.stages {
		r.turn.stages[topic] = slices.DeleteFunc(stages, func(s *Stage) bool { return s.Plan.Instance == instance })
	}
	r.stopWhere(func(id stream.TaskID) bool { return id.Instance == instance })
}

func partitionsOf(assigned map[stream.Partition]bool, topic string) (all []stream.Partition) {
	for p := range assigned {
		if p.Topic == topic {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(x, y stream.Partition) int { return int(x.Number - y.Number) })
	return all
}

// Topics lists what the plans read, sorted.
func (r *Runner) Topics() (topics []string) {
	r.turn.Lock()
	defer r.turn.Unlock()
	for t := range r.turn.stages {
		topics = append(topics, t)
	}
	slices.Sort(topics)
	return topics
}

// Run works until ctx is done, and then drains: each task takes a last snapshot, claims it, and stops. It returns when
// all goroutines have ended, with the source's error if that was the reason.
func (r *Runner) Run(ctx context.Context) error {
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var wg sync.WaitGroup
	spawn := func(f func()) { wg.Go(f) }
	spawn(func() { r.deps.claims.run(hard) })
	spawn(func() { r.deps.collector.run(hard) })
	spawn(func() { r.watch(hard) })
	r.begin(hard)
	assign, stopAssign := context.WithCancel(hard)
	defer stopAssign()
	failed := make(chan error, 1)
	spawn(func() {
		failed <- r.deps.Source.Assign(assign, func(gained, lost []stream.Partition) error {
			r.stop(lost)
			r.start(gained)
			return nil
		})
	})
	var err error
	select {
	case <-ctx.Done():
		r.stopAll()
		stopAssign()
		err = <-failed
	case err = <-failed:
	}
	r.end()
	r.stopAll() // also those that the assignment has started meanwhile
	cancel()
	wg.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// begin lets tasks start, which end with ctx.
func (r *Runner) begin(ctx context.Context) {
	r.turn.Lock()
	defer r.turn.Unlock()
	r.turn.ctx = ctx //nolint:fatcontext // it is set once
}

// end lets no more tasks start.
func (r *Runner) end() {
	r.turn.Lock()
	defer r.turn.Unlock()
	r.turn.ctx = nil //nolint:fatcontext // it derives from nothing
}

// start begins the tasks of gained partitions. Nobody need read them: their pipeline may have been removed.
func (r *Runner) start(gained []stream.Partition) {
	r.turn.Lock()
	defer r.turn.Unlock()
	for _, p := range gained {
		r.turn.assigned[p] = true
		for _, s := range r.turn.stages[p.Topic] {
			r.startTask(s, p)
		}
	}
}

// startTask needs the turn.
func (r *Runner) startTask(s *Stage, p stream.Partition) {
	if r.turn.ctx == nil {
		return
	}
	id := stream.TaskID{Instance: s.Plan.Instance, Stage: s.Name, Partition: p}
	ctx, cancel := context.WithCancel(r.turn.ctx)
	run := &running{id: id, stage: s, drain: make(chan struct{}), cancel: cancel, done: make(chan struct{}), suspect: newSuspicion()}
	run.mu.now = r.attempt(run)
	r.mu.Lock()
	_, twice := r.mu.tasks[id]
	if !twice {
		r.mu.tasks[id] = run
	}
	r.mu.Unlock()
	if twice {
		cancel()
		return
	}
	go func() { // stop waits for it
		defer close(run.done)
		defer cancel()
		r.keep(ctx, run)
	}()
}

func (r *Runner) attempt(run *running) *task {
	log := r.deps.Log.With("pipeline", run.stage.Plan.Pipeline, "stage", run.stage.Name,
		"topic", run.id.Partition.Topic, "partition", run.id.Partition.Number)
	t := &task{id: run.id, stage: run.stage, deps: r.deps, log: log, drain: run.drain, suspect: run.suspect, end: -1, ended: make(chan struct{})}
	t.status.mu.now = TaskStatus{Task: run.id, Pipeline: run.stage.Plan.Pipeline, State: "starting", Mark: stream.NoTime, RecordMark: stream.NoTime, Complete: stream.NoTime, End: -1, Lag: -1}
	return t
}

// keep runs the task while the partition is assigned: a lost claim or a dependency that is away begins a new take-over,
// anything else stops the task until the worker is restarted.
func (r *Runner) keep(ctx context.Context, run *running) {
	wait := 4 * firstBackoff
	for {
		run.mu.Lock()
		t := run.mu.now
		run.mu.Unlock()
		err := t.run(ctx)
		close(t.ended)
		next := wait
		switch {
		case err == nil || ctx.Err() != nil:
			return
		case errors.Is(err, errRaised):
			next = 0
		case t.panicked(err) != nil:
			if err := run.suspect.found(t.panicked(err), t.floor(), t.lane.passed); err != nil {
				t.log.Error("a step of the pipeline has panicked", "stack", t.panicked(err).stack)
				t.stopped(err)
				return
			}
			next = firstBackoff
			t.log.Error("a step of the pipeline has panicked; starting again, with the records in work one by one", "error", err, "stack", t.panicked(err).stack)
		case errors.Is(err, errLost):
			t.log.Warn("the row was taken by another worker, or by the next version of the pipeline; taking over again, since the partition is assigned here")
		case stream.KindOfError(err) == stream.Retry:
			t.log.Warn("task starts again", "error", err)
		default:
			t.stopped(err)
			return
		}
		t.status.fail("starting", err)
		select {
		case <-ctx.Done():
			return
		case <-run.drain:
			return
		case <-r.deps.Clock.After(next):
		}
		if next > 0 {
			wait = min(2*wait, lastBackoff)
		}
		run.mu.Lock()
		run.mu.now = r.attempt(run)
		run.mu.Unlock()
	}
}

// stopped reports that the task is not tried again.
func (t *task) stopped(err error) {
	t.status.fail("failed", err)
	t.log.Error("task stopped; mend the cause and restart the worker", "error", err)
}

// stop drains the tasks of the partitions and returns when they have ended.
func (r *Runner) stop(lost []stream.Partition) {
	r.turn.Lock()
	defer r.turn.Unlock()
	for _, p := range lost {
		delete(r.turn.assigned, p)
	}
	r.stopWhere(func(id stream.TaskID) bool { return slices.Contains(lost, id.Partition) })
}

func (r *Runner) stopAll() {
	r.turn.Lock()
	defer r.turn.Unlock()
	r.stopWhere(func(stream.TaskID) bool { return true })
}

// stopWhere needs the turn.

func (r *Runner) stopWhere(match func(stream.TaskID) bool) {
	r.mu.Lock()
	var leaving []*running
	for id, run := range r.mu.tasks {
		if match(id) {
			leaving = append(leaving, run)
			delete(r.mu.tasks, id)
		}
	}
	r.mu.Unlock()
	if len(leaving) == 0 {
		return
	}
	for _, run := range leaving {
		close(run.drain)
	}
	late := r.deps.Clock.After(r.deps.DrainTimeout)
	for _, run := range leaving {
		select {
		case <-run.done:
		case <-late:
			for _, run := range leaving {
				run.cancel()
			}
			<-run.done
			late = nil
		}
	}
}

// attempts lists the present tasks in the order of their names.
func (r *Runner) attempts() (tasks []*task) {
	r.mu.Lock()
	runs := make([]*running, 0, len(r.mu.tasks))
	for _, run := range r.mu.tasks {
		runs = append(runs, run)
	}
	r.mu.Unlock()
	slices.SortFunc(runs, func(a, b *running) int {
		if a.id.String() < b.id.String() {
			return -1
		}
		return 1
	})
	for _, run := range runs {
		run.mu.Lock()
		tasks = append(tasks, run.mu.now)
		run.mu.Unlock()
	}
	return tasks
}

// Status lists how every task of this worker stands, in the order of their names.
func (r *Runner) Status() (all []TaskStatus) {
	for _, t := range r.attempts() {
		now := t.status.get()
		now.Quarantined = t.suspect.aside.Load()
		all = append(all, now)
	}
	return all
}
