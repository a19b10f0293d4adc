package devstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestEverythingSurvivesARestart(t *testing.T) {
	t.Parallel()
	c := withPostgres(t, config(t))
	s := start(t, c)
	createTopic(t, s, "events", 2, nil)
	k := client(t, s)
	produce(t, k, "events", 0, "one", "two")
	commit := kadm.Offsets{}
	commit.AddOffset("events", 0, 1, -1)
	if err := kadm.NewClient(k).CommitAllOffsets(t.Context(), "workers", commit); err != nil {
		t.Fatal(err)
	}
	id := s.broker.cluster.TopicInfo("events").TopicID
	query(t, s.PostgresDSN(), "CREATE TABLE kept AS SELECT 'text' AS word")
	file := filepath.Join(c.Dir, "objects", "kept")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}

	s = start(t, c)
	if got := consume(t, s, "events"); !slices.Equal(got, []string{"0 one", "1 two"}) {
		t.Errorf("the topic has %q", got)
	}
	if now := s.broker.cluster.TopicInfo("events").TopicID; now != id {
		t.Errorf("the topic's id has changed from %x to %x", id, now)
	}
	offsets, err := kadm.NewClient(client(t, s)).FetchOffsets(t.Context(), "workers")
	if o, found := offsets.Lookup("events", 0); err != nil || !found || o.At != 1 {
		t.Errorf("committed: %v, %v", offsets, err)
	}
	if got := query(t, s.PostgresDSN(), "SELECT word FROM kept"); got != "text" {
		t.Errorf("the table has %q", got)
	}
	u, err := url.Parse(s.ObjectsURL())
	if err != nil || u.Scheme != "file" || u.Path+"/kept" != file {
		t.Errorf("objects are at %s, %v", s.ObjectsURL(), err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	select {
	case <-s.Died():
		t.Errorf("it counts as dead: %v", s.Err())
	default:
	}
}

func TestAGivenPostgresIsUsed(t *testing.T) {
	t.Parallel()
	c := config(t)
	s := start(t, c)
	if s.PostgresDSN() != c.PostgresDSN || s.Died() != nil || s.Err() != nil {
		t.Errorf("DSN %s, died %v, %v", s.PostgresDSN(), s.Died(), s.Err())
	}
	if _, err := os.Stat(filepath.Join(s.Dir(), "postgres")); err == nil {
		t.Error("a cluster was made all the same")
	}
}

func TestTopicsAreNotMadeByAskingForThem(t *testing.T) {
	t.Parallel()
	s := start(t, config(t))
	k := client(t, s, kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(0))
	if err := k.ProduceSync(t.Context(), &kgo.Record{Topic: "typo"}).FirstErr(); err == nil {
		t.Error("a topic was made by writing to it")
	}
}

func TestGroupsRebalanceAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t, config(t))
	createTopic(t, s, "events", 4, nil)
	began := time.Now()
	for i := range 2 {
		assigned := make(chan struct{}, 100)
		k := client(t, s, kgo.ConsumeTopics("events"), kgo.ConsumerGroup("workers"), kgo.InstanceID(fmt.Sprint(i)), kgo.SessionTimeout(10*time.Second),
			kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, got map[string][]int32) {
				if len(got["events"]) > 0 {
					assigned <- struct{}{}
				}
			}))
		_ = k
		select {
		case <-assigned:
		case <-time.After(soon):
			t.Fatal("nothing is assigned")
		}
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("two members needed %s", took)
	}
}

