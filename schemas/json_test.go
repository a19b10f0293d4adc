package schemas

import (
	"syscall"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

const metricEvent = `{"time":1795409200250,"name":"http.server.duration","kind":"gauge","unit":"ms","value":12.512,"tenant":"t7","service":"svc-107","host":"host-107","attributes":{"region":"eu-west-1","zone":"b","status":"200","version":"1.42.7","src_ip":"10.3.77.7"}}`

const securityEvent = `{"time":"2026-11-23T05:00:00.250Z","class":"authentication","activity":"logon","status":"failure","user":"ada","src_ip":"203.0.113.7","service":"sso","tenant":"acme","mfa":false,"attributes":{}}`

func definition(t testing.TB, name string) *Definition {
	t.Helper()
	d, err := Builtin().Lookup(name, 0)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func decoder(t testing.TB, schema string, fields ...string) *JSON {
	t.Helper()
	d, err := NewJSON(definition(t, schema), fields, DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func BenchmarkMetricThreeFields(b *testing.B) {
	benchmark(b, decoder(b, "metric", "name", "value", "host"), variants(metricEvent))
}

func BenchmarkMetricAllFields(b *testing.B) {
	d := definition(b, "metric")
	benchmark(b, decoder(b, "metric", d.Names()...), variants(metricEvent))
}

func BenchmarkMetricTwoAttributes(b *testing.B) {
	benchmark(b, decoder(b, "metric", "name", "value", "host", "attributes.region", "attributes.status"), variants(metricEvent))
}

func BenchmarkSecurityFourFields(b *testing.B) {
	benchmark(b, decoder(b, "security", "class", "status", "user", "src_ip"), variants(securityEvent))
}

func BenchmarkSecurityAllFields(b *testing.B) {
	d := definition(b, "security")
	benchmark(b, decoder(b, "security", d.Names()...), variants(securityEvent))
}

// benchmark decodes 4,096 events with different hosts and values, so that branches cannot learn one text by heart. The
// metric cpu-ns/op is the time of the process on a CPU, which other load on the machine disturbs least.
func benchmark(b *testing.B, d stream.Decoder, events [][]byte) {
	batch := stream.NewBatch(d.Schema())
	m := stream.Message{Timestamp: now}
	b.ReportAllocs()
	before, n := cpuTime(b), 0
	for ; b.Loop(); n++ {
		if batch.Len() == 1024 {
			batch.Reset()
		}
		m.Offset, m.Value = int64(n), events[n%len(events)]
		if err := d.Decode(&m, batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpuTime(b)-before)/float64(n), "cpu-ns/op")
}

func cpuTime(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
