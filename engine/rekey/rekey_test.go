package rekey

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/stream"
)

var partial = &stream.Schema{Fields: []stream.Field{
	{Name: "host", Kind: stream.String}, {Name: "code", Kind: stream.Int}, {Name: "sum", Kind: stream.Float}, {Name: "n", Kind: stream.Int},
}}

// log is an internal topic in memory.
type log struct{ records [][][]byte }

func (l *log) Append(_ context.Context, p int32, value []byte) error {
	l.records[p] = append(l.records[p], value)
	return nil
}
func (l *log) Flush(context.Context) error { return nil }
func (l *log) Close() error                { return nil }

// draw appends a random row.
func draw(t *rapid.T, b *stream.Batch) {
	for c := range b.Cols {
		if rapid.IntRange(0, 4).Draw(t, "null") == 0 {
			b.Cols[c].AppendNull()
			continue
		}
		switch b.Cols[c].Kind {
		case stream.String:
			b.Cols[c].AppendString(rapid.StringN(0, 5, 10).Draw(t, "text"))
		case stream.Float:
			b.Cols[c].AppendFloat(rapid.Float64().Draw(t, "float"))
		default:
			b.Cols[c].AppendInt(rapid.Int64().Draw(t, "int"))
		}
	}
	b.Slot = append(b.Slot, rapid.Byte().Draw(t, "slot"))
	b.SetLen(b.Len() + 1)
}

// TestPartialsArrive: every row comes out once, in the partition of its slot, with its values and its version.
func TestPartialsArrive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.Int32Range(1, 9).Draw(t, "partitions")
		l := &log{records: make([][][]byte, parts)}
		s := NewSink(l, 3, 8, parts)
		b := stream.NewBatch(partial)
		b.Phase, b.Window, b.Version = stream.Partial, stream.Window{Start: -10, End: 20}, stream.Version{Offset: 77, Step: 2}
		b.AfterClose = rapid.Bool().Draw(t, "after close")
		var want []string
		for range rapid.IntRange(1, 30).Draw(t, "rows") {
			draw(t, b)
			i := b.Len() - 1
			want = append(want, fmt.Sprint(PartitionOf(b.Slot[i], parts), values(b, i, 0), 3, 77, 2, -10, 20, b.AfterClose))
		}
		if err := s.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		var got []string
		for p, records := range l.records {
			d := NewDecoder(partial)
			out := stream.NewBatch(d.Schema())
			for o, value := range records {
				if err := d.Decode(&stream.Message{Offset: int64(o), Value: value}, out); err != nil {
					t.Fatal(err)
				}
			}
			for i := range out.Len() {
				v := func(c int) any { return out.Cols[c].Value(i) }
				got = append(got, fmt.Sprint(p, values(out, i, stream.EntryColumns), v(stream.EntrySource), v(stream.EntryOffset), v(stream.EntryStep),
					out.Cols[stream.EntryStart].Ints[i], out.Cols[stream.EntryEnd].Ints[i], v(stream.EntryAfterClose)))
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("came out:\n%q\nwant\n%q", got, want)
		}
	})
}

func values(b *stream.Batch, i, from int) string {
	var all []any
	for c := from; c < len(b.Cols); c++ {
		all = append(all, b.Cols[c].Value(i))
	}
	return fmt.Sprint(all)
}

// TestMarkerIsTheLowestOfItsSources compares with a map, under repeats and old marks, and stops at every crossing.
func TestMarkerIsTheLowestOfItsSources(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sources := rapid.Int32Range(1, 4).Draw(t, "sources")
		d := NewDecoder(partial)
		b := stream.NewBatch(d.Schema())
		newest := map[int32]stream.Time{}
		m := NewMarker()
		for o := range rapid.IntRange(1, 40).Draw(t, "marks") {
			p := progress{Source: rapid.Int32Range(0, sources-1).Draw(t, "source"), Offset: int64(o), Mark: stream.Time(rapid.Int64Range(0, 100).Draw(t, "mark"))}
			p.RecordMark = p.Mark - 5
			if p.Source == 0 {
				p.Sources = sources
			}
			b.Reset()
			if err := d.Decode(&stream.Message{Offset: int64(o), Value: appendMark(nil, &p)}, b); err != nil {
				t.Fatal(err)
			}
			m.Fold(b, 0, stream.MaxTime, stream.MaxTime)
			newest[p.Source] = max(newest[p.Source], p.Mark)
			want := stream.NoTime
			if len(newest) == int(sources) {
				want = stream.MaxTime
				for _, x := range newest {
					want = min(want, x)
				}
			}
			mark, record := m.Marks()
			if mark != want || want != stream.NoTime && record != want-5 {
				t.Fatalf("marks %v and %v, want %v", mark, record, want)
			}
		}
		w := stream.NewStateWriter()
		if err := m.Snapshot(w); err != nil {
			t.Fatal(err)
		}
		r, err := stream.NewStateReader(w.Finish())
		if err != nil {
			t.Fatal(err)
		}
		n := NewMarker()
		if err := n.Restore(r); err != nil || n.mark != m.mark || n.record != m.record || !slices.Equal(n.known, m.known) {
			t.Fatalf("restored %+v of %+v: %v", n, m, err)
		}
	})
}

// FuzzDecode: a damaged record is an error that leaves the batch as it was.
func FuzzDecode(f *testing.F) {
	b := stream.NewBatch(partial)
	b.Cols[0].AppendString("web")
	b.Cols[1].AppendNull()
	b.Cols[2].AppendFloat(1.5)
	b.Cols[3].AppendInt(-3)
	f.Add(appendPartials(nil, 1, b, []int32{0}))
	f.Add(appendMark(nil, &progress{Source: 2, Mark: 5, RecordMark: stream.NoTime}))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := NewDecoder(partial)
		out := stream.NewBatch(d.Schema())
		err := d.Decode(&stream.Message{Value: data}, out)
		for c := range out.Cols {
			if n := out.Cols[c].Len(); n != out.Len() {
				t.Fatalf("column %d has %d values for %d rows (error %v)", c, n, out.Len(), err)
			}
		}
		if err != nil && out.Len() != 0 {
			t.Fatalf("%d rows with an error", out.Len())
		}
	})
}