func TestThePortIsTaken(t *testing.T) {
	t.Parallel()
	for _, side := range []string{"127.0.0.1", "::1"} {
		t.Run(side, func(t *testing.T) {
			other, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort(side, "0"))
			if err != nil {
				t.Skipf("this machine has no %s: %v", side, err)
			}
			defer other.Close()
			c := config(t)
			_, port, _ := net.SplitHostPort(other.Addr().String()) // of a listener
			c.KafkaListen = "127.0.0.1:" + port
			_, err = Start(t.Context(), c)
			for _, want := range []string{"another broker listens on " + other.Addr().String(), "stop it or use --kafka-listen", "by accident"} {
				if !strings.Contains(text(err), want) {
					t.Errorf("got %v, want %q in it", err, want)
				}
			}
			if _, err := os.Stat(filepath.Join(c.Dir, "postgres")); err == nil {
				t.Error("something was started before the port was looked at")
			}
			lock, err := lockFolder(c.Dir)
			if err != nil {
				t.Fatalf("the folder is still in use: %v", err)
			}
			if err := lock.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTheFolderIsInUse(t *testing.T) {
	t.Parallel()
	c := config(t)
	first := start(t, c)
	_, err := Start(t.Context(), c)
	want := fmt.Sprintf("process %d uses %s: stop it, or choose another folder with --data-dir", os.Getpid(), c.Dir)
	if !strings.Contains(text(err), want) {
		t.Errorf("got %v, want %q in it", err, want)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	start(t, c)
}

func TestEphemeral(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	abandoned := filepath.Join(os.TempDir(), ephemeralName+"abandoned")
	if err := os.Mkdir(abandoned, 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := lockFolder(abandoned)
	if err != nil {
		t.Fatal(err)
	}
	c := config(t)
	c.Dir, c.Ephemeral = "", true
	inUse := start(t, c)
	if _, err := os.Stat(abandoned); err != nil {
		t.Fatalf("the folder of a living process is gone: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	s := start(t, c)
	if _, err := os.Stat(abandoned); err == nil {
		t.Error("the folder of a killed process is still there")
	}
	createTopic(t, s, "events", 1, nil)
	produce(t, client(t, s), "events", 0, "x")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.Dir()); err == nil {
		t.Error("its folder is still there")
	}
	if _, err := os.Stat(inUse.Dir()); err != nil {
		t.Errorf("the folder of another one is gone: %v", err)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	good := config(t)
	cases := []struct {
		name   string
		change func(c *Config)
		want   string
	}{
		{"no folder", func(c *Config) { c.Dir = "" }, "the data folder is missing"},
		{"two folders", func(c *Config) { c.Ephemeral = true }, "leave out " + good.Dir},
		{"no clock", func(c *Config) { c.Clock = nil }, "the clock"},
		{"no log", func(c *Config) { c.Log = nil }, "the log"},
		{"no port", func(c *Config) { c.KafkaListen = "localhost" }, `"localhost" is not host:port`},
		{"an odd port", func(c *Config) { c.KafkaListen = "localhost:kafka" }, `"kafka" is not a port`},
		{"a port too high", func(c *Config) { c.KafkaListen = "localhost:65536" }, "is not a port"},
		{"a port too low", func(c *Config) { c.KafkaListen = "localhost:80" }, "belongs to the system"},
		{"every address", func(c *Config) { c.KafkaListen = ":9092" }, "clients have to be told one"},
		{"every address, version 4", func(c *Config) { c.KafkaListen = "0.0.0.0:9092" }, "clients have to be told one"},
		{"every address, version 6", func(c *Config) { c.KafkaListen = "[::]:9092" }, "clients have to be told one"},
		{"", func(*Config) {}, errNone.Error()},
		{"a name", func(c *Config) { c.KafkaListen = "localhost:9092" }, errNone.Error()},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			c := good
			test.change(&c)
			if err := c.Validate(); !strings.Contains(text(err), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if d := Default(); d.Dir != "tidewatch-data" || checkListen(d.KafkaListen) != nil {
		t.Errorf("default %+v", d)
	}
}

// failing is a listener whose Accept fails now and then.
type failing struct {
	net.Listener
	failures chan error
}

func (f failing) Accept() (net.Conn, error) {
	select {
	case err := <-f.failures:
		return nil, err
	default:
		return f.Listener.Accept()
	}
}

func TestAListenerSurvivesAShortage(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := failing{l, make(chan error, 2)}
	f.failures <- errors.New("too many open files")
	f.failures <- errors.New("too many open files")
	c := config(t)
	s := &steady{f, c.Clock, c.Log}
	accepted := make(chan error, 2)
	for range 2 {
		go func() {
			conn, err := s.Accept()
			if err == nil {
				err = conn.Close()
			}
			accepted <- err
		}()
	}
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := <-accepted; err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed listener: %v", err)
	}
}
