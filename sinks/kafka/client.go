package kafka

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/internal/kafkaclient"
)

// Config is what a Client needs.
type Config struct {
	Client kafkaclient.Config
	Log    *slog.Logger // may be nil
	// Linger is how long a record waits for others of its partition; 0 means 5 ms. More makes fewer requests and batches, and
	// epochs that wait for it longer.
	Linger time.Duration
}

// Client is the producer of a worker. Safe for concurrent use. It repeats every record until the brokers have it, in order
// and once (idempotence), however long they are away.
type Client struct {
	kgo     *kgo.Client
	options []kgo.Opt // of any client of the cluster
	codec   *codec    // of staged rows
	sent    sync.Pool // of *sending
	single  single    // for what brokers refuse in a batch

	mu struct {
		sync.Mutex
		bytes   int           // unacknowledged, of all writers
		waiters int           // that changed is for
		changed chan struct{} // closed and replaced when something is acknowledged and somebody waits
	}
}

const (
	linger = 5 * time.Millisecond
	// metadataAge is the least distance of questions who leads a partition: records wait so long for a new leader.
	metadataAge = 250 * time.Millisecond
	// writerBytes is how much of one writer may be unacknowledged before Append blocks, clientBytes how much of all.
	writerBytes = 8 << 20
	clientBytes = 64 << 20
	// overhead is what a record costs beside its bytes, about.
	overhead = 128
)

// Open makes the producer; the cluster may be away.
func Open(c Config) (*Client, error) {
	opts, err := c.Client.Options(c.Log)
	if err != nil {
		return nil, fmt.Errorf("configure kafka producer: %w", err)
	}
	if c.Linger == 0 {
		c.Linger = linger
	}
	k, err := kgo.NewClient(append(opts, kgo.RecordPartitioner(partitioner{kgo.StickyKeyPartitioner(nil)}), kgo.ProducerLinger(c.Linger),
		kgo.WithCompressor(kafkaclient.LZ4()), kgo.MaxBufferedRecords(2*clientBytes/overhead), // Append blocks, not Produce
		kgo.UnknownTopicRetries(10), kgo.MetadataMinAge(metadataAge))...)
	if err != nil {
		return nil, fmt.Errorf("configure kafka producer: %w", err)
	}
	rows, err := newCodec()
	if err != nil {
		k.Close()
		return nil, err
	}
	cl := &Client{kgo: k, options: slices.Clip(opts), codec: rows}
	cl.single.options = slices.Clip(opts)
	cl.mu.changed = make(chan struct{})
	cl.sent.New = func() any {
		s := &sending{}
		s.done = s.acknowledged
		return s
	}
	return cl, nil
}

// Close gives up what is not acknowledged: whoever needs it has called Flush.
func (c *Client) Close() error {
	c.single.close()
	c.kgo.Close()
	return nil
}

// partitioner obeys Record.Partition where it is not negative; else equal keys go to equal partitions, by the hash of every
// Kafka client, and records without a key to any.
type partitioner struct{ byKey kgo.Partitioner }

// ForTopic implements kgo.Partitioner.
func (p partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	return topicPartitioner{p.byKey.ForTopic(topic)}
}

// topicPartitioner implements kgo.TopicPartitioner and kgo.TopicPartitionerOnNewBatch.
type topicPartitioner struct{ byKey kgo.TopicPartitioner }

// RequiresConsistency implements kgo.TopicPartitioner.
func (p topicPartitioner) RequiresConsistency(r *kgo.Record) bool {
	return r.Partition >= 0 || p.byKey.RequiresConsistency(r)
}

// Partition implements kgo.TopicPartitioner. A partition that the topic has not got is an error of the producer: to choose
// another would hide records from whoever reads the right one.
func (p topicPartitioner) Partition(r *kgo.Record, n int) int {
	if r.Partition >= 0 {
		return int(r.Partition)
	}
	return p.byKey.Partition(r, n)
}

// OnNewBatch implements kgo.TopicPartitionerOnNewBatch.
func (p topicPartitioner) OnNewBatch() {
	if b, ok := p.byKey.(kgo.TopicPartitionerOnNewBatch); ok {
		b.OnNewBatch()
	}
}
