package parquet

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/internal/columnfile"
	"github.com/tidewatch/tidewatch/stream"
)

var testSchema = &stream.Schema{Fields: []stream.Field{
	{Name: "time", Kind: stream.Timestamp},
	{Name: "name", Kind: stream.String},
	{Name: "value", Kind: stream.Float},
	{Name: "n", Kind: stream.Int},
	{Name: "ok", Kind: stream.Bool},
	{Name: "host", Kind: stream.String},
	{Name: "service", Kind: stream.String},
	{Name: "attributes", Kind: stream.String},
	{Name: "seen", Kind: stream.Timestamp},
}}

var testPartition = stream.Partition{Topic: "metrics", Number: 3, Incarnation: "topic-id"}

// event is a row of testSchema; nil is null.
type event struct {
	offset          int64
	time, timestamp stream.Time
	bytes           uint32
	producer        uint64
	fields          [8]any // name to seen
}

var start = stream.TimeOf(time.Date(2026, 11, 23, 4, 59, 59, 0, time.UTC))

// drawEvents makes a log: ascending offsets with gaps, times around an hour's border, few distinct strings.
func drawEvents(t *rapid.T) []event {
	events := make([]event, rapid.IntRange(1, 40).Draw(t, "events"))
	offset := rapid.Int64Range(0, 1<<40).Draw(t, "first offset")
	odd := rapid.IntRange(0, 9).Draw(t, "odd producers") == 0
	for i := range events {
		offset += rapid.Int64Range(1, 3).Draw(t, "gap")
		e := event{
			offset: offset, time: start.Add(time.Duration(rapid.IntRange(-3, 5).Draw(t, "time")) * 400 * time.Millisecond),
			timestamp: start.Add(time.Duration(i) * time.Millisecond), bytes: uint32(i), fields: [8]any{
				"m" + strconv.Itoa(i%3), float64(i) / 3, int64(-i), i%2 == 0, "host-" + strconv.Itoa(i%4), "svc", `{"a":"` + strconv.Itoa(i%5) + `"}`, stream.Time(i),
			},
		}
		for k := range e.fields {
			if rapid.IntRange(0, 6).Draw(t, "null") == 0 {
				e.fields[k] = nil
			}
		}
		e.producer = producerOf(e)
		if odd {
			e.producer = uint64(i) + 1<<63
		}
		events[i] = e
	}
	return events
}

func producerOf(e event) uint64 {
	for _, name := range []any{e.fields[4], e.fields[5]} {
		if name != nil {
			return stream.HashProducer([]byte(name.(string)))
		}
	}
	return 0
}

func fill(b *stream.Batch, events []event) {
	b.Phase = stream.Event
	for _, e := range events {
		b.Time, b.Timestamp = append(b.Time, e.time), append(b.Timestamp, e.timestamp)
		b.Offset, b.Producer, b.Bytes = append(b.Offset, e.offset), append(b.Producer, e.producer), append(b.Bytes, e.bytes)
		b.Cols[0].AppendInt(int64(e.time))
		for k, v := range e.fields {
			appendAny(&b.Cols[k+1], v)
		}
	}
	b.SetLen(len(b.Time))
}

func appendAny(c *stream.Column, v any) {
	switch v := v.(type) {
	case nil:
		c.AppendNull()
	case string:
		c.AppendString(v)
	case float64:
		c.AppendFloat(v)
	case bool:
		c.AppendBool(v)
	case int64:
		c.AppendInt(v)
	case stream.Time:
		c.AppendInt(int64(v))
	}
}

// write hands events over in batches of random size. Dictionaries are filled and emptied at random, as the decoder's are.
func write(t *rapid.T, sink stream.Sink, b *stream.Batch, events []event) {
	for len(events) > 0 {
		n := rapid.IntRange(1, len(events)).Draw(t, "batch")
		if rapid.Bool().Draw(t, "new dictionaries") {
			for i := range b.Cols {
				if b.Cols[i].Dict != nil {
					b.Cols[i].Dict.Reset()
					b.Cols[i].Dict.ID([]byte("something else"))
				}
			}
		}
		b.Reset()
		fill(b, events[:n])
		if err := sink.Write(context.Background(), b); err != nil {
			t.Fatal(err)
		}
		events = events[n:]
	}
}

