package columnfile

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// benchTable is a part of the raw archive: metric events of 20,000 hosts, slightly out of order.
func benchTable(rows int) (*Table, []stream.Time) {
	r := rand.New(rand.NewPCG(1, 2))
	text := func(name string, distinct int, format string) Column {
		c := Column{Name: name, Column: stream.Column{Kind: stream.String, Dict: stream.NewDict()}}
		for range rows {
			c.AppendString(fmt.Sprintf(format, r.IntN(distinct)))
		}
		return c
	}
	time := Column{Name: "time", Required: true, Column: stream.Column{Kind: stream.Timestamp}}
	stamp := Column{Name: "_timestamp", Required: true, Column: stream.Column{Kind: stream.Timestamp}}
	offset := Column{Name: "_offset", Required: true, Column: stream.Column{Kind: stream.Int}}
	size := Column{Name: "_bytes", Required: true, Column: stream.Column{Kind: stream.Int}}
	value := Column{Name: "value", Column: stream.Column{Kind: stream.Float}}
	times := make([]stream.Time, rows)
	for i := range rows {
		arrived := int64(1795409200000) + int64(i)/200
		times[i] = stream.Time((arrived - r.Int64N(50)) * 1e6)
		time.AppendInt(int64(times[i]))
		stamp.AppendInt(arrived * 1e6)
		offset.AppendInt(int64(i))
		size.AppendInt(240 + r.Int64N(12))
		value.AppendFloat(float64(r.IntN(100000)) / 1000)
	}
	return &Table{SortedBy: []string{"time", "_offset"}, Columns: []Column{
		time, text("name", 8, "http.server.duration.%d"), text("kind", 2, "kind%d"), text("unit", 4, "unit%d"), value,
		text("tenant", 10, "t%d"), text("service", 200, "svc-%d"), text("host", 20000, "host-%d"),
		text("attributes", 20000, `{"region":"eu-west-1","zone":"b","status":"200","version":"1.42.7","src_ip":"10.3.77.%d"}`),
		{Name: "_partition", Required: true, Same: true, Column: stream.Column{Kind: stream.Int, Ints: []int64{3}}},
		offset, stamp, size,
	}}, times
}

func BenchmarkEncode(b *testing.B) {
	const rows = 1 << 20
	table, times := benchTable(rows)
	w, err := NewWriter()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		data, err := w.Encode(table, Order(times))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(data))/rows, "file-B/row")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
}

func BenchmarkRead(b *testing.B) {
	const rows = 1 << 20
	table, times := benchTable(rows)
	w, err := NewWriter()
	if err != nil {
		b.Fatal(err)
	}
	data, err := w.Encode(table, Order(times))
	if err != nil {
		b.Fatal(err)
	}
	for _, names := range [][]string{{"time", "value"}, {"host"}, {"attributes"}, {"time", "_offset", "_timestamp", "name", "value", "tenant", "host"}} {
		b.Run(fmt.Sprint(names), func(b *testing.B) {
			var r Reader
			var columns []*stream.Column
			for _, n := range names {
				columns = append(columns, &stream.Column{Kind: table.Columns[table.index(n)].Kind, Dict: stream.NewDict()})
			}
			for b.Loop() {
				f, err := Open(data)
				if err != nil {
					b.Fatal(err)
				}
				for i, n := range names {
					columns[i].Reset()
					for g := range f.Groups() {
						if err := r.Read(f, g, n, columns[i]); err != nil {
							b.Fatal(err)
						}
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
		})
	}
}
