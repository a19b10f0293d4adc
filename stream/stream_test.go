package stream_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/stream"
)

// TestDictIsABijection compares with a map.
func TestDictIsABijection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, seen := stream.NewDict(), map[string]uint32{}
		for _, s := range rapid.SliceOfN(rapid.StringN(0, 4, 8), 0, 300).Draw(t, "strings") {
			id := d.ID([]byte(s))
			if want, ok := seen[s]; ok && id != want {
				t.Fatalf("%q has ids %d and %d", s, want, id)
			}
			seen[s] = id
			if d.String(id) != s || string(d.Bytes(id)) != s {
				t.Fatalf("id %d of %q gives %q", id, s, d.String(id))
			}
		}
		if d.Len() != len(seen) {
			t.Fatalf("%d ids for %d strings", d.Len(), len(seen))
		}
		g := d.Generation()
		if d.Reset(); d.Len() != 0 || d.Generation() == g {
			t.Fatal("Reset left something")
		}
	})
}

// TestAppendLaterIsAppendBytes fills a column in both ways. With as many strings as in the second case they are looked up
// together.
func TestAppendLaterIsAppendBytes(t *testing.T) {
	for _, known := range []int{0, 20_000} {
		t.Run(strconv.Itoa(known), func(t *testing.T) { checkAppendLater(t, known) })
	}
}

func checkAppendLater(t *testing.T, known int) {
	schema := &stream.Schema{Fields: []stream.Field{{Name: "s", Kind: stream.String}}}
	now, later := stream.NewBatch(schema), stream.NewBatch(schema)
	for i := range known {
		now.Cols[0].Dict.ID([]byte(strconv.Itoa(i)))
		later.Cols[0].Dict.ID([]byte(strconv.Itoa(i)))
	}
	rapid.Check(t, func(t *rapid.T) {
		now.Reset()
		later.Reset()
		distinct := rapid.SampledFrom([]int{1, 100, 30_000}).Draw(t, "distinct strings")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)) //nolint:gosec // of a test
		row := 0
		for range 2000 {
			switch what := r.IntN(100); {
			case what < 2:
				later.Settle()
			case what < 4:
				row = r.IntN(row + 1)
				now.Truncate(row)
				later.Truncate(row)
			case what < 9:
				now.Cols[0].AppendNull()
				later.Cols[0].AppendNull()
				row++
			default:
				s := strconv.Itoa(r.IntN(distinct))
				now.Cols[0].AppendString(s)
				later.Cols[0].AppendLater([]byte(s))
				row++
			}
			now.SetLen(row)
			later.SetLen(row)
		}
		if rapid.Bool().Draw(t, "settle") { // or what waits is forgotten with the next check
			later.Settle()
			for i := range row {
				if now.Cols[0].Value(i) != later.Cols[0].Value(i) {
					t.Fatalf("row %d of %d is %v, want %v", i, row, later.Cols[0].Value(i), now.Cols[0].Value(i))
				}
			}
		}
		if got, most := later.Cols[0].Dict.Len(), now.Cols[0].Dict.Len(); got > most {
			t.Fatalf("%d strings have a number, there are only %d", got, most)
		}
	})
}

// TestGridNext compares with counting up.
func TestGridNext(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		period := rapid.Int64Range(1, 50).Draw(t, "period")
		phase := rapid.Int64Range(0, 60).Draw(t, "phase")
		at := rapid.Int64Range(-200, 200).Draw(t, "at")
		want := at + 1
		for ((want-phase)%period+period)%period != 0 {
			want++
		}
		g := stream.Grid{Period: time.Duration(period), Phase: time.Duration(phase)}
		if got := g.Next(stream.Time(at)); got != stream.Time(want) {
			t.Fatalf("after %d comes %d, want %d", at, got, want)
		}
	})
	if (stream.Grids{}).Next(0) != stream.MaxTime || (stream.Grid{Period: 1}).Next(stream.NoTime) != stream.MaxTime {
		t.Error("a grid without points, or nothing known, has a next point")
	}
}

