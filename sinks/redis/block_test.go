package redis

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/stream"
)

// everyKind has a column of each kind.
var everyKind = &stream.Schema{Fields: []stream.Field{
	{Name: "tenant", Kind: stream.String},
	{Name: "code", Kind: stream.Int},
	{Name: "avg", Kind: stream.Float},
	{Name: "ok", Kind: stream.Bool},
	{Name: "seen", Kind: stream.Timestamp},
	{Name: "note", Kind: stream.String},
}}

// drawBatch makes rows with nulls, decimals and everything that floats can be.
func drawBatch(t *rapid.T, s *stream.Schema) *stream.Batch {
	b := stream.NewBatch(s)
	n := rapid.IntRange(0, 40).Draw(t, "rows")
	for i := range b.Cols {
		c := &b.Cols[i]
		nulls, decimals := rapid.Bool().Draw(t, "nulls"), rapid.Bool().Draw(t, "decimals")
		for range n {
			switch {
			case nulls && rapid.Bool().Draw(t, "null"):
				c.AppendNull()
			case c.Kind == stream.String:
				c.AppendString(rapid.SampledFrom([]string{"", "host-1", "host-12", "host-2", "\x00\xff", "ümlaut"}).Draw(t, "text"))
			case c.Kind == stream.Float && decimals:
				c.AppendFloat(float64(rapid.IntRange(-1e6, 1e6).Draw(t, "m")) / 1000)
			case c.Kind == stream.Float:
				c.AppendFloat(math.Float64frombits(rapid.Uint64().Draw(t, "bits")))
			case c.Kind == stream.Bool:
				c.AppendBool(rapid.Bool().Draw(t, "bool"))
			default:
				c.AppendInt(rapid.Int64().Draw(t, "int"))
			}
		}
	}
	b.SetLen(n)
	b.Version = stream.Version{Offset: rapid.Int64Min(0).Draw(t, "offset"), Step: rapid.Uint32().Draw(t, "step")}
	b.Window = stream.Window{Start: 1000, End: 1000 + stream.Time(rapid.Int64Range(0, 1<<50).Draw(t, "span"))}
	return b
}

func TestUnpackReversesPack(t *testing.T) {
	var p packer // kept, as in a sink
	var r rows
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t, everyKind)
		hi := b.Len()
		lo := rapid.IntRange(0, hi).Draw(t, "lo")
		if err := r.unpack(p.pack(b, lo, hi)); err != nil {
			t.Fatal(err)
		}
		if r.version != b.Version || r.span != b.Window.End.Sub(b.Window.Start) || r.n != hi-lo || len(r.columns) != len(b.Cols) || r.tombstone {
			t.Fatalf("head: %+v", r)
		}
		for c := range b.Cols {
			for i := range r.n {
				if got, want := valueOf(&r.columns[c], i), valueIn(&b.Cols[c], lo+i); got != want {
					t.Fatalf("column %d row %d: %v, want %v", c, i, got, want)
				}
			}
		}
	})
}

// valueOf and valueIn print a value to the bit.
func valueOf(v *values, i int) string {
	switch {
	case v.isNull(i):
		return "null"
	case v.kind == stream.Float:
		return fmt.Sprintf("%v %x", v.kind, math.Float64bits(v.floats[i]))
	case v.kind == stream.String:
		return fmt.Sprintf("%v %q", v.kind, v.textOf(i))
	}
	return fmt.Sprintf("%v %d", v.kind, v.ints[i])
}

func valueIn(c *stream.Column, i int) string {
	switch {
	case c.IsNull(i):
		return "null"
	case c.Kind == stream.Float:
		return fmt.Sprintf("%v %x", c.Kind, math.Float64bits(c.Floats[i]))
	case c.Kind == stream.String:
		return fmt.Sprintf("%v %q", c.Kind, c.Text(i))
	}
	return fmt.Sprintf("%v %d", c.Kind, c.Ints[i])
}

func TestOrderOfVersionBytes(t *testing.T) {
	version := rapid.Custom(func(t *rapid.T) stream.Version {
		small := rapid.Int64Range(0, 3)
		return stream.Version{Offset: rapid.OneOf(small, rapid.Int64Min(0)).Draw(t, "offset"), Step: uint32(small.Draw(t, "step"))}
	})
	rapid.Check(t, func(t *rapid.T) {
		v, w := version.Draw(t, "v"), version.Draw(t, "w")
		a, b := string(appendVersion(nil, v)), string(appendVersion(nil, w))
		if (a < b) != (v.Compare(w) < 0) || versionOf([]byte(a)) != v {
			t.Fatal(v, w)
		}
	})
}

