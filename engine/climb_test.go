package engine

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/engine/rekey"
	"github.com/tidewatch/tidewatch/stream"
)

// deed is one thing that a source's partition goes through.
type deed struct {
	record bool // else an idle tick
	mark   stream.Time
	at     stream.Version
}

// drawDeeds is the log of a partition: the progress that records and ticks give, in their order.
func drawDeeds(t *rapid.T) (log []deed) {
	now, at := stream.Time(1000), stream.Version{}
	for range rapid.IntRange(1, 12).Draw(t, "deeds") {
		d := deed{record: rapid.IntRange(0, 2).Draw(t, "kind") > 0}
		if d.record {
			at = stream.Version{Offset: at.Offset + 1, Step: at.Step}
			// A record may be behind a tick.
			now += stream.Time(rapid.Int64Range(0, 40).Draw(t, "step"))
			d.mark = now
		} else {
			at.Step++
			d.mark = now + stream.Time(rapid.Int64Range(1, 90).Draw(t, "ahead"))
			if rapid.Bool().Draw(t, "wakes after it") {
				now = d.mark
			}
		}
		d.at = at
		log = append(log, d)
	}
	return append(log, deed{record: true, mark: 3000, at: stream.Version{Offset: at.Offset + 1, Step: at.Step}})
}

