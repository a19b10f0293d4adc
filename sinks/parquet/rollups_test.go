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

// crossing is what a task does at a point of the grid: rows of windows that are closed and then of those that are final, and
// the advance.
type crossing struct {
	closed, final []rollup
	to            stream.Advance
}

type rollup struct {
	end         stream.Time
	provisional bool
}

// groups of a window are a function of its end.
func (w rollup) groups() (rows []string) {
	for i := range int64(w.end/stream.Time(windowSize)) % 4 {
		rows = append(rows, fmt.Sprintf("host-%d", (i*7+int64(w.end/stream.Time(windowSize)))%5))
	}
	return rows
}

// drawCrossings is the life of a partition: records move both marks, ticks only the progress.
func drawCrossings(t *rapid.T) (steps []crossing) {
	begin := start.Floor(time.Minute)
	record, mark := begin, begin
	closed, final := begin, begin // windows up to these ends
	for i := range rapid.IntRange(1, 40).Draw(t, "crossings") {
		at := stream.Version{Offset: int64(i)}
		ahead := windowSize * time.Duration(rapid.IntRange(0, 3).Draw(t, "ahead"))
		if rapid.IntRange(0, 3).Draw(t, "tick") == 0 {
			mark, at.Step = mark.Add(ahead), 1
		} else {
			record = record.Add(ahead)
			mark = max(mark, record)
		}
		step := crossing{to: stream.Advance{Mark: mark, RecordMark: record, At: at, Provisional: at.Step > 0}}
		for ; closed.Add(windowSize) <= mark; closed = closed.Add(windowSize) {
			e := closed.Add(windowSize)
			step.closed = append(step.closed, rollup{e, e > record})
		}
		for ; final.Add(windowSize+lateness) <= record; final = final.Add(windowSize) {
			step.final = append(step.final, rollup{final.Add(windowSize), false})
		}
		steps = append(steps, step)
	}
	return steps
}

// apply writes the rows, in each slot in random order, and advances.
func apply(t *rapid.T, sink *Rollups, step crossing) {
	for _, w := range step.closed {
		applyWindow(t, sink, stream.Closed, w)
	}
	for _, w := range step.final {
		applyWindow(t, sink, stream.Final, w)
	}
	if err := sink.Advance(context.Background(), step.to); err != nil {
		t.Fatal(err)
	}
}

func applyWindow(t *rapid.T, sink *Rollups, phase stream.Phase, w rollup) {
	rows := rapid.Permutation(w.groups()).Draw(t, "order of groups")
	b := stream.NewBatch(rollupSchema)
	b.Phase, b.Window, b.Provisional = phase, stream.Window{Start: w.end.Add(-windowSize), End: w.end}, w.provisional
	b.Version.Offset = rapid.Int64Range(0, 9).Draw(t, "offset of the internal topic")
	slices.SortStableFunc(rows, func(x, y string) int { return int(slotOf(x)) - int(slotOf(y)) })
	for _, host := range rows {
		appendRollup(b, host, w.end)
	}
	if b.SetLen(len(rows)); b.Len() == 0 {
		return
	}
	if err := sink.Write(context.Background(), b); err != nil {
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

// TestRollupsHoldEveryRow compares with the rows that were written, by the definition: a window is in the provisional file of
// its slot if a tick has closed it and it was not final when progress passed the slot; its final rows tell that by their revision.
func TestRollupsHoldEveryRow(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := drawCrossings(rt)
		want, provisional := map[string]int{}, map[stream.Time]bool{}
		for _, s := range steps {
			for _, w := range s.closed {
				end := slotEnd(w.end)
				passed := slices.IndexFunc(steps, func(s crossing) bool { return s.to.Mark >= end })
				if !w.provisional || passed < 0 || w.end.Add(lateness) <= steps[passed].to.RecordMark {
					continue
				}
				provisional[w.end] = true
				for _, host := range w.groups() {
					want[fmt.Sprint(w.end, host, 0, true)]++
				}
			}
			for _, w := range s.final {
				if slotEnd(w.end).Add(lateness) > steps[len(steps)-1].to.RecordMark {
					continue
				}
				for _, host := range w.groups() {
					want[fmt.Sprint(w.end, host, bool2int(provisional[w.end]), false)]++
				}
			}
		}
		got := map[string]int{}
		for key, data := range undisturbed(rt, steps) {
			scanned(rt, key, data, got)
		}
		for row := range got {
			if full := strings.HasSuffix(row, "false"); full && want[row] == 0 && got[row] == 1 {
				delete(got, row) // of a slot that has more rows than a file takes, and is not complete
			}
		}
		if !maps.Equal(got, want) {
			rt.Fatalf("files hold %v, want %v", got, want)
		}
	})
}

