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

	"github.com/tidewatch/tidewatch/benchmarks/bed"
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
	b := newBench(nil, 1)
	pipeline, err := compile("keyed.yaml", b.objects)
	if err != nil {
		return nil, err
	}
	raw, err := archive("keyed.yaml", b.objects)
	if err != nil {
		return nil, err
	}
	run := &taskRun{}
	id := stream.TaskID{Instance: pipeline.Instance, Stage: pipeline.Stages[0].Name, Partition: partition(0)}
	look := func() {
		row := b.world.Row(id)
		if row != nil && len(row.Record) > 0 && (len(run.rows) == 0 || string(row.Record) != string(run.rows[len(run.rows)-1])) {
			run.rows = append(run.rows, row.Record)
		}
	}
	err = b.run(ctx, []*engine.Plan{pipeline, raw}, p, func() error {
		if run.eventBytes, err = b.feed(ctx, p, look); err != nil {
			return err
		}
		return bed.Sleep(ctx, 2*garbageAfter+time.Second) // until garbage is collected
	})
	if err != nil {
		return nil, err
	}
	if len(run.rows) == 0 {
		return nil, errors.New("run a task: it has claimed nothing")
	}
	run.calls = b.objects.calls()
	return run, nil
}

// bench is a worker of the engine over stores in memory, or over another claim store.
type bench struct {
	world      *streamtest.World
	life       *streamtest.Life
	objects    *countingObjects
	claims     stream.ClaimStore
	partitions int
}

// newBench is a worker with so many partitions; claims may be nil.
func newBench(claims stream.ClaimStore, partitions int) *bench {
	b := &bench{world: streamtest.NewWorld(), claims: claims, partitions: partitions}
	b.life = streamtest.NewLife(b.world, nil)
	b.objects = &countingObjects{store: b.life.Objects()}
	if claims == nil {
		b.claims = b.life.Claims()
	}
	return b
}

// run has the worker run the plans for as long as during takes.
func (b *bench) run(ctx context.Context, plans []*engine.Plan, p pace, during func() error) error {
	for _, plan := range plans {
		quicken(plan, p.speed)
	}
	source := &assigned{Source: b.life.Source(map[string]int32{fleetTopic: int32(b.partitions)}, rand.New(rand.NewPCG(7, 7))), partitions: b.partitions}
	source.Most = 512
	runner := engine.NewRunner(engine.Config{
		Source: source, Store: b.claims, Objects: b.objects, Clock: clock.System{}, Retention: garbageAfter,
		NewDeadLetters: func(engine.TaskContext) (engine.DeadLetters, error) { return b.life.DeadLetters(), nil },
		NewInternal:    func(t engine.TaskContext) (engine.LogWriter, error) { return b.life.Writer(t.Stage.Internal), nil },
		Log:            slog.New(slog.DiscardHandler), Tracer: noop.NewTracerProvider().Tracer(""), Observer: nobody{},
	}, plans)
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(running) }() // waited for below
	err := during()
	stop()
	if err := errors.Join(err, <-ended, b.world.Violation()); err != nil {
		return fmt.Errorf("run the engine: %w", err)
	}
	for _, t := range runner.Status() {
		if t.State == "failed" {
			return fmt.Errorf("run the engine: %s: %s", t.Task, t.Problem)
		}
	}
	return nil
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

// feed appends events as time goes by, and looks around now and then. It returns the mean bytes of an event.
func (b *bench) feed(ctx context.Context, p pace, look func()) (eventBytes float64, err error) {
	c := generate.Default("bench")
	c.Hosts, c.PerSecond = p.hosts, p.perSecond
	c.Start = c.Start.Add(20 * time.Minute) // a part with events of two hours is two files, which is so once in an hour
	gen, err := generate.New(c)
	if err != nil {
		return 0, err
	}
	all := int64(p.length/time.Second) * int64(p.perSecond)
	began, next, bytes := time.Now(), int64(0), 0
	for next < all {
		if err := bed.Sleep(ctx, 5*time.Millisecond); err != nil {
			return 0, err
		}
		due := min(all, int64(time.Since(began).Seconds()*float64(p.speed)*float64(p.perSecond)))
		for ; next < due; next++ {
			var e generate.Event
			gen.Event(next, &e)
			bytes += len(e.Value)
			to := streamtest.LogID{Topic: fleetTopic, Partition: int32(next % int64(b.partitions))}
			b.world.Append(to, stream.Message{Timestamp: gen.Time(next), Key: e.Key, Value: e.Value})
		}
		look()
	}
	return float64(bytes) / float64(all), nil
}

// row is one of the middle size.
func (r *taskRun) row() []byte {
	rows := slices.SortedFunc(slices.Values(r.rows), func(x, y []byte) int { return len(x) - len(y) })
	return rows[len(rows)/2]
}

// partition has an id of its topic, as real ones do.
func partition(n int) stream.Partition {
	return stream.Partition{Topic: fleetTopic, Number: int32(n), Incarnation: "q1Sh-9_KTn6XxZ8cVvBZlg"}
}

// assigned assigns all partitions.
type assigned struct {
	*streamtest.Source
	partitions int
}

// Assign implements stream.Source.
func (s *assigned) Assign(ctx context.Context, change func(gained, lost []stream.Partition) error) error {
	all := make([]stream.Partition, s.partitions)
	for i := range all {
		all[i] = partition(i)
	}
	if err := change(all, nil); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// nobody implements engine.Observer.
type nobody struct{}

// Fetched implements engine.Observer.
func (nobody) Fetched(stream.TaskID, int64) {}
