package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
)

const (
	latencyHosts  = hosts
	latencyBytes  = 250
	latencyWindow = 10 * time.Second
	latencyWarm   = 2                // windows at the beginning that are not judged
	latencyStart  = 20 * time.Second // that an engine has before the first window
)

// follower is a producer at a fixed rate, and one who looks for the rows of its windows. The producer keeps the order, so that no
// engine has to wait for late events, and a window can be closed as soon as an event comes that is behind its end. A latency
// begins when the broker has acknowledged such an event in every partition, and ends when the row is seen that counts all events
// of its host and window. Engines that show rows before the end of a window may be there already: that counts as 0.
type follower struct {
	t       *trial
	begin   time.Time // of the first window
	windows int       // with those that warm up
	counts  [][]int64 // by window and host; of the producer
	hosts   [][]byte

	mu struct {
		sync.Mutex
		closed []time.Time   // by window: when its last partition was passed
		seen   [][]time.Time // by window and host: when a row was seen that had so many samples
		most   [][]int64     // by window and host: most samples that were seen
		failed error
	}
}

func (t *trial) latency(ctx context.Context) (out *line, err error) {
	t.live = true
	t.in = &input{topic: t.name + "-in"}
	if err := t.open(ctx); err != nil {
		return nil, err
	}
	if err := t.createTopic(ctx, t.in.topic); err != nil {
		return nil, err
	}
	defer func() {
		if err == nil {
			err = t.clean(ctx)
		}
	}()
	before := usageOf(t.serverPIDs())
	g, err := t.e.start(ctx, t)
	if err != nil {
		return nil, err
	}
	m := watch(g.pids())
	looking, stop := context.WithCancel(ctx)
	defer stop()
	f := newFollower(t)
	looked := make(chan error, 1)
	go func() { looked <- t.e.follow(looking, t, f.see) }()
	out, err = f.run(ctx, g)
	peak, written := m.end()
	servers := usageOf(t.serverPIDs()).minus(before)
	stop()
	err = errors.Join(err, <-looked, g.stop(syscall.SIGTERM))
	if out == nil {
		return nil, err
	}
	million := float64(out.Events) / 1e6
	out.RSS, out.Written, out.ServersCPU = math.Round(peak), math.Round(written), round(servers.cpu/million, 3)
	out.ServersWritten = math.Round(float64(servers.written) / (1 << 20))
	return out, err
}

func newFollower(t *trial) *follower {
	f := &follower{t: t, windows: t.o.windows + latencyWarm, begin: time.Now().Truncate(latencyWindow).Add(latencyStart)}
	for range f.windows {
		f.counts = append(f.counts, make([]int64, latencyHosts))
		f.mu.seen = append(f.mu.seen, make([]time.Time, latencyHosts))
		f.mu.most = append(f.mu.most, make([]int64, latencyHosts))
	}
	f.mu.closed = make([]time.Time, f.windows)
	for h := range latencyHosts {
		f.hosts = append(f.hosts, fmt.Appendf(nil, "host-%d", h))
	}
	return f
}

// run produces, waits for the rows, and counts.
func (f *follower) run(ctx context.Context, g *group) (*line, error) {
	out := &line{Mode: modeLatency, PerSecond: float64(f.t.o.rate)}
	bed.Progress("%d events a second from %s on, for %d windows", f.t.o.rate, f.begin.Format("15:04:05"), f.windows)
	cpu, began := g.cpuNow(), time.Now()
	if err := f.produce(ctx, g, out); err != nil {
		return nil, err
	}
	used, wall := g.cpuNow()-cpu, time.Since(began).Seconds()
	out.Wall, out.CPU, out.Cores = round(wall, 1), round(used/float64(out.Events)*1e6, 3), round(used/wall, 2)
	for deadline := time.Now().Add(2*f.t.o.checkpoint + 30*time.Second); !f.complete() && time.Now().Before(deadline); {
		if err := g.wait(ctx, 100*time.Millisecond); err != nil {
			return nil, err
		}
	}
	f.judge(out)
	if out.Behind > 1000 {
		return out, fmt.Errorf("the producer was %.0f ms behind its clock: the machine was too busy to measure a latency", out.Behind)
	}
	return out, nil
}