func slotEnd(end stream.Time) stream.Time { return (end - 1).Floor(slotSize).Add(slotSize) }

// scanned counts the rows of a file. That files of provisional rows are in nobody's way is what their root is for.
func scanned(t rapid.TB, key, data string, got map[string]int) {
	f, err := columnfile.Open([]byte(data))
	if err != nil {
		t.Fatal(err)
	}
	m, err := columnfile.ReadRollupMeta(f)
	if err != nil || m.Key() != key || m.Provisional != strings.HasPrefix(key, "provisional/") {
		t.Fatalf("%s: metadata %+v, %v", key, m, err)
	}
	provisional := stream.Column{Kind: stream.Bool}
	if err := new(columnfile.Reader).Read(f, 0, columnfile.ColumnProvisional, &provisional); err != nil || (provisional.Ints[0] != 0) != m.Provisional {
		t.Fatalf("%s: provisional %v, %v", key, provisional, err)
	}
	s := scan{query: All()}
	err = s.rollups(f, func(b *stream.Batch) error {
		if !slices.IsSorted(b.Slot) || b.Version != (stream.Version{Step: b.Revision}) {
			t.Fatalf("%s: slots %v, version %v", key, b.Slot, b.Version)
		}
		for i := range b.Len() {
			host := b.Col("host").Text(i)
			if b.Slot[i] != slotOf(host) || b.Col("samples").Ints[i] != int64(b.Window.End)%97 || b.Window.Start != b.Window.End.Add(-windowSize) {
				t.Fatalf("%s: row %d is not what was written", key, i)
			}
			got[fmt.Sprint(b.Window.End, host, b.Revision, m.Provisional)]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRollupsNames(t *testing.T) {
	store := newMemory()
	sink := newRollups(t, store)
	minute := start.Floor(time.Minute)
	write := func(phase stream.Phase, hosts ...string) {
		b := stream.NewBatch(rollupSchema)
		b.Phase, b.Provisional = phase, phase == stream.Closed
		b.Window = stream.Window{Start: minute.Add(20 * time.Second), End: minute.Add(30 * time.Second)}
		for _, h := range hosts {
			appendRollup(b, h, b.Window.End)
		}
		b.SetLen(len(hosts))
		if err := sink.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	const name = "pipeline=host-cpu/output=cpu/date=2026-11-23/hour=04/host-cpu@1f-metrics-3-20261123T045900Z"
	var want []string
	advance := func(mark, record time.Duration, appears ...string) {
		t.Helper()
		if err := sink.Advance(t.Context(), stream.Advance{Mark: minute.Add(mark), RecordMark: minute.Add(record)}); err != nil {
			t.Fatal(err)
		}
		if err := finish(sink, sink.Stage(stream.Epoch{Prefix: "state/x/"}), store, "state/x/"); err != nil {
			t.Fatal(err)
		}
		want = append(want, appears...)
		slices.Sort(want)
		if got := keys(store.visible()); !slices.Equal(got, want) {
			t.Fatalf("%q", got)
		}
	}
	write(stream.Closed, "a", "b")
	advance(59*time.Second, 0)
	advance(60*time.Second, 0, "provisional/"+name+".parquet")
	write(stream.Final, "a", "b", "c", "d", "e", "f", "g")
	advance(76*time.Second, 46*time.Second, "rollups/"+name+".parquet") // seven rows fill a file
	write(stream.Final, "h")
	advance(77*time.Second, 75*time.Second, "rollups/"+name+"-001.parquet")
}

// TestRollupsDropWhatWasReplaced: provisional rows that no file has shown are gone when the final ones come.
func TestRollupsDropWhatWasReplaced(t *testing.T) {
	sink := newRollups(t, newMemory())
	b := stream.NewBatch(rollupSchema)
	b.Window = stream.Window{Start: start, End: start.Add(windowSize)}
	appendRollup(b, "a", start)
	b.SetLen(1)
	for _, b.Phase = range []stream.Phase{stream.Closed, stream.Final} {
		b.Provisional = b.Phase == stream.Closed
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

// TestProvisionalConflict: a task that is begun anew knows other ticks. What it finds stays, and nothing stops.
func TestProvisionalConflict(t *testing.T) {
	store := newMemory()
	for _, hosts := range [][]string{{"a"}, {"a", "b"}} {
		sink := newRollups(t, store)
		b := stream.NewBatch(rollupSchema)
		b.Phase, b.Provisional, b.Window = stream.Closed, true, stream.Window{Start: start, End: start.Add(windowSize)}
		for _, h := range hosts {
			appendRollup(b, h, b.Window.End)
		}
		b.SetLen(len(hosts))
		if err := sink.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if err := sink.Advance(t.Context(), stream.Advance{Mark: start.Add(time.Hour), RecordMark: start}); err != nil {
			t.Fatal(err)
		}
		prefix := fmt.Sprintf("state/%d/", len(hosts))
		if err := finish(sink, sink.Stage(stream.Epoch{Prefix: prefix}), store, prefix); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]int{}
	for key, data := range store.visible() {
		scanned(t, key, data, got)
	}
	if len(got) != 1 {
		t.Fatalf("rows %v, want one", got)
	}
}

func TestRollupsRefuse(t *testing.T) {
	store := newMemory()
	sink := newRollups(t, store)
	b := stream.NewBatch(rollupSchema)
	b.Phase = stream.Revised
	if err := sink.Write(t.Context(), b); err == nil {
		t.Error("revised rows are taken for final ones")
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

// TestRollupsRestoreVersion1: snapshots from before provisional rows are read.
func TestRollupsRestoreVersion1(t *testing.T) {
	w := stream.NewStateWriter()
	w.Section("rollups", 1)
	w.Int(int64(start))
	w.Uint(0) // no full slots
	w.Uint(1) // part
	w.Int(int64(start.Floor(slotSize)))
	for range 3 { // fragment, provisional, closed
		w.Uint(0)
	}
	w.Int(0) // version
	w.Uint(0)
	w.Uint(1) // run
	w.Int(int64(start))
	w.Int(int64(start.Add(windowSize)))
	w.Uint(3)
	w.Uint(1)
	w.Bytes([]byte{1}) // slots
	w.Uint(1)
	w.Text("n")
	w.Uint(uint64(stream.Int))
	w.Bytes(nil)
	w.Ints([]int64{7})
	sink := newRollups(t, newMemory())
	restoreState(t, sink, w.Finish())
	var rows []string
	err := sink.Held(func(b *stream.Batch) error {
		rows = append(rows, fmt.Sprintf("%v %d %d %v", b.Window.End, b.Revision, b.Slot[0], b.Cols[0].Ints))
		return nil
	})
	if want := []string{fmt.Sprintf("%v 3 1 [7]", start.Add(windowSize))}; err != nil || !slices.Equal(rows, want) || sink.parts[0].left != 1 {
		t.Fatalf("restored %q, want %q", rows, want)
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
