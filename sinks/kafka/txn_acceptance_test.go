package kafka

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// committed returns what readers of committed records see of partition 0 of a topic from an offset on, once nothing is open
// there, and how many records others see.
func (e *env) committed(t testing.TB, topic string, from int64) (rs []*kgo.Record, uncommitted int) {
	t.Helper()
	end := e.end(t, topic)
	read := func(level kgo.IsolationLevel) (rs []*kgo.Record) {
		cl, err := kgo.NewClient(kgo.SeedBrokers(e.brokers...), kgo.DisableClientMetrics(), kgo.FetchIsolationLevel(level), kgo.KeepControlRecords(),
			kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(from)}}))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		ctx := testContext(t)
		for at := from; at < end; {
			fs := cl.PollFetches(ctx)
			if err := fs.Err0(); err != nil {
				t.Fatalf("read to %d, want %d: %v", at, end, err)
			}
			fs.EachRecord(func(r *kgo.Record) {
				at = r.Offset + 1
				if !r.Attrs.IsControl() {
					rs = append(rs, r)
				}
			})
		}
		return rs
	}
	return read(kgo.ReadCommitted()), len(read(kgo.ReadUncommitted()))
}

// awaitGroups returns when the cluster takes commits of groups: one that has just started makes a topic for them first.
func (e *env) awaitGroups(t testing.TB, topic string) {
	t.Helper()
	ctx := testContext(t)
	for {
		done, err := e.admin.CommitOffsets(ctx, testservers.Name("group"), kadm.Offsets{topic: {0: {Topic: topic, At: 1}}})
		if err == nil {
			err = done.Error()
		}
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// exactly are the rows of a task, which must not be there twice, nor out of order.
func exactly(t testing.TB, rs []*kgo.Record, task string) map[string]string {
	t.Helper()
	seen := map[string]string{}
	var last stream.Version
	for _, r := range rs {
		if header(r, HeaderTask) != task {
			continue
		}
		n := rowName{at: stream.Version{Offset: number(header(r, HeaderOffset), 64, -1), Step: uint32(number(header(r, HeaderStep), 64, -1))}}
		if n.at.Compare(last) < 0 {
			t.Errorf("version %v comes after %v", n.at, last)
		}
		last = n.at
		name := fmt.Sprintf("%s %s.%s#%s", header(r, HeaderPhase), header(r, HeaderOffset), header(r, HeaderStep), header(r, HeaderIndex))
		if _, ok := seen[name]; ok {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = string(r.Value)
	}
	return seen
}

func TestTransactionSinkAcceptance(t *testing.T) {
	t.Run("in process", func(t *testing.T) {
		c := newCluster(t)
		var life atomic.Pointer[streamtest.Life]
		for _, k := range []kmsg.Key{kmsg.Produce, kmsg.AddOffsetsToTxn, kmsg.TxnOffsetCommit, kmsg.EndTxn, kmsg.InitProducerID, kmsg.OffsetFetch} {
			c.ControlKey(int16(k), func(r kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				err := life.Load().Call(kmsg.NameForKey(r.Key()), func() error { return nil })
				return nil, err, err != nil // the connection is cut
			})
		}
		newEnv(t, c.ListenAddrs()).runTransactionSink(t, 4, life.Store)
	})
	t.Run("real", func(t *testing.T) {
		newEnv(t, testservers.Kafka(t)).runTransactionSink(t, 4, func(*streamtest.Life) {})
	})
}

func (e *env) runTransactionSink(t *testing.T, histories int, begin func(l *streamtest.Life)) {
	t.Helper()
	topic, in := e.topic(t, 1), e.topic(t, 1)
	e.awaitGroups(t, in)
	tasks := 0
	streamtest.RunSink(t, streamtest.SinkHarness{
		Histories: histories, Staged: true,
		New: func(t testing.TB) streamtest.SinkReceiver {
			tasks++
			from := e.end(t, topic)
			c := TransactionConfig{Task: task, Topic: topic, Output: "cpu", Group: "suite"}
			c.Task.Instance, c.Task.Partition.Topic, c.Task.Partition.Number = fmt.Sprintf("p@%d", tasks), in, 0
			return streamtest.SinkReceiver{
				Open: func(t testing.TB, l *streamtest.Life) stream.Sink {
					begin(l)
					cl := e.client(t)
					c := c
					c.Objects = l.Objects()
					s := cl.NewTransactionSink(c)
					t.Cleanup(func() { s.end(context.Background()) })
					return s
				},
				Visible: func(t testing.TB) map[string]string {
					rs, _ := e.committed(t, topic, from)
					return exactly(t, rs, c.Task.String())
				},
			}
		},
		History: func(t testing.TB, rng *rand.Rand, size int) []streamtest.SinkStep {
			return streamtest.SinkSteps(streamtest.WindowSteps(t, rng, 2*size, stream.Closed, stream.Revised))
		},
	})
}