// produce sends events at the rate, with the wall clock as their time, until the last window has been closed in every partition.
func (f *follower) produce(ctx context.Context, g *group, out *line) error {
	each := time.Second / time.Duration(f.t.o.rate)
	last := f.begin.Add(time.Duration(f.windows)*latencyWindow + 300*time.Millisecond)
	var ends [partitions]int                            // windows whose end the partition has passed
	left := slices.Repeat([]int{partitions}, f.windows) // by window, partitions that have not passed its end
	for i := int64(0); ; i++ {
		at := f.begin.Add(time.Duration(i) * each)
		if at.After(last) {
			out.Events = i
			return errors.Join(f.t.client.Flush(ctx), f.failure())
		}
		if i%50 == 0 {
			if err := f.pace(ctx, g, at, out); err != nil {
				return err
			}
		}
		host := f.hosts[i%latencyHosts]
		p := partitionOf(string(host))
		window := int(at.Sub(f.begin) / latencyWindow)
		if window < f.windows {
			f.counts[window][i%latencyHosts]++
		}
		passed := -1
		if ends[p] < window && ends[p] < f.windows {
			passed = ends[p]
			ends[p]++
		}
		f.t.client.Produce(ctx, &kgo.Record{Topic: f.t.in.topic, Partition: p, Key: f.key(host), Value: latencyEvent(string(host), at)},
			func(_ *kgo.Record, err error) { f.acked(passed, left, err) })
	}
}

// pace waits until it is time, and looks after the engine now and then.
func (f *follower) pace(ctx context.Context, g *group, at time.Time, out *line) error {
	if d := time.Until(at); d > 0 {
		if err := g.wait(ctx, d); err != nil {
			return err
		}
	}
	out.Behind = max(out.Behind, round(time.Since(at).Seconds()*1000, 1))
	return ctx.Err()
}

func (f *follower) key(host []byte) []byte {
	if f.t.w.nilKeys {
		return nil
	}
	return host
}

// acked notes when the last partition has passed the end of a window.
func (f *follower) acked(passed int, left []int, err error) {
	if passed < 0 && err == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.mu.failed = err
		return
	}
	if left[passed]--; left[passed] == 0 {
		f.mu.closed[passed] = time.Now()
	}
}

func (f *follower) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.failed
}

// latencyEvent has latencyBytes.
func latencyEvent(host string, at time.Time) []byte {
	e := fmt.Appendf(make([]byte, 0, latencyBytes), `{"time":%d,"name":"http.server.duration","kind":"gauge","unit":"ms","value":%d.5,"tenant":"t7","service":"shop","host":"%s",`+
		`"attributes":{"region":"eu-west-1","fill":"`, at.UnixMilli(), at.UnixNano()%1000, host)
	for len(e) < latencyBytes-len(`"}}`) {
		e = append(e, 'x')
	}
	return append(e, `"}}`...)
}

// see notes when a row has come that has more samples than those before it.
func (f *follower) see(r windowRow) {
	var host int
	if _, err := fmt.Sscanf(r.Host, "host-%d", &host); err != nil || host >= latencyHosts {
		return
	}
	window := int((r.Start - f.begin.UnixMilli()) / latencyWindow.Milliseconds())
	if r.Start < f.begin.UnixMilli() || window >= f.windows {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Samples > f.mu.most[window][host] {
		f.mu.most[window][host], f.mu.seen[window][host] = r.Samples, time.Now()
	}
}

// complete reports whether all rows are there.
func (f *follower) complete() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.windows {
		if !slices.Equal(f.counts[w], f.mu.most[w]) {
			return false
		}
	}
	return true
}

// judge counts the rows of the windows behind the warm-up.
func (f *follower) judge(out *line) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []time.Duration
	for w := latencyWarm; w < f.windows; w++ {
		for h, want := range f.counts[w] {
			out.Expected++
			if f.mu.most[w][h] > 0 {
				out.Rows++
			}
			if f.mu.most[w][h] == want {
				out.Equal++
				all = append(all, max(f.mu.seen[w][h].Sub(f.mu.closed[w]), 0))
			}
		}
	}
	if len(all) == 0 {
		return
	}
	slices.Sort(all)
	at := func(share float64) float64 { return round(all[int(share*float64(len(all)-1))].Seconds()*1000, 1) }
	out.P50, out.P99, out.Max = at(0.5), at(0.99), at(1)
}
