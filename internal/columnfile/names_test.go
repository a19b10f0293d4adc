package columnfile

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/stream"
)

var hour = stream.TimeOf(time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC))

func TestRawName(t *testing.T) {
	n := RawName{Topic: "metrics", Partition: 3, First: 0, Last: 999999, Hour: hour}
	want := "raw/topic=metrics/date=2026-11-23/hour=05/3-00000000000000000000-00000000000000999999.parquet"
	if n.Key() != want {
		t.Fatalf("%s, want %s", n.Key(), want)
	}
	for _, key := range []string{
		"", "raw/x", "rollups/topic=a/date=2026-11-23/hour=05/3-0-9.parquet", strings.Replace(want, "hour=05", "hour=5", 1),
		strings.Replace(want, "3-", "03-", 1), strings.Replace(want, "2026", "0026", 1), want + ".tmp", strings.Replace(want, "999999", "99999x", 1),
	} {
		if n, ok := ParseRawName(key); ok {
			t.Errorf("%q is read as %+v", key, n)
		}
	}
}

func TestNamesRoundTripAndSort(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(label string) RawName {
			first := rapid.Int64Range(0, 1<<62).Draw(rt, label)
			return RawName{
				Topic: "t/ä =%", Partition: rapid.Int32Range(0, 3).Draw(rt, label), First: first, Last: first + rapid.Int64Range(0, 9).Draw(rt, label),
				Hour: hour.Add(time.Duration(rapid.IntRange(-9999, 9999).Draw(rt, label)) * time.Hour),
			}
		}
		a, b := draw("a"), draw("b")
		if got, ok := ParseRawName(a.Key()); !ok || got != a {
			rt.Fatalf("%s is read as %+v", a.Key(), got)
		}
		b.Partition = a.Partition
		before := a.Hour < b.Hour || a.Hour == b.Hour && a.First < b.First
		if before && a.Key() > b.Key() {
			rt.Fatalf("%s sorts behind %s", a.Key(), b.Key())
		}
	})
}

func TestRollupName(t *testing.T) {
	n := RollupName{Pipeline: "host-cpu", Output: "cpu", Instance: "host-cpu@1f3a", Topic: "metrics", Partition: 2, Slot: hour.Add(5 * time.Minute)}
	want := "rollups/pipeline=host-cpu/output=cpu/date=2026-11-23/hour=05/host-cpu@1f3a-metrics-2-20261123T050500Z.parquet"
	if n.Key() != want {
		t.Fatalf("%s, want %s", n.Key(), want)
	}
	n.Fragment, n.Provisional = 2, true
	if got := n.Key(); got != "provisional"+strings.TrimSuffix(strings.TrimPrefix(want, "rollups"), ".parquet")+"-002.parquet" {
		t.Fatal(got)
	}
	if _, _, ok := ParseRollupHour(n.Key()); ok {
		t.Fatal("provisional rollups are read as final ones")
	}
	h, file, ok := ParseRollupHour(want)
	if !ok || h != hour || !strings.HasPrefix(file, InstancePrefix("host-cpu@1f3a")) {
		t.Fatal(h, file, ok)
	}
	if _, _, ok := ParseRollupHour("raw/topic=a/date=2026-11-23/hour=05/x.parquet"); ok {
		t.Fatal("a raw file is read as a rollup")
	}
}

func TestControlName(t *testing.T) {
	n := ControlName{Topic: "metrics", Instance: "host-cpu@1f3a", Stage: "main", Partition: 3, Hour: hour, First: 7, Last: 12}
	want := "controls/topic=metrics/instance=host-cpu@1f3a/date=2026-11-23/hour=05/3-main-0000000007-0000000012.parquet"
	if n.Key() != want {
		t.Fatalf("%s, want %s", n.Key(), want)
	}
	for _, key := range []string{
		"", "controls/x", strings.Replace(want, "instance=", "", 1), strings.Replace(want, "hour=05", "hour=5", 1), strings.Replace(want, "3-", "03-", 1),
		strings.Replace(want, "-0000000007", "", 1), strings.Replace(want, "0000000012", "0000000001", 1), want + ".tmp",
	} {
		if n, ok := ParseControlName(key); ok {
			t.Errorf("%q is read as %+v", key, n)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringMatching(`[a-z/@=% é-]{0,6}`)
		n := ControlName{
			Topic: text.Draw(rt, "topic"), Instance: text.Draw(rt, "instance"), Stage: text.Draw(rt, "stage"), Partition: rapid.Int32Range(0, 30).Draw(rt, "partition"),
			Hour: hour, First: rapid.Uint32Range(0, 1<<31).Draw(rt, "first"),
		}
		n.Last = n.First + rapid.Uint32Range(0, 9).Draw(rt, "more")
		if got, ok := ParseControlName(n.Key()); !ok || got != n {
			rt.Fatalf("%s is read as %+v", n.Key(), got)
		}
	})
}

func TestControlsRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		at := stream.Version{Step: rapid.Uint32Range(0, 9).Draw(rt, "step")}
		var list []stream.Control
		for range rapid.IntRange(1, 5).Draw(rt, "records") {
			at.Step++
			at.Offset += rapid.Int64Range(0, 1<<40).Draw(rt, "ahead")
			list = append(list, stream.Control{Kind: "tick", At: at, Mark: stream.Time(rapid.Int64().Draw(rt, "mark"))})
		}
		of := ControlMeta{ControlName: ControlName{Topic: "t", Instance: "p@1", Stage: "main", Partition: 2, Hour: hour}, Incarnation: "abc"}
		of, data, err := EncodeControls(of, list)
		if err != nil {
			rt.Fatal(err)
		}
		f, err := Open(data)
		if err != nil {
			rt.Fatal(err)
		}
		meta, got, err := ReadControls(f)
		if err != nil || meta != of || !slices.Equal(got, list) {
			rt.Fatalf("%+v %v, %v; want %+v %v", meta, got, err, of, list)
		}
		of.Last++
		if _, _, err := ReadControls(metaFile(t, of.KeyValues())); err == nil {
			rt.Fatal("a file without the columns is read")
		}
	})
}

// FuzzReadControls: a damaged file is an error, never a panic, and what is read is in order.
func FuzzReadControls(f *testing.F) {
	list := []stream.Control{
		{Kind: "tick", At: stream.Version{Offset: 8, Step: 3}, Mark: hour}, {Kind: "tick", At: stream.Version{Offset: 8, Step: 4}, Mark: hour.Add(time.Second)},
	}
	_, data, err := EncodeControls(ControlMeta{ControlName: ControlName{Topic: "t", Instance: "p@1", Stage: "main", Hour: hour}}, list)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Open(data)
		if err != nil {
			return
		}
		m, list, err := ReadControls(file)
		if err == nil && (list[0].At.Step != m.First || len(list) != int(m.Last-m.First)+1) {
			t.Fatalf("%+v holds %v", m, list)
		}
	})
}

func metaFile(t testing.TB, kvs []KeyValue) *File {
	t.Helper()
	w, err := NewWriter()
	if err != nil {
		t.Fatal(err)
	}
	c := Column{Name: "n", Required: true, Column: stream.Column{Kind: stream.Int, Ints: []int64{1}}}
	data, err := w.Encode(&Table{Columns: []Column{c}, Meta: kvs}, []uint32{0})
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(data)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestMetaRoundTrip(t *testing.T) {
	raw := RawMeta{
		Partition: stream.Partition{Topic: "t", Number: 4, Incarnation: "abc"}, First: 7, Last: 9, Rows: 2, Files: 1,
	}
	kvs := raw.KeyValues()
	got, err := ReadRawMeta(metaFile(t, kvs))
	if err != nil || !reflect.DeepEqual(got, raw) {
		t.Fatalf("%+v, %v; want %+v", got, err, raw)
	}
	rollup := RollupMeta{
		RollupName:  RollupName{Pipeline: "p", Output: "o", Instance: "p@1", Topic: "t", Partition: 1, Slot: hour, Fragment: 1, Provisional: true},
		Incarnation: "abc", SlotEnd: hour.Add(time.Minute),
	}
	same, err := ReadRollupMeta(metaFile(t, rollup.KeyValues()))
	if err != nil || same != rollup {
		t.Fatalf("%+v, %v; want %+v", same, err, rollup)
	}
	if !SameMeta(metaFile(t, kvs), metaFile(t, kvs)) || SameMeta(metaFile(t, kvs), metaFile(t, rollup.KeyValues())) {
		t.Fatal("files are compared wrongly")
	}
}

func FuzzMeta(f *testing.F) {
	f.Add("raw/1", "t", "0", "1", "2", "2", "1", `[{"kind":"tick"}]`, "000000000000000000000000")
	f.Add("rollups/1", "", "x", "-1", "", "9999999999999999999", "0", "{", "zz")
	f.Fuzz(func(t *testing.T, format, topic, partition, first, last, rows, files, controls, version string) {
		for _, s := range []string{format, topic, partition, first, last, rows, files, controls, version} {
			if len(s) > 1<<10 {
				return
			}
		}
		file := metaFile(t, []KeyValue{
			{"tidewatch.format", format},
			{"tidewatch.topic", topic},
			{"tidewatch.incarnation", topic},
			{"tidewatch.partition", partition},
			{"tidewatch.first", first},
			{"tidewatch.last", last},
			{"tidewatch.rows", rows},
			{"tidewatch.files", files},
			{"tidewatch.controls", controls},
			{"tidewatch.slot_start", first},
			{"tidewatch.slot_end", last},
			{"tidewatch.fragment", files},
			{"tidewatch.provisional", version},
			{"tidewatch.pipeline", topic},
			{"tidewatch.output", topic},
			{"tidewatch.instance", topic},
		})
		if m, err := ReadRawMeta(file); err == nil && (m.Rows < 1 || m.First < 0 || m.Last < m.First) {
			t.Fatalf("%+v is accepted", m)
		}
		_, _ = ReadRollupMeta(file)
	})
}

func FuzzParseRawName(f *testing.F) {
	f.Add(RawName{Topic: "metrics", Partition: 3, First: 1, Last: 9, Hour: hour}.Key())
	f.Add("raw/topic=/date=2026-11-23/hour=05/-1-0-0.parquet")
	f.Fuzz(func(t *testing.T, key string) {
		if n, ok := ParseRawName(key); ok && n.Key() != key {
			t.Fatalf("%q is read as %+v", key, n)
		}
	})
}
