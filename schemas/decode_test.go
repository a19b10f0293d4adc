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

func show(b *stream.Batch, row int) string {
	var s []string
	for i, f := range b.Schema.Fields {
		s = append(s, fmt.Sprintf("%s=%v", f.Name, b.Cols[i].Value(row)))
	}
	return strings.Join(s, " ")
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
