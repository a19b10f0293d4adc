package parquet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/internal/columnfile"
	"github.com/tidewatch/tidewatch/internal/objects"
	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/stream"
)

// foreignEvents has nulls, negative numbers, texts of all kinds, three hours, and more rows than a row group of attributes
// that never repeat.
func foreignEvents() []event {
	events := make([]event, 3000)
	for i := range events {
		e := event{
			offset: int64(i * 3), time: start.Add(time.Duration(i)*time.Second + 123456789), timestamp: start.Add(time.Duration(i) * time.Second), bytes: uint32(200 + i%9),
			fields: [8]any{"m" + strconv.Itoa(i%3), float64(i-1500) / 7, int64(-i), i%2 == 0, "host-" + strconv.Itoa(i%40), "ä€😀", fmt.Sprintf(`{"request":"%d"}`, i), start.Add(time.Duration(i))},
		}
		for k := range e.fields {
			if (i+k)%11 == 0 {
				e.fields[k] = nil
			}
		}
		e.producer = producerOf(e)
		events[i] = e
	}
	return events
}

func foreignArchive(t *testing.T, dir string, events []event) {
	t.Helper()
	store, err := objects.Open(t.Context(), objects.Config{URL: "file://" + dir})
	if err != nil {
		t.Fatal(err)
	}
	fillArchive(t, store, events)
}

func fillArchive(t *testing.T, store stream.Objects, events []event) {
	t.Helper()
	sink := newRaw(t, store)
	for lo := 0; lo < len(events); lo += 2000 {
		b := stream.NewBatch(testSchema)
		fill(b, events[lo:min(lo+2000, len(events))])
		if err := sink.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		revealNow(t, sink, sink.Stage(stream.Epoch{Prefix: fmt.Sprintf("state/%d/", lo)}))
	}
	fillRollups(t, store)
	controls := newControls(t, store)
	controls.Control(&foreignTick)
	revealNow(t, controls, controls.Stage(stream.Epoch{Prefix: "state/c/", Mark: start.Add(time.Hour)}))
}

var foreignTick = stream.Control{Kind: "tick", At: stream.Version{Offset: 77, Step: 1}, Mark: start.Add(windowSize + 7)}

// fillRollups writes two windows of one slot: one that was provisional before it became final, and one that still is.
func fillRollups(t *testing.T, store stream.Objects) {
	t.Helper()
	rollups := newRollups(t, store)
	write := func(phase stream.Phase, end stream.Time) {
		b := stream.NewBatch(rollupSchema)
		b.Phase, b.Provisional = phase, phase == stream.Closed
		b.Window, b.Version = stream.Window{Start: end.Add(-windowSize), End: end}, stream.Version{Offset: 77, Step: 1}
		for i := range 3 {
			appendRollup(b, fmt.Sprintf("host-%d", i), b.Window.End)
		}
		b.SetLen(3)
		if err := rollups.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	advance := func(record stream.Time) {
		if err := rollups.Advance(t.Context(), stream.Advance{Mark: start.Add(time.Hour), RecordMark: record}); err != nil {
			t.Fatal(err)
		}
		revealNow(t, rollups, rollups.Stage(stream.Epoch{Prefix: fmt.Sprintf("state/r%d/", record)}))
	}
	write(stream.Closed, start.Add(windowSize))
	write(stream.Closed, start.Add(windowSize+slotSize))
	advance(start)
	write(stream.Final, start.Add(windowSize))
	advance(start.Add(slotSize + lateness + 2*time.Second))
}

func revealNow(t *testing.T, sink stream.Sink, work stream.Work) {
	t.Helper()
	receipt, err := work(t.Context())
	if err == nil {
		err = sink.Reveal(t.Context(), receipt)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// plain is a value as JSON numbers and strings come back from Python.
func plain(values ...any) []any {
	data, err := json.Marshal(values)
	if err != nil {
		panic(err)
	}
	var out []any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		panic(err)
	}
	return out
}

func runForeign(t *testing.T, python, dir string) map[string][]any {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), python, "testdata/foreign.py", dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string][]any{}
	for line := range bytes.Lines(out) {
		var show struct {
			What string
			Rows []any
		}
		d := json.NewDecoder(bytes.NewReader(line))
		d.UseNumber()
		if err := d.Decode(&show); err != nil {
			t.Fatal(err)
		}
		seen[show.What] = show.Rows
	}
	return seen
}