func newRaw(t rapid.TB, store stream.Objects) *Raw {
	t.Helper()
	r, err := NewRaw(RawConfig{Objects: store, Partition: testPartition})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// archive writes the parts between the cuts, with row groups of up to so many rows.
func archive(t *rapid.T, events []event, cuts []int, groupRows int) map[string]string {
	store := newMemory()
	sink, b, lo := newRaw(t, store), stream.NewBatch(testSchema), 0
	sink.groupRows = groupRows
	defer func() {
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
	}()
	for i, hi := range append(slices.Clone(cuts), len(events)) {
		prefix := fmt.Sprintf("state/%d/", i)
		write(t, sink, b, events[lo:hi])
		if err := finish(sink, sink.Stage(stream.Epoch{Prefix: prefix}), store, prefix); err != nil {
			t.Fatal(err)
		}
		lo = hi
	}
	return store.visible()
}

func drawGroupRows(t *rapid.T) int {
	return rapid.SampledFrom([]int{1, 2, 7, 1000}).Draw(t, "group rows")
}

func drawCuts(t *rapid.T, n int) []int {
	cuts := rapid.SliceOfN(rapid.IntRange(0, n), 0, 3).Draw(t, "cuts")
	slices.Sort(cuts)
	return cuts
}

func keys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// TestRawHoldsEveryEvent compares the files with the events, one by one.
func TestRawHoldsEveryEvent(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		events := drawEvents(rt)
		cuts, groupRows := drawCuts(rt, len(events)), drawGroupRows(rt)
		files := archive(rt, events, cuts, groupRows)
		if again := archive(rt, events, cuts, groupRows); !maps.Equal(files, again) {
			rt.Fatal("other batches give other files")
		}
		var got []event
		for _, key := range keys(files) {
			got = append(got, rowsOf(rt, key, files[key])...)
		}
		slices.SortFunc(got, func(a, b event) int { return int(a.offset - b.offset) })
		if !slices.Equal(got, events) {
			rt.Fatalf("the files hold\n%+v, want\n%+v", got, events)
		}
	})
}

// rowsOf reads a file, and checks its name and order on the way.
func rowsOf(t rapid.TB, key, data string) (events []event) {
	name, ok := columnfile.ParseRawName(key)
	f, err := columnfile.Open([]byte(data))
	if err != nil || !ok {
		t.Fatal(key, ok, err)
	}
	meta, err := columnfile.ReadRawMeta(f)
	if err != nil || meta.Partition != testPartition || meta.First != name.First || meta.Last != name.Last {
		t.Fatalf("%s: %+v, %v", key, meta, err)
	}
	var last int64 // offset of the row group before
	for g := range f.Groups() {
		group := groupOf(t, f, g)
		if lowest := slices.MinFunc(group, func(a, b event) int { return cmp.Compare(a.offset, b.offset) }); g > 0 && lowest.offset <= last {
			t.Fatalf("%s: row group %d begins at offset %d, the one before ends at %d", key, g, lowest.offset, last)
		}
		last = slices.MaxFunc(group, func(a, b event) int { return cmp.Compare(a.offset, b.offset) }).offset
		for _, e := range group {
			if e.time.Floor(time.Hour) != name.Hour || e.offset < name.First || e.offset > name.Last {
				t.Fatalf("%s: the row of time %v, offset %d is out of place", key, e.time, e.offset)
			}
		}
		events = append(events, group...)
	}
	return events
}

