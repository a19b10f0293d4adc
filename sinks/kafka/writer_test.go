package kafka

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidewatch/tidewatch/stream"
)

func TestAppendsGoWhereTheySay(t *testing.T) {
	onBoth(t, func(e *env) {
		t := e.t
		topic := e.topic(t, 4)
		w := e.client(t).NewWriter()
		for i := range 40 {
			r := Record{Topic: topic, Partition: int32(i % 4), Key: []byte("same"), Value: strconv.AppendInt(nil, int64(i), 10)}
			if err := w.Append(testContext(t), r); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(testContext(t)); err != nil {
			t.Fatal(err)
		}
		next := map[int32]int{}
		for _, r := range e.written(t, topic, 40) {
			i, err := strconv.Atoi(string(r.Value))
			if err != nil || int32(i%4) != r.Partition || i/4 != next[r.Partition] {
				t.Fatalf("record %s is at %d/%d", r.Value, r.Partition, r.Offset)
			}
			next[r.Partition]++
		}
	})
}

func TestKeysChoosePartitions(t *testing.T) {
	onBoth(t, func(e *env) {
		t := e.t
		topic := e.topic(t, 4)
		w := e.client(t).NewWriter()
		const n = 400
		for i := range n {
			r := Record{Topic: topic, Partition: -1, Value: []byte("nil")}
			if i%2 == 0 {
				r.Key, r.Value = strconv.AppendInt(nil, int64(i%50), 10), []byte("key")
			}
			if err := w.Append(testContext(t), r); err != nil {
				t.Fatal(err)
			}
			if i%10 == 9 { // ends a batch: then records without a key may go elsewhere
				if err := w.Flush(testContext(t)); err != nil {
					t.Fatal(err)
				}
			}
		}
		place, anywhere := map[string]int32{}, map[int32]bool{}
		for _, r := range e.written(t, topic, n) {
			if r.Key == nil {
				anywhere[r.Partition] = true
				continue
			}
			if p, ok := place[string(r.Key)]; ok && p != r.Partition {
				t.Fatalf("key %s is in partitions %d and %d", r.Key, p, r.Partition)
			}
			place[string(r.Key)] = r.Partition
		}
		if len(anywhere) < 2 {
			t.Fatalf("records without a key are all in %v", anywhere)
		}
	})
}

func TestAPartitionThatIsNotThere(t *testing.T) {
	onBoth(t, func(e *env) {
		t := e.t
		topic := e.topic(t, 2)
		w := e.client(t).NewWriter()
		if err := w.Append(testContext(t), Record{Topic: topic, Partition: 2, Value: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(testContext(t)); err == nil {
			t.Fatal("a record went to another partition than it had to")
		}
	})
}

func TestTooLargeRecordIsFinal(t *testing.T) {
	onBoth(t, func(e *env) {
		t := e.t
		topic := e.topic(t, 1)
		c := e.client(t)
		w := c.NewWriter()
		big := make([]byte, 2<<20)
		_, _ = rand.NewChaCha8([32]byte{2}).Read(big)
		if err := w.Append(testContext(t), Record{Topic: topic, Value: big}); err != nil {
			t.Fatal(err)
		}
		wantKind(t, w.Flush(testContext(t)), stream.Fatal, topic, "max.message.bytes")
		wantKind(t, w.Append(testContext(t), Record{Topic: topic, Value: []byte("x")}), stream.Fatal, topic) // it stays
		other := c.NewWriter()
		if err := errors.Join(other.Append(testContext(t), Record{Topic: topic, Value: []byte("x")}), other.Flush(testContext(t))); err != nil {
			t.Fatal("another writer fails too: ", err)
		}
	})
}

func TestGivenUpRecordStartsTheTaskAgain(t *testing.T) {
	err := explain(&kgo.Record{Topic: "out"}, kerr.UnknownTopicOrPartition)
	wantKind(t, err, stream.Retry, "out", "create it")
	if !errors.Is(err, stream.ErrStartOver) {
		t.Fatal("the engine would flush again, which cannot help")
	}
	wantKind(t, explain(&kgo.Record{Topic: "out"}, kerr.TopicAuthorizationFailed), stream.Fatal, "access rules")
}

// held is a cluster that acknowledges nothing until it is let go.
type held struct {
	*env
	release func()
}

func holdProduce(t testing.TB, c *kfake.Cluster) *held {
	t.Helper()
	gate := make(chan struct{})
	var once sync.Once
	h := &held{env: newEnv(t, c.ListenAddrs()), release: func() { once.Do(func() { close(gate) }) }}
	t.Cleanup(h.release)
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		c.SleepControl(func() { <-gate })
		return nil, nil, false
	})
	return h
}

func TestAppendBlocksAndLetsGo(t *testing.T) {
	h := holdProduce(t, newCluster(t, kfake.SeedTopics(1, "out")))
	c := h.client(t)
	w := c.NewWriter()
	const size = 500_000
	n := 0
	for ; n < writerBytes/size; n++ {
		if err := w.Append(testContext(t), Record{Topic: "out", Value: make([]byte, size)}); err != nil {
			t.Fatal(err)
		}
	}
	short, cancel := context.WithTimeout(testContext(t), 50*time.Millisecond)
	defer cancel()
	if err := w.Append(short, Record{Topic: "out", Value: make([]byte, size)}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("more than the limit is taken: %v", err)
	}
	if err := w.Flush(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("flushed what nobody has acknowledged: %v", err)
	}
	if err := c.NewWriter().Append(testContext(t), Record{Topic: "out", Value: []byte("x")}); err != nil {
		t.Fatal("a full writer blocks another: ", err)
	}
	done := make(chan error, 1)
	go func() { done <- w.Append(testContext(t), Record{Topic: "out", Value: make([]byte, size)}) }()
	h.release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
	h.written(t, "out", n+2)
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.bytes != 0 || len(w.open) != 1 {
		t.Fatalf("%d bytes in %d flights are still counted", w.bytes, len(w.open))
	}
}

// TestFlushWaitsForWhatWasBefore: a task that goes on appending does not delay the flush of an epoch.
func TestFlushWaitsForWhatWasBefore(t *testing.T) {
	var c Client
	c.mu.changed = make(chan struct{})
	w := c.NewWriter()
	add := func() *sending { // as Append does
		last := &w.open[len(w.open)-1]
		last.records++
		return &sending{w: w, flight: last.number}
	}
	a, b := add(), add()
	flushed := make(chan error, 1)
	go func() { flushed <- w.Flush(testContext(t)) }()
	for { // until Flush waits
		c.mu.Lock()
		n := c.mu.waiters
		c.mu.Unlock()
		if n == 1 {
			break
		}
	}
	c.mu.Lock()
	later := add()
	c.mu.Unlock()
	b.acknowledged(&b.record, nil)
	select {
	case err := <-flushed:
		t.Fatal("flushed with a record open: ", err)
	case <-time.After(10 * time.Millisecond):
	}
	a.acknowledged(&a.record, nil)
	if err := <-flushed; err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(testContext(t), 10*time.Millisecond)
	defer cancel()
	if err := w.Flush(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal("the later record is not waited for: ", err)
	}
	later.acknowledged(&later.record, nil)
	if err := w.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsLostOrDoubledWhileTheBrokerIsAway(t *testing.T) {
	dir := t.TempDir()
	start := func(opts ...kfake.Opt) *kfake.Cluster {
		c, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1), kfake.SeedTopics(2, "out"), kfake.DataDir(dir))...)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := start()
	addr := c.ListenAddrs()[0]
	e := newEnv(t, []string{addr})
	w := e.client(t).NewWriter()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		if i == 100 {
			c.Close()
		}
		if err := w.Append(testContext(t), Record{Topic: "out", Partition: int32(i % 2), Value: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
	}
	c = start(kfake.Ports(n))
	defer c.Close()
	if err := w.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range e.written(t, "out", 300) {
		if seen[string(r.Value)] {
			t.Fatalf("%s is there twice", r.Value)
		}
		seen[string(r.Value)] = true
	}
}

func BenchmarkAppend(b *testing.B) {
	c := newCluster(b, kfake.SeedTopics(4, "out"), kfake.BlackholeProduce())
	w := newEnv(b, c.ListenAddrs()).client(b).NewWriter()
	value := make([]byte, 350)
	ctx := context.Background()
	b.ReportAllocs()
	i := int32(0)
	for b.Loop() {
		i++
		if err := w.Append(ctx, Record{Topic: "out", Partition: i % 4, Value: value}); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Flush(ctx); err != nil {
		b.Fatal(err)
	}
}
