package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/sources/generate"
	"github.com/tidewatch/tidewatch/sources/replay"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

var lifeSeed = flag.Uint64("life", 1, "seed of the life that TestEveryPipelineIsDeterministic runs through all shipped pipelines")

// TestEveryPipelineIsDeterministic runs all shipped pipelines three times over the same records: an hour of generated life with
// its incidents, the attack that CloudTrail recorded, records that do not decode, and figures of Tidewatch itself. Once one
// worker reads large portions, once three workers read small ones in other orders, take snapshots all the time, crash, and give
// partitions to each other, and once there is no worker at all. Files, values that displays see, and transitions are the same,
// byte for byte.
func TestEveryPipelineIsDeterministic(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	t.Logf("run with -life %d", *lifeSeed)
	logs := recordedLife(t, *lifeSeed)
	var calm, hostile *shippedRun
	synctest.Test(t, func(t *testing.T) {
		calm = &shippedRun{t: t, seed: *lifeSeed, logs: logs, workers: 1, most: 3000, chunks: 8}
		calm.every = engine.Intervals{Epoch: time.Second, Snapshot: 30 * time.Second, Publish: time.Second}
		calm.run()
	})
	synctest.Test(t, func(t *testing.T) {
		hostile = &shippedRun{t: t, seed: *lifeSeed + 1, logs: logs, workers: 3, most: 60, chunks: 40, restarts: true}
		hostile.every = engine.Intervals{Epoch: 40 * time.Millisecond, Snapshot: 90 * time.Millisecond, Publish: 30 * time.Millisecond}
		hostile.run()
	})
	calm.saySomething(t)
	calm.compare(t, "with other workers, batches and snapshots", hostile.said())
	calm.compare(t, "without workers", calm.replayed())
}

const lifePartitions = 4

// lifeRecord is a record and when it is produced.
type lifeRecord struct {
	topic     string
	partition int32
	at        stream.Time
	message   stream.Message
}

