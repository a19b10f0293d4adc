package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// worker runs Assign and remembers what it has.
type worker struct {
	name   string
	cancel context.CancelFunc
	ended  chan error
	onLost func(lost []stream.Partition) error // called before the partitions are given up

	mu struct {
		sync.Mutex
		held    []int32
		all     []stream.Partition
		changed chan struct{} // closed at the next change
		history []string
	}
}

// world sees who holds what, and that nobody holds what another has not given up.
type world struct {
	t  testing.TB
	mu struct {
		sync.Mutex
		holder map[stream.Partition]string
	}
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t}
	w.mu.holder = map[stream.Partition]string{}
	return w
}

func (w *world) start(s *Source, name string, onLost func([]stream.Partition) error) *worker {
	ctx, cancel := context.WithCancel(context.Background())
	k := &worker{name: name, cancel: cancel, ended: make(chan error, 1), onLost: onLost}
	k.mu.changed = make(chan struct{})
	go func() {
		k.ended <- s.Assign(ctx, func(gained, lost []stream.Partition) error { return w.change(k, gained, lost) })
	}()
	w.t.Cleanup(func() {
		cancel()
		select {
		case err := <-k.ended:
			w.t.Log("Assign has ended: ", err)
		case <-time.After(patienceOfTests):
			w.t.Error("Assign does not end")
		}
	})
	return k
}

func (w *world) change(k *worker, gained, lost []stream.Partition) error {
	if len(lost) > 0 && k.onLost != nil {
		if err := k.onLost(lost); err != nil {
			return err
		}
	}
	w.mu.Lock()
	for _, p := range lost {
		if w.mu.holder[p] != k.name {
			w.t.Errorf("%s loses %v, which %s holds", k.name, p, w.mu.holder[p])
		}
		delete(w.mu.holder, p)
	}
	for _, p := range gained {
		if h := w.mu.holder[p]; h != "" {
			w.t.Errorf("%s gains %v, which %s still holds", k.name, p, h)
		}
		w.mu.holder[p] = k.name
	}
	w.mu.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range lost {
		k.mu.held = slices.DeleteFunc(k.mu.held, func(n int32) bool { return n == p.Number })
	}
	for _, p := range gained {
		k.mu.held = append(k.mu.held, p.Number)
		k.mu.all = append(k.mu.all, p)
	}
	slices.Sort(k.mu.held)
	k.mu.history = append(k.mu.history, fmt.Sprint("+", len(gained), "-", len(lost)))
	close(k.mu.changed)
	k.mu.changed = make(chan struct{})
	return nil
}

// has waits until the worker holds n partitions, and returns them.
func (k *worker) has(t testing.TB, n int) []int32 {
	t.Helper()
	late := time.After(patienceOfTests)
	for {
		k.mu.Lock()
		held, changed := slices.Clone(k.mu.held), k.mu.changed
		k.mu.Unlock()
		if len(held) == n {
			return held
		}
		select {
		case <-changed:
		case err := <-k.ended:
			t.Fatalf("Assign of %s has ended: %v", k.name, err)
		case <-late:
			t.Fatalf("%s holds %v, want %d partitions; history %v", k.name, held, n, k.mu.history)
		}
	}
}

func (k *worker) stop(t testing.TB) error {
	t.Helper()
	k.cancel()
	select {
	case err := <-k.ended:
		k.ended <- nil
		return err
	case <-time.After(patienceOfTests):
		t.Fatal("Assign does not end")
		return nil
	}
}

func groupSource(t testing.TB, brokers []string, worker string, topics ...string) *Source {
	t.Helper()
	return newSource(t, brokers, func(c *Config) {
		c.Topics, c.WorkerID, c.SessionTimeout = topics, worker, 6*time.Second
	})
}

func TestWorkersShareAndInherit(t *testing.T) {
	t.Parallel()
	onBoth(t, func(e *env) {
		t := e.t
		topic := e.topic(t, 4)
		w := newWorld(t)
		released := make(chan struct{})
		asked := make(chan struct{}, 8)
		a := w.start(groupSource(t, e.brokers, "a", topic), "a", func([]stream.Partition) error {
			asked <- struct{}{}
			<-released
			return nil
		})
		if held := a.has(t, 4); !slices.Equal(held, []int32{0, 1, 2, 3}) {
			t.Fatal(held)
		}
		for _, p := range a.mu.all {
			if p.Topic != topic || len(p.Incarnation) != 32 {
				t.Fatalf("partition %+v", p)
			}
		}
		b := w.start(groupSource(t, e.brokers, "b", topic), "b", nil)
		<-asked
		b.mu.Lock()
		early := len(b.mu.held)
		b.mu.Unlock()
		if early != 0 {
			t.Fatalf("b holds %d partitions while a is still stopping its tasks", early)
		}
		close(released)
		a.has(t, 2)
		b.has(t, 2)

		drained := time.Now()
		if err := b.stop(t); err != nil {
			t.Fatal(err)
		}
		a.has(t, 4)
		if took := time.Since(drained); took > 5*time.Second {
			t.Fatalf("a has waited %v for what b gave up", took)
		}
	})
}

