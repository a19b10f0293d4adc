package parquet_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/tidewatch/tidewatch/internal/columnfile"
	"github.com/tidewatch/tidewatch/internal/objects"
	"github.com/tidewatch/tidewatch/sinks/parquet"
	"github.com/tidewatch/tidewatch/stream"
)

// A part is written, staged, revealed and read back.
func ExampleRaw() {
	dir, err := os.MkdirTemp("", "archive")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	store, err := objects.Open(ctx, objects.Config{URL: "file://" + dir})
	if err != nil {
		panic(err)
	}
	sink, err := parquet.NewRaw(parquet.RawConfig{Objects: store, Partition: stream.Partition{Topic: "metrics", Number: 3}})
	if err != nil {
		panic(err)
	}

	b := stream.NewBatch(&stream.Schema{Fields: []stream.Field{{Name: "host", Kind: stream.String}, {Name: "value", Kind: stream.Float}}})
	at := stream.TimeOf(time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC))
	for i := range 3 {
		b.Time, b.Offset = append(b.Time, at.Add(-time.Duration(i)*time.Second)), append(b.Offset, int64(i))
		b.Cols[0].AppendString("web-7")
		b.Cols[1].AppendFloat(float64(i))
	}
	b.SetLen(3)
	if err := sink.Write(ctx, b); err != nil {
		panic(err)
	}
	work := sink.Stage(stream.Epoch{Prefix: "state/task/0000-owner/"})
	receipt, err := work(ctx) // on the committer's goroutine; then the epoch is claimed
	if err != nil {
		panic(err)
	}
	if err := sink.Reveal(ctx, receipt); err != nil {
		panic(err)
	}

	err = parquet.ScanRaw(ctx, store, "metrics", parquet.All(), func(part columnfile.RawMeta, rows *stream.Batch) error {
		for i := range rows.Len() {
			fmt.Println(rows.Time[i], rows.Offset[i], rows.Col("host").Text(i), rows.Col("value").Floats[i])
		}
		fmt.Println("of a part of", part.Rows, "rows in", part.Files, "files")
		return nil
	})
	if err != nil {
		panic(err)
	}
	// Output:
	// 2026-11-23T04:59:58Z 2 web-7 2
	// 2026-11-23T04:59:59Z 1 web-7 1
	// of a part of 3 rows in 2 files
	// 2026-11-23T05:00:00Z 0 web-7 0
	// of a part of 3 rows in 2 files
}