// A block of many alike rows is compressed, and what does not shrink is left alone.
func TestCompressionWhereItPays(t *testing.T) {
	s := &stream.Schema{Fields: []stream.Field{{Name: "x", Kind: stream.Float}}}
	for _, alike := range []bool{true, false} {
		b := stream.NewBatch(s)
		for i := range 1000 {
			v := math.Pi
			if !alike {
				v = math.Sin(float64(i) * 1e9)
			}
			b.Cols[0].AppendFloat(v)
		}
		b.SetLen(1000)
		var p packer
		block := p.pack(b, 0, 1000)
		if compressed := block[versionSize]&formCompressed != 0; compressed != alike || alike == (len(block) > 8000) {
			t.Errorf("alike=%v: compressed=%v, %d bytes", alike, compressed, len(block))
		}
		var r rows
		if err := r.unpack(block); err != nil || r.n != 1000 || r.columns[0].floats[999] != b.Cols[0].Floats[999] {
			t.Error(err)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	var p packer
	b := hostBatch(0, 100, 0)
	f.Add(append([]byte{}, p.pack(b, 0, 100)...))
	f.Add(append([]byte{}, p.pack(b, 0, 3)...))
	f.Add(append(make([]byte, versionSize), formTombstone|formRows))
	f.Fuzz(func(t *testing.T, block []byte) {
		var r rows
		if r.unpack(block) != nil {
			return
		}
		for c := range r.columns {
			for i := range r.n {
				valueOf(&r.columns[c], i)
			}
		}
	})
}

// hostBatch is a rollup by tenant and host: rows of n hosts from lo on, in slot order.
func hostBatch(lo, n int, offset int64) *stream.Batch {
	s := &stream.Schema{Fields: []stream.Field{
		{Name: "tenant", Kind: stream.String},
		{Name: "host", Kind: stream.String},
		{Name: "samples", Kind: stream.Int},
		{Name: "sum", Kind: stream.Float},
		{Name: "min", Kind: stream.Float},
		{Name: "max", Kind: stream.Float},
	}}
	all := stream.NewBatch(s)
	for i := lo; i < lo+n; i++ {
		all.Cols[0].AppendString(fmt.Sprintf("t%d", i%10))
		all.Cols[1].AppendString(fmt.Sprintf("host-%05d", i))
		all.Cols[2].AppendInt(int64(40 + i%7))
		sum := 0.0
		for k := range 5 {
			sum += math.Round(math.Mod(float64(i*k)*math.Pi, 1)*1000) / 1000
		}
		all.Cols[3].AppendFloat(sum)
		all.Cols[4].AppendFloat(float64(i%1000) / 1000)
		all.Cols[5].AppendFloat(float64(i%1000)/1000 + 0.5)
	}
	all.SetLen(n)
	return bySlot(all, 2, stream.Window{Start: stream.Time(10 * time.Second), End: stream.Time(20 * time.Second)}, stream.Version{Offset: offset})
}

// bySlot sorts the rows by the slot of their group, as windows emit them.
func bySlot(all *stream.Batch, groups int, w stream.Window, v stream.Version) *stream.Batch {
	b := stream.NewBatch(all.Schema)
	by := make([][]int, stream.Slots)
	cols := make([]int, groups)
	for i := range cols {
		cols[i] = i
	}
	for i := range all.Len() {
		slot := stream.SlotOf(stream.AppendKey(nil, all, cols, i))
		by[slot] = append(by[slot], i)
	}
	for slot, members := range by {
		for _, i := range members {
			b.AppendRow(all, i)
			b.Slot = append(b.Slot, uint8(slot))
		}
	}
	b.Phase, b.Window, b.Version = stream.Live, w, v
	return b
}

func BenchmarkPack(b *testing.B) {
	batch := hostBatch(0, 5000, 0)
	var p packer
	bytes := 0
	for b.Loop() {
		bytes = 0
		for lo := 0; lo < batch.Len(); {
			hi := slotEnd(batch, lo)
			bytes += len(p.pack(batch, lo, hi))
			lo = hi
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/5000, "ns/row")
	b.ReportMetric(float64(bytes)/5000, "B/row")
}

func BenchmarkUnpack(b *testing.B) {
	batch := hostBatch(0, 20, 0)
	var p packer
	block := p.pack(batch, 0, 20)
	var r rows
	for b.Loop() {
		if err := r.unpack(block); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/20, "ns/row")
}
