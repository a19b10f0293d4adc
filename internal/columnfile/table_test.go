package columnfile

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/stream"
)

func drawColumn(t *rapid.T, name string, rows int) Column {
	kind := rapid.SampledFrom([]stream.Kind{stream.Int, stream.Float, stream.Bool, stream.String, stream.Timestamp}).Draw(t, name+" kind")
	c := Column{Name: name, Required: rapid.Bool().Draw(t, name+" required"), Column: stream.Column{Kind: kind}}
	if kind == stream.String {
		c.Dict = stream.NewDict()
	}
	nulls := rapid.SampledFrom([]int{0, 0, 1, 5, 10}).Draw(t, name+" nulls of 10")
	distinct := rapid.SampledFrom([]int{1, 3, 20, 100000}).Draw(t, name+" distinct")
	for range rows {
		v := rapid.IntRange(0, distinct).Draw(t, name)
		switch {
		case !c.Required && rapid.IntRange(1, 10).Draw(t, "null") <= nulls:
			c.AppendNull()
		case kind == stream.String:
			c.AppendString([]string{"", "long " + string(bytes.Repeat([]byte("x"), 200)), "ä€"}[v%3] + strconv.Itoa(v))
		case kind == stream.Float:
			c.AppendFloat([]float64{float64(v), -1 / float64(v), math.Inf(1), math.Copysign(0, -1), 0}[v%5])
		case kind == stream.Bool:
			c.AppendInt(int64(v % 2))
		default:
			c.AppendInt([]int64{int64(v), -int64(v), math.MinInt64, math.MaxInt64}[v%4])
		}
	}
	return c
}

func drawTable(t *rapid.T) (*Table, []uint32) {
	rows := rapid.SampledFrom([]int{1, 2, 9, 70}).Draw(t, "rows")
	table := &Table{Meta: []KeyValue{{"b", "2"}, {"a", "1"}}}
	for i := range rapid.IntRange(1, 4).Draw(t, "columns") {
		table.Columns = append(table.Columns, drawColumn(t, fmt.Sprintf("c%d", i), rows))
	}
	order := rapid.SliceOfN(rapid.Uint32Range(0, uint32(rows-1)), 1, rows).Draw(t, "order")
	return table, order
}

func read(t rapid.TB, f *File, name string) *stream.Column {
	t.Helper()
	i := f.Schema().Index(name)
	if i < 0 {
		t.Fatalf("no column %s in %q", name, f.Schema().Names())
	}
	dst := &stream.Column{Kind: f.Schema().Fields[i].Kind, Dict: stream.NewDict()}
	var r Reader
	for g := range f.Groups() {
		if err := r.Read(f, g, name, dst); err != nil {
			t.Fatal(err)
		}
	}
	return dst
}

// wantRows compares what a file holds with the rows that went into it.
func wantRows(t rapid.TB, data []byte, table *Table, rows []uint32) {
	t.Helper()
	f, err := Open(data)
	if err != nil {
		t.Fatal(err)
	}
	if f.Rows() != int64(len(rows)) {
		t.Fatalf("%d rows, want %d", f.Rows(), len(rows))
	}
	for i := range table.Columns {
		c := &table.Columns[i]
		got := read(t, f, c.Name)
		for n, r := range rows {
			want := c.Value(int(at(r, c.Same)))
			if have := got.Value(n); have != want && !bothNaN(have, want) {
				t.Fatalf("column %s (%v, required %v), row %d: %v, want %v", c.Name, c.Kind, c.Required, n, have, want)
			}
		}
	}
}

func bothNaN(a, b any) bool {
	x, ok := a.(float64)
	y, both := b.(float64)
	return ok && both && math.IsNaN(x) && math.IsNaN(y)
}

func TestRoundTrip(t *testing.T) {
	w, err := NewWriter()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		table, rows := drawTable(rt)
		data, err := w.Encode(table, rows)
		if err != nil {
			rt.Fatal(err)
		}
		wantRows(rt, data, table, rows)
		wantBounds(rt, data, table)
		wantTexts(rt, data, table)
		fresh, err := NewWriter()
		if err != nil {
			rt.Fatal(err)
		}
		again, err := fresh.Encode(table, rows)
		if err != nil || !bytes.Equal(data, again) {
			rt.Fatalf("a second writer gives other bytes (%v)", err)
		}
	})
}

