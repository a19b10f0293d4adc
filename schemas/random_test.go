package schemas

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/stream"
)

// writer writes random JSON in any of its ways: space, escapes, order, repeated keys.
type writer struct{ t *rapid.T }

func (w writer) space() string {
	return rapid.SampledFrom([]string{"", "", "", " ", "\n\t", "\r  "}).Draw(w.t, "space")
}

// text writes a string, each rune plainly or escaped.
func (w writer) text(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r > 0xffff || r >= ' ' && r != '"' && r != '\\' && rapid.IntRange(0, 9).Draw(w.t, "escape") > 0:
			b.WriteRune(r)
		case rapid.Bool().Draw(w.t, "upper"):
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String() + `"`
}

func (w writer) object(keys []string, value func(key string) string) string {
	var members []string
	for _, k := range keys {
		members = append(members, w.space()+w.text(k)+w.space()+":"+w.space()+value(k)+w.space())
	}
	return "{" + strings.Join(members, ",") + "}"
}

func (w writer) value(depth int) string {
	kinds := 7
	if depth == 0 {
		kinds = 5
	}
	switch rapid.IntRange(0, kinds-1).Draw(w.t, "kind") {
	case 0:
		return w.text(rapid.String().Draw(w.t, "string"))
	case 1:
		return w.number()
	case 2:
		return "null"
	case 3:
		return rapid.SampledFrom([]string{"true", "false"}).Draw(w.t, "bool")
	case 4:
		return w.text(rapid.SampledFrom([]string{"eu-west-1", "200", "a b", ""}).Draw(w.t, "word"))
	case 5:
		var parts []string
		for range rapid.IntRange(0, 3).Draw(w.t, "elements") {
			parts = append(parts, w.space()+w.value(depth-1)+w.space())
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	keys := rapid.SliceOfN(rapid.StringMatching(`[a-d]?`), 0, 3).Draw(w.t, "keys")
	return w.object(keys, func(string) string { return w.value(depth - 1) })
}

func (w writer) number() string {
	return rapid.OneOf(
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?`),
		rapid.Map(rapid.Float64(), func(f float64) string { return strings.ReplaceAll(fmt.Sprint(f), "+Inf", "1") }),
		rapid.Map(rapid.Int64(), func(i int64) string { return fmt.Sprint(i) }),
	).Draw(w.t, "number")
}

// event writes an event whose fields mostly have values of their kind.
func (w writer) event(def *Definition) string {
	names := append(def.Names(), "a", "x", "é")
	keys := append(rapid.SliceOfN(rapid.SampledFrom(names), 0, 12).Draw(w.t, "fields"), "time", "name")
	keys = rapid.Permutation(keys).Draw(w.t, "order")
	return w.space() + w.object(keys, func(key string) string {
		f, known := def.Field(key)
		switch {
		case !known || rapid.IntRange(0, 30).Draw(w.t, "odd") == 0:
			return w.value(2)
		case key == AttributesField:
			inner := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "x", "host", "b", "é", ""}), 0, 6).Draw(w.t, "attributes")
			return w.object(inner, func(string) string { return w.value(2) })
		case f.Kind == stream.Timestamp:
			return rapid.SampledFrom([]string{"1795409200", "1795409200250", `"2026-11-23T05:00:00.5+01:00"`, "1795409200.000000001", `"1795409200.5"`, w.number()}).Draw(w.t, "time")
		case f.Kind == stream.Int:
			return fmt.Sprint(rapid.Int64().Draw(w.t, "int"))
		case f.Kind == stream.Float:
			return w.number()
		case f.Kind == stream.Bool:
			return rapid.SampledFrom([]string{"true", "false", "null"}).Draw(w.t, "bool")
		}
		return w.text(rapid.String().Draw(w.t, "text"))
	}) + w.space()
}

// TestReadsEveryWayOfWriting compares with the oracle, for random projections, in one batch without a fresh start between
// the records.
func TestReadsEveryWayOfWriting(t *testing.T) {
	def := everything(t)
	columns := append(def.Names(), "attributes.a", "attributes.x", "attributes.host", "attributes.é")
	rapid.Check(t, func(t *rapid.T) {
		fields := rapid.SliceOfDistinct(rapid.SampledFrom(columns), func(s string) string { return s }).Draw(t, "columns")
		d, err := NewJSON(def, fields, DefaultOptions())
		if err != nil {
			t.Fatal(err)
		}
		b := stream.NewBatch(d.Schema())
		for i := range rapid.IntRange(1, 4).Draw(t, "records") {
			text := []byte(writer{t}.event(def))
			want := oracleJSON(def, fields, text)
			err := d.Decode(&stream.Message{Offset: int64(i), Timestamp: now, Value: text}, b)
			if got := lastRow(b, err); !got.equal(want) {
				t.Fatalf("%s\ngot  %v\nwant %v", text, got, want)
			}
		}
	})
}

// lastRow is the verdict that ended with err or a new row.
func lastRow(b *stream.Batch, err error) verdict {
	if err != nil {
		return verdict{code: CodeOf(err)}
	}
	i := b.Len() - 1
	v := verdict{time: b.Time[i], producer: b.Producer[i], row: map[string]any{}}
	for c, f := range b.Schema.Fields {
		v.row[f.Name] = b.Cols[c].Value(i)
	}
	return v
}

func TestReadsWhatAppendJSONWrites(t *testing.T) {
	def := everything(t)
	d := jsonOf(t, def, def.Names())
	rapid.Check(t, func(t *rapid.T) {
		b := stream.NewBatch(d.Schema())
		if d.Decode(&stream.Message{Timestamp: now, Value: []byte(writer{t}.event(def))}, b) != nil {
			return
		}
		text := AppendJSON([]byte("kept "), b, 0)[len("kept "):]
		err := d.Decode(&stream.Message{Timestamp: now, Value: text}, b)
		if err != nil || show(b, 0) != show(b, 1) || b.Producer[0] != b.Producer[1] {
			t.Fatalf("%s\ngave %s (%v)", show(b, 0), text, err)
		}
	})
}