// recordedLife is an hour of everything, in the order of production.
func recordedLife(t *testing.T, seed uint64) (records []lifeRecord) {
	t.Helper()
	add := func(topic string, partition int32, at stream.Time, value []byte) {
		records = append(records, lifeRecord{topic, partition, at, stream.Message{Timestamp: at, Value: slices.Clone(value)}})
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	var start stream.Time
	for _, scenario := range []string{"platform", "access"} {
		c := generate.Default(scenario)
		c.Seed, c.Hosts, c.Users, c.Partitions = seed, 12, 60, lifePartitions
		g, err := generate.New(c)
		if err != nil {
			t.Fatal(err)
		}
		start = c.Start
		var e generate.Event
		for i := int64(0); g.Time(i) < start.Add(time.Hour); i++ {
			g.Event(i, &e)
			add(g.Topic(), e.Partition, g.Time(i), e.Value)
			if rng.IntN(2000) == 0 {
				add(g.Topic(), e.Partition, g.Time(i), []byte(`{"time": "no such day"}`))
			}
		}
	}
	attack := trail(t)
	shift := start.Sub(attack[0].at)
	for i, e := range attack {
		add("security", int32(i%lifePartitions), e.at.Add(shift), e.appendShifted(nil, shift))
	}
	for at := start; at < start.Add(time.Hour); at = at.Add(5 * time.Second) { // behind for ten minutes in the middle
		lag := 3
		if minute := at.Sub(start) / time.Minute; minute >= 20 && minute < 30 {
			lag = 90
		}
		add("metrics", int32(rng.IntN(lifePartitions)), at, fmt.Appendf(nil,
			`{"time":%q,"name":"tidewatch.lag.time","value":%d,"service":"tidewatch","tenant":"local","attributes":{"pipeline":"host-cpu"}}`, at, lag))
	}
	slices.SortStableFunc(records, func(a, b lifeRecord) int { return int(a.at.Sub(b.at)) })
	return records
}

// trail is the attack that CloudTrail recorded.
func trail(t *testing.T) []trailEvent {
	t.Helper()
	records, err := replay.CloudTrail()
	if err != nil {
		t.Fatal(err)
	}
	var bounds [2]stream.Time
	for i, text := range []string{trailFrom, trailTo} {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		bounds[i] = stream.TimeOf(at)
	}
	all, err := trailEvents(records, bounds[0], bounds[1])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// shippedRun is one run of all shipped pipelines.
type shippedRun struct {
	t        *testing.T
	seed     uint64
	logs     []lifeRecord
	workers  int
	most     int64 // records at once
	chunks   int   // in which the records are produced
	restarts bool
	every    engine.Intervals
	pauses   []pause // with any, partitions may be idle, and what ticks close is decided

	rng    *rand.Rand
	world  *streamtest.World
	topics map[string]int32
	owner  map[stream.Partition]int
	now    []*shippedWorker
}

// pause is a while in which nobody produces. The record behind it comes from the given time on.
type pause struct {
	before stream.Time
	length time.Duration
}

type shippedWorker struct {
	life   *streamtest.Life
	cancel context.CancelFunc
	done   chan error
}

// plans compiles the shipped pipelines, and the archives that they ask for, for a life. Values for displays go to a receiver of
// rows by window and group; everything else is what a worker has.
func (r *shippedRun) plans(life *streamtest.Life) (all []*engine.Plan) {
	c := shippedComponents(life)
	specs, err := pipelines.LoadLibrary(c)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, spec := range specs {
		p, err := pipelines.Compile(spec, c)
		if err != nil {
			r.t.Fatal(err)
		}
		if p != nil {
			all = append(all, p)
		}
	}
	archives := pipelines.Archives(specs, c, pipelines.CutSlot)
	if len(r.pauses) > 0 {
		controls := newControlArchive(archives, life.Objects(), 0)
		for i, p := range all {
			all[i] = controls.plan(p)
		}
	}
	all = append(all, archives...)
	for _, p := range all {
		for _, stage := range p.Stages {
			if len(r.pauses) == 0 { // idle ticks follow from the wall clock: where they fall is an input, and here there are none
				stage.Time.IdleAfter = 0
			}
			stage.Interval = r.every
		}
	}
	return all
}

// shippedComponents are what a worker has, with a receiver of rows by window and group for values for displays.
func shippedComponents(life *streamtest.Life) *pipelines.Components {
	s := stores{objects: life.Objects()}
	c := components(s)
	c.NewSink = func(ctx context.Context, cfg pipelines.SinkConfig, t engine.TaskContext) (stream.Sink, error) {
		if cfg.Kind == pipelines.RedisSink {
			return life.NamedLiveSink(cfg.Pipeline+"/"+cfg.Output, cfg.Groups), nil
		}
		return s.newSink(ctx, cfg, t)
	}
	return c
}

// shippedRest is how long a run goes on behind the last record. No partition is idle for so long.
const shippedRest = 20 * time.Second

// run produces everything, and ends when everything is worked off.
func (r *shippedRun) run() {
	r.rng, r.world = rand.New(rand.NewPCG(r.seed, 1)), streamtest.NewWorld()
	r.world.Strict = true
	r.topics, r.owner = map[string]int32{"metrics": lifePartitions, "security": lifePartitions}, map[stream.Partition]int{}
	for _, p := range r.plans(streamtest.NewLife(r.world, nil)) {
		if first := p.Stages[0]; first.Internal != "" {
			r.topics[first.Internal] = first.InternalPartitions
		}
	}
	for topic, n := range r.topics {
		for number := range n {
			r.owner[stream.Partition{Topic: topic, Number: number}] = int(number) % r.workers
		}
	}
	r.now = make([]*shippedWorker, r.workers)
	for i := range r.now {
		r.begin(i)
	}
	quiet := r.pauses
	for chunk := range r.chunks {
		for _, m := range r.logs[chunk*len(r.logs)/r.chunks : (chunk+1)*len(r.logs)/r.chunks] {
			if len(quiet) > 0 && m.at >= quiet[0].before {
				<-time.After(quiet[0].length)
				quiet = quiet[1:]
			}
			r.world.Append(streamtest.LogID{Topic: m.topic, Partition: m.partition}, m.message)
		}
		<-time.After(time.Duration(50+r.rng.IntN(200)) * time.Millisecond)
		if r.restarts && chunk%4 == 1 {
			r.hand(r.rng.IntN(r.workers))
		}
	}
	<-time.After(shippedRest)
	for _, w := range r.now {
		w.end(r.t)
	}
	if err := r.world.Violation(); err != nil {
		r.t.Error(err)
	}
	for name, row := range r.world.Rows() {
		var rec stream.Record
		if err := json.Unmarshal(row.Record, &rec); err != nil {
			r.t.Error(err)
		}
		if sum := rec.Ledger.Sum(); sum != rec.At.Offset-rec.First {
			r.t.Errorf("the ledger of %s has %d records, %d were passed", name, sum, rec.At.Offset-rec.First)
		}
		// An archive ends with its newest complete part, and a first stage writes its last progress when the second has ended.
		if end := r.end(row.Task.Partition); isSource(row.Task.Partition.Topic) && rec.At.Offset != end && !strings.HasPrefix(name, "archive.") {
			r.t.Errorf("task %s has read %d of %d records", name, rec.At.Offset, end)
		}
	}
}

// isSource is whether events come from the topic.
func isSource(topic string) bool { return topic == "metrics" || topic == "security" }

// end is the length of a log.
func (r *shippedRun) end(p stream.Partition) int64 {
	n, err := streamtest.NewLife(r.world, nil).Source(r.topics, r.rng).LogEnd(context.Background(), p)
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// hand ends a worker, by a crash or softly, deals out its partitions, and starts it and everybody who has got some anew.
func (r *shippedRun) hand(i int) {
	if r.rng.IntN(2) == 0 {
		r.now[i].life.Kill()
	}
	changed := map[int]bool{i: true}
	for _, p := range slices.SortedFunc(maps.Keys(r.owner), comparePartitions) {
		if r.owner[p] == i && r.rng.IntN(2) == 0 {
			r.owner[p] = r.rng.IntN(r.workers)
			changed[r.owner[p]] = true
		}
	}
	for w := range changed {
		r.now[w].end(r.t)
		r.begin(w)
	}
}

func comparePartitions(a, b stream.Partition) int {
	if c := strings.Compare(a.Topic, b.Topic); c != 0 {
		return c
	}
	return int(a.Number - b.Number)
}

func (w *shippedWorker) end(t *testing.T) {
	w.cancel()
	err := <-w.done
	select {
	case <-w.life.Dead():
	default:
		if err != nil {
			t.Error(err)
		}
	}
}

// begin starts a life of worker i.
func (r *shippedRun) begin(i int) {
	life := streamtest.NewLife(r.world, nil)
	source := &sharedSource{Source: life.Source(r.topics, rand.New(rand.NewPCG(r.seed, r.rng.Uint64())))}
	source.Most = r.most
	for p, owner := range r.owner {
		if owner == i {
			source.mine = append(source.mine, p)
		}
	}
	runner := engine.NewRunner(engine.Config{
		Source: source, Store: life.Claims(), Objects: life.Objects(), Clock: clock.System{},
		NewDeadLetters: func(engine.TaskContext) (engine.DeadLetters, error) { return life.DeadLetters(), nil },
		NewInternal:    func(t engine.TaskContext) (engine.LogWriter, error) { return life.Writer(t.Stage.Internal), nil },
		Log:            slog.New(slog.DiscardHandler), Tracer: noop.NewTracerProvider().Tracer(""), Observer: nobody{},
	}, r.plans(life))
	ctx, cancel := context.WithCancel(context.Background())
	w := &shippedWorker{life: life, cancel: cancel, done: make(chan error, 1)}
	go func() { w.done <- runner.Run(ctx) }()
	r.now[i] = w
}

type nobody struct{}

func (nobody) Fetched(stream.TaskID, int64) {}

// sharedSource assigns some of the partitions.
type sharedSource struct {
	*streamtest.Source
	mine []stream.Partition
}

// Assign implements stream.Source.
func (s *sharedSource) Assign(ctx context.Context, change func(gained, lost []stream.Partition) error) error {
	if err := change(s.mine, nil); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// said is what a run has said: files, values for displays, and transitions.
type said struct{ files, live, decisions map[string]string }

// silent is whether it has said nothing.
func (s *said) silent() bool { return len(s.files)+len(s.live)+len(s.decisions) == 0 }

// of is what a pipeline has said.
func (s *said) of(t *testing.T, pipeline string) said {
	t.Helper()
	some := said{map[string]string{}, map[string]string{}, map[string]string{}}
	for k, v := range s.files {
		if strings.Contains(k, "/pipeline="+pipeline+"/") {
			some.files[k] = v
		}
	}
	for k, v := range s.live {
		if strings.HasPrefix(k, pipeline+"/") {
			some.live[k] = v
		}
	}
	for k, v := range s.decisions {
		if transition(t, v).Alert.Pipeline == pipeline {
			some.decisions[k] = v
		}
	}
	return some
}

func newSaid(w *streamtest.World) said {
	s := said{files: w.Visible(), live: map[string]string{}, decisions: map[string]string{}}
	for k, v := range w.Live() {
		if !strings.HasPrefix(k, "dead|") {
			s.live[k] = v.Content
		}
	}
	return s
}

func (r *shippedRun) said() said {
	s := newSaid(r.world)
	for _, d := range r.world.Decisions() {
		s.decisions[d.ID] = string(d.Body)
	}
	return s
}

// replayed is what the pipelines say without a worker. The raw archive is what it reads.
func (r *shippedRun) replayed() said {
	world := streamtest.NewWorld()
	life := streamtest.NewLife(world, nil)
	decisions := map[string]string{}
	local := &engine.Local{Clock: clock.System{}, Objects: life.Objects(), Decide: func(d stream.Decision) error {
		decisions[d.ID] = string(d.Body)
		return nil
	}}
	for _, p := range r.plans(life) {
		if p.Stages[0].Cut != nil {
			continue
		}
		if _, err := local.Run(r.t.Context(), p, r.inputs(p)); err != nil {
			r.t.Fatalf("%s: %v", p.Pipeline, err)
		}
	}
	s := newSaid(world)
	s.decisions = decisions
	for k, v := range r.world.Visible() {
		if strings.HasPrefix(k, "raw/") {
			s.files[k] = v
		}
	}
	return s
}

func (r *shippedRun) inputs(p *engine.Plan) (inputs []engine.LocalInput) {
	for _, topic := range p.Stages[0].Topics {
		for n := range int32(lifePartitions) {
			at := stream.Partition{Topic: topic, Number: n}
			source := streamtest.NewLife(r.world, nil).Source(r.topics, r.rng)
			source.Most = r.most
			inputs = append(inputs, engine.LocalInput{Partition: at, Partitions: lifePartitions, Open: func(ctx context.Context, d stream.Decoder) (stream.Reader, error) {
				reader, err := source.Open(ctx, at, 0, d)
				return &endingReader{Reader: reader}, err
			}})
		}
	}
	return inputs
}

// endingReader ends where the log does.
type endingReader struct {
	stream.Reader
	last bool
}

// Read implements stream.Reader.
func (e *endingReader) Read(ctx context.Context) (*stream.Input, error) {
	if e.last {
		return nil, io.EOF
	}
	in, err := e.Reader.Read(ctx)
	e.last = err == nil && in.Next == in.End
	return in, err
}

// saySomething demands that the run has said enough to be compared.
func (r *shippedRun) saySomething(t *testing.T) {
	t.Helper()
	s := r.said()
	deciding := map[string]int{}
	for _, body := range s.decisions {
		deciding[transition(t, body).Alert.Name]++
	}
	t.Logf("%d records, %d files, %d values for displays, %d transitions: %v", len(r.logs), len(s.files), len(s.live), len(s.decisions), deciding)
	if len(s.files) < 100 || len(s.live) < 1000 || len(s.decisions) < 100 || len(deciding) < 8 {
		t.Error("that is too little")
	}
	for _, spec := range shippedSpecs(t) {
		plan, err := pipelines.Compile(spec, shippedComponents(streamtest.NewLife(streamtest.NewWorld(), nil)))
		if err != nil {
			t.Fatal(err)
		}
		if one := s.of(t, spec.Name.Value); plan != nil && one.silent() {
			t.Errorf("%s says nothing in this life: recordedLife must have what it looks at", spec.Name.Value)
		}
	}
}

// compare demands that another run has said the same.
func (r *shippedRun) compare(t *testing.T, how string, other said) {
	t.Helper()
	s := r.said()
	equal(t, how+": files", other.files, s.files)
	equal(t, how+": values for displays", other.live, s.live)
	equal(t, how+": transitions", other.decisions, s.decisions)
}

func equal(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	keys := maps.Clone(want)
	maps.Copy(keys, got)
	different := 0
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		g, inGot := got[k]
		w, inWant := want[k]
		if g == w && inGot == inWant {
			continue
		}
		if different++; different <= 5 {
			t.Errorf("%s: %s is %.300q (%v), want %.300q (%v)", what, k, g, inGot, w, inWant)
		}
	}
	if different > 5 {
		t.Errorf("%s: %d of %d differ", what, different, len(keys))
	}
}
