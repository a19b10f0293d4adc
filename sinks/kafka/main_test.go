package kafka

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/tidewatch/tidewatch/internal/kafkaclient"
	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testservers.Keep(m)) }

const patienceOfTests = 30 * time.Second

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patienceOfTests)
	t.Cleanup(cancel)
	return ctx
}

// env is a cluster to test on.
type env struct {
	t       *testing.T // of onBoth
	brokers []string
	admin   *kadm.Client
}

func newCluster(t testing.TB, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func newEnv(t testing.TB, brokers []string) *env {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return &env{brokers: brokers, admin: kadm.NewClient(cl)}
}

func onBoth(t *testing.T, test func(e *env)) {
	t.Helper()
	t.Run("in process", func(t *testing.T) {
		e := newEnv(t, newCluster(t).ListenAddrs())
		e.t = t
		test(e)
	})
	t.Run("real", func(t *testing.T) {
		e := newEnv(t, testservers.Kafka(t))
		e.t = t
		test(e)
	})
}

func (e *env) config() kafkaclient.Config { return kafkaclient.Config{Brokers: e.brokers} }

func (e *env) topic(t testing.TB, partitions int32) string {
	t.Helper()
	name := testservers.Name("out")
	e.create(t, name, partitions)
	return name
}

func (e *env) create(t testing.TB, name string, partitions int32) {
	t.Helper()
	if _, err := e.admin.CreateTopic(testContext(t), partitions, 1, nil, name); err != nil && !strings.Contains(err.Error(), "EXISTS") {
		t.Fatal(err)
	}
}

func (e *env) client(t testing.TB) *Client {
	t.Helper()
	c, err := Open(Config{Client: e.config()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// written returns all n records of a topic.
func (e *env) written(t testing.TB, topic string, n int) (rs []*kgo.Record) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(e.brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx := testContext(t)
	for len(rs) < n {
		fs := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d records are there, want %d", len(rs), n)
		}
		rs = append(rs, fs.Records()...)
	}
	if len(rs) != n {
		t.Fatalf("%d records are there, want %d", len(rs), n)
	}
	return rs
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func wantKind(t testing.TB, err error, kind stream.ErrorKind, words ...string) {
	t.Helper()
	if err == nil || stream.KindOfError(err) != kind {
		t.Fatalf("error %v has kind %v, want %v", err, stream.KindOfError(err), kind)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Fatalf("error %q does not say %q", err, w)
		}
	}
}

var task = stream.TaskID{Instance: "p@1", Stage: "s", Partition: stream.Partition{Topic: "in", Number: 3, Incarnation: "abc"}}