// wantTexts compares what ReadTexts gives with the column as it is read otherwise.
func wantTexts(t rapid.TB, data []byte, table *Table) {
	f, err := Open(data)
	if err != nil {
		t.Fatal(err)
	}
	var r Reader
	var texts Texts
	for i := range table.Columns {
		c := &table.Columns[i]
		if c.Kind != stream.String {
			continue
		}
		want := read(t, f, c.Name)
		if err := r.ReadTexts(f, 0, c.Name, &texts); err != nil {
			t.Fatal(err)
		}
		for n := range want.Len() {
			null := len(texts.Null) > 0 && texts.Null[n]
			if null != want.IsNull(n) || !null && string(texts.Text(int(texts.Numbers[n]))) != want.Text(n) {
				t.Fatalf("column %s, row %d: null %v, want %v", c.Name, n, null, want.Value(n))
			}
		}
	}
	if err := r.ReadTexts(f, 0, "none", &texts); err != nil || len(texts.Null) != f.GroupRows(0) {
		t.Fatal(err)
	}
}

func wantBounds(t rapid.TB, data []byte, table *Table) {
	f, err := Open(data)
	if err != nil {
		t.Fatal(err)
	}
	for i := range table.Columns {
		c := &table.Columns[i]
		if c.Kind != stream.Int && c.Kind != stream.Timestamp {
			continue
		}
		got := read(t, f, c.Name)
		var values []int64
		for n, v := range got.Ints {
			if !got.IsNull(n) {
				values = append(values, v)
			}
		}
		low, high, ok := f.Bounds(0, c.Name)
		switch {
		case ok != (len(values) > 0):
			t.Fatalf("column %s: bounds %v with %d values", c.Name, ok, len(values))
		case ok && (low != slices.Min(values) || high != slices.Max(values)):
			t.Fatalf("column %s: bounds %d to %d, want %d to %d", c.Name, low, high, slices.Min(values), slices.Max(values))
		}
	}
}

// TestNumbersOfTheDictionaryDoNotMatter builds the same rows with dictionaries that were filled in another order.
func TestNumbersOfTheDictionaryDoNotMatter(t *testing.T) {
	build := func(before ...string) []byte {
		c := Column{Name: "s", Column: stream.Column{Kind: stream.String, Dict: stream.NewDict()}}
		for _, s := range before {
			c.Dict.ID([]byte(s))
		}
		for i := range 100 {
			c.AppendString([]string{"a", "b", "c"}[i*i%3])
		}
		w, err := NewWriter()
		if err != nil {
			t.Fatal(err)
		}
		data, err := w.Encode(&Table{Columns: []Column{c}}, Order(make([]stream.Time, 100)))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	if !bytes.Equal(build(), build("z", "c", "b")) {
		t.Fatal("the file shows in which order the dictionary was filled")
	}
}

func TestManyGroupsAndPages(t *testing.T) {
	const rows = 2*GroupRows + 777
	unique := Column{Name: "unique", Column: stream.Column{Kind: stream.String, Dict: stream.NewDict()}}
	number := Column{Name: "number", Required: true, Column: stream.Column{Kind: stream.Int}}
	same := Column{Name: "same", Required: true, Same: true, Column: stream.Column{Kind: stream.Int, Ints: []int64{7}}}
	for i := range rows {
		if i%10 == 3 {
			unique.AppendNull()
		} else {
			unique.AppendString(fmt.Sprintf("a text that nothing else shares, number %d", i))
		}
		number.AppendInt(int64(i) * 1000)
	}
	table := &Table{Columns: []Column{unique, number, same}, SortedBy: []string{"number"}, Meta: []KeyValue{{"k", "v"}}}
	w, err := NewWriter()
	if err != nil {
		t.Fatal(err)
	}
	order := Order(make([]stream.Time, rows))
	data, err := w.Encode(table, order)
	if err != nil {
		t.Fatal(err)
	}
	wantRows(t, data, table, order)
	f, err := Open(data)
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := f.Meta("k"); !ok || v != "v" || f.Groups() != 3 || f.GroupRows(2) != 777 {
		t.Fatalf("meta %q, %d groups", v, f.Groups())
	}
	if low, high, ok := f.Bounds(1, "number"); !ok || low != GroupRows*1000 || high != (2*GroupRows-1)*1000 {
		t.Fatal(low, high, ok)
	}
}

func TestInvalidTextIsReplaced(t *testing.T) {
	c := Column{Name: "s", Column: stream.Column{Kind: stream.String, Dict: stream.NewDict()}}
	c.AppendString("a\xffb")
	w, err := NewWriter()
	if err != nil {
		t.Fatal(err)
	}
	data, err := w.Encode(&Table{Columns: []Column{c}}, []uint32{0})
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(data)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, f, "s").Text(0); got != "a\uFFFDb" {
		t.Fatalf("%q", got)
	}
}

