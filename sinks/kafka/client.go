// Package kafka writes to Kafka: rows of a pipeline as JSON events, dead letters, and whatever else of the product appends
// records. One idempotent producer serves a worker; each task writes through its own Writer, which knows what of its
// records is acknowledged.
package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/internal/kafkaclient"
	"github.com/tidewatch/tidewatch/stream"
)

// Config is what a Client needs.
type Config struct {
	Client kafkaclient.Config
	Log    *slog.Logger // may be nil
}

// Client is the producer of a worker. Safe for concurrent use.
type Client struct {
	kgo *kgo.Client
}

const (
	linger = 5 * time.Millisecond
	// writerBytes is how much of one writer may be unacknowledged before Append blocks.
	writerBytes = 8 << 20
	// clientRecords bounds the whole producer.
	clientRecords = 100_000
)

// Open makes the producer; the cluster may be away.
func Open(c Config) (*Client, error) {
	opts, err := c.Client.Options(c.Log)
	if err != nil {
		return nil, fmt.Errorf("configure kafka producer: %w", err)
	}
	k, err := kgo.NewClient(append(opts, kgo.RecordPartitioner(partitioner()), kgo.ProducerLinger(linger),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.MaxBufferedRecords(clientRecords),
		kgo.UnknownTopicRetries(10))...)
	if err != nil {
		return nil, fmt.Errorf("configure kafka producer: %w", err)
	}
	return &Client{k}, nil
}

// Close gives up what is not acknowledged: whoever needs it has called Flush.
func (c *Client) Close() error {
	c.kgo.Close()
	return nil
}

// partitioner obeys Record.Partition where it is not negative, and else hashes keys like every Kafka client.
func partitioner() kgo.Partitioner {
	byKey := kgo.StickyKeyPartitioner(nil)
	return kgo.BasicConsistentPartitioner(func(topic string) func(*kgo.Record, int) int {
		t := byKey.ForTopic(topic)
		return func(r *kgo.Record, n int) int {
			if r.Partition >= 0 && int(r.Partition) < n {
				return int(r.Partition)
			}
			return t.Partition(r, n)
		}
	})
}

// Record is what a Writer appends.
type Record struct {
	Topic      string
	Partition  int32 // negative: by key, or any
	Key, Value []byte
	Headers    []kgo.RecordHeader
}

// Writer appends for one task. Append comes from the task's goroutine, Flush from the committer.
type Writer struct {
	c *Client

	mu struct {
		sync.Mutex
		bytes   int           // unacknowledged
		records int           // unacknowledged
		err     error         // first final failure
		changed chan struct{} // closed and replaced when something is acknowledged
	}
}

// NewWriter returns a writer with nothing to flush.
func (c *Client) NewWriter() *Writer {
	w := &Writer{c: c}
	w.mu.changed = make(chan struct{})
	return w
}

// Append hands a record to the producer, which repeats it until the broker has it. It blocks while too much of this writer
// is unacknowledged. The record belongs to the writer afterwards.
func (w *Writer) Append(ctx context.Context, r Record) error {
	size := len(r.Key) + len(r.Value) + 64
	err := w.wait(ctx, func() bool { return w.mu.bytes == 0 || w.mu.bytes+size <= writerBytes })
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.mu.bytes, w.mu.records = w.mu.bytes+size, w.mu.records+1
	w.mu.Unlock()
	rec := &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: r.Headers}
	w.c.kgo.Produce(context.WithoutCancel(ctx), rec, func(_ *kgo.Record, err error) { w.acknowledged(size, r.Topic, err) })
	return nil
}

func (w *Writer) acknowledged(size int, topic string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.bytes, w.mu.records = w.mu.bytes-size, w.mu.records-1
	if err != nil && w.mu.err == nil {
		w.mu.err = kafkaclient.Mark(fmt.Errorf("write to topic %s: %w: %w", topic, stream.ErrStartOver, err))
	}
	close(w.mu.changed)
	w.mu.changed = make(chan struct{})
}

// wait blocks until ok, which is called with the lock held, the writer has failed, or ctx is done.
func (w *Writer) wait(ctx context.Context, ok func() bool) error {
	for {
		w.mu.Lock()
		done, err, changed := ok(), w.mu.err, w.mu.changed
		w.mu.Unlock()
		if err != nil {
			return err
		}
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
}

// Flush returns when everything appended so far is acknowledged. A failure stays: the task must start again from its row,
// since nobody knows which of its records are there.
func (w *Writer) Flush(ctx context.Context) error {
	return w.wait(ctx, func() bool { return w.mu.records == 0 })
}

// Close leaves what is unacknowledged to the producer.
func (w *Writer) Close() error { return nil }