// entriesOf is what the partition's task publishes: its progress with each tick, and now and then between.
func entriesOf(t *rapid.T, log []deed, source int32) (entries [][]byte) {
	mark, record := stream.NoTime, stream.NoTime
	w := &captured{}
	sink := rekey.NewSink(w, source, 3, 1)
	for i, d := range log {
		mark = max(mark, d.mark)
		if d.record {
			record = max(record, d.mark)
		}
		if d.record && i < len(log)-1 && rapid.Bool().Draw(t, "goes on") {
			continue
		}
		receipt, err := sink.Stage(stream.Epoch{At: d.at, Mark: mark, RecordMark: record})(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if err := sink.Reveal(context.Background(), receipt); err != nil {
			t.Fatal(err)
		}
	}
	return w.values
}

type captured struct{ values [][]byte }

func (c *captured) Append(_ context.Context, _ int32, value []byte) error {
	c.values = append(c.values, value)
	return nil
}
func (c *captured) Flush(context.Context) error { return nil }
func (c *captured) Close() error                { return nil }

// witness notes when windows close and when they are final. It holds windows of 10 with a lateness of 25.
type witness struct {
	open, kept []stream.Time // ends
	seen       []string
	marks      func() (mark, record stream.Time) // of the marker
}

func newWitness() *witness {
	w := &witness{}
	for end := stream.Time(1000); end < 3000; end += 10 {
		w.open, w.kept = append(w.open, end), append(w.kept, end)
	}
	return w
}

func (w *witness) Grids() stream.Grids {
	return stream.Grids{{Period: 10}, {Period: 10, Phase: 5}}
}

func (w *witness) Due() stream.Time {
	due := stream.MaxTime
	if len(w.open) > 0 {
		due = w.open[0]
	}
	if len(w.kept) > 0 {
		due = min(due, w.kept[0]+25)
	}
	return due
}

func (w *witness) Process(*stream.Batch, stream.Emitter) error { return nil }

func (w *witness) Advance(to stream.Advance, _ stream.Emitter) error {
	if mark, record := w.marks(); to.Mark > mark || to.RecordMark > record {
		return fmt.Errorf("told of (%d, %d) at (%d, %d)", to.Mark, to.RecordMark, mark, record)
	}
	for len(w.open) > 0 && w.open[0] <= to.Mark {
		w.seen = append(w.seen, fmt.Sprintf("close %d records %d", w.open[0], min(to.RecordMark, w.open[0])))
		w.open = w.open[1:]
	}
	for len(w.kept) > 0 && w.kept[0]+25 <= to.RecordMark {
		w.seen = append(w.seen, fmt.Sprintf("final %d", w.kept[0]))
		w.kept = w.kept[1:]
	}
	return nil
}
func (w *witness) Snapshot(*stream.StateWriter) error { return nil }
func (w *witness) Restore(*stream.StateReader) error  { return nil }

// bystander has nothing due, as an operator without open windows, and must know what has passed all the same.
type bystander struct {
	stream.Operator
	told stream.Advance
}

func (b *bystander) Due() stream.Time { return stream.MaxTime }

func (b *bystander) Advance(to stream.Advance, _ stream.Emitter) error {
	b.told = to
	return nil
}

// climbed runs entries of progress through a lane, in batches of any size.
func climbed(t *rapid.T, entries [][]byte) []string {
	w, other := newWitness(), &bystander{}
	other.Operator = w
	stage := &Stage{
		Name: "merge", Partial: &stream.Schema{},
		NewSteps: func(TaskContext) ([]Step, error) {
			return []Step{{Name: "witness", Operator: w}, {Name: "bystander", Operator: other}}, nil
		},
		NewSinks: func(context.Context, TaskContext) ([]Output, error) { return nil, nil },
	}
	l, err := newLane(context.Background(), stage, TaskContext{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.marks = func() (mark, record stream.Time) { return l.marker.Marks() }
	d := rekey.NewDecoder(stage.Partial)
	b := stream.NewBatch(d.Schema())
	for i, value := range entries {
		if err := d.Decode(&stream.Message{Offset: int64(i), Value: value}, b); err != nil {
			t.Fatal(err)
		}
		if i < len(entries)-1 && rapid.Bool().Draw(t, "same batch") {
			continue
		}
		if err := l.give(&stream.Input{From: l.at.Offset, Next: int64(i + 1), Batch: b}); err != nil {
			t.Fatal(err)
		}
		if _, err := l.run(context.Background(), maxOffset); err != nil {
			t.Fatal(err)
		}
		if mark, record := w.marks(); w.Grids().Next(other.told.Mark) <= mark || w.Grids().Next(other.told.RecordMark) <= record {
			t.Fatalf("the bystander was told of (%d, %d), and the marker is at (%d, %d)", other.told.Mark, other.told.RecordMark, mark, record)
		}
		b.Reset()
		if rapid.IntRange(0, 3).Draw(t, "restart") == 0 {
			l = restarted(t, l, stage)
		}
	}
	return w.seen
}

func restarted(t *rapid.T, l *lane, stage *Stage) *lane {
	state, err := l.snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if l, err = newLane(context.Background(), stage, TaskContext{}, 0); err != nil {
		t.Fatal(err)
	}
	r, err := stream.NewStateReader(state.data)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.restore(r); err != nil {
		t.Fatal(err)
	}
	return l
}

func around(lines []string, i int) []string {
	return lines[min(max(i-2, 0), len(lines)):min(i+4, len(lines))]
}

// TestOneWayUp: a second stage closes and finishes windows in an order that follows from what its sources went through. How
// often each of them published its progress, in which order that was read, and in which batches, changes nothing.
func TestOneWayUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var logs [][]deed
		for range 3 {
			logs = append(logs, drawDeeds(t))
		}
		var first []string
		for run := range 3 {
			var entries [][]byte
			left := make([][][]byte, len(logs))
			for i, log := range logs {
				left[i] = entriesOf(t, log, int32(i))
			}
			for slices.ContainsFunc(left, func(e [][]byte) bool { return len(e) > 0 }) {
				i := rapid.IntRange(0, len(left)-1).Draw(t, "next")
				for len(left[i]) == 0 {
					i = (i + 1) % len(left)
				}
				entries, left[i] = append(entries, left[i][0]), left[i][1:]
			}
			seen := climbed(t, entries)
			if run == 0 {
				first = seen
			}
			for i := range max(len(seen), len(first)) {
				if i >= len(seen) || i >= len(first) || seen[i] != first[i] {
					t.Fatalf("run %d differs from the first at %d of %d and %d: %q, not %q", run, i, len(seen), len(first), around(seen, i), around(first, i))
				}
			}
		}
	})
}
