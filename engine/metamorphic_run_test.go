package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/operators/dedupe"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// faultSchedule is what happens to the calls of all lives.
type faultSchedule struct {
	mu    sync.Mutex
	next  []op                 // each counts the calls of its point down to its fault
	until map[string]time.Time // outages
}

func (f *faultSchedule) add(o op) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if o.kind == opFault {
		f.next = append(f.next, o)
		return
	}
	if f.until == nil {
		f.until = map[string]time.Time{}
	}
	f.until[o.point] = time.Now().Add(o.outage)
}

func (f *faultSchedule) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next, f.until = nil, nil
}

func (f *faultSchedule) at(point string) streamtest.Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Now().Before(f.until[point]) {
		return streamtest.Fail
	}
	for i := range f.next {
		o := &f.next[i]
		if o.point != point {
			continue
		}
		if o.count--; o.count > 0 {
			continue
		}
		fault := o.fault
		f.next = slices.Delete(f.next, i, i+1)
		return fault
	}
	return streamtest.None
}

// metaSource is a source whose partitions are assigned one by one.
type metaSource struct {
	*streamtest.Source
	changes chan assignment
	skip    bool // planted: reads from one record too far on, when it does not read from the start
}

type assignment struct {
	gained, lost []stream.Partition
	done         chan struct{}
}

// Assign implements stream.Source.
func (s *metaSource) Assign(ctx context.Context, change func(gained, lost []stream.Partition) error) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case c := <-s.changes:
			if err := change(c.gained, c.lost); err != nil {
				return err
			}
			close(c.done)
		}
	}
}

// Open implements stream.Source.
func (s *metaSource) Open(ctx context.Context, p stream.Partition, offset int64, d stream.Decoder) (stream.Reader, error) {
	if s.skip && offset > 0 {
		offset++
	}
	return s.Source.Open(ctx, p, offset, gapDecoder{d})
}

// gapDecoder makes nothing of a record without a value, as if its offset held none.
type gapDecoder struct{ stream.Decoder }

func (d gapDecoder) Decode(m *stream.Message, b *stream.Batch) error {
	if len(m.Value) == 0 {
		return nil
	}
	return d.Decoder.Decode(m, b)
}

// metaWorker is a worker in its present life.
type metaWorker struct {
	*process
	source *metaSource
	plans  map[int]bool // versions that it runs
	pause  chan struct{}
	immune bool
}

// plan is version n of the pipeline for a life that sets aside by itself what makes others panic.
func (m *metamorph) plan(life *streamtest.Life, n int) *engine.Plan {
	p := m.version(life, n)
	for _, s := range p.Stages {
		s.Time.MaxJump = time.Minute
		if !m.last {
			s.Time.IdleAfter = m.idle
		}
		sinks := s.NewSinks
		s.NewSinks = func(ctx context.Context, tc engine.TaskContext) ([]engine.Output, error) {
			outputs, err := sinks(ctx, tc)
			for _, o := range outputs {
				if live, ok := o.Sink.(*streamtest.LiveSink); ok {
					live.OfGeneration(tc.Generation)
				}
			}
			return outputs, err
		}
	}
	first := p.Stages[0]
	first.NewDecoder = func() (stream.Decoder, error) { return &calmDecoder{}, nil }
	if m.shipped && m.plant.name == "" {
		changeFirst(first, func(stream.Operator) (stream.Operator, error) {
			return dedupe.New(&dedupe.Config{By: []string{"key"}, Span: 25 * time.Second, Lateness: lateness}, eventSchema)
		})
	}
	if m.plant.plan != nil {
		m.plant.plan(p)
	}
	return p
}

// changeFirst replaces the first operator of a stage.
func changeFirst(s *engine.Stage, change func(op stream.Operator) (stream.Operator, error)) {
	old := s.NewSteps
	s.NewSteps = func(tc engine.TaskContext) ([]engine.Step, error) {
		steps, err := old(tc)
		if err == nil {
			steps[0].Operator, err = change(steps[0].Operator)
		}
		return steps, err
	}
}

// working is the plan as a worker runs it, which panics unless it is immune.
func (m *metamorph) working(life *streamtest.Life, n int, immune bool) *engine.Plan {
	p := m.plan(life, n)
	if m.plant.worker != nil {
		m.plant.worker(p)
	}
	first := p.Stages[0]
	first.NewDecoder = func() (stream.Decoder, error) { return &rottenDecoder{immune: immune}, nil }
	changeFirst(first, func(op stream.Operator) (stream.Operator, error) { return &tasted{op, immune}, nil })
	return p
}

func (m *metamorph) topics() map[string]int32 {
	topics := map[string]int32{"events": rekeySources}
	if m.two {
		topics[m.internal(1)], topics[m.internal(2)] = rekeyMerges, rekeyMerges
	}
	return topics
}

// partitions names partition n of an operation: of the events, or of the internal topics of both versions.
func (m *metamorph) partitions(n int) (all []stream.Partition) {
	if n < rekeySources {
		return []stream.Partition{{Topic: "events", Number: int32(n)}}
	}
	for v := 1; v <= 2; v++ {
		all = append(all, stream.Partition{Topic: m.internal(v), Number: int32(n - rekeySources)})
	}
	return all
}