func TestQuickRestartKeepsPartitions(t *testing.T) {
	t.Parallel()
	onBoth(t, func(e *env) {
		t := e.t
		topic := e.topic(t, 4)
		w := newWorld(t)
		a := w.start(groupSource(t, e.brokers, "a", topic), "a", nil)
		a.has(t, 4)
		crash := errors.New("crash")
		b := w.start(groupSource(t, e.brokers, "b", topic), "b", func([]stream.Partition) error { return crash })
		held := b.has(t, 2)
		if err := b.stop(t); !errors.Is(err, crash) { // whatever does not end well stays a member
			t.Fatal(err)
		}
		a.mu.Lock()
		before := len(a.mu.history)
		a.mu.Unlock()
		w.mu.Lock()
		for p, h := range w.mu.holder {
			if h == "b" {
				delete(w.mu.holder, p)
			}
		}
		w.mu.Unlock()
		again := w.start(groupSource(t, e.brokers, "b", topic), "b", nil)
		if got := again.has(t, 2); !slices.Equal(got, held) {
			t.Fatalf("after the restart b holds %v, before %v", got, held)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.mu.history) != before {
			t.Fatalf("a was disturbed: %v", a.mu.history)
		}
	})
}

func TestTopicsMayComeLater(t *testing.T) {
	c := newCluster(t)
	var log syncBuffer
	s := newSource(t, c.ListenAddrs(), func(cfg *Config) { cfg.Topics, cfg.Log = []string{"later", "even-later"}, logTo(&log) })
	w := newWorld(t)
	a := w.start(s, "a", nil)
	if err := c.CreateTopic("later", 2, nil); err != nil {
		t.Fatal(err)
	}
	a.has(t, 2)
	if err := c.CreateTopic("even-later", 3, nil); err != nil {
		t.Fatal(err)
	}
	a.has(t, 5)
	if n := countLines(log.String(), "waiting for topics"); n < 1 || n > 2 {
		t.Fatalf("%d warnings:\n%s", n, log.String())
	}
}

func TestTwoProcessesWithOneWorkerID(t *testing.T) {
	t.Parallel()
	onBoth(t, func(e *env) {
		t := e.t
		topic := e.topic(t, 2)
		w := newWorld(t)
		first := groupSource(t, e.brokers, "a", topic)
		a := w.start(first, "a", nil)
		a.has(t, 2)
		other := newWorld(t) // the two overlap until the first one hears of it
		b := other.start(groupSource(t, e.brokers, "a", topic), "b", nil)
		b.has(t, 2)
		select {
		case err := <-a.ended:
			a.ended <- nil
			wantKind(t, err, stream.Fatal, "--worker-id", "worker a")
		case <-time.After(patienceOfTests):
			t.Fatal("the first process does not notice")
		}
	})
}

func TestOffsetsForDisplay(t *testing.T) {
	onBoth(t, func(e *env) {
		t := e.t
		topic := e.topic(t, 1)
		produce(t, newProducer(t, e.brokers), topic, 0, numbered(0, 10)...)
		s := groupSource(t, e.brokers, "a", topic)
		w := newWorld(t)
		a := w.start(s, "a", nil)
		a.has(t, 1)
		s.CommitForDisplay(a.mu.all[0], 7)
		if err := a.stop(t); err != nil {
			t.Fatal(err)
		}
		cl := newProducer(t, e.brokers)
		offsets, err := committed(testContext(t), cl, s.cfg.GroupID)
		if err != nil || offsets[topic][0] != 7 {
			t.Fatalf("committed %v, %v", offsets, err)
		}
		// They never decide where reading begins.
		var g got
		g.until(t, open(t, s, a.mu.all[0], 0), 10)
	})
}

func TestGrowingTopic(t *testing.T) {
	onBoth(t, func(e *env) {
		t := e.t
		topic := e.topic(t, 2)
		w := newWorld(t)
		a := w.start(groupSource(t, e.brokers, "a", topic), "a", nil)
		a.has(t, 2)
		addPartitions(t, newProducer(t, e.brokers), topic, 3)
		a.has(t, 3)
	})
}
