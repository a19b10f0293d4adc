package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
	"github.com/tidewatch/tidewatch/sources/generate"
	"github.com/tidewatch/tidewatch/stream"
)

const (
	partitions = 4
	hosts      = 20_000
	perSecond  = 10_000 // events a second of event time
	seed       = 7
	// disorder and lateness are what the generator does: up to 2 s late, one in a thousand up to 120 s.
	disorder = 2 * time.Second
	lateness = 130 * time.Second
	// closingHost begins the hosts of the events at the end: they carry the watermark of every partition past all windows.
	closingHost  = "closing-"
	closingSteps = 9
	closingStep  = 50 * time.Second // less than the jump that a watermark makes on the word of one event
	longest      = 5 * time.Minute  // window
)

// input is a full topic, and the same events in a file.
type input struct {
	topic, file string
	events      int64 // closing ones included
	from, to    time.Time
	closed      int64 // start of the last window that closing events close, in milliseconds
}

// filler writes events to the topic and to the file.
type filler struct {
	l      *lab
	in     *input
	w      *workload
	file   *bufio.Writer
	failed atomic.Pointer[error]
	last   stream.Time
}

// fill makes the topic of a workload.
func (l *lab) fill(ctx context.Context, w *workload) (*input, error) {
	g := generate.Default(cmp.Or(w.scenario, "bench"))
	g.Seed, g.Partitions, g.NilKeys = seed, partitions, w.nilKeys
	g.Hosts, g.PerSecond = cmp.Or(w.hosts, hosts), cmp.Or(w.perSecond, perSecond)
	if n := l.o.hosts; n > 0 {
		g.Hosts, g.PerSecond = n, max(g.PerSecond*n/g.Hosts, 1)
	}
	span := time.Duration(l.o.events) * time.Second / time.Duration(g.PerSecond)
	start := time.Now().Add(-span - time.Hour).Truncate(time.Minute)
	g.Start = stream.TimeOf(start)
	gen, err := generate.New(g)
	if err != nil {
		return nil, err
	}
	in := &input{
		topic: "peers-" + w.name, file: filepath.Join(l.dir, w.name+".jsonl"),
		events: l.o.events + partitions*closingSteps, from: start.Add(-lateness - longest), to: start.Add(span + time.Minute),
	}
	if err := l.createTopic(ctx, in.topic); err != nil {
		return nil, err
	}
	file, err := os.Create(in.file)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	f := &filler{l: l, in: in, w: w, file: bufio.NewWriterSize(file, 1<<20)}
	bed.Progress("filling topic %s with %d events", in.topic, in.events)
	f.all(ctx, gen)
	in.closed = int64(f.last.Add((closingSteps-1)*closingStep).Floor(10*time.Second)) / int64(time.Millisecond)
	err = errors.Join(f.file.Flush(), l.client.Flush(ctx))
	if failed := f.failed.Load(); failed != nil {
		err = errors.Join(err, *failed)
	}
	return in, err
}

func (f *filler) all(ctx context.Context, gen *generate.Generator) {
	for i := range f.l.o.events {
		var e generate.Event
		if f.w.ids {
			first := original(i)
			gen.Event(first, &e)
			id := idOf(first)
			e.Key = []byte(id)
			e.Value = fmt.Appendf(e.Value[:len(e.Value)-2], `,"id":"%s"}}`, id)
			e.Partition = partitionOf(id)
		} else {
			gen.Event(i, &e)
		}
		f.last = max(f.last, e.Time)
		f.send(ctx, e.Partition, e.Key, e.Value)
	}
	for k := range closingSteps {
		at := f.last.Add(time.Duration(k+1) * closingStep)
		for p := range int32(partitions) {
			host := named(p, func(n int) string { return fmt.Sprintf("%s%d", closingHost, n) })
			id := named(p, func(n int) string { return idOf(-1 - int64(k*1000+n)) })
			key := []byte(host)
			switch {
			case f.w.ids:
				key = []byte(id)
			case f.w.nilKeys:
				key = nil
			}
			f.send(ctx, p, key, fmt.Appendf(nil, `{"time":%d,"name":"closing","value":1,"tenant":"%[2]s","host":"%[2]s","attributes":{"region":"eu-west-1","id":"%[3]s"}}`,
				int64(at)/int64(time.Millisecond), host, id))
		}
	}
}

func (f *filler) send(ctx context.Context, partition int32, key, value []byte) {
	_, _ = f.file.Write(append(value, '\n')) // Flush reports it
	f.l.client.Produce(ctx, &kgo.Record{Topic: f.in.topic, Partition: partition, Key: key, Value: value}, func(_ *kgo.Record, err error) {
		if err != nil {
			f.failed.Store(&err)
		}
	})
}

// mixed spreads a number over all 64 bits (the finaliser of SplitMix64).
func mixed(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// original is the event that event i repeats: in one of twenty cases one of ten seconds before, else itself.
func original(i int64) int64 {
	h := mixed(uint64(i) + seed)
	if h%20 != 0 {
		return i
	}
	return max(i-1-int64(h/20%100_000), 0)
}

// idOf is the id of an event: 16 bytes, in hex.
func idOf(i int64) string {
	var b [16]byte
	for k := range 2 {
		x := mixed(uint64(i)*2 + uint64(k) + 1)
		for n := range 8 {
			b[k*8+n] = byte(x >> (8 * n))
		}
	}
	return hex.EncodeToString(b[:])
}

func partitionOf(key string) int32 { return int32(stream.HashProducer([]byte(key)) % partitions) }

// named is the first name that belongs to the partition.
func named(partition int32, name func(n int) string) string {
	for n := 0; ; n++ {
		if s := name(n); partitionOf(s) == partition {
			return s
		}
	}
}
