package parquet

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/internal/columnfile"
	"github.com/tidewatch/tidewatch/stream"
)

var rollupSchema = &stream.Schema{Fields: []stream.Field{
	{Name: "tenant", Kind: stream.String}, {Name: "host", Kind: stream.String}, {Name: "avg", Kind: stream.Float}, {Name: "samples", Kind: stream.Int},
}}

const (
	windowSize = 10 * time.Second
	lateness   = 15 * time.Second
	slotSize   = time.Minute
)

func rollupConfig(store stream.Objects) RollupConfig {
	c := DefaultRollups()
	c.Objects, c.Pipeline, c.Output, c.Instance, c.Partition = store, "host-cpu", "cpu", "host-cpu@1f", testPartition
	c.Slot, c.Lateness, c.Rows = slotSize, lateness, 7
	return c
}

func newRollups(t rapid.TB, store stream.Objects) *Rollups {
	t.Helper()
	r, err := NewRollups(rollupConfig(store))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// crossing is what a task does at a point of the grid: final rows, then the advance.
type crossing struct {
	final []finalWindow
	to    stream.Advance
}

type finalWindow struct {
	end         stream.Time
	provisional bool
	revision    uint32
}

// groups of a window are a function of its end.
func (w finalWindow) groups() (rows []string) {
	for i := range int64(w.end/stream.Time(windowSize)) % 4 {
		rows = append(rows, fmt.Sprintf("host-%d", (i*7+int64(w.end/stream.Time(windowSize)))%5))
	}
	return rows
}

// drawCrossings is the life of a partition: records move both marks, ticks only the progress.
func drawCrossings(t *rapid.T) (steps []crossing) {
	begin := start.Floor(time.Minute)
	record, mark := begin, begin
	final, provisional := begin, begin // windows up to these ends have been emitted so
	for i := range rapid.IntRange(1, 40).Draw(t, "crossings") {
		step := crossing{}
		at := stream.Version{Offset: int64(i)}
		ahead := windowSize * time.Duration(rapid.IntRange(0, 3).Draw(t, "ahead"))
		if rapid.IntRange(0, 3).Draw(t, "tick") == 0 {
			mark, at.Step = mark.Add(ahead), 1
			for e := max(final, provisional).Add(windowSize); e.Add(lateness) <= mark; e = e.Add(windowSize) {
				step.final, provisional = append(step.final, finalWindow{e, true, 0}), e
			}
		} else {
			record = record.Add(ahead)
			mark = max(mark, record)
			for e := final.Add(windowSize); e.Add(lateness) <= record; e = e.Add(windowSize) {
				w := finalWindow{e, false, 0}
				if e <= provisional {
					w.revision = 1
				}
				step.final, final = append(step.final, w), e
			}
		}
		step.to = stream.Advance{Mark: mark, RecordMark: record, At: at, Provisional: at.Step > 0}
		steps = append(steps, step)
	}
	return steps
}

// apply writes the rows, in each slot in random order, and advances.
func apply(t *rapid.T, sink *Rollups, step crossing) {
	b := stream.NewBatch(rollupSchema)
	for _, w := range step.final {
		rows := rapid.Permutation(w.groups()).Draw(t, "order of groups")
		b.Reset()
		b.Phase, b.Window = stream.Final, stream.Window{Start: w.end.Add(-windowSize), End: w.end}
		b.Revision, b.Provisional = w.revision, w.provisional
		b.Version.Offset = rapid.Int64Range(0, 9).Draw(t, "offset of the internal topic")
		slices.SortStableFunc(rows, func(x, y string) int { return int(slotOf(x)) - int(slotOf(y)) })
		for _, host := range rows {
			appendRollup(b, host, w.end)
		}
		b.SetLen(len(rows))
		if b.Len() == 0 {
			continue
		}
		if err := sink.Write(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
	if err := sink.Advance(context.Background(), step.to); err != nil {
		t.Fatal(err)
	}
}

func appendRollup(b *stream.Batch, host string, end stream.Time) {
	b.Cols[0].AppendString("acme")
	b.Cols[1].AppendString(host)
	if end/stream.Time(windowSize)%3 == 0 {
		b.Cols[2].AppendNull()
	} else {
		b.Cols[2].AppendFloat(float64(len(host)) / float64(end%1000+1))
	}
	b.Cols[3].AppendInt(int64(end) % 97)
	b.Slot = append(b.Slot, slotOf(host))
}

// slotOf has two values only, so that rows of a slot are told apart by their columns.
func slotOf(host string) uint8 { return stream.SlotOf([]byte(host)) % 2 }

func undisturbed(t *rapid.T, steps []crossing) map[string]string {
	store := newMemory()
	sink := newRollups(t, store)
	for _, s := range steps {
		apply(t, sink, s)
		if err := finish(sink, sink.Stage(stream.Epoch{Prefix: "state/u/"}), store, "state/u/"); err != nil {
			t.Fatal(err)
		}
	}
	return store.visible()
}

// row is what Postgres holds of the task.
type row struct {
	claimed  int    // steps covered
	state    []byte // newest snapshot, of after step at
	at       int
	receipts []stream.Receipt
}

// disturbed runs the steps with crashes, snapshots now and then, and reveals that are left to the next owner.
func disturbed(t *rapid.T, steps []crossing) map[string]string {
	store := newMemory()
	store.fail = func() error {
		if rapid.IntRange(0, 4).Draw(t, "store away") == 0 {
			return errAway
		}
		return nil
	}
	var r row
	for lives := 0; r.claimed < len(steps) || len(r.receipts) > 0; lives++ {
		live(t, store, &r, steps, lives > 20)
	}
	return store.visible()
}

func live(t *rapid.T, store *memory, r *row, steps []crossing, immortal bool) {
	crash := func() bool { return !immortal && rapid.IntRange(0, 7).Draw(t, "crash") == 0 }
	sink := newRollups(t, store)
	restoreState(t, sink, r.state)
	for i := r.at; i < r.claimed; i++ {
		apply(t, sink, steps[i])
	}
	if r.claimed > 0 {
		sink.Stage(stream.Epoch{}) // dropped
	}
	reveals := func() {
		for _, receipt := range r.receipts {
			if _, err := insist(func() (stream.Receipt, error) { return nil, sink.Reveal(context.Background(), receipt) }); err != nil {
				t.Fatal(err)
			}
		}
		r.receipts = nil
	}
	reveals()
	for i := r.claimed; i < len(steps); i++ {
		apply(t, sink, steps[i])
		if i+1 < len(steps) && rapid.Bool().Draw(t, "no epoch here") {
			continue
		}
		var state []byte
		if rapid.Bool().Draw(t, "snapshot") {
			state = snapshotState(t, sink)
		}
		work := sink.Stage(stream.Epoch{Prefix: fmt.Sprintf("state/%d/", rapid.Int64().Draw(t, "owner"))})
		if crash() {
			return
		}
		receipt := stream.Receipt(nil)
		if work != nil {
			var err error
			if receipt, err = insist(func() (stream.Receipt, error) { return work(context.Background()) }); err != nil {
				t.Fatal(err)
			}
		}
		if crash() {
			return
		}
		r.claimed = i + 1
		if state != nil {
			r.state, r.at = state, i+1
		}
		if receipt != nil {
			r.receipts = append(r.receipts, receipt)
		}
		if crash() {
			return
		}
		reveals()
	}
}

func snapshotState(t rapid.TB, sink *Rollups) []byte {
	w := stream.NewStateWriter()
	if err := sink.Snapshot(w); err != nil {
		t.Fatal(err)
	}
	return w.Finish()
}

func restoreState(t rapid.TB, sink *Rollups, state []byte) {
	if state == nil {
		return
	}
	r, err := stream.NewStateReader(state)
	if err == nil {
		err = sink.Restore(r)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestRollupsAreAFunctionOfTheLog: crashes at every step of the protocol give the same bytes as an undisturbed run.
func TestRollupsAreAFunctionOfTheLog(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := drawCrossings(rt)
		want, got := undisturbed(rt, steps), disturbed(rt, steps)
		if !maps.Equal(got, want) {
			rt.Fatalf("the disturbed run shows %q, the undisturbed one %q, or their bytes differ", keys(got), keys(want))
		}
	})
}

// TestRollupsHoldEveryRow compares with the rows that were written, by the definition of complete.
func TestRollupsHoldEveryRow(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := drawCrossings(rt)
		last := steps[len(steps)-1].to
		want := map[string]int{}
		for _, s := range steps {
			for _, w := range s.final {
				end := (w.end - 1).Floor(slotSize).Add(slotSize).Add(lateness)
				if !w.provisional && end <= last.RecordMark {
					for _, host := range w.groups() {
						want[fmt.Sprint(w.end, host, w.revision)]++
					}
				}
			}
		}
		got := map[string]int{}
		for key, data := range undisturbed(rt, steps) {
			scanned(rt, key, data, last.RecordMark, got)
		}
		if !maps.Equal(got, want) {
			rt.Fatalf("files hold %v, want %v", got, want)
		}
	})
}

// scanned counts the rows of a file that are final by records and whose slot is complete.
func scanned(t rapid.TB, key, data string, record stream.Time, got map[string]int) {
	store := newMemory()
	store.mu.objects[key] = []byte(data)
	of := columnfile.RollupName{Pipeline: "host-cpu", Output: "cpu", Instance: "host-cpu@1f"}
	err := ScanRollups(context.Background(), store, of, All(), func(m columnfile.RollupMeta, b *stream.Batch) error {
		if m.Key() != key || m.Provisional != b.Provisional || !slices.IsSorted(b.Slot) || b.Version != (stream.Version{Step: b.Revision}) {
			t.Fatalf("%s: metadata %+v, provisional %v, slots %v, version %v", key, m, b.Provisional, b.Slot, b.Version)
		}
		for i := range b.Len() {
			host := b.Col("host").Text(i)
			if b.Slot[i] != slotOf(host) || b.Col("samples").Ints[i] != int64(b.Window.End)%97 || b.Window.Start != b.Window.End.Add(-windowSize) {
				t.Fatalf("%s: row %d is not what was written", key, i)
			}
			if !b.Provisional && m.SlotEnd.Add(lateness) <= record {
				got[fmt.Sprint(b.Window.End, host, b.Revision)]++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRollupsSnapshotIsTheState: a restored sink snapshots to the same bytes.
func TestRollupsSnapshotIsTheState(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		sink := newRollups(rt, newMemory())
		for _, s := range drawCrossings(rt) {
			apply(rt, sink, s)
		}
		state := snapshotState(rt, sink)
		other := newRollups(rt, newMemory())
		restoreState(rt, other, state)
		if string(snapshotState(rt, other)) != string(state) {
			rt.Fatal("a restored sink has another state")
		}
	})
}

func TestRollupsNames(t *testing.T) {
	store := newMemory()
	sink := newRollups(t, store)
	minute := start.Floor(time.Minute)
	write := func(provisional bool, revision uint32, hosts ...string) {
		b := stream.NewBatch(rollupSchema)
		b.Phase, b.Provisional, b.Revision = stream.Final, provisional, revision
		b.Window = stream.Window{Start: minute.Add(20 * time.Second), End: minute.Add(30 * time.Second)}
		for _, h := range hosts {
			appendRollup(b, h, b.Window.End)
		}
		b.SetLen(len(hosts))
		if err := sink.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	advance := func(mark, record time.Duration, at stream.Version) {
		if err := sink.Advance(t.Context(), stream.Advance{Mark: minute.Add(mark), RecordMark: minute.Add(record), At: at}); err != nil {
			t.Fatal(err)
		}
		if err := finish(sink, sink.Stage(stream.Epoch{Prefix: "state/x/"}), store, "state/x/"); err != nil {
			t.Fatal(err)
		}
	}
	write(true, 0, "a", "b")
	advance(74*time.Second, 0, stream.Version{Offset: 5, Step: 1}) // one second before the slot is complete
	advance(75*time.Second, 0, stream.Version{Offset: 5, Step: 2})
	write(false, 1, "a", "b", "c", "d", "e", "f", "g")
	advance(76*time.Second, 46*time.Second, stream.Version{Offset: 6}) // seven rows fill a file
	write(false, 1, "h")
	advance(77*time.Second, 75*time.Second, stream.Version{Offset: 7})
	const base = "rollups/pipeline=host-cpu/output=cpu/date=2026-11-23/hour=04/host-cpu@1f-metrics-3-20261123T045900Z"
	want := []string{base + "-001.parquet", base + "-provisional-000000000000000500000002.parquet", base + ".parquet"}
	if got := keys(store.visible()); !slices.Equal(got, want) {
		t.Fatalf("%q", got)
	}
}

// TestRollupsDropWhatWasReplaced: provisional rows that no file has shown are gone when the final ones come.
func TestRollupsDropWhatWasReplaced(t *testing.T) {
	sink := newRollups(t, newMemory())
	b := stream.NewBatch(rollupSchema)
	b.Phase, b.Window = stream.Final, stream.Window{Start: start, End: start.Add(windowSize)}
	appendRollup(b, "a", start)
	b.SetLen(1)
	for _, b.Provisional = range []bool{true, false} {
		if err := sink.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if _, rows := sink.Size(); rows != 2 {
		t.Fatalf("%d rows wait, want 2", rows)
	}
	if err := sink.Advance(t.Context(), stream.Advance{Mark: start.Add(time.Hour), RecordMark: start.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if bytes, rows := sink.Size(); rows != 1 || bytes <= 0 {
		t.Fatalf("%d rows in %d bytes wait, want 1", rows, bytes)
	}
	other := newRollups(t, newMemory())
	restoreState(t, other, snapshotState(t, sink))
	if err := other.Write(t.Context(), b); err == nil {
		t.Fatal("a restored sink takes rows behind their slot")
	}
}

func TestRollupsRefuse(t *testing.T) {
	store := newMemory()
	sink := newRollups(t, store)
	b := stream.NewBatch(rollupSchema)
	b.Phase = stream.Closed
	if err := sink.Write(t.Context(), b); err == nil {
		t.Error("closed rows are taken for final ones")
	}
	if err := sink.Advance(t.Context(), stream.Advance{Mark: start.Add(time.Hour), RecordMark: start.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	b.Phase, b.Window = stream.Final, stream.Window{Start: start, End: start.Add(windowSize)}
	appendRollup(b, "a", start)
	b.SetLen(1)
	if err := sink.Write(t.Context(), b); err == nil || !strings.Contains(err.Error(), "lateness") {
		t.Errorf("a row behind its slot: %v", err)
	}
	for _, change := range []func(*RollupConfig){
		func(c *RollupConfig) { c.Slot = 7 * time.Minute },
		func(c *RollupConfig) { c.Slot = time.Millisecond },
		func(c *RollupConfig) { c.Instance = "" },
		func(c *RollupConfig) { c.Rows = 0 },
		func(c *RollupConfig) { c.Lateness = -1 },
	} {
		c := rollupConfig(store)
		change(&c)
		if _, err := NewRollups(c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}

func FuzzRollupsRestore(f *testing.F) {
	sink, err := NewRollups(rollupConfig(newMemory()))
	if err != nil {
		f.Fatal(err)
	}
	b := stream.NewBatch(rollupSchema)
	b.Phase, b.Window = stream.Final, stream.Window{Start: start, End: start.Add(windowSize)}
	appendRollup(b, "a", start)
	b.SetLen(1)
	if err := sink.Write(f.Context(), b); err != nil {
		f.Fatal(err)
	}
	w := stream.NewStateWriter()
	if err := sink.Snapshot(w); err != nil {
		f.Fatal(err)
	}
	// The body alone is changed: the checksum around it catches everything else.
	state := w.Finish()
	f.Add(state[len("TWS1")+len("rollups")+3 : len(state)-4])
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := stream.NewStateReader(section(body))
		if err != nil {
			t.Fatal(err)
		}
		sink, err := NewRollups(rollupConfig(newMemory()))
		if err != nil {
			t.Fatal(err)
		}
		if sink.Restore(r) != nil {
			return
		}
		if err := sink.Advance(t.Context(), stream.Advance{Mark: stream.MaxTime - 1, RecordMark: stream.MaxTime - 1}); err != nil {
			t.Fatal(err)
		}
		if work := sink.Stage(stream.Epoch{}); work != nil {
			_, _ = work(t.Context())
		}
	})
}
