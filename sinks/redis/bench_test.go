package redis

import (
	"bufio"
	"context"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/stream"
)

// info reads numbers of INFO.
func info(tb testing.TB, c *Client, names ...string) []float64 {
	tb.Helper()
	text, err := c.rdb.Info(context.Background(), "everything").Result()
	if err != nil {
		tb.Fatal(err)
	}
	found := map[string]float64{}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok {
			found[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	values := make([]float64, len(names))
	for i, name := range names {
		values[i] = found[name]
	}
	return values
}

func cpuOfProcess() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const (
	benchPartitions = 4
	benchHosts      = 20_000
)

// benchSinks opens the sinks of four partitions and the rows of a window of each: 20,000 hosts in 256 slots.
func benchSinks(tb testing.TB, c *Client) ([]*Sink, []*stream.Batch) {
	tb.Helper()
	var sinks []*Sink
	var batches []*stream.Batch
	for p := range int32(benchPartitions) {
		b := hostBatch(int(p)*benchHosts/benchPartitions, benchHosts/benchPartitions, 1)
		batches = append(batches, b)
		sinks = append(sinks, sink(tb, c, p, func(c *SinkConfig) {
			c.Output.Columns, c.Output.Groups, c.Partitions = ColumnsOf(b.Schema), 2, benchPartitions
		}))
	}
	return sinks, batches
}

// writeWindow writes a window of all partitions and waits until Redis has it.
func writeWindow(tb testing.TB, sinks []*Sink, batches []*stream.Batch, i int) {
	tb.Helper()
	for p, s := range sinks {
		batches[p].Window, batches[p].Version.Offset = window(i%90), int64(i+1)
		write(tb, s, batches[p])
	}
	for _, s := range sinks {
		if err := s.await(context.Background(), s.queue.newest()); err != nil {
			tb.Fatal(err)
		}
	}
}

// BenchmarkWindow writes windows of 20,000 points (four values each) to a real Redis. redis-us/point is the CPU of Redis,
// client-ns/point that of this process.
func BenchmarkWindow(b *testing.B) {
	c := connect(b, testservers.Redis(b))
	sinks, batches := benchSinks(b, c)
	writeWindow(b, sinks, batches, 0)
	before, cpu := info(b, c, "used_cpu_user", "used_cpu_sys", "used_memory"), cpuOfProcess()
	n := 0
	for b.Loop() {
		n++
		writeWindow(b, sinks, batches, n)
	}
	after, points := info(b, c, "used_cpu_user", "used_cpu_sys", "used_memory"), float64(n)*benchHosts
	b.ReportMetric(float64((cpuOfProcess()-cpu).Nanoseconds())/points, "client-ns/point")
	b.ReportMetric((after[0]+after[1]-before[0]-before[1])*1e6/points, "redis-us/point")
	if n < 90 {
		b.ReportMetric((after[2]-before[2])/points, "redis-B/point")
	}
}

// BenchmarkRead reads 60 windows of one host by its slot, and 10 windows of all hosts.
func BenchmarkRead(b *testing.B) {
	c := connect(b, testservers.Redis(b))
	sinks, batches := benchSinks(b, c)
	for i := range 60 {
		writeWindow(b, sinks, batches, i)
	}
	q := Query{Output: sinks[0].config.Output, From: at(0), To: at(60), Where: map[string]string{"tenant": "t7", "host": "host-00107"}}
	run := func(name string, q Query, series int) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r, err := c.Read(context.Background(), q)
				if err != nil || len(r.Series) != series {
					b.Fatal(len(r.Series), err)
				}
			}
		})
	}
	run("one host of 60 windows", q, 1)
	q.Where = map[string]string{"tenant": "t7"}
	q.To = at(10)
	run("a tenth of 10 windows", q, 2000)
	q.Where = nil
	run("all of 10 windows", q, 20000)
}

// In steady state a sink allocates for each call, not for each row or block.
func TestWritingHardlyAllocates(t *testing.T) {
	c := connect(t, testservers.Redis(t))
	sinks, batches := benchSinks(t, c)
	i := 0
	window := func() { writeWindow(t, sinks, batches, i); i++ }
	for range 5 {
		window()
	}
	if allocs := testing.AllocsPerRun(20, window); allocs > benchHosts/100 {
		t.Errorf("%v allocations for %d rows in %d blocks", allocs, benchHosts, 256*benchPartitions)
	} else {
		t.Logf("%v allocations for %d rows", allocs, benchHosts)
	}
}
