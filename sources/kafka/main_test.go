package kafka

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/internal/kafkaclient"
	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testservers.Keep(m)) }

var (
	_ stream.Source = (*Source)(nil)
	_ stream.Reader = (*Reader)(nil)
)

// patienceOfTests is how long a test waits for what must happen.
const patienceOfTests = 30 * time.Second

// newCluster starts a broker in process.
func newCluster(t testing.TB, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// env is a cluster to test on. What every Kafka must do is tested on a real broker too.
type env struct {
	t       *testing.T // of onBoth
	brokers []string
	admin   *kadm.Client
}

func newEnv(t testing.TB, brokers []string) *env {
	t.Helper()
	return &env{brokers: brokers, admin: kadm.NewClient(newProducer(t, brokers))}
}

func onBoth(t *testing.T, test func(e *env)) {
	t.Helper()
	t.Run("in process", func(t *testing.T) {
		c := newCluster(t, kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
		e := newEnv(t, c.ListenAddrs())
		e.t = t
		test(e)
	})
	t.Run("real", func(t *testing.T) {
		e := newEnv(t, testservers.Kafka(t))
		e.t = t
		test(e)
	})
}

// topic creates a topic and returns its name; config is "key=value".
func (e *env) topic(t testing.TB, partitions int32, config ...string) string {
	t.Helper()
	name := testservers.Name("in")
	e.create(t, name, partitions, config...)
	return name
}

func (e *env) create(t testing.TB, name string, partitions int32, config ...string) {
	t.Helper()
	settings := map[string]*string{}
	for _, c := range config {
		k, v, _ := strings.Cut(c, "=")
		settings[k] = &v
	}
	if _, err := e.admin.CreateTopic(testContext(t), partitions, 1, settings, name); err != nil {
		t.Fatal(err)
	}
}

func (e *env) deleteTopic(t testing.TB, name string) {
	t.Helper()
	if _, err := e.admin.DeleteTopic(testContext(t), name); err != nil {
		t.Fatal(err)
	}
}

// deleteRecords removes what is before offset.
func (e *env) deleteRecords(t testing.TB, topic string, offset int64) {
	t.Helper()
	var to kadm.Offsets
	to.AddOffset(topic, 0, offset, -1)
	rs, err := e.admin.DeleteRecords(testContext(t), to)
	if err != nil || rs.Error() != nil {
		t.Fatal(err, rs.Error())
	}
}

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patienceOfTests)
	t.Cleanup(cancel)
	return ctx
}

