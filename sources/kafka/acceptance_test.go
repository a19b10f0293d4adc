package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// acceptanceLog writes everything that a log may hold: blocks of all codecs, keys, records that do not decode, transactions
// that were kept and aborted, and a beginning that was deleted. It returns what readers can see.
func acceptanceLog(e *env, t testing.TB, topic string) (log []stream.Message, first, end int64) {
	t.Helper()
	codecs := []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}
	n := 0
	write := func(cl *kgo.Client, records int) (rs []stream.Message) {
		batch := make([]*kgo.Record, records)
		for i := range batch {
			text := fmt.Sprintf("record %d %s", n, strings.Repeat("x", n%97))
			if n%13 == 5 {
				text = "bad " + text
			}
			batch[i] = &kgo.Record{Topic: topic, Value: []byte(text), Timestamp: time.UnixMilli(1_764_000_000_000 + int64(n))}
			if n%3 == 0 {
				batch[i].Key = fmt.Append(nil, "key", n%5)
			}
			n++
		}
		if err := cl.ProduceSync(testContext(t), batch...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		for _, r := range batch {
			rs = append(rs, stream.Message{Offset: r.Offset, Timestamp: stream.TimeOf(r.Timestamp), Key: r.Key, Value: r.Value})
		}
		return rs
	}
	tx := newProducer(t, e.brokers, kgo.TransactionalID(topic))
	for i := range 10 {
		plain := newProducer(t, e.brokers, kgo.ProducerBatchCompression(codecs[i%len(codecs)]))
		log = append(log, write(plain, 1+i*40)...)
		if err := tx.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		rs := write(tx, 3)
		if i%2 == 0 {
			log = append(log, rs...)
		}
		if err := tx.EndTransaction(testContext(t), kgo.TransactionEndTry(i%2 == 0)); err != nil {
			t.Fatal(err)
		}
	}
	e.deleteRecords(t, topic, 3)
	for log[0].Offset < 3 {
		log = log[1:]
	}
	ends, err := e.admin.ListCommittedOffsets(testContext(t), topic)
	if err != nil || ends.Error() != nil {
		t.Fatal(err, ends.Error())
	}
	o, _ := ends.Lookup(topic, 0)
	return log, 3, o.Offset
}

// acceptance is the harness of a cluster.
func acceptance(t *testing.T, e *env) streamtest.SourceHarness {
	t.Helper()
	topic := e.topic(t, 1)
	log, first, end := acceptanceLog(e, t, topic)
	large := newSource(t, e.brokers, nil)
	small := newSource(t, e.brokers, func(c *Config) { c.RingBytes, c.FetchMaxBytes = minRing, minRing })
	p := partitionOf(t, large, topic, 0)
	way := func(name string, s *Source) streamtest.SourceWay {
		return streamtest.SourceWay{Name: name, Open: func(t testing.TB, offset int64, d stream.Decoder) (stream.Reader, error) {
			return s.Open(testContext(t), p, offset, d)
		}}
	}
	other := p
	other.Incarnation = "another"
	return streamtest.SourceHarness{
		Log: log, Decoder: func() stream.Decoder { return values{} }, First: first, End: end, Histories: 8,
		Ways: []streamtest.SourceWay{
			way("large portions", large), way("small portions", small),
			{Name: "a fresh source", Open: func(t testing.TB, offset int64, d stream.Decoder) (stream.Reader, error) {
				return newSource(t, e.brokers, nil).Open(testContext(t), p, offset, d)
			}},
		},
		Partition: p,
		Blocked: func(t testing.TB) stream.Reader {
			r, err := newSource(t, e.brokers, func(c *Config) { c.Clock = patient{} }).Open(testContext(t), p, end, values{})
			if err != nil {
				t.Fatal(err)
			}
			return r
		},
		Grow: func(t testing.TB) (stream.Reader, func() []stream.Message) { return growing(t, e, large) },
		Broken: []streamtest.SourceFault{{Name: "a topic that was created anew", Kind: stream.Fatal, Open: func(t testing.TB) (stream.Reader, error) {
			return large.Open(testContext(t), other, first, values{})
		}}},
	}
}

// patient is a clock on which no idle time passes.
type patient struct{ clock.System }

func (patient) After(d time.Duration) <-chan time.Time {
	if d == idleAfter {
		return nil
	}
	return clock.System{}.After(d)
}

// growing is a reader of an empty topic that is written to.
func growing(t testing.TB, e *env, s *Source) (stream.Reader, func() []stream.Message) {
	t.Helper()
	topic := e.topic(t, 1)
	cl := newProducer(t, e.brokers)
	r, err := s.Open(testContext(t), partitionOf(t, s, topic, 0), 0, values{})
	if err != nil {
		t.Fatal(err)
	}
	return r, func() []stream.Message {
		rs := []*kgo.Record{{Topic: topic, Value: []byte("one")}, {Topic: topic, Value: []byte("bad two")}, {Topic: topic, Value: []byte("three")}}
		if err := cl.ProduceSync(testContext(t), rs...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		var more []stream.Message
		for _, r := range rs {
			more = append(more, stream.Message{Offset: r.Offset, Timestamp: stream.Time(r.Timestamp.UnixMilli() * 1e6), Value: r.Value})
		}
		return more
	}
}

func TestAcceptance(t *testing.T) {
	t.Run("in process", func(t *testing.T) {
		c := newCluster(t, kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
		var away atomic.Bool
		c.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			if away.Load() {
				return nil, errors.New("cut"), true
			}
			return nil, nil, false
		})
		e := newEnv(t, c.ListenAddrs())
		h := acceptance(t, e)
		h.Source = func(t testing.TB) stream.Source {
			return newSource(t, e.brokers, func(c *Config) { c.Topics = []string{h.Partition.Topic} })
		}
		h.Away = func(t testing.TB) (streamtest.SourceWay, func(bool)) {
			t.Cleanup(func() { away.Store(false) })
			return streamtest.SourceWay{Name: "away", Open: func(t testing.TB, offset int64, d stream.Decoder) (stream.Reader, error) {
				return newSource(t, e.brokers, nil).Open(context.WithoutCancel(t.Context()), h.Partition, offset, d)
			}}, away.Store
		}
		streamtest.RunSource(t, h)
	})
	t.Run("real", func(t *testing.T) {
		streamtest.RunSource(t, acceptance(t, newEnv(t, testservers.Kafka(t))))
	})
}
