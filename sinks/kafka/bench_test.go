package kafka

import (
	"fmt"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// BenchmarkTransactionRows holds the rows of windows as an epoch does, and makes records of them as its reveal does; an op is
// a row.
func BenchmarkTransactionRows(b *testing.B) {
	schema := &stream.Schema{Fields: []stream.Field{
		{Name: "host", Kind: stream.String},
		{Name: "samples", Kind: stream.Int},
		{Name: "total", Kind: stream.Float},
		{Name: "least", Kind: stream.Float},
		{Name: "most", Kind: stream.Float},
	}}
	batch := stream.NewBatch(schema)
	batch.Phase, batch.At = stream.Closed, stream.Version{Offset: 4711}
	batch.Window = stream.Window{Start: stream.TimeOf(time.Unix(1_795_000_000, 0)), End: stream.TimeOf(time.Unix(1_795_000_010, 0))}
	const size = 4096
	for i := range size {
		batch.Cols[0].AppendString(fmt.Sprintf("host-%d", i))
		batch.Cols[1].AppendInt(int64(i % 9))
		for c, v := range []float64{float64(i) * 1.375, float64(i%500) / 7, float64(i) / 3} {
			batch.Cols[2+c].AppendFloat(v)
		}
	}
	batch.SetLen(size)
	codec, err := newCodec()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	bytes := 0
	for n := 0; n < b.N; n += size {
		s := &TransactionSink{held: heldRows{codec: codec}}
		if err := s.Write(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		labels := newLabels([]byte("w2@1/main/metrics/0"))
		err := codec.eachRow(s.held.staged(), func(r *row) error {
			bytes += len(r.value) + len(labels.of(&r.rowName))
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(bytes)/float64(b.N), "B/row")
}
