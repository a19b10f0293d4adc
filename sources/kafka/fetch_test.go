package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/tidewatch/tidewatch/internal/kafkaclient"
	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/stream"
)

// transaction writes the values in one transaction and ends it.
func transaction(t testing.TB, cl *kgo.Client, topic string, end kgo.TransactionEndTry, values ...string) {
	t.Helper()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	produce(t, cl, topic, 0, values...)
	if err := cl.EndTransaction(testContext(t), end); err != nil {
		t.Fatal(err)
	}
}

func TestAbortedTransactionsAreGaps(t *testing.T) {
	onBoth(t, func(e *env) {
		t := e.t
		topic := e.topic(t, 1)
		plain := newProducer(t, e.brokers)
		one := newProducer(t, e.brokers, kgo.TransactionalID("one"))
		two := newProducer(t, e.brokers, kgo.TransactionalID("two"))
		s := newSource(t, e.brokers, nil)
		p := partitionOf(t, s, topic, 0)

		produce(t, plain, topic, 0, "a")                           // 0
		transaction(t, one, topic, kgo.TryCommit, "b", "c")        // 1 2, marker 3
		transaction(t, one, topic, kgo.TryAbort, "x1", "x2", "x3") // 4 5 6, marker 7
		if err := two.BeginTransaction(); err != nil {             // interleaved with others
			t.Fatal(err)
		}
		produce(t, two, topic, 0, "x4")                // 8
		produce(t, plain, topic, 0, "d")               // 9
		transaction(t, one, topic, kgo.TryCommit, "e") // 10, marker 11
		produce(t, two, topic, 0, "x5")                // 12

		r := open(t, s, p, 0)
		var g got
		g.until(t, r, 8)
		if in, err := r.Read(testContext(t)); err != nil || in.Next != 8 || in.End != 8 {
			t.Fatalf("with a transaction open at 8: %+v, %v", in, err) // the end is what may be read
		}
		if err := two.EndTransaction(testContext(t), kgo.TryAbort); err != nil { // marker 13
			t.Fatal(err)
		}
		g.until(t, r, 14)
		if want := []string{"a", "b", "c", "d", "e"}; !slices.Equal(g.values, want) || g.gaps != 9 {
			t.Fatalf("read %v and %d gaps", g.values, g.gaps)
		}
		// A log that ends in a marker is read to its end, and opened behind it.
		if in, err := r.Read(testContext(t)); err != nil || in.Next != in.End {
			t.Fatalf("%+v, %v", in, err)
		}
		again := open(t, s, p, 14)
		transaction(t, two, topic, kgo.TryCommit, "f") // 14, marker 15
		var h got
		h.until(t, again, 16)
		if !slices.Equal(h.values, []string{"f"}) {
			t.Fatal(h.values)
		}
		// From inside an aborted transaction.
		var mid got
		mid.until(t, open(t, s, p, 5), 16)
		if !slices.Equal(mid.values, []string{"d", "e", "f"}) {
			t.Fatal(mid.values)
		}
	})
}

