package schemas_test

import (
	"fmt"

	"github.com/tidewatch/tidewatch/schemas"
	"github.com/tidewatch/tidewatch/stream"
)

func ExampleNewDecoder() {
	metric, err := schemas.Builtin().ForTopic("metrics")
	if err != nil {
		panic(err)
	}
	d, err := schemas.NewDecoder("auto", metric, []string{"host", "value", "attributes.region"})
	if err != nil {
		panic(err)
	}
	b := stream.NewBatch(d.Schema())
	for offset, text := range []string{
		`{"time": 1795409200250, "name": "system.cpu.utilization", "value": 0.95, "host": "web-7", "region": "eu"}`,
		`{"time": 1795409201250, "name": "system.cpu.utilization", "value": "high", "host": "web-7"}`,
	} {
		m := &stream.Message{Offset: int64(offset), Timestamp: 1795409205e9, Value: []byte(text)}
		if err := d.Decode(m, b); err != nil {
			fmt.Println("dead letter:", err)
		}
	}
	fmt.Println(b.Len(), b.Time[0], b.Col("host").Text(0), b.Col("value").Floats[0], b.Col("attributes.region").Text(0))
	// Output:
	// dead letter: wrong_type: value: want float, got a string
	// 1 2026-11-23T04:46:40.25Z web-7 0.95 eu
}

func ExampleAppendJSON() {
	metric, err := schemas.Builtin().Lookup("metric", 1)
	if err != nil {
		panic(err)
	}
	d, err := schemas.NewDecoder("json", metric, metric.Names())
	if err != nil {
		panic(err)
	}
	b := stream.NewBatch(d.Schema())
	text := `{"value": 1e2, "unit": null, "zone": "b", "attributes": {"region": "eu", "cpu": 3}, "name": "n", "time": "2026-11-23T06:00:00+01:00"}`
	if err := d.Decode(&stream.Message{Value: []byte(text)}, b); err != nil {
		panic(err)
	}
	fmt.Printf("%s\n", schemas.AppendJSON(nil, b, 0))
	// Output:
	// {"time":"2026-11-23T05:00:00Z","name":"n","value":100,"attributes":{"cpu":3,"region":"eu","zone":"b"}}
}
