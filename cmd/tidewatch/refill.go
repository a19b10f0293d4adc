package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/sinks/redis"
	"github.com/tidewatch/tidewatch/stream"
)

// Intervals of looking whether Redis has lost its content.
const (
	lookEvery    = 2 * time.Second
	lookAgain    = time.Second     // while it is being filled
	fillPatience = 5 * time.Minute // for the tasks to write what they hold
)

// refiller fills Redis again: what the worker's tasks hold, and from the archive the final windows that they hold no more.
// Each worker fills the outputs of its own tasks; Redis itself says which of them are missing (sinks/redis/KEYS.md). Two
// that work on the same output do no harm, since everything written is an absolute value with a version.
type refiller struct {
	redis   *redis.Client
	objects stream.Objects
	clock   stream.Clock
	log     *slog.Logger
	writers func() map[string]bool // names of the pipelines that write to Redis
	every   time.Duration          // between looks while all is well
	renewed chan struct{}          // a task has opened an output of which it is not known whether it is filled

	mu struct {
		sync.Mutex
		parts map[stream.TaskID][]*part
		state error // why Redis is not ready, nil if it is
		opens int   // how often parts were renewed
	}
}

// part is an output of a task that goes to Redis.
type part struct {
	config   redis.SinkConfig
	schema   *stream.Schema
	archived bool // its final rows become files
	before   bool // the output is that of the version of the pipeline before, which the task does not hold
}

func (p *part) name() string {
	name := p.config.Part()
	if p.before {
		name += " of " + p.config.Output.Instance
	}
	return name
}

// past is what the version before has of the part, nil if there is none.
func (p *part) past() *part {
	if p.config.Output.Before == nil {
		return nil
	}
	past := *p
	past.config.Output, past.config.Generation, past.before = *p.config.Output.Before, 0, true
	return &past
}

// filler is what the refiller needs of the engine's runner.
type filler interface {
	Status() []engine.TaskStatus
	Refresh(ctx context.Context, ids []stream.TaskID) ([]stream.TaskID, error)
}

var errRefill = errors.New("it is being filled")

// writersToRedis names the pipelines with an output there.
func writersToRedis(specs []*pipelines.Spec) map[string]bool {
	all := map[string]bool{}
	for _, p := range specs {
		if slices.ContainsFunc(p.Sinks, func(s pipelines.Sink) bool { return s.Kind == pipelines.RedisSink }) {
			all[p.Name.Value] = true
		}
	}
	return all
}

func newRefiller(client *redis.Client, objects stream.Objects, clock stream.Clock, log *slog.Logger) *refiller {
	r := &refiller{redis: client, objects: objects, clock: clock, log: log, every: lookEvery, renewed: make(chan struct{}, 1)}
	r.mu.parts, r.mu.state = map[stream.TaskID][]*part{}, errRefill
	return r
}

// opened is told of every sink that a task opens, before anything is written to it.
func (r *refiller) opened(c pipelines.SinkConfig, t engine.TaskContext) {
	if r == nil || c.Raw || c.Kind != pipelines.RedisSink && c.Kind != pipelines.ParquetSink {
		return
	}
	p, renewed := r.add(c, t)
	if c.Kind == pipelines.RedisSink && t.Fresh {
		r.noteNew(p)
	}
	if !renewed {
		return
	}
	select {
	case r.renewed <- struct{}{}:
	default: // run will look
	}
}

// add keeps what is known of the part. It is renewed where Redis is to get it under a name that it did not have before, as after
// a quarantine: then Redis is not ready until somebody has looked.
func (r *refiller) add(c pipelines.SinkConfig, t engine.TaskContext) (_ *part, renewed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	parts := r.mu.parts[t.Task]
	i := slices.IndexFunc(parts, func(p *part) bool { return p.config.Output.Name == c.Output })
	if i < 0 {
		i = len(parts)
		parts = append(parts, &part{config: redis.SinkConfig{Task: t.Task, Output: redis.Output{Name: c.Output}}})
	}
	next := *parts[i] // readers keep the one they have
	if c.Kind == pipelines.ParquetSink {
		next.archived = true
	} else {
		next.config, next.schema = redisSink(c, t), c.Schema
		renewed = parts[i].schema == nil || next.name() != parts[i].name()
	}
	if renewed {
		r.mu.state = errRefill
		r.mu.opens++
	}
	parts = slices.Clone(parts)
	parts[i] = &next
	r.mu.parts[t.Task] = parts
	return &next, renewed
}

// noteNew spares a part the filling whose task begins anew: what was never written cannot be missing. What the version before
// has written is not missing if Redis still knows of it. If Redis is away both are filled like any others.
func (r *refiller) noteNew(p *part) {
	ctx := context.Background()
	err := r.redis.NoteNew(ctx, p.name())
	if past := p.past(); past != nil && err == nil {
		var noted bool
		if noted, err = r.redis.Noted(ctx, past.config.Output.Instance+"/"); noted {
			err = r.redis.NoteNew(ctx, past.name())
		}
	}
	if err != nil {
		r.log.Debug("a new output is not noted in Redis; it will be filled", "output", p.name(), "error", err)
	}
}

