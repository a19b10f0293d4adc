package redis_test

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/sinks/redis"
	"github.com/tidewatch/tidewatch/stream"
)

// A task writes a closed window; after the commit of its epoch a reader sees it, and how far the answer is complete.
func Example() {
	server := miniredis.NewMiniRedis()
	if err := server.Start(); err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	config := redis.Default()
	config.URL = "redis://" + server.Addr() + "/0"
	client, err := redis.Open(config, clock.System{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()

	schema := &stream.Schema{Fields: []stream.Field{{Name: "host", Kind: stream.String}, {Name: "max", Kind: stream.Float}}}
	output := redis.Output{
		Pipeline: "host-cpu", Name: "cpu", Instance: "host-cpu@1f3a", Columns: redis.ColumnsOf(schema), Groups: 1,
		Window: 10 * time.Second, Every: 10 * time.Second,
	}
	task := stream.TaskID{Instance: output.Instance, Stage: "main", Partition: stream.Partition{Topic: "metrics"}}
	sinkConfig := redis.SinkConfig{Output: output, Task: task, Partitions: 1}
	if err := client.NoteNew(context.Background(), sinkConfig.Part()); err != nil { // nothing of it can be missing
		fmt.Println(err)
		return
	}
	sink, err := client.NewSink(sinkConfig)
	if err != nil {
		fmt.Println(err)
		return
	}

	rows := stream.NewBatch(schema)
	rows.Cols[0].AppendString("web-7")
	rows.Cols[1].AppendFloat(0.44)
	rows.SetLen(1)
	rows.Slot = append(rows.Slot, stream.SlotOf(stream.AppendKey(nil, rows, []int{0}, 0)))
	rows.Phase, rows.Version = stream.Closed, stream.Version{Offset: 100}
	rows.Window = stream.Window{Start: stream.Time(20 * time.Second), End: stream.Time(30 * time.Second)}

	ctx := context.Background()
	if err := sink.Write(ctx, rows); err != nil {
		fmt.Println(err)
		return
	}
	receipt, err := sink.Stage(stream.Epoch{At: rows.Version, Mark: rows.Window.End})(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	// Here the epoch is claimed.
	if err := sink.Reveal(ctx, receipt); err != nil {
		fmt.Println(err)
		return
	}
	if err := sink.Close(); err != nil {
		fmt.Println(err)
		return
	}

	q := redis.Query{Output: output, From: 0, To: stream.Time(time.Minute), Where: map[string]string{"host": "web-7"}}
	answer, err := client.Read(ctx, q)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range answer.Series {
		fmt.Println(s.Labels[0], s.Start[0], answer.Columns[0], s.Columns[0].Floats[0])
	}
	fmt.Println("complete through", answer.CompleteThrough)
	// Output:
	// web-7 1970-01-01T00:00:20Z max 0.44
	// complete through 1970-01-01T00:00:30Z
}
