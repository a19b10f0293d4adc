package shape

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/internal/expression"
	"github.com/tidewatch/tidewatch/stream"
)

func field(name string, kind stream.Kind) stream.Field { return stream.Field{Name: name, Kind: kind} }

func eventSchema() *stream.Schema {
	return &stream.Schema{Fields: []stream.Field{
		field("name", stream.String), field("host", stream.String), field("value", stream.Float), field("n", stream.Int), field("ok", stream.Bool),
	}}
}

// collector keeps a copy of what an operator emits.
type collector struct {
	rows    []string // every row with all that belongs to it
	batches int
	counts  stream.Ledger
	last    *stream.Batch
}

func (c *collector) Emit(b *stream.Batch) error {
	c.batches++
	c.last = b
	for i := range b.Len() {
		c.rows = append(c.rows, rowText(b, i))
	}
	return nil
}

func (c *collector) Decide(stream.Decision) error { return errors.New("unexpected decision") }

func (*collector) Wants(stream.Phase) bool { return true }

func (c *collector) Count(bucket stream.Bucket, n int64) { c.counts[bucket] += n }

func rowText(b *stream.Batch, i int) string {
	s := fmt.Sprint(b.Phase)
	for c := range b.Cols {
		s += fmt.Sprintf(" %s=%v", b.Schema.Fields[c].Name, b.Cols[c].Value(i))
	}
	if len(b.Time) > 0 {
		s += fmt.Sprint(" | ", b.Time[i], b.Mark[i], b.Offset[i], b.Producer[i], b.Timestamp[i], b.Bytes[i])
	}
	if len(b.Slot) > 0 {
		s += fmt.Sprint(" | ", b.Slot[i], b.Window, b.Version, b.Provisional, b.Revision)
	}
	return s
}

func appendEvent(b *stream.Batch, i int, name string, value float64, null bool) {
	if null {
		for c := range b.Cols {
			b.Cols[c].AppendNull()
		}
	} else {
		b.Cols[0].AppendString(name)
		b.Cols[1].AppendString("host-" + strconv.Itoa(i%3))
		b.Cols[2].AppendFloat(value)
		b.Cols[3].AppendInt(int64(i))
		b.Cols[4].AppendBool(i%2 == 0)
	}
	at := stream.Time(i)
	b.Time, b.Mark, b.Offset = append(b.Time, at), append(b.Mark, at-1), append(b.Offset, int64(i))
	b.Producer, b.Timestamp, b.Bytes = append(b.Producer, uint64(i)), append(b.Timestamp, at+1), append(b.Bytes, 250)
	b.SetLen(b.Len() + 1)
}

func drawEvents(t *rapid.T) *stream.Batch {
	b := stream.NewBatch(eventSchema())
	for i := range rapid.IntRange(0, 30).Draw(t, "events") {
		name := rapid.SampledFrom([]string{"cpu", "mem", "disk"}).Draw(t, "name")
		appendEvent(b, i, name, rapid.Float64Range(0, 1).Draw(t, "value"), rapid.IntRange(0, 4).Draw(t, "null") == 0)
	}
	return b
}

// asWindow makes the batch one of a window.
func asWindow(b *stream.Batch, phase stream.Phase) {
	b.Phase = phase
	b.Time, b.Mark, b.Offset, b.Producer, b.Timestamp, b.Bytes = nil, nil, nil, nil, nil, nil
	for i := range b.Len() {
		b.Slot = append(b.Slot, uint8(i/2))
	}
	b.Window, b.Version = stream.Window{Start: 10, End: 20}, stream.Version{Offset: 7, Step: 1}
	b.Provisional, b.Revision = true, 3
}

