package kafka

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/stream"
)

// benchBroker starts a broker in a process of its own, so that the CPU time of this one is the reader's: a real one where
// the machine has it.
func benchBroker(b *testing.B) []string {
	b.Helper()
	server, err := testservers.StartKafka(context.Background(), testservers.KafkaOptions{HeapMB: 1024, Throughput: true})
	if err == nil {
		b.Cleanup(func() {
			if err := server.Close(); err != nil {
				b.Error(err)
			}
		})
		return server.Brokers()
	}
	b.Log("with the broker of package kfake: ", err)
	cmd := exec.CommandContext(context.Background(), os.Args[0], "-test.run=^TestBrokerOfBenchmarks$")
	cmd.Env = append(os.Environ(), "TIDEWATCH_BENCH_CHILD=1")
	stdin, err := cmd.StdinPipe() // its end ends the broker
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if addr, ok := strings.CutPrefix(lines.Text(), "broker "); ok {
			return []string{addr}
		}
	}
	b.Fatal("the broker's process says nothing")
	return nil
}

// TestBrokerOfBenchmarks is the other process.
func TestBrokerOfBenchmarks(t *testing.T) {
	if os.Getenv("TIDEWATCH_BENCH_CHILD") == "" {
		t.Skip("runs in a process of its own, for benchmarks")
	}
	c := newCluster(t)
	fmt.Println("broker", c.ListenAddrs()[0])
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
}

const (
	benchPartitions = 4
	benchRecords    = 1_000_000
)

// fillBench writes records of about 350 B, like the events of the product, and returns the topic.
func fillBench(b *testing.B, brokers []string, name string, codec kgo.CompressionCodec) string {
	b.Helper()
	topic := testservers.Name("bench-" + name)
	newEnv(b, brokers).create(b, topic, benchPartitions)
	cl := newProducer(b, brokers, kgo.ProducerBatchCompression(codec), kgo.ProducerLinger(10*time.Millisecond),
		kgo.MaxBufferedRecords(200_000))
	r := rand.New(rand.NewPCG(1, 2))
	vals := make([][]byte, 4096)
	for i := range vals {
		vals[i] = fmt.Appendf(nil, `{"time":%d,"name":"http.server.duration","kind":"gauge","unit":"ms","value":%.3f,"tenant":"t%d","service":"svc-%d",`+
			`"host":"host-%d","attributes":{"region":"eu-west-1","zone":"b","status":"%d","version":"1.42.7","src_ip":"10.%d.%d.7","trace_id":"%016x"}}`,
			1795409200250+int64(i), r.Float64()*100, r.IntN(50), r.IntN(200), r.IntN(20000), 200+r.IntN(5), r.IntN(256), r.IntN(256), r.Uint64())
	}
	var failed error
	var once sync.Once
	for i := range benchRecords {
		cl.Produce(context.Background(), &kgo.Record{Topic: topic, Partition: int32(i % benchPartitions), Value: vals[i%len(vals)]}, func(_ *kgo.Record, err error) {
			if err != nil {
				once.Do(func() { failed = err })
			}
		})
	}
	if err := cl.Flush(context.Background()); err != nil || failed != nil {
		b.Fatal(err, failed)
	}
	return topic
}

// count is a decoder that does next to nothing.
type count struct{ bytes int }

func (*count) Schema() *stream.Schema { return &stream.Schema{} }

func (c *count) Decode(m *stream.Message, b *stream.Batch) error {
	c.bytes += len(m.Value)
	b.SetLen(b.Len() + 1)
	return nil
}

func BenchmarkRead(b *testing.B) {
	brokers := benchBroker(b)
	for _, codec := range []struct {
		name  string
		codec kgo.CompressionCodec
	}{{"none", kgo.NoCompression()}, {"lz4", kgo.Lz4Compression()}, {"zstd", kgo.ZstdCompression()}} {
		topic := fillBench(b, brokers, codec.name, codec.codec)
		for _, way := range []string{"tidewatch", "tidewatch-3-pipelines", "kgo", "kgo-pools"} {
			b.Run(codec.name+"/"+way, func(b *testing.B) {
				b.ReportMetric(0, "ns/op")
				for range b.N {
					readWay(b, brokers, topic, way)
				}
			})
		}
	}
}