// ready is nil when everything of this worker's tasks is in Redis.
func (r *refiller) ready(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.state
}

// run looks after Redis until ctx is done.
func (r *refiller) run(ctx context.Context, tasks filler) error {
	for {
		opens := r.opens()
		missing, err := r.look(ctx, tasks)
		r.report(err, opens)
		if len(missing) > 0 {
			if err := r.fill(ctx, tasks, missing); err != nil && ctx.Err() == nil {
				r.log.Warn("filling Redis again has not succeeded; it is tried again", "error", err)
			} else if err == nil {
				continue // look whether that was all
			}
		}
		wait := r.every
		if err != nil {
			wait = min(wait, lookAgain)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.renewed:
		case <-r.clock.After(wait):
		}
	}
}

func (r *refiller) opens() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.opens
}

// report notes the state, and logs when it begins and ends to be bad. opens is of before the look: what was renewed meanwhile is
// not in it.
func (r *refiller) report(err error, opens int) {
	r.mu.Lock()
	before := r.mu.state
	if err == nil && r.mu.opens != opens {
		err = errRefill
	}
	r.mu.state = err
	r.mu.Unlock()
	switch {
	case err == nil && before != nil:
		r.log.Info("Redis holds everything")
	case errors.Is(err, errRefill) && before == nil:
		r.log.Warn("Redis lacks rollups; filling it again from state and archive", "missing", err)
	}
}

// look finds what Redis lacks and running tasks can give. The error says why Redis is not ready.
func (r *refiller) look(ctx context.Context, tasks filler) (missing []*part, err error) {
	writers := r.writers()
	if len(writers) == 0 {
		return nil, nil
	}
	var parts []*part
	starting := 0
	for _, t := range tasks.Status() {
		switch {
		case t.State == "running":
			parts = append(parts, r.partsOf(t.Task)...)
		case (t.State == "starting" || t.State == "isolating") && writers[t.Pipeline]:
			starting++
		}
	}
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.name()
	}
	lacking, err := r.redis.Unfilled(ctx, names)
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		if slices.Contains(lacking, p.name()) {
			missing = append(missing, p)
		}
	}
	switch {
	case len(missing) > 0:
		return missing, fmt.Errorf("%w: %d of %d outputs are missing", errRefill, len(missing), len(parts))
	case starting > 0:
		return nil, fmt.Errorf("what %d tasks have there is unknown until they have started", starting)
	case len(parts) == 0:
		return nil, r.nobody(ctx)
	}
	return nil, nil
}

// nobody is the state of a worker without tasks, which may be about to get some.
func (r *refiller) nobody(ctx context.Context) error {
	empty, err := r.redis.Empty(ctx)
	if err == nil && empty {
		err = fmt.Errorf("%w: it is empty, and no task runs here yet", errRefill)
	}
	return err
}

// partsOf lists the outputs of a task that go to Redis.
func (r *refiller) partsOf(id stream.TaskID) (parts []*part) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.mu.parts[id] {
		if p.schema == nil {
			continue
		}
		parts = append(parts, p)
		if past := p.past(); past != nil {
			parts = append(parts, past)
		}
	}
	return parts
}

// fill writes the parts again: first what the tasks hold, then the archive. What a task has let go of before it answered is
// in the archive then, so nothing falls between the two.
func (r *refiller) fill(ctx context.Context, tasks filler, missing []*part) error {
	var names []string
	var ids []stream.TaskID
	for _, p := range missing {
		names = append(names, p.name())
		if !p.before && !slices.Contains(ids, p.config.Task) {
			ids = append(ids, p.config.Task)
		}
	}
	note, err := r.redis.BeginFill(ctx, names)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, fillPatience)
	ids, err = tasks.Refresh(limited, ids)
	cancel()
	errs := []error{err}
	var filled []string
	for _, group := range byOutput(missing, ids) {
		if err := r.archive(ctx, group); err != nil {
			errs = append(errs, err)
			continue
		}
		for _, p := range group {
			filled = append(filled, p.name())
		}
	}
	return errors.Join(append(errs, note.End(ctx, filled))...)
}

// byOutput groups the parts of these tasks, and what they have of versions before, by what is in one folder of the archive.
func byOutput(parts []*part, ids []stream.TaskID) (groups [][]*part) {
	for _, p := range parts {
		if !p.before && !slices.Contains(ids, p.config.Task) {
			continue
		}
		i := slices.IndexFunc(groups, func(g []*part) bool {
			return g[0].config.Output.Instance == p.config.Output.Instance && g[0].config.Output.Name == p.config.Output.Name
		})
		if i < 0 {
			i, groups = len(groups), append(groups, nil)
		}
		groups[i] = append(groups[i], p)
	}
	return groups
}