// newSource connects to brokers; change may alter its configuration.
func newSource(t testing.TB, brokers []string, change func(*Config)) *Source {
	t.Helper()
	cfg := Default()
	cfg.Client = kafkaclient.Config{Brokers: brokers}
	cfg.GroupID, cfg.WorkerID = "g-"+strings.ReplaceAll(t.Name(), "/", "-"), "worker-1"
	cfg.RefreshEvery = 200 * time.Millisecond
	cfg.Clock, cfg.Log = clock.System{}, slog.New(slog.DiscardHandler)
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// newProducer returns a client that writes where a record says.
func newProducer(t testing.TB, brokers []string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	opts = append([]kgo.Opt{kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DisableClientMetrics()}, opts...)
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// produce writes the values as one batch of records.
func produce(t testing.TB, cl *kgo.Client, topic string, partition int32, values ...string) {
	t.Helper()
	rs := make([]*kgo.Record, len(values))
	for i, v := range values {
		rs[i] = &kgo.Record{Topic: topic, Partition: partition, Value: []byte(v)}
	}
	if err := cl.ProduceSync(testContext(t), rs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// partitionOf names a partition with the topic's present id.
func partitionOf(t testing.TB, s *Source, topic string, number int32) stream.Partition {
	t.Helper()
	ts, err := s.topology.refresh(testContext(t), topic)
	for ; err == nil && isUnknown(ts[0].err); ts, err = s.topology.refresh(testContext(t), topic) {
	}
	if err != nil || ts[0].err != nil {
		t.Fatal(err, ts)
	}
	return stream.Partition{Topic: topic, Number: number, Incarnation: ts[0].incarnation()}
}

// values is a decoder that keeps each record's value; those that begin with "bad" are rejected.
type values struct{}

var valueSchema = &stream.Schema{Fields: []stream.Field{{Name: "value", Kind: stream.String}}}

func (values) Schema() *stream.Schema { return valueSchema }

func (values) Decode(m *stream.Message, b *stream.Batch) error {
	if strings.HasPrefix(string(m.Value), "bad") {
		return stream.Mark(stream.Reject, fmt.Errorf("value %q", m.Value))
	}
	b.Cols[0].AppendBytes(m.Value)
	b.Offset = append(b.Offset, m.Offset)
	b.Timestamp = append(b.Timestamp, m.Timestamp)
	b.SetLen(b.Len() + 1)
	return nil
}

// got is what a reader has seen.
type got struct {
	offsets  []int64
	values   []string
	rejected []stream.Rejected
	next     int64
	gaps     int64
}

func open(t testing.TB, s *Source, p stream.Partition, offset int64) stream.Reader {
	t.Helper()
	r, err := s.Open(testContext(t), p, offset, values{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// read adds one Read to g, and checks what every Input must fulfil.
func (g *got) read(t testing.TB, r stream.Reader) {
	t.Helper()
	in, err := r.Read(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	g.add(t, in)
}

func (g *got) add(t testing.TB, in *stream.Input) {
	t.Helper()
	if len(g.offsets)+len(g.rejected) > 0 && in.From != g.next {
		t.Fatalf("input begins at %d, the one before ended at %d", in.From, g.next)
	}
	b := in.Batch
	for i := range b.Len() {
		g.offsets = append(g.offsets, b.Offset[i])
		g.values = append(g.values, b.Cols[0].Text(i))
	}
	for _, r := range in.Rejected {
		r.Raw, r.Key = slices.Clone(r.Raw), slices.Clone(r.Key)
		g.rejected = append(g.rejected, r)
	}
	gaps := in.Next - in.From - int64(b.Len()) - int64(len(in.Rejected))
	if gaps < 0 {
		t.Fatalf("input of offsets %d to %d has %d rows and %d rejected", in.From, in.Next, b.Len(), len(in.Rejected))
	}
	for i := 1; i < b.Len(); i++ {
		if b.Offset[i] <= b.Offset[i-1] {
			t.Fatalf("offset %d after %d", b.Offset[i], b.Offset[i-1])
		}
	}
	g.gaps += gaps
	g.next = in.Next
}

// until reads until the next offset is to.
func (g *got) until(t testing.TB, r stream.Reader, to int64) {
	t.Helper()
	for deadline := time.Now().Add(patienceOfTests); g.next < to; {
		if time.Now().After(deadline) {
			t.Fatalf("next offset is still %d, want %d", g.next, to)
		}
		g.read(t, r)
	}
}

// numbered returns n values from first on: "v0000017".
func numbered(first, n int) []string {
	vs := make([]string, n)
	for i := range vs {
		vs[i] = fmt.Sprintf("v%07d", first+i)
	}
	return vs
}

// syncBuffer collects a log.
type syncBuffer struct {
	mu struct {
		sync.Mutex
		b strings.Builder
	}
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.b.String()
}

func logTo(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// wrongKind is an error's kind if it is not the wanted one.
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

func portOf(t testing.TB, addr string) int {
	t.Helper()
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(p)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func countLines(text, with string) (n int) {
	for line := range strings.Lines(text) {
		if strings.Contains(line, with) {
			n++
		}
	}
	return n
}

// committed asks for the offsets of a group.
func committed(ctx context.Context, cl *kgo.Client, group string) (map[string]map[int32]int64, error) {
	rs, err := kadm.NewClient(cl).FetchOffsets(ctx, group)
	if err != nil {
		return nil, err
	}
	offsets := map[string]map[int32]int64{}
	rs.Each(func(o kadm.OffsetResponse) {
		if offsets[o.Topic] == nil {
			offsets[o.Topic] = map[int32]int64{}
		}
		offsets[o.Topic][o.Partition] = o.At
	})
	return offsets, nil
}

func addPartitions(t testing.TB, cl *kgo.Client, topic string, to int) {
	t.Helper()
	rs, err := kadm.NewClient(cl).UpdatePartitions(testContext(t), to, topic)
	if err != nil || rs.Error() != nil {
		t.Fatal(err, rs)
	}
}