func readWay(b *testing.B, brokers []string, topic, way string) {
	b.Helper()
	switch way {
	case "tidewatch":
		readOwn(b, brokers, topic, 1)
	case "tidewatch-3-pipelines":
		readOwn(b, brokers, topic, 3)
	case "kgo":
		readKgo(b, brokers, topic)
	default:
		readKgo(b, brokers, topic, kgo.WithPools(&benchPools{}))
	}
}

// measure reports CPU time, allocations and bytes per record of what run does after warm-up.
func measure(b *testing.B, records int, run func()) {
	b.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	cpu, at := cpuTime(), time.Now()
	run()
	d, wall := cpuTime()-cpu, time.Since(at)
	runtime.ReadMemStats(&after)
	n := float64(records)
	b.ReportMetric(float64(d)/n, "cpu-ns/record")
	b.ReportMetric(float64(wall)/n, "wall-ns/record")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/n, "allocs/record")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/n, "B/record")
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func readOwn(b *testing.B, brokers []string, topic string, pipelines int) {
	b.Helper()
	s := newSource(b, brokers, nil)
	var readers []stream.Reader
	for i := range benchPartitions * pipelines {
		r, err := s.Open(context.Background(), partitionOf(b, s, topic, int32(i%benchPartitions)), 0, &count{})
		if err != nil {
			b.Fatal(err)
		}
		readers = append(readers, r)
	}
	warm := int64(benchRecords / benchPartitions / 10)
	read := func(to int64) {
		var wg sync.WaitGroup
		for _, r := range readers {
			wg.Go(func() {
				for next := int64(0); next < to; {
					in, err := r.Read(context.Background())
					if err != nil {
						b.Error(err)
						return
					}
					next = in.Next
				}
			})
		}
		wg.Wait()
	}
	read(warm)
	measure(b, benchRecords-int(warm)*benchPartitions, func() { read(benchRecords / benchPartitions) })
	fetched := int64(0)
	s.Stats(func(_ stream.Partition, records, _ int64) { fetched += records })
	b.ReportMetric(float64(fetched)/benchRecords, "fetched/record")
	for _, r := range readers {
		if err := r.Close(); err != nil {
			b.Error(err)
		}
	}
}

func readKgo(b *testing.B, brokers []string, topic string, opts ...kgo.Opt) {
	b.Helper()
	opts = append(opts, kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxBytes(16<<20), kgo.FetchMaxPartitionBytes(2<<20), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.DisableClientMetrics())
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		b.Fatal(err)
	}
	defer cl.Close()
	bytes, got := 0, 0
	poll := func(to int) {
		for got < to {
			fs := cl.PollFetches(context.Background())
			fs.EachPartition(func(p kgo.FetchTopicPartition) {
				got += len(p.Records)
				for _, r := range p.Records {
					bytes += len(r.Value)
					r.Recycle()
				}
			})
		}
	}
	poll(benchRecords / 10)
	measure(b, benchRecords-got, func() { poll(benchRecords) })
}

type benchPools struct{ records, buffers sync.Pool }

func (p *benchPools) GetRecords(n int) []kgo.Record {
	if s, ok := p.records.Get().(*[]kgo.Record); ok && cap(*s) >= n {
		return (*s)[:0]
	}
	return make([]kgo.Record, 0, n)
}

func (p *benchPools) PutRecords(s []kgo.Record) { p.records.Put(&s) }

func (p *benchPools) GetDecompressBytes([]byte, kgo.CompressionCodecType) []byte {
	if s, ok := p.buffers.Get().(*[]byte); ok {
		return (*s)[:0]
	}
	return make([]byte, 0, 1<<20+4096)
}

func (p *benchPools) PutDecompressBytes(b []byte) { p.buffers.Put(&b) }
