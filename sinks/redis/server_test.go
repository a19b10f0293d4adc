package redis

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"

	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/stream"
)

// The dialer of go-redis sleeps up to a second before it notices that its pool is closed.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(testservers.Keep(m), goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// wall is a clock that stands still; waiting on it takes the real time.
type wall struct{ now time.Time }

func (w wall) Now() time.Time                         { return w.now }
func (w wall) After(d time.Duration) <-chan time.Time { return time.After(d) }

// soon is shortly after the windows of the tests. Redis has a clock of its own, so it is the present.
var soon = wall{time.Now().Truncate(10 * time.Second)}

// at is the start of the i-th window of ten seconds before soon.
func at(i int) stream.Time {
	return stream.TimeOf(soon.now.Add(time.Duration(i-100) * 10 * time.Second))
}

// number is the i of at(i).
func number(start stream.Time) int { return int(start.Sub(at(0)) / (10 * time.Second)) }

func window(i int) stream.Window { return stream.Window{Start: at(i), End: at(i + 1)} }

// connect returns a client of the Redis at host:port.
func connect(t testing.TB, address string) *Client {
	t.Helper()
	c := Default()
	c.URL = "redis://" + address + "/0"
	client, err := Open(c, soon)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

// everywhere is a real Redis and the embedded one.
func everywhere(t *testing.T) map[string]*Client {
	t.Helper()
	return map[string]*Client{"redis": connect(t, testservers.Redis(t)), "embedded": connect(t, miniredis.RunT(t).Addr())}
}

// hosts is an output by host, with windows of ten seconds.
func hosts(instance string) Output {
	return Output{
		Pipeline: "host-cpu", Name: "cpu", Instance: instance, Groups: 1, Window: 10 * time.Second, Every: 10 * time.Second, Keep: time.Hour,
		Columns: ColumnsOf(hostSchema),
	}
}

var hostSchema = &stream.Schema{Fields: []stream.Field{{Name: "host", Kind: stream.String}, {Name: "max", Kind: stream.Float}, {Name: "samples", Kind: stream.Int}}}

func sourceTask(partition int32) stream.TaskID {
	return stream.TaskID{Instance: "host-cpu@1", Stage: "main", Partition: stream.Partition{Topic: "metrics", Number: partition, Incarnation: "Ab1"}}
}

// note says that nothing is missing in Redis of what a sink writes, as whoever opens it does. A Redis that is away does not
// learn of it.
func note(t testing.TB, c *Client, config SinkConfig) {
	t.Helper()
	if err := c.NoteNew(context.Background(), config.Part()); err != nil && stream.KindOfError(err) != stream.Retry {
		t.Fatal(err)
	}
}

// sink opens a sink of one of two partitions.
func sink(t testing.TB, c *Client, partition int32, change ...func(*SinkConfig)) *Sink {
	t.Helper()
	config := SinkConfig{Output: hosts("host-cpu@1"), Task: sourceTask(partition), Partitions: 2}
	for _, f := range change {
		f(&config)
	}
	note(t, c, config)
	s, err := c.NewSink(config)
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

// rowsOf makes a batch of window i: one row for each host with this many samples.
func rowsOf(i int, offset int64, samples map[string]int64) *stream.Batch {
	all := stream.NewBatch(hostSchema)
	n := 0
	for k := range 100 { // in a fixed order
		host := fmt.Sprintf("host-%d", k)
		v, ok := samples[host]
		if !ok {
			continue
		}
		all.Cols[0].AppendString(host)
		all.Cols[1].AppendFloat(float64(v) / 10)
		all.Cols[2].AppendInt(v)
		n++
	}
	all.SetLen(n)
	return bySlot(all, 1, window(i), stream.Version{Offset: offset})
}

func write(t testing.TB, s *Sink, b *stream.Batch) {
	t.Helper()
	if err := s.Write(context.Background(), b); err != nil {
		t.Fatal(err)
	}
}

// flush waits until Redis has everything, as a snapshot does, and reveals the mark.
func flush(t testing.TB, s *Sink, offset int64, mark stream.Time) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	receipt, err := s.Stage(stream.Epoch{At: stream.Version{Offset: offset}, Mark: mark, Snapshot: true})(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Reveal(ctx, receipt); err != nil {
		t.Fatal(err)
	}
}

// read prints the samples of all hosts of windows 0 to 99 as "window host": samples.
func read(t testing.TB, c *Client, where map[string]string) (map[string]int64, *Result) {
	t.Helper()
	r, err := c.Read(context.Background(), Query{Output: hosts("host-cpu@1"), From: at(0), To: at(100), Where: where})
	if err != nil {
		t.Fatal(err)
	}
	points := map[string]int64{}
	for _, s := range r.Series {
		for i, start := range s.Start {
			key := fmt.Sprint(number(start), " ", s.Labels[0])
			if _, twice := points[key]; twice {
				t.Errorf("%s comes twice", key)
			}
			points[key] = s.Columns[1].Ints[i]
			if got, want := s.Columns[0].Floats[i], float64(points[key])/10; got != want {
				t.Errorf("%s: max %v, want %v", key, got, want)
			}
		}
	}
	return points, r
}

// settled waits until complete_through is what is wanted: it is written behind the commit.
func settled(t testing.TB, c *Client, want stream.Time) {
	t.Helper()
	var last stream.Time
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		_, r := read(t, c, map[string]string{"host": "none"})
		if last = r.CompleteThrough; last == want {
			return
		}
	}
	t.Fatalf("complete through %v, want %v", last, want)
}
