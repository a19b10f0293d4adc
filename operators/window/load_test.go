package window_test

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/operators/aggregate"
	"github.com/tidewatch/tidewatch/operators/window"
	"github.com/tidewatch/tidewatch/stream"
)

// load is an endless stream of events in batches whose memory is used again, as that of a reader is.
type load struct {
	rng    *rand.Rand
	batch  *stream.Batch
	hosts  int
	rate   int // events a second of event time
	offset int64
}

const loadRows = 4096

func newLoad(hosts, rate int) *load {
	l := &load{rng: rand.New(rand.NewPCG(1, 2)), batch: stream.NewBatch(eventSchema), hosts: hosts, rate: rate}
	dict := l.batch.Cols[0].Dict
	for i := range hosts {
		dict.ID(fmt.Appendf(nil, "host-%07d.eu-west-1.example", i))
	}
	return l
}

// next fills the batch; a tenth of the events is up to half a minute late.
func (l *load) next() *stream.Batch {
	b := l.batch
	b.Reset()
	for range loadRows {
		now := 1000*second + stream.Time(l.offset)*second/stream.Time(l.rate)
		at := now
		if l.rng.IntN(10) == 0 {
			at -= stream.Time(l.rng.Int64N(int64(30 * second)))
		}
		b.Cols[0].IDs = append(b.Cols[0].IDs, uint32(l.rng.IntN(l.hosts)))
		b.Cols[1].AppendInt(int64(l.rng.IntN(100)))
		b.Cols[2].AppendFloat(l.rng.Float64())
		b.Time, b.Mark, b.Offset = append(b.Time, at), append(b.Mark, now-2*second), append(b.Offset, l.offset)
		l.offset++
	}
	b.SetLen(loadRows)
	return b
}

// advance is what the engine does after the batch, to within a batch.
func (l *load) advance() stream.Advance {
	mark := l.batch.Mark[len(l.batch.Mark)-1]
	return stream.Advance{Mark: mark, RecordMark: mark, At: stream.Version{Offset: l.offset}}
}

// nobody takes everything.
type nobody struct{ rows int64 }

func (n *nobody) Emit(b *stream.Batch) error { n.rows += int64(b.Len()); return nil }

func (n *nobody) Decide(stream.Decision) error { return nil }

func (*nobody) Wants(stream.Phase) bool { return true }

func (n *nobody) Count(stream.Bucket, int64) {}

func loadConfig() *window.Config {
	return &window.Config{
		Size: 10 * time.Second, Lateness: 2 * time.Minute, By: []string{"host"},
		Aggregates: []aggregate.Spec{
			{Name: "n", Function: "count"},
			{Name: "total", Function: "sum", Column: "value"},
			{Name: "low", Function: "min", Column: "value"},
			{Name: "high", Function: "max", Column: "value"},
		},
	}
}

// TestSteadyStateAllocatesNothing: events, late ones too, crossings, publications, final windows.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	for name, op := range map[string]operator{"tumbling": newTumbling(t, loadConfig()), "fold": newFold(t, loadConfig())} {
		l, out := newLoad(500, loadRows/10), &nobody{}
		turn := func() { give(t, op, l, 1, out) }
		for range 60 {
			turn()
		}
		if allocs := testing.AllocsPerRun(50, turn); allocs > 0 {
			t.Errorf("%s: %v allocations for %d events and a window that closes", name, allocs, loadRows)
		}
	}
}

func TestSteadyStateOfMergeAllocatesNothing(t *testing.T) {
	cfg := loadConfig()
	fold, merge, out := newFold(t, cfg), newMerge(t, cfg), &nobody{}
	l := newLoad(500, loadRows/10)
	schema, err := window.PartialSchema(cfg, eventSchema)
	if err != nil {
		t.Fatal(err)
	}
	b := stream.NewBatch(stream.EntrySchema(schema))
	source := 0
	carry := &transcript{t: t}
	carry.onEmit = func(p *stream.Batch) {
		carry.batches = carry.batches[:0]
		appendEntry(b, &entry{partials: p, source: source % 4}, l.offset)
		source++
	}
	var turns []func()
	for range 120 { // what the first stage sends is made before anything is measured
		b = stream.NewBatch(b.Schema)
		if err := fold.Process(l.next(), out); err != nil {
			t.Fatal(err)
		}
		if err := fold.Advance(l.advance(), carry); err != nil {
			t.Fatal(err)
		}
		rows, to := b, l.advance()
		turns = append(turns, func() {
			if err := merge.Process(rows, out); err != nil {
				t.Fatal(err)
			}
			if err := merge.Advance(to, out); err != nil {
				t.Fatal(err)
			}
		})
	}
	for _, turn := range turns[:60] {
		turn()
	}
	n := 60
	if allocs := testing.AllocsPerRun(50, func() { turns[n](); n++ }); allocs > 0 {
		t.Errorf("%v allocations for the partials of a window", allocs)
	}
	if out.rows == 0 {
		t.Error("nothing was emitted")
	}
}

