package alerts

import (
	"slices"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// rollup is the schema of the tests: host, avg and samples, with the evidence behind them.
func rollup() *stream.Schema {
	return &stream.Schema{Fields: []stream.Field{
		{Name: "host", Kind: stream.String},
		{Name: "avg", Kind: stream.Float},
		{Name: "samples", Kind: stream.Int},
		{Name: "_partition", Kind: stream.Int},
		{Name: "_first", Kind: stream.Int},
		{Name: "_first_time", Kind: stream.Timestamp},
		{Name: "_last", Kind: stream.Int},
		{Name: "_last_time", Kind: stream.Timestamp},
	}}
}

func testConfig() OperatorConfig {
	rule := DefaultRule()
	rule.Name, rule.When, rule.For, rule.KeepFiringFor = "HostCPUHigh", "avg > 0.9", time.Minute, 30*time.Second
	rule.Summary = "{{ host }} at {{ percent(avg) }} for a minute"
	rule.Labels = map[string]string{"team": "infra-{{ upper(host) }}"}
	return OperatorConfig{
		Rule: rule, Pipeline: "host-cpu", Version: "1f3a", Topic: "metrics", GroupColumns: []string{"host"}, WindowSize: size,
	}
}

// cell is one row of a rollup.
type cell struct {
	host string // "" is null
	avg  float64
}

// windowRows are the rows of a window in slot order, as the window operator emits them.
func windowRows(phase stream.Phase, end stream.Time, cells []cell) *stream.Batch {
	b := stream.NewBatch(rollup())
	b.Phase, b.Window = phase, stream.Window{Start: end.Add(-size), End: end}
	slots := map[string]uint8{}
	for _, c := range cells {
		slots[c.host] = slotOfHost(c.host)
	}
	sorted := slices.Clone(cells)
	slices.SortStableFunc(sorted, func(x, y cell) int { return int(slots[x.host]) - int(slots[y.host]) })
	for i, c := range sorted {
		appendRow(b, c, int64(i))
	}
	return b
}

func slotOfHost(host string) uint8 {
	b := stream.NewBatch(rollup())
	appendHost(b, host)
	return stream.SlotOf(stream.AppendKey(nil, b, []int{0}, 0))
}

func appendHost(b *stream.Batch, host string) {
	if host == "" {
		b.Cols[0].AppendNull()
		return
	}
	b.Cols[0].AppendString(host)
}

func appendRow(b *stream.Batch, c cell, i int64) {
	appendHost(b, c.host)
	b.Cols[1].AppendFloat(c.avg)
	b.Cols[2].AppendInt(int64(c.avg * 100))
	start := int64(b.Window.Start)
	for col, v := range []int64{2, start/1e9 + i, start, start/1e9 + 9, start + 9e9} {
		b.Cols[3+col].AppendInt(v)
	}
	b.Slot = append(b.Slot, slotOfHost(c.host))
	b.SetLen(b.Len() + 1)
}

// collector keeps decisions, and counts the rows that pass.
type collector struct {
	decisions []stream.Decision
	rows      int
}

func (c *collector) Emit(b *stream.Batch) error     { c.rows += b.Len(); return nil }
func (c *collector) Decide(d stream.Decision) error { c.decisions = append(c.decisions, d); return nil }
func (*collector) Wants(stream.Phase) bool          { return true }

func (c *collector) Count(_ stream.Bucket, rows int64) { c.rows += int(rows) }

func (c *collector) transitions(t *testing.T) []Transition {
	t.Helper()
	var all []Transition
	for _, d := range c.decisions {
		one, err := Decode(d.Body)
		if err != nil {
			t.Fatal(err)
		}
		if one.ID != d.ID {
			t.Fatalf("decision %s has transition %s", d.ID, one.ID)
		}
		all = append(all, one)
	}
	return all
}

func newOperator(tb testing.TB, cfg OperatorConfig) *Operator {
	tb.Helper()
	o, err := NewOperator(cfg, rollup())
	if err != nil {
		tb.Fatal(err)
	}
	return o
}