// conditions with what they mean, row by row.
var conditions = []struct {
	src   string
	holds func(name any, value any, ok any) bool
}{
	{`name == "cpu"`, func(name, _, _ any) bool { return name == "cpu" }},
	{`name != "cpu" and value > 0.5`, func(name, value, _ any) bool {
		return name != nil && name != "cpu" && value.(float64) > 0.5
	}},
	{`ok`, func(_, _, ok any) bool { return ok == true }},
	{`value == nil`, func(_, value, _ any) bool { return value == nil }},
	{`true`, func(_, _, _ any) bool { return true }},
	{`false`, func(_, _, _ any) bool { return false }},
	{`len(name) > 3`, func(name, _, _ any) bool { return name == "disk" }},
}

func TestFilterEqualsTheOracle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b, c := drawEvents(t), rapid.SampledFrom(conditions).Draw(t, "condition")
		phase := rapid.SampledFrom([]stream.Phase{stream.Event, stream.Live, stream.Closed, stream.Revised, stream.Final}).Draw(t, "phase")
		if phase != stream.Event {
			asWindow(b, phase)
		}
		f, err := NewFilter(c.src, b.Schema)
		if err != nil {
			t.Fatal(err)
		}
		got := &collector{}
		for _, part := range cuts(t, b) {
			if err := f.Process(part, got); err != nil {
				t.Fatal(err)
			}
		}
		var want []string
		for i := range b.Len() {
			if c.holds(b.Cols[0].Value(i), b.Cols[2].Value(i), b.Cols[4].Value(i)) {
				want = append(want, rowText(b, i))
			}
		}
		if !reflect.DeepEqual(got.rows, want) {
			t.Fatalf("%s:\n%q, want\n%q", c.src, got.rows, want)
		}
		filtered := int64(0)
		if phase == stream.Event {
			filtered = int64(b.Len() - len(want))
		}
		if got.counts[stream.BucketFiltered] != filtered || got.counts.Sum() != filtered {
			t.Fatalf("%s: counted %v, want %d filtered", c.src, got.counts.Map(), filtered)
		}
	})
}

// cuts divides the batch at random borders.
func cuts(t *rapid.T, b *stream.Batch) []*stream.Batch {
	var parts []*stream.Batch
	for lo := 0; lo < b.Len(); {
		hi := rapid.IntRange(lo+1, b.Len()).Draw(t, "border")
		part := &stream.Batch{}
		b.View(part, lo, hi)
		parts, lo = append(parts, part), hi
	}
	return parts
}

func TestProjectEqualsTheOracle(t *testing.T) {
	t.Parallel()
	columns := []Column{
		{"who", "host"}, {"percent", "value * 100"}, {"label", `ok ? name : "none"`}, {"big", "n > 3 and value > 0.5"}, {"name", " name "},
	}
	rapid.Check(t, func(t *rapid.T) {
		b := drawEvents(t)
		if rapid.Bool().Draw(t, "window") {
			asWindow(b, stream.Closed)
		}
		p, err := NewProject(columns, b.Schema)
		if err != nil {
			t.Fatal(err)
		}
		want := *b
		want.Schema, want.Cols = p.Schema(), stream.NewBatch(p.Schema()).Cols
		for i := range b.Len() {
			projectRow(&want, b, i)
		}
		got := &collector{}
		for _, part := range cuts(t, b) {
			if err := p.Process(part, got); err != nil {
				t.Fatal(err)
			}
		}
		for i := range b.Len() {
			if text := rowText(&want, i); got.rows[i] != text {
				t.Fatalf("row %d:\n%s, want\n%s", i, got.rows[i], text)
			}
		}
		if len(got.rows) != b.Len() {
			t.Fatalf("%d rows of %d", len(got.rows), b.Len())
		}
	})
}