// groupOf reads a row group, and checks its order.
func groupOf(t rapid.TB, f *columnfile.File, g int) (events []event) {
	var r columnfile.Reader
	b := stream.NewBatch(testSchema)
	for i, field := range testSchema.Fields {
		if err := r.Read(f, g, field.Name, &b.Cols[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.ReadEvents(f, g, b); err != nil {
		t.Fatal(err)
	}
	for i := range b.Time {
		e := event{offset: b.Offset[i], time: b.Time[i], timestamp: b.Timestamp[i], bytes: b.Bytes[i], producer: b.Producer[i]}
		for k := range e.fields {
			e.fields[k] = b.Cols[k+1].Value(i)
		}
		if i > 0 && (b.Time[i-1] > b.Time[i] || b.Time[i-1] == b.Time[i] && b.Offset[i-1] >= b.Offset[i]) {
			t.Fatalf("row group %d: row %d (time %v, offset %d) is out of place", g, i, e.time, e.offset)
		}
		events = append(events, e)
	}
	return events
}

// TestRawOfBefore reads files of the format raw/1, one of which stores the hashes of producers.
func TestRawOfBefore(t *testing.T) {
	for _, name := range []string{"raw-1.parquet", "raw-1-producers.parquet"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := columnfile.Open(data)
		if err != nil {
			t.Fatal(err)
		}
		meta, err := columnfile.ReadRawMeta(f)
		if err != nil || meta != (columnfile.RawMeta{Partition: testPartition, First: 10, Last: 18, Rows: 5, Files: 1}) {
			t.Fatalf("%+v, %v", meta, err)
		}
		for _, e := range groupOf(t, f, 0) {
			i := (e.offset - 10) / 2
			want := event{
				offset: 10 + 2*i, time: start.Add(time.Duration(i%3) * time.Microsecond), timestamp: start.Add(time.Second), bytes: uint32(100 + i),
				producer: stream.HashProducer([]byte("host-1")), fields: [8]any{"m", float64(i), nil, true, "host-1", "svc", nil, nil},
			}
			if i == 3 && name == "raw-1-producers.parquet" {
				want.producer = 1<<63 + 7
			}
			if e != want {
				t.Errorf("%s holds\n%+v, want\n%+v", name, e, want)
			}
		}
	}
}

// TestRawEncodesBesideTheTask: what goes wrong there is told by Stage, and the process lives.
func TestRawEncodesBesideTheTask(t *testing.T) {
	sink := newRaw(t, newMemory())
	sink.groupRows = 2
	b := stream.NewBatch(&stream.Schema{Fields: []stream.Field{{Name: "host", Kind: stream.String}}})
	for i := range 3 {
		b.Time, b.Offset = append(b.Time, start), append(b.Offset, int64(i))
		b.Cols[0].AppendString("a")
	}
	b.SetLen(3)
	if err := sink.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	sink.part.wait()
	sink.part.encodeBeside(new(rawRows), testPartition, sink.recycle) // without a schema
	if _, err := sink.Stage(stream.Epoch{})(t.Context()); stream.KindOfError(err) != stream.Fatal || !strings.Contains(err.Error(), "panic") {
		t.Errorf("a panic beside the task: %v", err)
	}
}

func TestRawNames(t *testing.T) {
	store := newMemory()
	sink := newRaw(t, store)
	b := stream.NewBatch(testSchema)
	fill(b, []event{{offset: 7, time: start}, {offset: 8, time: start.Add(2 * time.Second)}, {offset: 12, time: start.Add(-time.Hour)}})
	if err := sink.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := finish(sink, sink.Stage(stream.Epoch{Prefix: "state/x/"}), store, "state/x/"); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"raw/topic=metrics/date=2026-11-23/hour=03/3-00000000000000000007-00000000000000000012.parquet",
		"raw/topic=metrics/date=2026-11-23/hour=04/3-00000000000000000007-00000000000000000012.parquet",
		"raw/topic=metrics/date=2026-11-23/hour=05/3-00000000000000000007-00000000000000000012.parquet",
	}
	if got := keys(store.visible()); !slices.Equal(got, want) {
		t.Fatalf("%q", got)
	}
	if sink.Stage(stream.Epoch{}) != nil {
		t.Fatal("an empty part is staged")
	}
}

func TestScanRawChooses(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		events := drawEvents(rt)
		store := newMemory()
		maps.Copy(store.mu.objects, asBytes(archive(rt, events, drawCuts(rt, len(events)), drawGroupRows(rt))))
		q := All()
		if rapid.Bool().Draw(rt, "bounded") {
			q.From = start.Add(time.Duration(rapid.IntRange(-1500, 2500).Draw(rt, "from")) * time.Millisecond)
			q.To = q.From.Add(time.Duration(rapid.IntRange(0, 2500).Draw(rt, "span")) * time.Millisecond)
		}
		if rapid.Bool().Draw(rt, "columns") {
			q.Schema = &stream.Schema{Fields: []stream.Field{{Name: "host", Kind: stream.String}, {Name: "later", Kind: stream.Float}, {Name: "n", Kind: stream.Float}}}
		}
		want, got := map[string]bool{}, map[string]bool{}
		for _, e := range events {
			if e.time >= q.From && e.time < q.To {
				n := e.fields[2]
				if i, ok := n.(int64); ok && q.Schema != nil {
					n = float64(i)
				}
				want[fmt.Sprint(e.offset, e.time, e.timestamp, e.bytes, e.producer, e.fields[4], n)] = true
			}
		}
		err := ScanRaw(context.Background(), store, "metrics", q, func(_ columnfile.RawMeta, b *stream.Batch) error {
			for i := range b.Len() {
				got[fmt.Sprint(b.Offset[i], b.Time[i], b.Timestamp[i], b.Bytes[i], b.Producer[i], b.Col("host").Value(i), b.Col("n").Value(i))] = true
				if later := b.Col("later"); later != nil && !later.IsNull(i) {
					return fmt.Errorf("a column that no file has holds %v", later.Value(i))
				}
			}
			return nil
		})
		if err != nil || !maps.Equal(got, want) {
			rt.Fatalf("%v; scan from %v to %v found\n%v, want\n%v", err, q.From, q.To, got, want)
		}
	})
}