func (m *metamorph) allPartitions() (all []stream.Partition) {
	n := rekeySources
	if m.two {
		n += rekeyMerges
	}
	for i := range n {
		all = append(all, m.partitions(i)...)
	}
	return all
}

// begin starts a life of worker i, with the partitions that it owns.
func (m *metamorph) begin(i int) { m.beginAs(i, false) }

// beginAs starts a life that may be immune.
func (m *metamorph) beginAs(i int, immune bool) {
	w := &metaWorker{pause: make(chan struct{}), plans: map[int]bool{}, immune: immune}
	life := streamtest.NewLife(m.world, func(point string) streamtest.Fault {
		select {
		case <-w.pause:
			return streamtest.Pause
		default:
			return m.faults.at(point)
		}
	})
	rng := rand.New(rand.NewPCG(m.seed, m.rng.Uint64()))
	w.source = &metaSource{Source: life.Source(m.topics(), rng), changes: make(chan assignment)}
	w.process = &process{life: life, done: make(chan error, 1)}
	var plans []*engine.Plan
	for n := 1; n <= 2; n++ {
		if n == 1 || m.look() {
			w.plans[n] = true
			plans = append(plans, m.working(life, n, immune))
		}
	}
	store := life.Claims()
	if immune {
		store = mergeClaims{store}
	}
	if m.plant.store != nil {
		store = m.plant.store(store)
	}
	if m.plant.skip {
		w.source.skip = true
	}
	w.runner = newTestRunner(w.source, life, plans, func(c *engine.Config) {
		c.Store = store
		c.NewDeadLetters = func(tc engine.TaskContext) (engine.DeadLetters, error) {
			return deadLetters{life, &m.letters, tc.Task.Partition}, nil
		}
		if m.failsOver() {
			c.Retention = 10 * time.Minute // longer than any fail-over goes back
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	go func() { w.done <- w.runner.Run(ctx) }()
	m.running[i] = w
	var own []stream.Partition
	for _, p := range m.allPartitions() {
		if m.owner[p] == i {
			own = append(own, p)
		}
	}
	m.assign(i, own, nil)
}

// assign tells worker i about partitions; it comes back when the worker has let go of those that it lost.
func (m *metamorph) assign(i int, gained, lost []stream.Partition) {
	w := m.running[i]
	c := assignment{gained, lost, make(chan struct{})}
	select {
	case w.source.changes <- c:
	case <-w.life.Dead():
		return
	case <-time.After(5 * time.Second): // it is busy with an assignment before
		return
	}
	select {
	case <-c.done:
	case <-w.life.Dead():
	case <-time.After(5 * time.Second):
	}
}

// run executes the history, and says what is wrong with what it has left behind.
func (m *metamorph) run(t *testing.T) (wrong string) {
	synctest.Test(t, func(*testing.T) {
		m.running = make([]*metaWorker, m.workers)
		for i, p := range m.allPartitions() {
			m.owner[p] = i % m.workers
		}
		for i := range m.running {
			m.begin(i)
		}
		for _, o := range m.ops {
			m.do(o)
			m.pass(o.after)
		}
		m.finish()
		wrong = m.check()
	})
	return wrong
}

// pass lets time pass, and starts again who has crashed meanwhile.
func (m *metamorph) pass(d time.Duration) {
	for end := time.Now().Add(d); ; {
		synctest.Wait()
		for i, w := range m.running {
			select {
			case <-w.life.Dead():
				m.crashes++
				w.stop()
				m.begin(i)
			default:
			}
		}
		left := time.Until(end)
		if left <= 0 {
			return
		}
		<-time.After(min(left, 50*time.Millisecond))
	}
}

func (m *metamorph) do(o op) {
	w := m.running[o.worker%m.workers]
	switch o.kind {
	case opProduce:
		m.produce(o)
	case opCrash:
		w.life.Kill()
		w.stop()
		m.begin(o.worker)
	case opRestart:
		w.stop()
		m.begin(o.worker)
	case opMove, opSteal:
		m.move(o)
	case opPause:
		m.freeze(o.worker)
	case opWake:
		for _, z := range m.frozen {
			z.life.Resume()
		}
	case opFault, opOutage:
		m.faults.add(o)
	case opUpgrade:
		m.upgrade()
	case opFailOver:
		m.lost += m.world.FailOver(o.count, time.Second)
	case opImmune:
		w.stop()
		m.beginAs(o.worker, true)
	case opCompact:
		m.compact(o)
	case opFlip:
		m.flip(o)
	default:
	}
}

func (m *metamorph) produce(o op) {
	p := o.partition
	id := streamtest.LogID{Topic: "events", Partition: int32(p)}
	for _, e := range o.events {
		if e.gone {
			m.append(id, metaRecord{gone: true}, stream.Message{})
			continue
		}
		front, first := m.front[p], m.front[p] == 0
		if first {
			front = 1000 * time.Second
		}
		r := event{at: front + e.step, key: e.key, bad: e.bad, panics: e.panics}
		if !e.bad && e.panics == "" && (e.step <= time.Minute || first) {
			m.front[p] = max(m.front[p], r.at)
		}
		if !m.two { // keyed
			r.key += fmt.Sprint(p)
		}
		m.append(id, metaRecord{event: r}, r.message())
	}
}

// append adds a record to the log, and to the copy of it that is never compacted.
func (m *metamorph) append(id streamtest.LogID, r metaRecord, message stream.Message) {
	m.log[id.Partition] = append(m.log[id.Partition], r)
	m.world.Append(id, message)
	m.whole.Append(id, message)
}

// compact ends all workers, also those that stand still, and starts them again on logs that hold less.
func (m *metamorph) compact(o op) {
	for _, z := range m.frozen {
		z.life.Kill()
		z.stop()
	}
	m.frozen = nil
	for i, w := range m.running {
		if (i+o.count)%2 == 0 {
			w.life.Kill()
		}
		w.stop()
	}
	for _, p := range m.allPartitions() {
		m.compacted += m.world.Compact(streamtest.LogID{Topic: p.Topic, Partition: p.Number}, func(offset int64) bool { return offset%int64(o.count+1) > 0 })
	}
	for i := range m.running {
		m.begin(i)
	}
}

// flip damages the newest snapshots of the tasks of a partition that have another one.
func (m *metamorph) flip(o op) {
	ps := m.partitions(o.partition)
	for _, row := range m.world.Rows() {
		rec := recordOf(&row)
		if !slices.Contains(ps, row.Task.Partition) || rec.Previous == nil || len(rec.Snapshot.Slices) == 0 {
			continue
		}
		newest := rec.Snapshot.Slices[len(rec.Snapshot.Slices)-1]
		if m.flips[newest.Object] || slices.ContainsFunc(rec.Previous.Slices, func(s stream.Slice) bool { return s.Object == newest.Object || m.flips[s.Object] }) {
			continue
		}
		m.flips[newest.Object] = true
		m.world.Flip(newest.Object, o.count)
	}
}

// move gives partitions to another worker, before or after the present one lets go of them.
func (m *metamorph) move(o op) {
	ps := m.partitions(o.partition)
	from := m.owner[ps[0]]
	if from == o.worker {
		return
	}
	if o.kind == opSteal {
		m.assign(o.worker, ps, nil)
		m.pass(60 * time.Millisecond)
		m.assign(from, nil, ps)
	} else {
		m.assign(from, nil, ps)
		m.assign(o.worker, ps, nil)
	}
	for _, p := range ps {
		m.owner[p] = o.worker
	}
}

// freeze lets a worker stand still at its next call. Another life takes its place; the old one does not learn of it.
func (m *metamorph) freeze(i int) {
	w := m.running[i]
	close(w.pause)
	<-time.After(time.Second) // until it has called something
	if !w.isPaused() {
		w.life.Kill()
		w.stop()
	} else {
		m.frozen = append(m.frozen, w.process)
		m.stood++
	}
	m.begin(i)
}

// upgrade begins version 2, as a person would have it: again and again until it is there.
func (m *metamorph) upgrade() {
	for range 20 {
		life := streamtest.NewLife(m.world, m.faults.at)
		c := m.succession(life)
		c.Old, c.New = m.plan(life, 1), m.plan(life, 2)
		if m.plant.succession != nil {
			m.plant.succession(c)
		}
		spy := &cutSpy{Successions: life.Claims().(stream.Successions)}
		err := c.Begin(context.Background(), spy)
		life.Kill()
		if m.look() {
			m.cutClaims = spy.claims
			break
		}
		if err == nil {
			panic("the rows of the new version are missing")
		}
		m.pass(100 * time.Millisecond)
	}
	m.follow()
}

// follow lets every worker run version 2, if it is there.
func (m *metamorph) follow() {
	for _, w := range m.running {
		if m.look() && !w.plans[2] {
			w.plans[2] = true
			w.runner.Add(m.working(w.life, 2, w.immune))
		}
	}
}

// finish lets every window become final, everything be worked off, and everybody drain. There are no faults any more.
func (m *metamorph) finish() {
	m.faults.clear()
	for p := range m.front {
		m.produce(op{partition: p, events: []metaEvent{{step: 40 * time.Second, key: "end"}, {step: 40 * time.Second, key: "end"}}})
	}
	m.pass(time.Second)
	for i, w := range m.running { // without idle ticks from here on
		w.stop()
		m.last = true
		m.begin(i)
	}
	m.pass(5 * time.Second)
	for _, z := range m.frozen {
		z.life.Resume()
	}
	m.pass(5 * time.Second)
	for _, z := range m.frozen {
		z.life.Kill()
		z.stop()
	}
	m.pass(5 * time.Second)
	for i := range m.running { // the first stage drains first, since the second one reads what it says last
		for n := range rekeySources {
			if ps := m.partitions(n); m.owner[ps[0]] == i {
				m.assign(i, nil, ps)
			}
		}
	}
	m.pass(time.Second)
	for _, w := range m.running {
		w.stop()
	}
}
