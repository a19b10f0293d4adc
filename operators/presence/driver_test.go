package presence_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/stream"
)

// The tests play what a window emits: closed rows, then revised ones, both by window, and the progress at their ends.

const (
	second = stream.Time(time.Second)
	every  = 10 * second
	epoch  = 1000 * second // end of the first window
)

var rollup = &stream.Schema{Fields: []stream.Field{
	{Name: "user", Kind: stream.String},
	{Name: "port", Kind: stream.Int},
	{Name: "n", Kind: stream.Int},
	{Name: "_partition", Kind: stream.Int},
	{Name: "_first", Kind: stream.Int},
	{Name: "_first_time", Kind: stream.Timestamp},
	{Name: "_last", Kind: stream.Int},
	{Name: "_last_time", Kind: stream.Timestamp},
}}

var by = []string{"user", "port"}

// group is a user and a port; the port 0 is null.
type group struct{ user, port int }

func (g group) String() string { return fmt.Sprintf("%d/%d", g.user, g.port) }

// step is rows of one window, or progress.
type step struct {
	phase   stream.Phase
	end     stream.Time
	groups  []group
	advance stream.Time // not 0: progress
	record  stream.Time
}

// drawSteps draws windows in order; each may be revised later, and is final after it.
func drawSteps(t *rapid.T) (steps []step) {
	type open struct {
		end    stream.Time
		groups []group
	}
	var held []open
	end := epoch
	for range rapid.IntRange(1, 30).Draw(t, "windows") {
		end += every * stream.Time(rapid.SampledFrom([]int{1, 1, 1, 1, 2, 9}).Draw(t, "gap"))
		w := open{end: end, groups: drawGroups(t)}
		if len(w.groups) > 0 {
			steps = append(steps, step{phase: stream.Closed, end: end, groups: w.groups})
		}
		held = append(held, w)
		record := end - every*stream.Time(rapid.IntRange(0, 3).Draw(t, "behind"))
		for len(held) > 0 && held[0].end+lateness <= record {
			all := slices.Clone(held[0].groups)
			if rapid.IntRange(0, 2).Draw(t, "is revised") == 0 {
				for _, g := range drawGroups(t) {
					if !slices.Contains(all, g) {
						all = append(all, g)
					}
				}
				if len(all) > 0 {
					steps = append(steps, step{phase: stream.Revised, end: held[0].end, groups: all})
				}
			}
			if len(all) > 0 {
				steps = append(steps, step{phase: stream.Final, end: held[0].end, groups: all})
			}
			held = held[1:]
		}
		steps = append(steps, step{advance: end, record: record})
	}
	return steps
}

const lateness = 2 * every

func drawGroups(t *rapid.T) []group {
	return rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) group {
		return group{rapid.IntRange(0, 3).Draw(t, "user"), rapid.IntRange(0, 1).Draw(t, "port")}
	}), 0, 5, func(g group) group { return g }).Draw(t, "groups")
}

func batchOf(s *step, groups []group) *stream.Batch {
	b := stream.NewBatch(rollup)
	b.Phase, b.Window = s.phase, stream.Window{Start: s.end - every, End: s.end}
	for _, g := range groups {
		b.Cols[0].AppendString(fmt.Sprintf("u%d", g.user))
		if g.port == 0 {
			b.Cols[1].AppendNull()
		} else {
			b.Cols[1].AppendInt(int64(g.port))
		}
		b.Cols[2].AppendInt(1)
		for c := 3; c < len(b.Cols); c++ {
			b.Cols[c].AppendInt(int64(s.end) + int64(c))
		}
		b.Slot = append(b.Slot, uint8(g.user))
		b.SetLen(b.Len() + 1)
	}
	return b
}

// run plays the steps. With t it cuts batches and moves the state into a fresh operator at random.
func run(t *rapid.T, vary bool, fresh func() stream.Operator, steps []step) (lines []string) {
	op := fresh()
	out := &transcript{lines: &lines}
	for i := range steps {
		s := &steps[i]
		if s.advance != 0 {
			out.version++
			to := stream.Advance{Mark: s.advance, RecordMark: s.record, At: stream.Version{Offset: out.version}}
			if err := op.Advance(to, out); err != nil {
				t.Fatal(err)
			}
		}
		for rest := s.groups; len(rest) > 0; {
			n := len(rest)
			if vary {
				n = rapid.IntRange(1, n).Draw(t, "cut")
			}
			if err := op.Process(batchOf(s, rest[:n]), out); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if vary && rapid.IntRange(0, 4).Draw(t, "restore") == 0 {
			op = moved(t, op, fresh())
		}
	}
	return lines
}

func snapshot(t interface{ Fatal(...any) }, op stream.Operator) []byte {
	w := stream.NewStateWriter()
	if err := op.Snapshot(w); err != nil {
		t.Fatal(err)
	}
	return w.Finish()
}

// moved restores the state of one operator into another, and checks that its snapshot is the same.
func moved(t interface{ Fatal(...any) }, from, to stream.Operator) stream.Operator {
	state := snapshot(t, from)
	r, err := stream.NewStateReader(state)
	if err != nil {
		t.Fatal(err)
	}
	if err := to.Restore(r); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(snapshot(t, to), state) {
		t.Fatal("the snapshot of the restored operator differs")
	}
	return to
}

// transcript writes what an operator emits, row by row.
type transcript struct {
	lines   *[]string
	version int64
}

func (tr *transcript) Emit(b *stream.Batch) error {
	for i := range b.Len() {
		line := fmt.Sprintf("%s %d", b.Phase, b.Window.End/second)
		for c := range b.Cols {
			line += fmt.Sprint(" ", b.Cols[c].Value(i))
		}
		*tr.lines = append(*tr.lines, line)
	}
	return nil
}

func (tr *transcript) Decide(stream.Decision) error { return nil }

func (*transcript) Wants(stream.Phase) bool { return true }

func (tr *transcript) Count(stream.Bucket, int64) {}

// fuzzRestore feeds bytes to Restore: it must refuse or accept them, and what it accepts must work.
func fuzzRestore(f *testing.F, fresh func() stream.Operator) {
	for _, n := range []int{0, 1, 4} {
		op := fresh()
		if n > 0 {
			s := &step{phase: stream.Closed, end: epoch, groups: []group{{0, 0}, {1, 1}, {2, 0}, {3, 1}}[:n]}
			if err := op.Process(batchOf(s, s.groups), &transcript{lines: &[]string{}}); err != nil {
				f.Fatal(err)
			}
		}
		f.Add(snapshot(f, op))
	}
	f.Fuzz(func(t *testing.T, state []byte) {
		r, err := stream.NewStateReader(state)
		if err != nil {
			return
		}
		op := fresh()
		if op.Restore(r) != nil {
			return
		}
		s := &step{phase: stream.Closed, end: epoch + every, groups: []group{{0, 0}, {5, 1}}}
		if err := op.Process(batchOf(s, s.groups), &transcript{lines: &[]string{}}); err != nil {
			t.Fatal(err)
		}
		snapshot(t, op)
	})
}
