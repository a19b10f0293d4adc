package dedupe_test

import (
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/operators/dedupe"
	"github.com/tidewatch/tidewatch/stream"
)

const loadRows = 4096

// load fills the batch with events that are a millisecond apart in event time times spacing; every tenth repeats an id.
func load(b *stream.Batch, from int64, spacing stream.Time) {
	b.Reset()
	for i := from; i < from+loadRows; i++ {
		id := i
		if i%10 == 9 {
			id = i - 7
		}
		at := 1000*second + stream.Time(i)*spacing
		b.Cols[0].IDs = append(b.Cols[0].IDs, 0)
		b.Cols[1].AppendInt(id)
		b.Cols[2].AppendFloat(0)
		b.Time, b.Mark, b.Offset = append(b.Time, at), append(b.Mark, at-2*second), append(b.Offset, i)
	}
	b.SetLen(loadRows)
}

type nobody struct{}

func (nobody) Emit(*stream.Batch) error { return nil }

func (nobody) Decide(stream.Decision) error { return nil }

func (nobody) Wants(stream.Phase) bool { return true }

func (nobody) Count(stream.Bucket, int64) {}

// TestAllocations: memory is taken for generations, not for events.
func TestAllocations(t *testing.T) {
	d := newDedupe(t, &dedupe.Config{By: []string{"tenant", "id"}, Span: time.Hour})
	b := stream.NewBatch(schema)
	b.Cols[0].Dict.ID([]byte("acme"))
	load(b, 0, second/1000)
	turn := func() {
		if err := d.Process(b, nobody{}); err != nil {
			t.Fatal(err)
		}
	}
	turn()
	if allocs := testing.AllocsPerRun(20, turn); allocs > 0 {
		t.Errorf("%v allocations a batch", allocs)
	}
}

func BenchmarkDedupe(b *testing.B) {
	for _, live := range []int{20_000, 1_000_000, 10_000_000} {
		b.Run(strconv.Itoa(live), func(b *testing.B) {
			d := newDedupe(b, &dedupe.Config{By: []string{"tenant", "id"}, Span: time.Hour})
			spacing := stream.Time(2*time.Hour) / stream.Time(live)
			batch := stream.NewBatch(schema)
			batch.Cols[0].Dict.ID([]byte("acme"))
			from := int64(0)
			turn := func() {
				load(batch, from, spacing)
				from += loadRows
				if err := d.Process(batch, nobody{}); err != nil {
					b.Fatal(err)
				}
			}
			for from < int64(live)*3/2 {
				turn()
			}
			b.ReportAllocs()
			var before, after syscall.Rusage
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before) // cannot fail with these arguments
			for b.Loop() {
				turn()
			}
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
			used := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
			b.ReportMetric(float64(used)/float64(b.N)/loadRows, "cpu-ns/event")
			bytes, sights := d.Size()
			b.ReportMetric(float64(bytes)/float64(sights), "B/sight")
			b.ReportMetric(float64(sights), "sights")
		})
	}
}