func asBytes(m map[string]string) map[string][]byte {
	b := map[string][]byte{}
	for k, v := range m {
		b[k] = []byte(v)
	}
	return b
}

// TestRevealRefusesOtherRows: a topic that was created anew must not lose its rows behind a file of the old one.
func TestRevealRefusesOtherRows(t *testing.T) {
	store := newMemory()
	archiveOne := func(incarnation string, rows int) error {
		p := testPartition
		p.Incarnation = incarnation
		sink, err := NewRaw(RawConfig{Objects: store, Partition: p})
		if err != nil {
			t.Fatal(err)
		}
		b := stream.NewBatch(testSchema)
		var events []event
		for i := range rows {
			events = append(events, event{offset: int64(i), time: start, fields: [8]any{incarnation}})
		}
		events[rows-1].offset = 9
		fill(b, events)
		if err := sink.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		receipt, err := sink.Stage(stream.Epoch{Prefix: "state/" + incarnation + "/"})(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return sink.Reveal(t.Context(), receipt)
	}
	if err := archiveOne("old", 4); err != nil {
		t.Fatal(err)
	}
	err := archiveOne("new", 5)
	if stream.KindOfError(err) != stream.Fatal || !strings.Contains(err.Error(), "deleted and created again") {
		t.Fatalf("reveal over another topic's file: %v", err)
	}
}

func TestRawRefuses(t *testing.T) {
	sink := newRaw(t, newMemory())
	b := stream.NewBatch(testSchema)
	fill(b, []event{{offset: 1, time: start}})
	b.Phase = stream.Final
	if err := sink.Write(t.Context(), b); err == nil {
		t.Error("final rows are archived as events")
	}
	b.Phase = stream.Event
	if err := sink.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	other := stream.NewBatch(&stream.Schema{Fields: []stream.Field{{Name: "x", Kind: stream.Int}}})
	if err := sink.Write(t.Context(), other); err == nil || !strings.Contains(err.Error(), `the columns ["x"] follow on`) {
		t.Errorf("other columns: %v", err)
	}
	if _, err := NewRaw(RawConfig{}); err == nil {
		t.Error("a sink without a store is accepted")
	}
	bad := newRaw(t, newMemory())
	b = stream.NewBatch(&stream.Schema{Fields: []stream.Field{{Name: "_offset", Kind: stream.Int}}})
	b.Time, b.Offset = []stream.Time{start}, []int64{1}
	b.Cols[0].AppendInt(1)
	b.SetLen(1)
	if err := bad.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if _, err := bad.Stage(stream.Epoch{})(t.Context()); stream.KindOfError(err) != stream.Fatal || !strings.Contains(err.Error(), "belongs to the archive") {
		t.Errorf("a column with a reserved name: %v", err)
	}
}

func FuzzReceipt(f *testing.F) {
	f.Add(`{"prefix":"state/x/","files":[{"key":"raw/topic=a/x","size":9,"sha256":"` + strings.Repeat("0", 64) + `"}]}`)
	f.Add(`{"files":[{"key":"../x"}]}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, text string) {
		store := newMemory()
		r, err := parseReceipt(stream.Receipt(text))
		if err != nil {
			if stream.KindOfError(err) != stream.Fatal {
				t.Fatal(err)
			}
			return
		}
		for _, file := range r.Files {
			if !strings.HasPrefix(file.Key, "raw/") && !strings.HasPrefix(file.Key, "rollups/") {
				t.Fatalf("%q is accepted", file.Key)
			}
		}
		if err := reveal(context.Background(), store, stream.Receipt(text)); err == nil && len(r.Files) > 0 {
			t.Fatal("files that do not exist are revealed")
		}
	})
}
