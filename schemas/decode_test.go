package schemas

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// now is the broker's timestamp of the records of the tests.
const now = stream.Time(1795409200 * 1e9)

// decodeOne decodes a record into a fresh batch and shows its columns as name=value, or the reason of the rejection.
func decodeOne(t testing.TB, d stream.Decoder, text string) string {
	t.Helper()
	b := stream.NewBatch(d.Schema())
	if err := d.Decode(&stream.Message{Offset: 7, Timestamp: now, Value: []byte(text)}, b); err != nil {
		if stream.KindOfError(err) != stream.Reject || b.Len() != 0 {
			t.Errorf("%s: error of kind %d with %d rows: %v", text, stream.KindOfError(err), b.Len(), err)
		}
		return err.Error()
	}
	return show(b, 0)
}

func show(b *stream.Batch, row int) string { return strings.Join(values(b, row), " ") }

// values are the columns of a row as name=value.
func values(b *stream.Batch, row int) []string {
	var s []string
	for i, f := range b.Schema.Fields {
		s = append(s, fmt.Sprintf("%s=%v", f.Name, b.Cols[i].Value(row)))
	}
	return s
}

func TestDecodesTheDocumentedEvents(t *testing.T) {
	metric := definition(t, "metric")
	d := decoder(t, "metric", metric.Names()...)
	want := `time=2026-11-23T04:46:40.25Z name=http.server.duration kind=gauge unit=ms value=12.512 tenant=t7 service=svc-107 host=host-107 ` +
		`producer=<nil> attributes={"region":"eu-west-1","src_ip":"10.3.77.7","status":"200","version":"1.42.7","zone":"b"}`
	if got := decodeOne(t, d, metricEvent); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	d = decoder(t, "security", "class", "activity", "status", "user", "src_ip", "service", "tenant", "mfa", "attributes", "time")
	want = `class=authentication activity=logon status=failure user=ada src_ip=203.0.113.7 service=sso tenant=acme mfa=false attributes=<nil> ` +
		`time=2026-11-23T05:00:00.25Z`
	if got := decodeOne(t, d, securityEvent); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestFillsTheEventColumns(t *testing.T) {
	d := decoder(t, "metric")
	b := stream.NewBatch(d.Schema())
	m := &stream.Message{Offset: 41, Timestamp: now, Value: []byte(metricEvent)}
	if err := d.Decode(m, b); err != nil {
		t.Fatal(err)
	}
	if b.Len() != 1 || b.Time[0] != 1795409200250*1e6 || b.Offset[0] != 41 || b.Timestamp[0] != now ||
		int(b.Bytes[0]) != len(metricEvent) || b.Producer[0] != stream.HashProducer([]byte("host-107")) {
		t.Errorf("got time %s, offset %d, timestamp %s, bytes %d, producer %x", b.Time[0], b.Offset[0], b.Timestamp[0], b.Bytes[0], b.Producer[0])
	}
}

func TestRejectsWithAReason(t *testing.T) {
	d := decoder(t, "metric", "value")
	for _, c := range []struct{ text, want string }{
		{"", "invalid_json: the record is empty"},
		{"[]", "invalid_json: unexpected '[' at byte 0"},
		{`{"time":1,}`, "invalid_json: unexpected '}' at byte 10"},
		{`{"time":`, "invalid_json: the text ends too early, after 8 bytes"},
		{`{"x":` + strings.Repeat("[", 20000) + `}`, "invalid_json: more than 10000 levels of objects and arrays"},
		{`{"name":"n","value":1}`, "missing_field: time"},
		{`{"time":1795409200,"value":1}`, "missing_field: name"},
		{`{"time":1795409200,"name":"n","value":null}`, "missing_field: value"},
		{`{"time":1795409200,"name":"n","value":"1"}`, "wrong_type: value: want float, got a string"},
		{`{"time":1795409200,"name":"n","value":1e999}`, "wrong_type: value: want float, got 1e999"},
		{`{"time":1795409200,"name":"n","value":1,"host":5}`, "wrong_type: host: want string, got 5"},
		{`{"time":1795409200,"name":"n","value":1,"attributes":"x"}`, "wrong_type: attributes: want an object, got a string"},
		{`{"time":true,"name":"n","value":1}`, "wrong_type: time: want timestamp, got true"},
		{`{"time":"noon","name":"n","value":1}`, `invalid_time: time: "noon" is neither RFC 3339 nor a number`},
		{`{"time":946684799,"name":"n","value":1}`, "time_too_old: time: 1999-12-31T23:59:59Z is before the year 2000"},
		{`{"time":-5,"name":"n","value":1}`, "time_too_old: time: it is before the year 2000"},
		{`{"time":1795495600.000000001,"name":"n","value":1}`, "time_in_future: time: 2026-11-24T04:46:40.000000001Z is more than 24h0m0s ahead of the record, which is of 2026-11-23T04:46:40Z"},
		{`{"time":1e30,"name":"n","value":1}`, "time_in_future: time: a time after the year 2262 is more than 24h0m0s ahead of the record, which is of 2026-11-23T04:46:40Z"},
		{`{"time":"` + strings.Repeat("é", 60) + `","name":"n","value":1}`, `invalid_time: time: "` + strings.Repeat("é", 32) + `…" is neither RFC 3339 nor a number`},
	} {
		if got := decodeOne(t, d, c.text); got != c.want {
			t.Errorf("%.60s\ngot  %s\nwant %s", c.text, got, c.want)
		}
	}
	if got := decodeOne(t, d, `{"time":1795495600,"name":"n","value":1}`); got != "value=1" {
		t.Errorf("24 h ahead: got %s", got)
	}
}

func TestRefusesRecordsAboveTheLimit(t *testing.T) {
	o := DefaultOptions()
	o.MaxBytes = len(metricEvent)
	d, err := NewJSON(definition(t, "metric"), nil, o)
	if err != nil {
		t.Fatal(err)
	}
	if got := decodeOne(t, d, metricEvent); got != "" {
		t.Error(got)
	}
	want := fmt.Sprintf("too_large: the record has %d bytes, at most %d are read", len(metricEvent)+1, len(metricEvent))
	if got := decodeOne(t, d, metricEvent+" "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDoesNotJudgeTheFutureOfRecordsWithoutTimestamp(t *testing.T) {
	d := decoder(t, "metric", "time")
	b := stream.NewBatch(d.Schema())
	m := &stream.Message{Timestamp: -1, Value: []byte(`{"time":"2200-01-01T00:00:00Z","name":"n","value":1}`)}
	if err := d.Decode(m, b); err != nil || b.Time[0].String() != "2200-01-01T00:00:00Z" {
		t.Errorf("got %v, %v", b.Time, err)
	}
	m.Value = []byte(`{"time":"2300-01-01T00:00:00Z","name":"n","value":1}`)
	if err := d.Decode(m, b); CodeOf(err) != TimeInFuture {
		t.Errorf("a time that cannot be held: %v", err)
	}
}

func TestARejectedRecordLeavesTheBatchAsItWas(t *testing.T) {
	def := everything(t)
	d := jsonOf(t, def, append(def.Names(), "attributes.x"))
	b := stream.NewBatch(d.Schema())
	good := []byte(`{"time":1795409200,"name":"n","host":"h","x":1}`)
	for i, text := range hostile() {
		before := b.Len()
		_ = d.Decode(&stream.Message{Offset: int64(i), Timestamp: now, Value: []byte(text)}, b)
		rejected := b.Len() == before
		if err := d.Decode(&stream.Message{Offset: int64(i), Timestamp: now, Value: good}, b); err != nil {
			t.Fatal(err)
		}
		last := b.Len() - 1
		if rejected != (last == before) || b.Col("name").Text(last) != "n" || b.Col("attributes").Text(last) != `{"x":1}` || !b.Col("value").IsNull(last) {
			t.Fatalf("after %.80q: %s", text, show(b, last))
		}
		for c := range b.Cols {
			if b.Cols[c].Len() != b.Len() || len(b.Cols[c].Null) != 0 && len(b.Cols[c].Null) != b.Len() {
				t.Fatalf("after %.80q: column %s has %d values of %d", text, d.Schema().Fields[c].Name, b.Cols[c].Len(), b.Len())
			}
		}
	}
}

func TestEmptiesLargeDictionariesBetweenBatches(t *testing.T) {
	o := DefaultOptions()
	o.DictEntries, o.DictBytes = 10, 1000
	d, err := NewJSON(definition(t, "metric"), []string{"host", "unit"}, o)
	if err != nil {
		t.Fatal(err)
	}
	b := stream.NewBatch(d.Schema())
	decode := func(host, unit string) {
		t.Helper()
		text := fmt.Sprintf(`{"time":1795409200,"name":"n","value":1,"host":%q,"unit":%q}`, host, unit)
		if err := d.Decode(&stream.Message{Timestamp: now, Value: []byte(text)}, b); err != nil {
			t.Fatal(err)
		}
		if i := b.Len() - 1; b.Cols[0].Text(i) != host || b.Cols[1].Text(i) != unit || b.Producer[i] != stream.HashProducer([]byte(host)) {
			t.Fatalf("row %d: got %s, %s, %x", i, b.Cols[0].Text(i), b.Cols[1].Text(i), b.Producer[i])
		}
	}
	for i := range 30 {
		decode(fmt.Sprint("h", i), "ms")
	}
	if n := b.Cols[0].Dict.Len(); n != 30 {
		t.Errorf("%d hosts in the batch, want 30: a dictionary was emptied inside of a batch", n)
	}
	b.Reset()
	decode("h29", strings.Repeat("u", 1001))
	if n := b.Cols[0].Dict.Len(); n != 1 {
		t.Errorf("%d hosts are left, want 1", n)
	}
	if n := b.Cols[1].Dict.Generation(); n != 0 {
		t.Errorf("the small dictionary was emptied %d times", n)
	}
	b.Reset()
	decode("h1", "ms")
	if n := b.Cols[1].Dict.Generation(); n != 1 {
		t.Errorf("the long dictionary was emptied %d times, want 1", n)
	}
}

func TestProducerIsTheSameWhateverIsProjected(t *testing.T) {
	for _, c := range []struct{ rest, want string }{
		{`"producer":"p","host":"h","service":"s"`, "p"},
		{`"producer":"","host":"h","service":"s"`, "h"},
		{`"producer":null,"host":"\u0068","service":"s"`, "h"},
		{`"service":"s"`, "s"},
		{`"tenant":"t"`, ""},
	} {
		for _, fields := range [][]string{nil, {"host"}, {"service", "producer"}, {"producer", "host", "service"}} {
			d := decoder(t, "metric", fields...)
			b := stream.NewBatch(d.Schema())
			for range 2 {
				text := `{"time":1795409200,"name":"n","value":1,` + c.rest + `}`
				if err := d.Decode(&stream.Message{Timestamp: now, Value: []byte(text)}, b); err != nil {
					t.Fatal(err)
				}
			}
			want := uint64(0)
			if c.want != "" {
				want = stream.HashProducer([]byte(c.want))
			}
			if b.Producer[0] != want || b.Producer[1] != want {
				t.Errorf("%s with %v: got %x, want %x", c.rest, fields, b.Producer, want)
			}
		}
	}
}

func TestDecodesWithoutAllocating(t *testing.T) {
	def, sec := definition(t, "metric"), definition(t, "security")
	for name, c := range map[string]struct {
		d     stream.Decoder
		texts [][]byte
	}{
		"metric, three fields": {decoder(t, "metric", "name", "value", "host"), variants(metricEvent)[:500]},
		"metric, all fields":   {decoder(t, "metric", def.Names()...), variants(metricEvent)[:500]},
		"metric, attribute":    {decoder(t, "metric", "attributes.region", "value"), variants(metricEvent)[:500]},
		"security, all fields": {decoder(t, "security", sec.Names()...), variants(securityEvent)[:500]},
		"cloudtrail":           {cloudTrail(t, append(sec.Names(), "attributes.eventID")...), trailSample(t)},
		"escapes": {decoder(t, "metric", def.Names()...), [][]byte{[]byte(
			`{"t\u0069me":"2026-11-23T05:00:00.5\u005a","name":"\ud83d\ude00","value":0.1234567890123456789012345678901234567890,"x":[1,{"a":"\n"}],"attributes":{"b":"\"","a\n":[ true ]}}`)}},
	} {
		b := stream.NewBatch(c.d.Schema())
		m := &stream.Message{Timestamp: now}
		pass := func() {
			b.Reset()
			for i, text := range c.texts {
				m.Offset, m.Value = int64(i), text
				if err := c.d.Decode(m, b); err != nil {
					t.Fatal(name, err)
				}
			}
		}
		if n := testing.AllocsPerRun(5, pass); n != 0 {
			t.Errorf("%s: %v allocations in %d records", name, n, len(c.texts))
		}
	}
}

func TestRefusesUnknownColumns(t *testing.T) {
	def := definition(t, "metric")
	for _, c := range []struct {
		fields []string
		want   string
	}{
		{[]string{"valu"}, "make json decoder: find field: metric v1 has no field `valu`; did you mean `value`? (an attribute is read as `attributes.valu`)"},
		{[]string{"zzzzzzzz"}, "make json decoder: find field: metric v1 has no field `zzzzzzzz`; an attribute is read as `attributes.zzzzzzzz`"},
		{[]string{"attributes."}, "make json decoder: find field: metric v1 has no field `attributes.`; did you mean `attributes`? (an attribute is read as `attributes.NAME`)"},
		{[]string{"host", "host"}, "make json decoder: choose columns: `host` is named twice"},
	} {
		if _, err := NewJSON(def, c.fields, DefaultOptions()); err == nil || err.Error() != c.want {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
	if _, err := NewJSON(def, nil, Options{}); err == nil {
		t.Error("options without limits were taken")
	}
}