func BenchmarkTumbling(b *testing.B) {
	for _, hosts := range []int{1000, 20_000, 1_000_000} {
		b.Run(fmt.Sprintf("process/%d", hosts), func(b *testing.B) { benchmarkProcess(b, newTumbling(b, loadConfig()), hosts) })
	}
	b.Run("whole/20000", func(b *testing.B) { benchmarkWhole(b, newTumbling(b, loadConfig()), 20_000) })
	b.Run("whole/200000", func(b *testing.B) { benchmarkWhole(b, newTumbling(b, loadConfig()), 200_000) })
}

func BenchmarkFold(b *testing.B) {
	b.Run("process/20000", func(b *testing.B) { benchmarkProcess(b, newFold(b, loadConfig()), 20_000) })
	b.Run("whole/20000", func(b *testing.B) { benchmarkWhole(b, newFold(b, loadConfig()), 20_000) })
}

func BenchmarkTumblingTwoColumns(b *testing.B) {
	cfg := loadConfig()
	cfg.By = []string{"host", "port"}
	benchmarkProcess(b, newTumbling(b, cfg), 200)
}

// BenchmarkMerge measures partials of four sources and three windows, each newer than what is held.
func BenchmarkMerge(b *testing.B) {
	for _, hosts := range []int{20_000, 200_000} {
		b.Run(fmt.Sprintf("process/%d", hosts), func(b *testing.B) {
			cfg := loadConfig()
			merge, out := newMerge(b, cfg), &nobody{}
			schema, err := window.PartialSchema(cfg, eventSchema)
			if err != nil {
				b.Fatal(err)
			}
			rows := stream.NewBatch(stream.EntrySchema(schema))
			for i := range hosts {
				rows.Cols[stream.EntryColumns].Dict.ID(fmt.Appendf(nil, "host-%07d", i))
			}
			rng := rand.New(rand.NewPCG(1, 2))
			turn := func(version int64) { fillEntries(rows, rng, hosts, version) }
			for v := range int64(16 * hosts / loadRows * 3) {
				turn(v)
				if err := merge.Process(rows, out); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			version, used := int64(1<<40), time.Duration(0)
			for b.Loop() {
				turn(version)
				version++
				began := cpuTime()
				if err := merge.Process(rows, out); err != nil {
					b.Fatal(err)
				}
				used += cpuTime() - began
			}
			report(b, merge, used, 0)
		})
	}
}

func fillEntries(b *stream.Batch, rng *rand.Rand, hosts int, version int64) {
	b.Reset()
	for range loadRows {
		start := int64(1000*second) + rng.Int64N(3)*int64(10*second)
		for c, v := range []int64{stream.PartialEntry, rng.Int64N(4), version, 0, 0, 0, 0, start, start + int64(10*second), 0} {
			b.Cols[c].AppendInt(v)
		}
		state := b.Cols[stream.EntryColumns:]
		state[0].IDs = append(state[0].IDs, uint32(rng.IntN(hosts)))
		state[1].AppendInt(version)
		state[2].AppendFloat(1)
		state[3].AppendFloat(1)
		state[4].AppendFloat(1)
		b.Time, b.Mark, b.Offset = append(b.Time, 0), append(b.Mark, 0), append(b.Offset, version)
	}
	b.SetLen(loadRows)
}

// BenchmarkState measures a snapshot of a window with so many groups, and its restore.
func BenchmarkState(b *testing.B) {
	for _, hosts := range []int{20_000, 1_000_000} {
		op := newTumbling(b, loadConfig())
		l, out := newLoad(hosts, 1e9), &nobody{}
		for at := 0; at < hosts; at += loadRows {
			batch := l.next()
			for i := range batch.Time {
				batch.Cols[0].IDs[i], batch.Time[i] = uint32((at+i)%hosts), 1000*second
			}
			if err := op.Process(batch, out); err != nil {
				b.Fatal(err)
			}
		}
		size := len(snapshot(b, op))
		b.Run(fmt.Sprintf("snapshot/%d", hosts), func(b *testing.B) {
			benchmarkState(b, size, func() {
				w := stream.NewStateWriter()
				w.Grow(size + size/8)
				if err := op.Snapshot(w); err != nil {
					b.Fatal(err)
				}
				_, _ = w.Finish(), w.Blocks()
			})
		})
		state := snapshot(b, op)
		b.Run(fmt.Sprintf("restore/%d", hosts), func(b *testing.B) {
			benchmarkState(b, size, func() {
				r, err := stream.NewStateReader(state)
				if err != nil {
					b.Fatal(err)
				}
				r.Scope("test/")
				if err := newTumbling(b, loadConfig()).Restore(r); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

func benchmarkState(b *testing.B, size int, turn func()) {
	b.Helper()
	began := cpuTime()
	for b.Loop() {
		turn()
	}
	b.ReportMetric(float64((cpuTime()-began).Nanoseconds())/float64(b.N)/1e6, "cpu-ms")
	b.ReportMetric(float64(size)/1e6, "MB")
}

// benchmarkProcess measures Process alone, on windows that have all their groups.
func benchmarkProcess(b *testing.B, op operator, hosts int) {
	b.Helper()
	l, out := newLoad(hosts, 200_000), &nobody{}
	var batches []*stream.Batch
	for range max(16, 4*hosts/loadRows) {
		from := l.next()
		c := &stream.Batch{}
		from.View(c, 0, from.Len())
		batches = append(batches, c)
		fresh := stream.NewBatch(eventSchema)
		fresh.Cols[0].Dict = from.Cols[0].Dict
		l.batch = fresh
	}
	for _, c := range batches {
		if err := op.Process(c, out); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	i, began := 0, cpuTime()
	for b.Loop() {
		if err := op.Process(batches[i%len(batches)], out); err != nil {
			b.Fatal(err)
		}
		i++
	}
	report(b, op, cpuTime()-began, 0)
}

// benchmarkWhole measures everything: a publication each second of event time, and windows that close, are revised and
// become final, at 200,000 events a second. The events are made within the measured time; making them costs about 25 ns.
func benchmarkWhole(b *testing.B, op operator, hosts int) {
	b.Helper()
	l, out := newLoad(hosts, 200_000), &nobody{}
	mark, shown := stream.NoTime, stream.NoTime
	turn := func() {
		if err := op.Process(l.next(), out); err != nil {
			b.Fatal(err)
		}
		to := l.advance()
		if to.Mark >= op.Grids().Next(mark) || mark == stream.NoTime {
			if err := op.Advance(to, out); err != nil {
				b.Fatal(err)
			}
		}
		if mark = to.Mark; mark >= shown+second {
			shown = mark
			if err := op.Publish(stream.Version{Offset: l.offset}, out); err != nil {
				b.Fatal(err)
			}
		}
	}
	for range 150 * 200_000 / loadRows { // until windows have become final
		turn()
	}
	out.rows = 0
	b.ReportAllocs()
	began := cpuTime()
	for b.Loop() {
		turn()
	}
	report(b, op, cpuTime()-began, out.rows)
}

// cpuTime is what this process has used: on a machine with neighbours the wall clock says little.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func report(b *testing.B, op operator, used time.Duration, rows int64) {
	b.Helper()
	events := float64(b.N) * loadRows
	b.ReportMetric(float64(used.Nanoseconds())/events, "cpu-ns/event")
	if rows > 0 {
		b.ReportMetric(float64(rows)/events, "rows/event")
	}
	bytes, groups := op.Size()
	b.ReportMetric(float64(bytes)/1e6, "MB")
	b.ReportMetric(float64(groups), "groups")
}