func TestCompactedRecordsAreGaps(t *testing.T) {
	c := newCluster(t)
	if err := c.CreateTopic("in", 1, map[string]string{"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0"}); err != nil {
		t.Fatal(err)
	}
	cl := newProducer(t, c.ListenAddrs())
	for i := range 10 {
		for k := range 3 {
			r := &kgo.Record{Topic: "in", Key: fmt.Append(nil, k), Value: fmt.Append(nil, i*3+k)}
			if err := cl.ProduceSync(testContext(t), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := newSource(t, c.ListenAddrs(), nil)
	p := partitionOf(t, s, "in", 0)
	c.Compact()
	start, err := s.LogStart(testContext(t), p)
	if err != nil {
		t.Fatal(err)
	}
	var g got
	g.until(t, open(t, s, p, start), 30)
	if last := g.values[len(g.values)-1]; last != "29" || int64(len(g.values))+g.gaps != 30-start {
		t.Fatalf("from %d: %d values, %d gaps, last %s", start, len(g.values), g.gaps, last)
	}
}

func TestRefusesOffsetsOutsideTheLog(t *testing.T) {
	onBoth(t, func(e *env) {
		t := e.t
		topic := e.topic(t, 1)
		produce(t, newProducer(t, e.brokers), topic, 0, numbered(0, 100)...)
		s := newSource(t, e.brokers, nil)
		p := partitionOf(t, s, topic, 0)
		e.deleteRecords(t, topic, 40)
		for _, offset := range []int64{39, 101} {
			_, err := s.Open(testContext(t), p, offset, values{})
			wantKind(t, err, stream.Fatal, strconv.FormatInt(offset, 10), "40 to 100", "nothing is reset")
		}
		start, err := s.LogStart(testContext(t), p)
		if err != nil || start != 40 {
			t.Fatal(start, err)
		}
		if end, err := s.LogEnd(testContext(t), p); err != nil || end != 100 {
			t.Fatal(end, err)
		}
		var g got
		g.until(t, open(t, s, p, 40), 100)
		if len(g.values) != 60 {
			t.Fatal(len(g.values))
		}
		g.read(t, open(t, s, p, 100))
	})
}

func TestRecordsDeletedUnderAReader(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(1, "in"))
	cl := newProducer(t, c.ListenAddrs())
	s := newSource(t, c.ListenAddrs(), nil)
	r := open(t, s, partitionOf(t, s, "in", 0), 0)
	var away atomic.Bool
	away.Store(true)
	c.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if away.Load() {
			return nil, errors.New("not now"), true
		}
		return nil, nil, false
	})
	produce(t, cl, "in", 0, numbered(0, 100)...)
	if err := c.DeleteRecords("in", 0, 50); err != nil {
		t.Fatal(err)
	}
	away.Store(false)
	wantKind(t, readError(t, r), stream.Fatal, "offset 0 ", "50 to 100", "retention")
}

// readError reads until there is an error.
func readError(t testing.TB, r stream.Reader) error {
	t.Helper()
	ctx := testContext(t)
	for {
		if _, err := r.Read(ctx); err != nil {
			return err
		}
	}
}

func TestRefusesARecreatedTopic(t *testing.T) {
	onBoth(t, func(e *env) {
		t := e.t
		topic := e.topic(t, 1)
		cl := newProducer(t, e.brokers)
		produce(t, cl, topic, 0, numbered(0, 10)...)
		s := newSource(t, e.brokers, nil)
		old := partitionOf(t, s, topic, 0)
		r := open(t, s, old, 0)
		var g got
		g.until(t, r, 10)
		e.deleteTopic(t, topic)
		e.create(t, topic, 1)
		now := partitionOf(t, s, topic, 0)
		if now == old {
			t.Fatal("the broker gave the new topic the old id")
		}
		wantKind(t, readError(t, r), stream.Fatal, "created again", old.Incarnation, now.Incarnation)
		produce(t, newProducer(t, e.brokers), topic, 0, numbered(0, 20)...)
		_, err := s.Open(testContext(t), old, 10, values{})
		wantKind(t, err, stream.Fatal, "created again", old.Incarnation, now.Incarnation)
		_, err = s.LogStart(testContext(t), old)
		wantKind(t, err, stream.Fatal, "created again")
		var fresh got
		fresh.until(t, open(t, s, now, 0), 20)
	})
}

func TestDeletedTopic(t *testing.T) {
	onBoth(t, func(e *env) {
		t := e.t
		topic := e.topic(t, 1)
		s := newSource(t, e.brokers, nil)
		s.patience = 3
		r := open(t, s, partitionOf(t, s, topic, 0), 0)
		e.deleteTopic(t, topic)
		wantKind(t, readError(t, r), stream.Fatal, "does not exist")
		_, err := s.Partitions(testContext(t), "nosuch")
		if err == nil {
			t.Fatal("a topic that does not exist has partitions")
		}
	})
}