func TestEncodeRefuses(t *testing.T) {
	ints := func(n int) stream.Column { return stream.Column{Kind: stream.Int, Ints: make([]int64, n)} }
	for _, table := range []*Table{
		{Columns: []Column{{Name: "a", Column: ints(2)}, {Name: "a", Column: ints(2)}}},
		{Columns: []Column{{Name: "a", Column: ints(1)}}},
		{Columns: []Column{{Name: "a", Column: ints(2)}}, SortedBy: []string{"b"}},
		{Columns: []Column{{Name: "a", Required: true, Column: stream.Column{Kind: stream.Int, Ints: make([]int64, 2), Null: make([]bool, 2)}}}},
		{Columns: []Column{{Name: "a", Same: true, Column: stream.Column{Kind: stream.Int}}}},
	} {
		w, err := NewWriter()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Encode(table, []uint32{0, 1}); err == nil {
			t.Errorf("%+v is accepted", table)
		}
	}
}

func TestOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		span := rapid.SampledFrom([]int64{1, 100, 1 << 20, 1 << 40, math.MaxInt64 / 2}).Draw(rt, "span")
		draw := rapid.Int64Range(-span, span)
		times := rapid.SliceOf(rapid.Custom(func(t *rapid.T) stream.Time { return stream.Time(draw.Draw(t, "t")) })).Draw(rt, "times")
		want := make([]uint32, len(times))
		for i := range want {
			want[i] = uint32(i)
		}
		slices.SortStableFunc(want, func(a, b uint32) int {
			switch {
			case times[a] < times[b]:
				return -1
			case times[a] > times[b]:
				return 1
			}
			return 0
		})
		if got := Order(times); !slices.Equal(got, want) {
			rt.Fatalf("order of %v: %v, want %v", times, got, want)
		}
	})
}

func FuzzOpen(f *testing.F) {
	w, err := NewWriter()
	if err != nil {
		f.Fatal(err)
	}
	c := Column{Name: "s", Column: stream.Column{Kind: stream.String, Dict: stream.NewDict()}}
	for i := range 40 {
		c.AppendString(strconv.Itoa(i % 7))
	}
	n := Column{Name: "n", Required: true, Column: stream.Column{Kind: stream.Int, Ints: make([]int64, 40)}}
	data, err := w.Encode(&Table{Columns: []Column{c, n}, Meta: []KeyValue{{"k", "v"}}}, Order(make([]stream.Time, 40)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)-9])
	f.Add([]byte("PAR1PAR1"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		file, err := Open(data)
		if err != nil {
			return
		}
		var r Reader
		for g := range min(file.Groups(), 3) {
			for _, field := range file.Schema().Fields {
				if file.GroupRows(g) > 1<<20 {
					return // a header may promise more than any test wants to hold
				}
				_ = r.Read(file, g, field.Name, &stream.Column{Kind: field.Kind, Dict: stream.NewDict()})
				_ = r.ReadTexts(file, g, field.Name, new(Texts))
			}
		}
	})
}
