package kafka

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// since returns the records of partition 0 of a topic from an offset on.
func (e *env) since(t testing.TB, topic string, from int64) (rs []*kgo.Record) {
	t.Helper()
	end := e.end(t, topic)
	if from == end {
		return nil
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(e.brokers...), kgo.DisableClientMetrics(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(from)}}))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx := testContext(t)
	for len(rs) == 0 || rs[len(rs)-1].Offset < end-1 {
		fs := cl.PollFetches(ctx)
		if err := fs.Err0(); err != nil {
			t.Fatal(err)
		}
		rs = append(rs, fs.Records()...)
	}
	return rs
}

func (e *env) end(t testing.TB, topic string) int64 {
	t.Helper()
	ends, err := e.admin.ListEndOffsets(testContext(t), topic)
	if err != nil || ends.Error() != nil {
		t.Fatal(err, ends.Error())
	}
	o, _ := ends.Lookup(topic, 0)
	return o.Offset
}

// rowsOf are the rows of a task as readers see them that drop repeats. Two rows of one name must be one row.
func rowsOf(t testing.TB, rs []*kgo.Record, task string) map[string]string {
	t.Helper()
	seen := map[string]string{}
	for _, r := range rs {
		if header(r, HeaderTask) != task {
			continue
		}
		name := fmt.Sprintf("%s %s.%s#%s", header(r, HeaderPhase), header(r, HeaderOffset), header(r, HeaderStep), header(r, HeaderIndex))
		if before, ok := seen[name]; ok && before != string(r.Value) {
			t.Errorf("%s is %s, and %s", name, before, r.Value)
		}
		seen[name] = string(r.Value)
	}
	return seen
}

// TestSinkAcceptance leaves Live rows out: when windows are shown depends on the clock, so they have no names.
func TestSinkAcceptance(t *testing.T) {
	t.Run("in process", func(t *testing.T) {
		c := newCluster(t)
		var life atomic.Pointer[streamtest.Life]
		c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			err := life.Load().Call("produce", func() error { return nil })
			return nil, err, err != nil // the connection is cut
		})
		newEnv(t, c.ListenAddrs()).runSink(t, 4, life.Store)
	})
	t.Run("real", func(t *testing.T) {
		newEnv(t, testservers.Kafka(t)).runSink(t, 4, func(*streamtest.Life) {})
	})
}

// runSink runs the suite on one topic. begin is told of each process.
func (e *env) runSink(t *testing.T, histories int, begin func(l *streamtest.Life)) {
	t.Helper()
	topic := e.topic(t, 1)
	tasks := 0
	streamtest.RunSink(t, streamtest.SinkHarness{
		Histories: histories,
		New: func(t testing.TB) streamtest.SinkReceiver {
			tasks++
			id, from := task, e.end(t, topic)
			id.Instance = fmt.Sprintf("p@%d", tasks)
			return streamtest.SinkReceiver{
				Open: func(t testing.TB, l *streamtest.Life) stream.Sink {
					begin(l)
					c := e.client(t)
					go func() {
						<-l.Dead()
						c.kgo.Close()
					}()
					return c.NewSink(id, topic)
				},
				Visible: func(t testing.TB) map[string]string { return rowsOf(t, e.since(t, topic, from), id.String()) },
			}
		},
		History: func(t testing.TB, rng *rand.Rand, size int) []streamtest.SinkStep {
			return streamtest.SinkSteps(streamtest.WindowSteps(t, rng, 2*size, stream.Late, stream.Closed, stream.Revised, stream.Final))
		},
	})
}
