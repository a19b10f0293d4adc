package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// load is what is produced: the same events to two topics, one keyed by host and one whose producers key by nothing.
type load struct {
	seed       uint64
	events     int
	over       time.Duration // wall clock
	partitions int32
	hosts      int
	bad        float64   // share of records that do not decode
	wild       int       // each so many events one from the future, 0 for none: fewer than eight among a thousand records
	hot        float64   // share of events of the first host
	marked     []float64 // how far into the load events come that the window falls over
	mark       string    // their host
	fat        int       // each so many events one that is too late, and too long for the topic of late events; 0 for none
	pauseAt    int       // event before which the producer calls pause; 0 never
	pause      func(ctx context.Context) error
	after      func() // is called when all is produced; nil: nobody waits
	grown      int32  // partitions of the topic that nobody keys, from then on; 0 as before
	keyedGrown int32  // those of the one that is keyed
}

func defaultLoad(seed uint64) load {
	return load{seed: seed, events: 12_000, over: 8 * time.Second, partitions: 4, hosts: 16, bad: 0.01}
}

// What the pipelines are told, and the oracle too. Times are milliseconds.
const (
	windowSize  = 10_000
	outOfOrder  = 2000
	lateness    = 30_000
	maxJump     = 60_000
	threshold   = 900
	hold        = 10_000
	nextHold    = 20_000 // of the version that follows
	rawSlot     = 300_000
	fileSlot    = 300_000
	eventEvery  = 100 // event time from one event to the next
	closingStep = 50_000
	closings    = 9
	lateBytes   = 3000 // what the topic of late events takes, where it does not take all
)

// event is one record to be written.
type event struct {
	host  string
	value []byte
	at    int64 // of the broker
}

// make draws event i; base is the event time of the first.
func (l *load) make(rng *rand.Rand, i int, base int64) event {
	at := base + int64(i)*eventEvery
	host := rng.IntN(l.hosts)
	if rng.Float64() < l.hot {
		host = 0
	}
	e := event{host: fmt.Sprintf("host-%02d", host), at: at}
	time := at
	switch luck := rng.Float64(); {
	case l.isMarked(i):
		e.host = l.mark
	case l.fat > 0 && i%l.fat == l.fat-1:
		e.value = fmt.Appendf(nil, `{"time":%d,"name":"load","value":%d,"host":%q,"note":%q}`, at-4*lateness, rng.IntN(1000), e.host, noise(rng, 2*lateBytes))
		return e
	case luck < l.bad:
		e.value = fmt.Appendf(nil, `{"time":%d,"name":"load","value":oops,"host":%q}`, at, e.host)
		return e
	case luck < l.bad+0.05: // late, sometimes too late
		time -= rng.Int64N(60_000)
	case l.wild > 0 && i%l.wild == l.wild-1:
		time += 3_600_000 + rng.Int64N(3_600_000)
	default:
		time -= rng.Int64N(outOfOrder)
	}
	e.value = fmt.Appendf(nil, `{"time":%d,"name":"load","value":%d,"host":%q}`, time, rng.IntN(1000), e.host)
	return e
}

func (l *load) isMarked(i int) bool {
	return slices.ContainsFunc(l.marked, func(part float64) bool { return i == int(part*float64(l.events)) })
}

// noise is text that compression makes no shorter.
func noise(rng *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('!' + 2 + rng.IntN(56)) // no quote, no backslash
	}
	return string(b)
}

func keyedPartition(host string, partitions int32) int32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(host)) // never fails
	return int32(h.Sum32() % uint32(partitions))
}

// produce writes all events, and at the end some that carry the watermark of every partition past all windows.
func (r *run) produce(ctx context.Context) error {
	l := &r.load
	rng := rand.New(rand.NewPCG(l.seed, 1))
	base := time.Now().Add(-3*time.Hour).Truncate(time.Hour).UnixMilli() + rng.Int64N(rawSlot)
	began := time.Now()
	var failed produceError
	send := func(topic string, partition int32, e *event) {
		r.bed.Client.Produce(ctx, &kgo.Record{Topic: topic, Partition: partition, Value: e.value, Timestamp: time.UnixMilli(e.at)}, failed.note)
	}
	plainParts, keyedParts := l.partitions, l.partitions
	for i := range l.events {
		if l.pauseAt > 0 && i == l.pauseAt {
			if err := l.pause(ctx); err != nil {
				return err
			}
			plainParts, keyedParts = max(plainParts, l.grown), max(keyedParts, l.keyedGrown)
			began = time.Now().Add(-time.Duration(i) * l.over / time.Duration(l.events))
		}
		e := l.make(rng, i, base)
		send(r.plain, int32(i)%plainParts, &e)
		send(r.keyed, keyedPartition(e.host, keyedParts), &e)
		if i%50 == 0 && !sleepUntil(ctx, began.Add(time.Duration(i)*l.over/time.Duration(l.events))) {
			return ctx.Err()
		}
	}
	r.close(l, base, send)
	if err := r.bed.Client.Flush(ctx); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	if l.after != nil {
		l.after()
	}
	return failed.get()
}

// close sends the closing events. Their broker timestamps begin new parts of the archive.
func (r *run) close(l *load, base int64, send func(string, int32, *event)) {
	last, keyedParts := base+int64(l.events)*eventEvery, max(l.partitions, l.keyedGrown)
	for k := range int64(closings) {
		for p := range max(keyedParts, l.grown) {
			host := fmt.Sprintf("closing-%d", p)
			for n := 0; p < keyedParts && keyedPartition(host, keyedParts) != p; n++ {
				host = fmt.Sprintf("closing-%d-%d", p, n)
			}
			e := event{at: last + 2*rawSlot, value: fmt.Appendf(nil, `{"time":%d,"name":"load","value":1,"host":%q}`, last+(k+1)*closingStep, host)}
			if p < max(l.partitions, l.grown) {
				send(r.plain, p, &e)
			}
			if p < keyedParts {
				send(r.keyed, p, &e)
			}
		}
	}
}

// produceError keeps the first error of a producer.
type produceError struct {
	mu  sync.Mutex
	err error
}

func (p *produceError) note(_ *kgo.Record, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("produce: %w", err)
	}
}

func (p *produceError) get() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func sleepUntil(ctx context.Context, due time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Until(due)):
		return true
	}
}
