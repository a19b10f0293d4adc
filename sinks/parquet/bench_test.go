package parquet

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// benchBatches is a million metric events of 20,000 hosts in the columns that the archive of everything keeps, decoded in
// batches of 4,096.
func benchBatches(b *testing.B, attributes int) []*stream.Batch {
	b.Helper()
	schema := &stream.Schema{Fields: []stream.Field{
		{Name: "time", Kind: stream.Timestamp},
		{Name: "name", Kind: stream.String},
		{Name: "kind", Kind: stream.String},
		{Name: "unit", Kind: stream.String},
		{Name: "value", Kind: stream.Float},
		{Name: "tenant", Kind: stream.String},
		{Name: "service", Kind: stream.String},
		{Name: "host", Kind: stream.String},
		{Name: "producer", Kind: stream.String},
		{Name: "attributes", Kind: stream.String},
	}}
	r := rand.New(rand.NewPCG(1, 2))
	shared := stream.NewBatch(schema)
	batches := make([]*stream.Batch, 0, 256)
	for len(batches) < cap(batches) {
		batch := stream.NewBatch(schema)
		for i := range batch.Cols {
			batch.Cols[i].Dict = shared.Cols[i].Dict // as a decoder keeps its dictionaries
		}
		for i := range 4096 {
			n := len(batches)*4096 + i
			host, arrived := r.IntN(20000), int64(1795409200000)+int64(n)/200
			at := stream.Time((arrived - r.Int64N(50)) * 1e6)
			batch.Time, batch.Timestamp = append(batch.Time, at), append(batch.Timestamp, stream.Time(arrived*1e6))
			batch.Offset, batch.Bytes = append(batch.Offset, int64(n)), append(batch.Bytes, uint32(240+r.IntN(12)))
			batch.Producer = append(batch.Producer, stream.HashProducer(fmt.Appendf(nil, "host-%d", host)))
			batch.Cols[0].AppendInt(int64(at))
			batch.Cols[1].AppendString(fmt.Sprintf("http.server.duration.%d", r.IntN(8)))
			batch.Cols[2].AppendString("gauge")
			batch.Cols[3].AppendString([]string{"ms", "By", "1"}[r.IntN(3)])
			batch.Cols[4].AppendFloat(float64(r.IntN(100000)) / 1000)
			batch.Cols[5].AppendString(fmt.Sprintf("t%d", host%10))
			batch.Cols[6].AppendString(fmt.Sprintf("svc-%d", host%200))
			batch.Cols[7].AppendString(fmt.Sprintf("host-%d", host))
			batch.Cols[8].AppendNull()
			batch.Cols[9].AppendString(fmt.Sprintf(`{"region":"eu-west-1","src_ip":"10.3.77.%d","status":"200","version":"1.42.7","zone":"b"}`, r.IntN(attributes)))
		}
		batch.SetLen(4096)
		batches = append(batches, batch)
	}
	return batches
}

// cpu is what the process has used: the clock on the wall says little on a busy machine.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRaw measures the two halves of archiving: taking rows, on the task's goroutine, and encoding, on the
// committer's.
func BenchmarkRaw(b *testing.B) {
	for _, attributes := range []int{2000, 1 << 20} {
		batches := benchBatches(b, attributes)
		rows := float64(len(batches) * 4096)
		b.Run(fmt.Sprintf("attributes=%d", attributes), func(b *testing.B) {
			sink, err := NewRaw(RawConfig{Objects: newMemory(), Partition: testPartition})
			if err != nil {
				b.Fatal(err)
			}
			var taking time.Duration
			var memory int64
			start := cpu()
			for b.Loop() {
				began := cpu()
				for _, batch := range batches {
					if err := sink.Write(b.Context(), batch); err != nil {
						b.Fatal(err)
					}
				}
				taking += cpu() - began
				memory, _ = sink.Size()
				if _, err := sink.Stage(stream.Epoch{Prefix: "state/"})(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			per := float64(b.N) * rows
			b.ReportMetric(float64(taking.Nanoseconds())/per, "take-cpu-ns/row")
			b.ReportMetric(float64((cpu()-start-taking).Nanoseconds())/per, "encode-cpu-ns/row")
			b.ReportMetric(float64(memory)/rows, "memory-B/row")
		})
	}
}