func TestLeaderMoves(t *testing.T) {
	c := newCluster(t, kfake.NumBrokers(3), kfake.SeedTopics(1, "in"))
	cl := newProducer(t, c.ListenAddrs())
	s := newSource(t, c.ListenAddrs(), nil)
	r := open(t, s, partitionOf(t, s, "in", 0), 0)
	var g got
	for i := range 6 {
		produce(t, cl, "in", 0, numbered(i*10, 10)...)
		g.until(t, r, int64(i+1)*10)
		if err := c.MoveTopicPartition("in", 0, (c.LeaderFor("in", 0)+1)%3); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(g.values, numbered(0, 60)) {
		t.Fatal(g.values)
	}
}

// outage reads while the broker is away: readers get Inputs without rows, then all there is.
func outage(t *testing.T, brokers []string, topic string, away, back func()) {
	t.Helper()
	produce(t, newProducer(t, brokers), topic, 0, numbered(0, 10)...)
	var log syncBuffer
	s := newSource(t, brokers, func(cfg *Config) { cfg.Log = logTo(&log) })
	r := open(t, s, partitionOf(t, s, topic, 0), 0)
	var g got
	g.until(t, r, 10)
	away()
	for !strings.Contains(log.String(), "fetching is interrupted") {
		g.read(t, r)
	}
	for { // where the log ends is known from the broker only
		if in, err := r.Read(testContext(t)); err != nil {
			t.Fatal(err)
		} else if in.End < 0 {
			break
		}
	}
	back()
	produce(t, newProducer(t, brokers), topic, 0, numbered(10, 10)...)
	g.until(t, r, 20)
	if !slices.Equal(g.values, numbered(0, 20)) {
		t.Fatal(g.values)
	}
	for {
		if in, err := r.Read(testContext(t)); err != nil {
			t.Fatal(err)
		} else if in.End == 20 {
			break
		}
	}
	for !strings.Contains(log.String(), "fetching again") {
		g.read(t, r)
	}
	if n := countLines(log.String(), "interrupted"); n != 1 {
		t.Fatalf("the outage is logged %d times:\n%s", n, log.String())
	}
}

func TestBrokerRestarts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start := func(opts ...kfake.Opt) *kfake.Cluster {
		c, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1), kfake.SeedTopics(1, "in"), kfake.DataDir(dir))...)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := start()
	addrs := c.ListenAddrs()
	outage(t, addrs, "in", c.Close, func() { c = start(kfake.Ports(portOf(t, addrs[0]))) })
	c.Close()
}

func TestRealBrokerIsKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a broker of its own takes ten seconds")
	}
	testservers.Kafka(t) // skips where there is none
	server, err := testservers.StartKafka(context.WithoutCancel(t.Context()), testservers.KafkaOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	topic := newEnv(t, server.Brokers()).topic(t, 1)
	outage(t, server.Brokers(), topic, func() {
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
	}, func() {
		if err := server.Start(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
	})
}

func TestBrokerAway(t *testing.T) {
	s := newSource(t, []string{"127.0.0.1:1"}, nil)
	_, err := s.LogStart(testContext(t), stream.Partition{Topic: "in"})
	wantKind(t, err, stream.Retry)
}

func TestOldBrokersNameTopics(t *testing.T) { // Kafka 2.8: topics have ids, fetches name them
	c := newCluster(t, kfake.SeedTopics(2, "in", "other"), kfake.MaxVersions(kversion.V2_8_0()))
	cl := newProducer(t, c.ListenAddrs())
	produce(t, cl, "in", 1, numbered(0, 10)...)
	produce(t, cl, "other", 1, numbered(100, 10)...)
	s := newSource(t, c.ListenAddrs(), nil)
	var g, h got
	g.until(t, open(t, s, partitionOf(t, s, "in", 1), 0), 10)
	h.until(t, open(t, s, partitionOf(t, s, "other", 1), 0), 10)
	if !slices.Equal(g.values, numbered(0, 10)) || !slices.Equal(h.values, numbered(100, 10)) {
		t.Fatal(g.values, h.values)
	}
}

func TestWrongPassword(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(1, "in"), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "ada", "right"))
	with := func(password, mechanism string) *Source {
		return newSource(t, c.ListenAddrs(), func(cfg *Config) {
			cfg.Topics = []string{"in"}
			cfg.Client.SASL = &kafkaclient.SASL{Mechanism: mechanism, User: "ada", Password: password}
		})
	}
	if n, err := with("right", "scram-sha-256").Partitions(testContext(t), "in"); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	c.ControlKey(int16(kmsg.SASLAuthenticate), func(req kmsg.Request) (kmsg.Response, error, bool) { // as real brokers answer
		c.KeepControl()
		resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
		return resp, nil, true
	})
	_, err := with("wrong", "plain").Partitions(testContext(t), "in")
	wantKind(t, err, stream.Fatal, "SASL")
	if strings.Contains(err.Error(), "wrong") {
		t.Fatalf("the password is in %q", err)
	}
	err = newWorld(t).start(with("wrong", "plain"), "a", nil).end(t)
	wantKind(t, err, stream.Fatal, "SASL")
}

func (k *worker) end(t testing.TB) error {
	t.Helper()
	select {
	case err := <-k.ended:
		k.ended <- nil
		return err
	case <-time.After(patienceOfTests):
		t.Fatal("Assign does not end")
		return nil
	}
}

func TestForbiddenTopic(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(1, "in"))
	s := newSource(t, c.ListenAddrs(), nil)
	p := partitionOf(t, s, "in", 0)
	r := open(t, s, p, 0)
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	wantKind(t, readError(t, r), stream.Fatal, "TOPIC_AUTHORIZATION_FAILED", "access rules")
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	_, err := s.Open(testContext(t), p, 0, values{})
	wantKind(t, err, stream.Fatal, "TOPIC_AUTHORIZATION_FAILED", "access rules")
	err = newWorld(t).start(newSource(t, c.ListenAddrs(), func(cfg *Config) { cfg.Topics = []string{"in"} }), "a", nil).end(t)
	wantKind(t, err, stream.Fatal, "TOPIC_AUTHORIZATION_FAILED", "access rules")
}

func TestForbiddenGroup(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(1, "in"))
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Err: kerr.GroupAuthorizationFailed, Count: -1})
	err := newWorld(t).start(newSource(t, c.ListenAddrs(), func(cfg *Config) { cfg.Topics = []string{"in"} }), "a", nil).end(t)
	wantKind(t, err, stream.Fatal, "GROUP_AUTHORIZATION_FAILED", "access rules")
}

func TestErrorsThatPass(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(1, "in"))
	produce(t, newProducer(t, c.ListenAddrs()), "in", 0, numbered(0, 10)...)
	s := newSource(t, c.ListenAddrs(), nil)
	r := open(t, s, partitionOf(t, s, "in", 0), 0)
	for _, e := range []*kerr.Error{kerr.NotLeaderForPartition, kerr.KafkaStorageError, kerr.UnknownTopicID, kerr.OffsetOutOfRange, kerr.UnknownServerError} {
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: e, Count: 2})
	}
	var g got
	g.until(t, r, 10)
}

