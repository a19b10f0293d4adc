package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/sources/generate"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// pace is how a partition is run in less time than it would take: everything that goes by the wall clock is so many times as fast.
// What is written for a snapshot or a file does not depend on that.
type pace struct {
	speed     int
	length    time.Duration // of event time
	perSecond int           // events, of event time
	hosts     int
}

// usualPace has three slots of the archive, and ends when the rollups of the last one are final.
func usualPace() pace {
	return pace{speed: 100, length: 16*time.Minute + 30*time.Second, perSecond: 90, hosts: 2000}
}

// garbageAfter is how soon objects that no row names are deleted here: it changes when, never what.
const garbageAfter = time.Second

// taskRun is what the engine has done for one partition.
type taskRun struct {
	calls      []call
	rows       [][]byte // of the claim store, one for each epoch that was seen
	eventBytes float64
}

// runTask runs the pipeline and the archive of one partition in the engine of the product, over stores in memory.
func runTask(ctx context.Context, p pace) (*taskRun, error) {
	world := streamtest.NewWorld()
	life := streamtest.NewLife(world, nil)
	objects := &countingObjects{store: life.Objects()}
	pipeline, err := compile("keyed.yaml", objects)
	if err != nil {
		return nil, err
	}
	raw, err := archive("keyed.yaml", objects)
	if err != nil {
		return nil, err
	}
	for _, plan := range []*engine.Plan{pipeline, raw} {
		quicken(plan, p.speed)
	}
	source := &onePartition{Source: life.Source(map[string]int32{fleetTopic: 1}, rand.New(rand.NewPCG(7, 7)))}
	source.Most = 512
	runner := engine.NewRunner(engine.Config{
		Source: source, Store: life.Claims(), Objects: objects, Clock: clock.System{}, Retention: garbageAfter,
		NewDeadLetters: func(engine.TaskContext) (engine.DeadLetters, error) { return life.DeadLetters(), nil },
		NewInternal:    func(t engine.TaskContext) (engine.LogWriter, error) { return life.Writer(t.Stage.Internal), nil },
		Log:            slog.New(slog.DiscardHandler), Tracer: noop.NewTracerProvider().Tracer(""), Observer: nobody{},
	}, []*engine.Plan{pipeline, raw})
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(running) }() // waited for below
	run := &taskRun{}
	id := stream.TaskID{Instance: pipeline.Instance, Stage: pipeline.Stages[0].Name, Partition: thePartition()}
	err = run.feed(ctx, world, id, p)
	stop()
	if err := errors.Join(err, <-ended, world.Violation()); err != nil {
		return nil, fmt.Errorf("run a task: %w", err)
	}
	run.calls = objects.calls()
	return run, run.read(world.Row(id))
}

// quicken divides what goes by the wall clock.
func quicken(p *engine.Plan, speed int) {
	for _, s := range p.Stages {
		for _, d := range []*time.Duration{&s.Interval.Epoch, &s.Interval.Snapshot, &s.Interval.Publish} {
			*d = max(*d/time.Duration(speed), time.Millisecond)
		}
		s.Time.IdleAfter = 0 // there is always something to read
	}
}

// feed appends events as time goes by, and looks at the row now and then. At the end it waits until garbage is collected.
func (r *taskRun) feed(ctx context.Context, world *streamtest.World, id stream.TaskID, p pace) error {
	c := generate.Default("bench")
	c.Hosts, c.PerSecond = p.hosts, p.perSecond
	c.Start = c.Start.Add(20 * time.Minute) // a part with events of two hours is two files, which is so once in an hour
	gen, err := generate.New(c)
	if err != nil {
		return err
	}
	all := int64(p.length/time.Second) * int64(p.perSecond)
	began, next, bytes := time.Now(), int64(0), 0
	ticks := time.NewTicker(5 * time.Millisecond)
	defer ticks.Stop()
	for over := (<-chan time.Time)(nil); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-over:
			r.eventBytes = float64(bytes) / float64(all)
			return nil
		case <-ticks.C:
		}
		due := min(all, int64(time.Since(began).Seconds()*float64(p.speed)*float64(p.perSecond)))
		for ; next < due; next++ {
			var e generate.Event
			gen.Event(next, &e)
			bytes += len(e.Value)
			world.Append(streamtest.LogID{Topic: fleetTopic}, stream.Message{Timestamp: gen.Time(next), Key: e.Key, Value: e.Value})
		}
		if row := world.Row(id); row != nil && len(row.Record) > 0 && (len(r.rows) == 0 || string(row.Record) != string(r.rows[len(r.rows)-1])) {
			r.rows = append(r.rows, row.Record)
		}
		if next == all && over == nil {
			over = time.After(2*garbageAfter + time.Second)
		}
	}
}

// read checks that the run was one.
func (r *taskRun) read(row *stream.Checkpoint) error {
	if row == nil || row.Epoch == 0 || len(r.rows) == 0 {
		return errors.New("run a task: it has claimed nothing")
	}
	return nil
}

// row is one of the middle size.
func (r *taskRun) row() []byte {
	rows := slices.SortedFunc(slices.Values(r.rows), func(x, y []byte) int { return len(x) - len(y) })
	return rows[len(rows)/2]
}

// thePartition has an id of its topic, as real ones do.
func thePartition() stream.Partition {
	return stream.Partition{Topic: fleetTopic, Incarnation: "q1Sh-9_KTn6XxZ8cVvBZlg"}
}

// onePartition assigns it.
type onePartition struct{ *streamtest.Source }

// Assign implements stream.Source.
func (s *onePartition) Assign(ctx context.Context, change func(gained, lost []stream.Partition) error) error {
	if err := change([]stream.Partition{thePartition()}, nil); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// nobody implements engine.Observer.
type nobody struct{}

// Fetched implements engine.Observer.
func (nobody) Fetched(stream.TaskID, int64) {}