// TestVersionHexKeepsTheOrder: receivers compare the text.
func TestVersionHexKeepsTheOrder(t *testing.T) {
	version := rapid.Custom(func(t *rapid.T) stream.Version {
		return stream.Version{Offset: rapid.Int64Range(0, math.MaxInt64).Draw(t, "offset"), Step: rapid.Uint32Range(0, 5).Draw(t, "step")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := version.Draw(t, "a"), version.Draw(t, "b")
		if bytes.Compare([]byte(a.Hex()), []byte(b.Hex())) != a.Compare(b) || len(a.Hex()) != 24 {
			t.Fatalf("%v is %s, %v is %s", a, a.Hex(), b, b.Hex())
		}
	})
}

var allKinds = &stream.Schema{Fields: []stream.Field{
	{Name: "i", Kind: stream.Int}, {Name: "f", Kind: stream.Float}, {Name: "s", Kind: stream.String}, {Name: "b", Kind: stream.Bool},
}}

// row appends one random row and returns its values.
func row(t *rapid.T, b *stream.Batch) string {
	values := []any{
		rapid.Int64Range(-2, 2).Draw(t, "i"), rapid.SampledFrom([]float64{0, 1.5, -1}).Draw(t, "f"),
		rapid.SampledFrom([]string{"", "a", "ab", "b"}).Draw(t, "s"), rapid.Bool().Draw(t, "b"),
	}
	for c := range values {
		if rapid.IntRange(0, 3).Draw(t, "null") == 0 {
			b.Cols[c].AppendNull()
			values[c] = nil
			continue
		}
		switch v := values[c].(type) {
		case int64:
			b.Cols[c].AppendInt(v)
		case float64:
			b.Cols[c].AppendFloat(v)
		case string:
			b.Cols[c].AppendString(v)
		case bool:
			b.Cols[c].AppendBool(v)
		}
	}
	b.Time, b.Offset = append(b.Time, stream.Time(b.Len())), append(b.Offset, int64(b.Len()))
	b.SetLen(b.Len() + 1)
	return fmt.Sprint(values)
}

func text(b *stream.Batch, i int) string {
	values := make([]any, len(b.Cols))
	for c := range b.Cols {
		values[c] = b.Cols[c].Value(i)
	}
	return fmt.Sprint(values)
}

// TestBatchRows: views, copies and truncation show the rows that were appended.
func TestBatchRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := stream.NewBatch(allKinds)
		var want []string
		for range rapid.IntRange(1, 20).Draw(t, "rows") {
			want = append(want, row(t, b))
		}
		lo := rapid.IntRange(0, b.Len()).Draw(t, "lo")
		hi := rapid.IntRange(lo, b.Len()).Draw(t, "hi")
		var view stream.Batch
		b.View(&view, lo, hi)
		same, other := stream.NewBatch(allKinds), stream.NewBatch(allKinds)
		for c := range b.Cols {
			same.Cols[c].Dict = b.Cols[c].Dict
		}
		for i := range view.Len() {
			same.AppendRow(&view, i)
			other.AppendRow(&view, i)
		}
		for i, w := range want[lo:hi] {
			if text(&view, i) != w || text(same, i) != w || text(other, i) != w || view.Offset[i] != int64(lo+i) {
				t.Fatalf("row %d: view %s, copies %s and %s, want %s", i, text(&view, i), text(same, i), text(other, i), w)
			}
		}
		b.Truncate(lo)
		if last := row(t, b); b.Len() != lo+1 || text(b, lo) != last {
			t.Fatalf("after Truncate(%d) the next row is %s, want %s", lo, text(b, lo), last)
		}
	})
}

// TestKeysAreDistinct: two rows have one key if and only if their values are equal.
func TestKeysAreDistinct(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := stream.NewBatch(allKinds)
		var values []string
		for range rapid.IntRange(2, 12).Draw(t, "rows") {
			values = append(values, row(t, b))
		}
		cols := []int{0, 1, 2, 3}
		for i := range values {
			for j := range i {
				a, c := stream.AppendKey(nil, b, cols, i), stream.AppendKey(nil, b, cols, j)
				if bytes.Equal(a, c) != (values[i] == values[j]) {
					t.Fatalf("%s has key %x, %s has key %x", values[i], a, values[j], c)
				}
			}
		}
	})
}

// TestStateRoundTrip writes random sections and reads them in another order.
func TestStateRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringN(1, 6, 12), 1, 5, rapid.ID[string]).Draw(t, "names")
		ints := rapid.SliceOf(rapid.Int64()).Draw(t, "ints")
		floats := rapid.SliceOf(rapid.Float64()).Draw(t, "floats")
		w := stream.NewStateWriter()
		for i, n := range names {
			w.Scope(fmt.Sprint(i, "/"))
			w.Section(n, uint64(i))
			w.Text(n)
			w.Ints(ints)
			w.Floats(floats)
			w.Int(-5)
			w.Bytes(nil)
		}
		r, err := stream.NewStateReader(w.Finish())
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range slices.Backward(names) {
			r.Scope(fmt.Sprint(i, "/"))
			v, ok := r.Section(want)
			name, gotInts, gotFloats, five, none := r.Text(), r.Ints(), r.Floats(), r.Int(), r.Bytes()
			if !ok || v != uint64(i) || name != want || !slices.Equal(gotInts, ints) || five != -5 || len(none) != 0 || r.Err() != nil {
				t.Fatalf("section %s came back as %q %v %d, error %v", want, name, gotInts, five, r.Err())
			}
			if !slices.EqualFunc(gotFloats, floats, func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }) {
				t.Fatalf("floats came back as %v, want %v", gotFloats, floats)
			}
		}
		if _, ok := r.Section("absent"); ok {
			t.Fatal("a section that was not written is there")
		}
	})
}

// FuzzStateReader: damaged snapshots are errors, never panics, and a flipped bit is found.
func FuzzStateReader(f *testing.F) {
	w := stream.NewStateWriter()
	w.Section("a", 1)
	w.Ints([]int64{1, 2, 3})
	w.Section("b", 2)
	w.Text("text")
	good := w.Finish()
	f.Add(good, uint16(9))
	f.Fuzz(func(t *testing.T, data []byte, flip uint16) {
		if r, err := stream.NewStateReader(data); err == nil {
			r.Section("a")
			r.Ints()
			r.Floats()
			r.Text()
			r.Uint()
		}
		bad := slices.Clone(good)
		bad[int(flip/8)%len(bad)] ^= 1 << (flip % 8)
		r, err := stream.NewStateReader(bad)
		if err == nil && string(bad) != string(good) {
			// Names and versions carry no checksum: a section may have become another one, but its body is intact.
			if _, ok := r.Section("a"); ok && !slices.Equal(r.Ints(), []int64{1, 2, 3}) {
				t.Fatalf("the flipped bit %d went unnoticed", flip)
			}
		}
	})
}

func TestLedgerSums(t *testing.T) {
	var l, m stream.Ledger
	l[stream.BucketCounted], m[stream.BucketLate] = 3, 2
	if l.Add(&m); l.Sum() != 5 || l.Map()["late"] != 2 || len(l.Map()) != int(stream.Buckets) {
		t.Errorf("ledger %v", l.Map())
	}
}