func TestTruncatedLogIsNoticed(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(1, "in"))
	produce(t, newProducer(t, c.ListenAddrs()), "in", 0, numbered(0, 10)...)
	s := newSource(t, c.ListenAddrs(), nil)
	p := partitionOf(t, s, "in", 0)
	r := open(t, s, p, 0)
	var g got
	g.until(t, r, 10)
	c.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		f := req.(*kmsg.FetchRequest)
		if f.Topics[0].Partitions[0].LastFetchedEpoch < 0 {
			t.Error("the request does not say of which leader it knows")
		}
		resp := f.ResponseKind().(*kmsg.FetchResponse)
		rt, rp := kmsg.NewFetchResponseTopic(), kmsg.NewFetchResponseTopicPartition()
		rt.TopicID, rp.DivergingEpoch.Epoch, rp.DivergingEpoch.EndOffset = f.Topics[0].TopicID, 0, 7
		rt.Partitions = append(rt.Partitions, rp)
		resp.Topics = append(resp.Topics, rt)
		return resp, nil, true
	})
	wantKind(t, readError(t, r), stream.Fatal, "truncated to offset 7", "up to 10")
}

func TestDamagedBlockIsFetchedAgain(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(1, "in"))
	cl := newProducer(t, c.ListenAddrs())
	s := newSource(t, c.ListenAddrs(), nil)
	p := partitionOf(t, s, "in", 0)
	var whole []byte
	produce(t, cl, "in", 0, numbered(0, 10)...)
	whole = rawFetch(t, s, p, 0)
	var times atomic.Int32
	c.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		if times.Add(1) > 3 {
			return nil, nil, false
		}
		c.KeepControl()
		broken := slices.Clone(whole)
		broken[len(broken)-3] ^= 1
		f := req.(*kmsg.FetchRequest)
		resp := f.ResponseKind().(*kmsg.FetchResponse)
		rt, rp := kmsg.NewFetchResponseTopic(), kmsg.NewFetchResponseTopicPartition()
		rt.TopicID, rp.RecordBatches, rp.LastStableOffset = f.Topics[0].TopicID, broken, 10
		rt.Partitions = append(rt.Partitions, rp)
		resp.Topics = append(resp.Topics, rt)
		return resp, nil, true
	})
	var g got
	g.until(t, open(t, s, p, 0), 10)
	if times.Load() < 4 || !slices.Equal(g.values, numbered(0, 10)) {
		t.Fatal(times.Load(), g.values)
	}
}

// rawFetch returns the blocks as the broker sends them.
func rawFetch(t testing.TB, s *Source, p stream.Partition, offset int64) []byte {
	t.Helper()
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes, req.SessionEpoch = 1<<20, -1
	rt, rp := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	ts, err := s.topology.refresh(testContext(t), p.Topic)
	if err != nil {
		t.Fatal(err)
	}
	rt.Topic, rt.TopicID, rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = p.Topic, ts[0].id, p.Number, offset, 1<<20
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp, err := s.client.Broker(int(ts[0].leaders[p.Number])).Request(testContext(t), req)
	if err != nil {
		t.Fatal(err)
	}
	return resp.(*kmsg.FetchResponse).Topics[0].Partitions[0].RecordBatches
}

func TestEnsureTopics(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(3, "there"))
	s := newSource(t, c.ListenAddrs(), nil)
	specs := []TopicSpec{
		{Name: "there", Partitions: 5},
		{Name: "new", Partitions: 4, Exact: true, Config: map[string]string{"retention.ms": "60000"}},
	}
	for range 2 {
		if err := s.EnsureTopics(testContext(t), specs); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]int32{"there": 3, "new": 4} {
		if n, err := s.Partitions(testContext(t), name); err != nil || n != want {
			t.Fatalf("%s has %d partitions, want %d: %v", name, n, want, err)
		}
	}
	if v := c.TopicInfo("new").Configs["retention.ms"]; v == nil || *v != "60000" {
		t.Fatal("the new topic has not got its configuration")
	}
	err := s.EnsureTopics(testContext(t), []TopicSpec{{Name: "there", Partitions: 5, Exact: true}})
	wantKind(t, err, stream.Fatal, "3 partitions", "topic there")
}