func projectRow(want, b *stream.Batch, i int) {
	want.Cols[0].AppendFrom(&b.Cols[1], i)
	value, isValue := b.Cols[2].Value(i).(float64)
	n, _ := b.Cols[3].Value(i).(int64)
	if isValue {
		want.Cols[1].AppendFloat(value * 100)
	} else {
		want.Cols[1].AppendNull()
	}
	if b.Cols[4].Value(i) == true {
		want.Cols[2].AppendFrom(&b.Cols[0], i)
	} else {
		want.Cols[2].AppendString("none")
	}
	want.Cols[3].AppendBool(n > 3 && value > 0.5)
	want.Cols[4].AppendFrom(&b.Cols[0], i)
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	in := eventSchema()
	for condition, want := range map[string]string{
		"vallue > 1": `unknown name "vallue", did you mean "value"? (line 1, column 1)`,
		"value":      "a filter needs a condition, and this gives float (line 1, column 1)",
	} {
		if _, err := NewFilter(condition, in); expression.Mistake(err) == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", condition, err, want)
		}
	}
	for want, columns := range map[string][]Column{
		"project: the list of columns is empty":                                                                           nil,
		`project column 2: there is a column "a" before`:                                                                  {{"a", "n"}, {"a", "value"}},
		"project column 1: it has no name":                                                                                {{"", "n"}},
		`project column 1: unknown name "hst", did you mean "host"? (line 1, column 7)`:                                   {{"a", "upper(hst)"}},
		"project column 1: the type of the result is not known: wrap it in int(), float() or string() (line 1, column 1)": {{"a", "fromJSON(name)"}},
	} {
		if _, err := ProjectSchema(columns, in); err == nil || err.Error() != want {
			t.Errorf("%v: %v, want %s", columns, err, want)
		}
	}
}

func TestRowsOfAnotherSchemaPass(t *testing.T) {
	t.Parallel()
	f, err := NewFilter("false", eventSchema())
	if err != nil {
		t.Fatal(err)
	}
	late := stream.NewBatch(&stream.Schema{Fields: []stream.Field{field("other", stream.Int)}})
	late.Phase = stream.Late
	late.Cols[0].AppendInt(1)
	late.SetLen(1)
	got := &collector{}
	if err := f.Process(late, got); err != nil || got.last != late {
		t.Errorf("late rows: %v, %v", got.rows, err)
	}
}

func manyEvents(n int) *stream.Batch {
	b := stream.NewBatch(eventSchema())
	names := []string{"system.cpu.utilization", "system.memory.usage", "http.server.duration", "process.open_fds"}
	for i := range n {
		appendEvent(b, i, names[i%len(names)], float64(i%100)/100, false)
	}
	return b
}

// discard is an emitter that drops everything.
type discard struct{ rows int }

func (d *discard) Emit(b *stream.Batch) error   { d.rows += b.Len(); return nil }
func (d *discard) Decide(stream.Decision) error { return nil }
func (*discard) Wants(stream.Phase) bool        { return true }

func (d *discard) Count(stream.Bucket, int64) {}

func steps(tb testing.TB, in *stream.Schema) map[string]stream.Operator {
	tb.Helper()
	f, err := NewFilter(`name == "system.cpu.utilization"`, in)
	if err != nil {
		tb.Fatal(err)
	}
	p, err := NewProject([]Column{{"host", "host"}, {"percent", "value * 100"}, {"label", `ok ? name : "none"`}}, in)
	if err != nil {
		tb.Fatal(err)
	}
	return map[string]stream.Operator{"filter": f, "project": p}
}

func TestNoAllocations(t *testing.T) {
	b, out := manyEvents(1000), &discard{}
	for name, op := range steps(t, b.Schema) {
		process := func() {
			if err := op.Process(b, out); err != nil {
				t.Fatal(err)
			}
		}
		process()
		if allocs := testing.AllocsPerRun(20, process); allocs > 0 {
			t.Errorf("%s: %v allocations a batch of 1000", name, allocs)
		}
	}
}

func BenchmarkProcess(b *testing.B) {
	events := manyEvents(4096)
	for name, op := range steps(b, events.Schema) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			out := &discard{}
			for b.Loop() {
				if err := op.Process(events, out); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/4096, "ns/event")
		})
	}
}
