package devstack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/internal/testservers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// soon is how long a test waits for what must happen.
const soon = 60 * time.Second

// config is a stack without a PostgreSQL of its own, on a free port.
func config(t testing.TB) Config {
	t.Helper()
	return Config{
		Dir: t.TempDir(), KafkaListen: "127.0.0.1:0", PostgresDSN: "postgres://given", Clock: clock.System{}, Log: slog.New(slog.DiscardHandler),
		Progress: func(text string) { t.Log(text) },
	}
}

// withPostgres adds an own server, or skips the test if the machine has none and nobody demands it.
func withPostgres(t testing.TB, c Config) Config {
	t.Helper()
	demanded := slices.Contains(strings.FieldsFunc(os.Getenv(testservers.Require), func(r rune) bool { return r == ',' || r == ' ' }), testservers.NamePostgres)
	if _, err := testservers.FindPostgres(t.TempDir()); (err != nil || testing.Short()) && !demanded {
		t.Skipf("no PostgreSQL on this machine, or short mode: %v", err)
	}
	c.PostgresDSN = ""
	return c
}

// start starts a stack and closes it after the test.
func start(t testing.TB, c Config) *Stack {
	t.Helper()
	s, err := Start(t.Context(), c)
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

// client connects to the stack's Kafka.
func client(t testing.TB, s *Stack, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(s.Brokers()...), kgo.RecordPartitioner(kgo.ManualPartitioner())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func createTopic(t testing.TB, s *Stack, topic string, partitions int32, configs map[string]string) {
	t.Helper()
	if err := s.broker.cluster.CreateTopic(topic, partitions, configs); err != nil {
		t.Fatal(err)
	}
}

// produce writes values to a partition, one batch each.
func produce(t testing.TB, c *kgo.Client, topic string, partition int32, values ...string) {
	t.Helper()
	for _, v := range values {
		if err := c.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Partition: partition, Value: []byte(v)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// consume reads partition 0 of a topic from its start to its end: "offset value" each.
func consume(t testing.TB, s *Stack, topic string) []string {
	t.Helper()
	c := client(t, s, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	ends, err := kadm.NewClient(c).ListEndOffsets(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	end, _ := ends.Lookup(topic, 0)
	starts, err := kadm.NewClient(c).ListStartOffsets(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	at, _ := starts.Lookup(topic, 0)
	var all []string
	for next := at.Offset; next < end.Offset; {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			all = append(all, fmt.Sprint(r.Offset, " ", string(r.Value)))
			next = r.Offset + 1
		})
	}
	return all
}

// query runs a statement and answers the values of its rows.
func query(t testing.TB, dsn, statement string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	rows, err := conn.Query(t.Context(), statement)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

// manual is a clock that the test moves.
type manual struct {
	mu struct {
		sync.Mutex
		now     time.Time
		waiters map[chan time.Time]time.Time
	}
	waited chan struct{} // receives once for each call of After
}

func newManual() *manual {
	m := &manual{waited: make(chan struct{}, 1000)}
	m.mu.now, m.mu.waiters = time.Now(), map[chan time.Time]time.Time{}
	return m
}

func (m *manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.now
}

func (m *manual) After(d time.Duration) <-chan time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := make(chan time.Time, 1)
	m.mu.waiters[c] = m.mu.now.Add(d)
	m.waited <- struct{}{}
	return c
}

// move moves the clock and wakes whoever has waited long enough.
func (m *manual) move(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.now = m.mu.now.Add(d)
	for c, at := range m.mu.waiters {
		if !m.mu.now.Before(at) {
			c <- m.mu.now
			delete(m.mu.waiters, c)
		}
	}
}

// eventually demands that a condition comes true.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(soon); !condition(); {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

var errNone = errors.New("no error")

// text is the text of an error.
func text(err error) string {
	if err == nil {
		err = errNone
	}
	return err.Error()
}
