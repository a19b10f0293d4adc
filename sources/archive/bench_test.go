package archive_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/sources/archive"
	"github.com/tidewatch/tidewatch/stream"
)

// benchLog is metric events of 20,000 hosts as JSON, a little out of order.
func benchLog(n, attributes int) []stream.Message {
	r := rand.New(rand.NewPCG(1, 2))
	log := make([]stream.Message, n)
	for i := range log {
		host, arrived := r.IntN(20000), start.Add(2*time.Second+time.Duration(i)*5*time.Microsecond)
		at := arrived.Add(-time.Duration(r.IntN(50)) * time.Millisecond)
		log[i] = stream.Message{Offset: int64(i), Timestamp: arrived, Value: fmt.Appendf(nil,
			`{"time":%d,"name":"http.server.duration","kind":"gauge","unit":"ms","value":%d.512,"tenant":"t%d","service":"svc-%d","host":"host-%d",`+
				`"attributes":{"region":"eu-west-1","zone":"b","status":"200","version":"1.42.7","src_ip":"10.3.77.%d"}}`,
			at/1e6, i%100, host%10, host%200, host, r.IntN(attributes))}
	}
	return log
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkReplay measures CPU time an event, of all goroutines.
func BenchmarkReplay(b *testing.B) {
	const events = 1 << 19
	for _, attributes := range []int{2000, 1 << 30} {
		store := newMemory()
		write(b, store, benchLog(events, attributes), []int{events / 2})
		for _, fields := range [][]string{
			{"name", "tenant", "host", "value"},
			{"name", "tenant", "host", "value", "attributes.region", "attributes.src_ip"},
			metric(b).Names(),
		} {
			b.Run(fmt.Sprintf("attributes=%d/columns=%d", attributes, len(fields)), func(b *testing.B) {
				began := cpu()
				for b.Loop() {
					replay(b, open(b, config(store)), fields)
				}
				per := float64(cpu()-began) / float64(b.N) / events
				b.ReportMetric(per, "cpu-ns/event")
				b.ReportMetric(1e3/per, "Mevents/core-s")
			})
		}
	}
}

func replay(b *testing.B, source *archive.Source, fields []string) {
	b.Helper()
	r, err := source.Open(b.Context(), partition, 0, decoder(b, fields...))
	if err != nil {
		b.Fatal(err)
	}
	defer closed(b, r)
	for {
		if _, err := r.Read(b.Context()); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			b.Fatal(err)
		}
	}
}