// TestForeignReaders: DuckDB and pyarrow read the archive as it was written.
func TestForeignReaders(t *testing.T) {
	python := testservers.Python(t)
	dir, events := filepath.Join(t.TempDir(), "objects"), foreignEvents()
	foreignArchive(t, dir, events)
	seen := runForeign(t, python, dir)
	var rows []any
	nulls, filtered := [3]int{}, 0
	for _, e := range events {
		f := e.fields
		for i, k := range []int{0, 1, 3} {
			if f[k] == nil {
				nulls[i]++
			}
		}
		if f[4] == "host-1" && e.offset > 100 {
			filtered++
		}
		rows = append(rows, plain(e.offset, e.time, e.timestamp, e.bytes, f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], 3, "metrics", e.time.Go().Format("15")))
	}
	wantSeen(t, seen, "duckdb raw", rows)
	wantSeen(t, seen, "pyarrow raw", rows)
	wantSeen(t, seen, "duckdb nulls", []any{plain(nulls[0], nulls[1], nulls[2])})
	wantSeen(t, seen, "duckdb filter", []any{plain(filtered)})
	end := start.Add(windowSize)
	var rollups, newest []any
	for i := range 3 {
		host := fmt.Sprintf("host-%d", i)
		b := stream.NewBatch(rollupSchema)
		appendRollup(b, host, end)
		rollups = append(rollups, plain(start, end, "acme", host, b.Cols[2].Value(0), b.Cols[3].Ints[0], 1, false, slotOf(host)))
		newest = append(newest, plain(end, host, 1, false))
	}
	for i := range 3 {
		newest = append(newest, plain(end.Add(slotSize), fmt.Sprintf("host-%d", i), 0, true))
	}
	wantSeen(t, seen, "duckdb rollups", rollups)
	wantSeen(t, seen, "duckdb newest", newest)
	wantSeen(t, seen, "duckdb controls", []any{plain(foreignTick.At.Offset, foreignTick.At.Step, "tick", foreignTick.Mark, controlTask.Instance)})
	wantSeen(t, seen, "pyarrow schema", []any{
		plain("time", "timestamp[ns, tz=UTC]", false), plain("name", "string", true), plain("value", "double", true), plain("n", "int64", true),
		plain("ok", "bool", true), plain("host", "string", true), plain("service", "string", true), plain("attributes", "string", true),
		plain("seen", "timestamp[ns, tz=UTC]", true), plain("_partition", "int64", false), plain("_offset", "int64", false),
		plain("_timestamp", "timestamp[ns, tz=UTC]", false), plain("_bytes", "int64", false),
		plain("_producer", "int64", true),
	})
	wantSeen(t, seen, "pyarrow metadata", []any{
		[]any{
			plain("tidewatch.files", "2"), plain("tidewatch.first", "0"), plain("tidewatch.format", "raw/2"),
			plain("tidewatch.incarnation", "topic-id"), plain("tidewatch.last", "5997"), plain("tidewatch.partition", "3"), plain("tidewatch.rows", "2000"),
			plain("tidewatch.topic", "metrics"),
		}, "tidewatch", plain("True", "True"),
	})
	wantRewritten(t, dir, events)
}

func wantSeen(t *testing.T, seen map[string][]any, what string, want []any) {
	t.Helper()
	got := seen[what]
	if len(got) != len(want) {
		t.Errorf("%s: %d rows, want %d: %v", what, len(got), len(want), got)
		return
	}
	for i := range want {
		if !equalJSON(got[i], want[i]) {
			t.Errorf("%s: row %d is\n%v, want\n%v", what, i, got[i], want[i])
			return
		}
	}
}

// equalJSON compares numbers as numbers: Python writes 3.0 where Go writes 3.
func equalJSON(a, b any) bool {
	switch a := a.(type) {
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equalJSON)
	case json.Number:
		b, ok := b.(json.Number)
		if !ok || a == b {
			return ok
		}
		x, errX := a.Float64()
		y, errY := b.Float64()
		return errX == nil && errY == nil && x == y
	}
	return reflect.DeepEqual(a, b)
}

// wantRewritten reads what DuckDB has made of the files, in its own encodings.
func wantRewritten(t *testing.T, dir string, events []event) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "rewritten.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := columnfile.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	var r columnfile.Reader
	b := stream.NewBatch(testSchema)
	for g := range f.Groups() {
		for i, field := range testSchema.Fields {
			if err := r.Read(f, g, field.Name, &b.Cols[i]); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.ReadEvents(f, g, b); err != nil {
			t.Fatal(err)
		}
	}
	for i, e := range events {
		if b.Offset[i] != e.offset || b.Time[i] != e.time || b.Producer[i] != e.producer {
			t.Fatalf("row %d: offset %d, time %v", i, b.Offset[i], b.Time[i])
		}
		for k, want := range e.fields {
			if got := b.Cols[k+1].Value(i); got != want {
				t.Fatalf("row %d, column %s: %v, want %v", i, testSchema.Fields[k+1].Name, got, want)
			}
		}
	}
}

// TestOnARealStore writes and reads over an S3 server.
func TestOnARealStore(t *testing.T) {
	b := testservers.S3(t)
	store, err := objects.Open(t.Context(), objects.Config{
		URL: "s3://" + b.Bucket + "/archive", Endpoint: b.Endpoint, Region: b.Region, AccessKey: b.AccessKey, SecretKey: b.SecretKey,
	})
	if err != nil {
		t.Fatal(err)
	}
	events := foreignEvents()
	fillArchive(t, store, events)
	var offsets []int64
	err = ScanRaw(t.Context(), store, "metrics", All(), func(_ columnfile.RawMeta, b *stream.Batch) error {
		offsets = append(offsets, b.Offset...)
		return nil
	})
	slices.Sort(offsets)
	if err != nil || len(offsets) != len(events) || offsets[0] != events[0].offset {
		t.Fatalf("%d events, %v; want %d", len(offsets), err, len(events))
	}
	rows := 0
	of := columnfile.RollupName{Pipeline: "host-cpu", Output: "cpu", Instance: "host-cpu@1f"}
	err = ScanRollups(t.Context(), store, of, All(), func(_ columnfile.RollupMeta, b *stream.Batch) error {
		rows += b.Len()
		return nil
	})
	if err != nil || rows != 3 {
		t.Fatalf("%d rollups, %v; want 3", rows, err)
	}
}
