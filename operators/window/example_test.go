package window_test

import (
	"fmt"
	"time"

	"github.com/tidewatch/tidewatch/operators/aggregate"
	"github.com/tidewatch/tidewatch/operators/window"
	"github.com/tidewatch/tidewatch/stream"
)

// printer shows what an operator emits.
type printer struct{}

func (printer) Emit(b *stream.Batch) error {
	for i := range b.Len() {
		fmt.Printf("%s %s: %s\n", b.Phase, b.Window.End.Go().Format(time.TimeOnly), text(b, i))
	}
	return nil
}

func (printer) Decide(stream.Decision) error { return nil }

func (printer) Wants(stream.Phase) bool { return true }

func (printer) Count(bucket stream.Bucket, n int64) { fmt.Println(n, bucket) }

var cpu = &stream.Schema{Fields: []stream.Field{{Name: "host", Kind: stream.String}, {Name: "value", Kind: stream.Float}}}

func cpuWindow() *window.Config {
	high, err := aggregate.Parse("max(value)")
	if err != nil {
		panic(err)
	}
	high.Name = "max"
	return &window.Config{
		Size: 10 * time.Second, Lateness: time.Minute, By: []string{"host"},
		Aggregates: []aggregate.Spec{high, {Name: "samples", Function: "count"}},
	}
}

// sample is an event that travels with the mark.
func sample(at, mark stream.Time, host string, value float64) *stream.Batch {
	b := stream.NewBatch(cpu)
	b.Cols[0].AppendString(host)
	b.Cols[1].AppendFloat(value)
	b.Time, b.Mark, b.Offset = append(b.Time, at), append(b.Mark, mark), append(b.Offset, 0)
	b.SetLen(1)
	return b
}

// A window closes when the mark passes its end. An event that comes later, but within the allowed lateness, revises it; that
// shows when the window is final.
func ExampleTumbling() {
	op, err := window.NewTumbling(cpuWindow(), cpu)
	if err != nil {
		fmt.Println(err)
		return
	}
	var out printer
	process := func(b *stream.Batch) { _ = op.Process(b, out) } // fails only if out does
	process(sample(1*second, stream.NoTime, "web-7", 0.91))
	process(sample(2*second, 0, "web-7", 0.97))
	process(sample(12*second, 1*second, "web-7", 0.5))
	_ = op.Advance(stream.Advance{Mark: 10 * second, RecordMark: 10 * second}, out)
	process(sample(3*second, 10*second, "web-7", 0.99))
	_ = op.Advance(stream.Advance{Mark: 70 * second, RecordMark: 70 * second}, out)
	process(sample(4*second, 70*second, "web-7", 1))
	// Output:
	// closed 00:00:10: web-7 0.97 2
	// 1 revised
	// closed 00:00:20: web-7 0.5 1
	// revised 00:00:10: web-7 0.99 3
	// final 00:00:10: web-7 0.99 3
	// 1 late
	// late 00:00:00: web-7 1
}

// Where the source is not keyed by the group, each partition folds its own events, and the states meet in a second stage.
func ExampleFold() {
	op, err := window.NewFold(cpuWindow(), cpu)
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = op.Process(sample(1*second, stream.NoTime, "web-7", 0.91), printer{})
	_ = op.Publish(stream.Version{Offset: 1}, printer{})
	_ = op.Process(sample(2*second, 0, "web-7", 0.97), printer{})
	_ = op.Publish(stream.Version{Offset: 2}, printer{})
	// Output:
	// partial 00:00:10: web-7 0.91 1
	// partial 00:00:10: web-7 0.97 2
}

// The second stage keeps the newest partial of each source partition.
func ExampleMerge() {
	cfg := window.MergeConfig{Config: *cpuWindow(), In: cpu}
	op, err := window.NewMerge(&cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	partial, err := window.PartialSchema(&cfg.Config, cfg.In)
	if err != nil {
		fmt.Println(err)
		return
	}
	b := stream.NewBatch(stream.EntrySchema(partial))
	for _, e := range []struct {
		source, offset, samples int64
		high                    float64
	}{{0, 2, 2, 0.97}, {1, 1, 1, 0.4}, {0, 1, 1, 0.91}} { // the last one is a repeat
		p := stream.NewBatch(partial)
		p.Version, p.Window = stream.Version{Offset: e.offset}, stream.Window{End: 10 * second}
		p.Cols[0].AppendString("web-7")
		p.Cols[1].AppendFloat(e.high)
		p.Cols[2].AppendInt(e.samples)
		p.SetLen(1)
		appendEntry(b, &entry{source: int(e.source), partials: p}, 0)
	}
	_ = op.Process(b, printer{})
	_ = op.Advance(stream.Advance{Mark: 10 * second, RecordMark: 10 * second}, printer{})
	// Output: closed 00:00:10: web-7 0.97 3
}

// A window of twenty seconds that hops every ten counts each event twice.
func ExampleConfig_hopping() {
	cfg := cpuWindow()
	cfg.Size, cfg.Every, cfg.Lateness = 20*time.Second, 10*time.Second, 0
	op, err := window.NewTumbling(cfg, cpu)
	if err != nil {
		fmt.Println(err)
		return
	}
	var out printer
	_ = op.Process(sample(11*second, stream.NoTime, "web-7", 0.4), out) // fails only if out does
	_ = op.Process(sample(25*second, 11*second, "web-7", 0.9), out)
	_ = op.Advance(stream.Advance{Mark: 20 * second, RecordMark: 20 * second}, out)
	_ = op.Advance(stream.Advance{Mark: 30 * second, RecordMark: 30 * second}, out)
	// Output:
	// closed 00:00:20: web-7 0.4 1
	// final 00:00:20: web-7 0.4 1
	// closed 00:00:30: web-7 0.9 2
	// final 00:00:30: web-7 0.9 2
}
