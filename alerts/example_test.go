package alerts_test

import (
	"context"
	"fmt"
	"time"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/stream"
)

func ExampleTiming_Step() {
	timing := alerts.Timing{For: time.Minute, KeepFiringFor: 30 * time.Second}
	var s alerts.Status
	for end := 10 * time.Second; end <= 120*time.Second; end += 10 * time.Second {
		next, notice, changed := timing.Step(s, alerts.Signal{End: stream.Time(end), Holds: end <= 80*time.Second})
		if changed {
			fmt.Println(time.Duration(notice.At), notice.From, "→", notice.To)
		}
		s = next
	}
	// Output:
	// 10s inactive → pending
	// 1m10s pending → firing
	// 1m50s firing → resolved
}

// store is an emitter that applies decisions at once.
type store struct{ *alerts.Memory }

func (s store) Emit(*stream.Batch) error { return nil }
func (store) Wants(stream.Phase) bool    { return true }

func (s store) Count(stream.Bucket, int64) {}

func ExampleOperator() {
	rollup := &stream.Schema{Fields: []stream.Field{{Name: "host", Kind: stream.String}, {Name: "avg", Kind: stream.Float}}}
	rule := alerts.DefaultRule()
	rule.Name, rule.When, rule.Summary = "HostCPUHigh", "avg > 0.9", "{{ host }} at {{ percent(avg) }}"
	op, err := alerts.NewOperator(alerts.OperatorConfig{
		Rule: rule, Pipeline: "host-cpu", GroupColumns: []string{"host"}, WindowSize: 10 * time.Second,
	}, rollup)
	if err != nil {
		fmt.Println(err)
		return
	}

	b := stream.NewBatch(rollup)
	b.Phase, b.Window = stream.Closed, stream.Window{Start: 0, End: stream.Time(10 * time.Second)}
	b.Cols[0].AppendString("web-7")
	b.Cols[1].AppendFloat(0.953)
	b.SetLen(1)
	out := store{alerts.NewMemory()}
	if err := op.Process(b, out); err != nil {
		fmt.Println(err)
		return
	}
	if err := op.Advance(stream.Advance{Mark: b.Window.End, RecordMark: b.Window.End}, out); err != nil {
		fmt.Println(err)
		return
	}

	page, err := out.List(context.Background(), alerts.Filter{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, a := range page.Items {
		fmt.Println(a.State, a.Labels, a.Summary, a.StartedAt.Format(time.TimeOnly))
	}
	// Output: firing map[host:web-7] web-7 at 95.3% 00:00:10
}

func ExampleParseCommand() {
	c, err := alerts.ParseCommand([]byte(`{"command":"acknowledge","alert":"083aad5d3f4d5d8edc8b511e","by":"ada","time":"2026-11-23T05:00:00Z"}`))
	fmt.Println(c.Acknowledgement().By, err)
	_, err = alerts.ParseCommand([]byte(`{"command":"acknowledge","alert":"web-7","by":"ada","time":"2026-11-23T05:00:00Z"}`))
	fmt.Println(err)
	// Output:
	// ada <nil>
	// parse command: alert "web-7" is no alert id: it has 24 hex digits
}
