package host

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/schemas"
	"github.com/tidewatch/tidewatch/stream"
)

// TestSampleOfThisMachine measures for real: what every machine tells is there and possible.
func TestSampleOfThisMachine(t *testing.T) {
	at := clock.System{}.Now()
	c := New(t.Context(), at.Add(-time.Second))
	c.before.Idle -= 1 // as if a second of idleness had passed
	points, err := c.Sample(t.Context(), at)
	if err != nil {
		t.Log(err) // a container may hide some
	}
	def, err := schemas.Builtin().Lookup("metric", 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]float64{}
	for _, p := range points {
		seen[p.Name] = p.Value
		if p.Unit != def.Units[p.Name] { // rollups take it from there
			t.Errorf("%s is in %q, the schema says %q", p.Name, p.Unit, def.Units[p.Name])
		}
		if p.Unit == "1" && p.Name != "process.cpu.utilization" && (p.Value < 0 || p.Value > 1) || math.IsNaN(p.Value) || p.Value < 0 {
			t.Errorf("%s is %v", p.Name, p.Value)
		}
	}
	for _, name := range []string{"system.cpu.utilization", "system.memory.utilization", "system.filesystem.utilization", "system.processes.count", "process.memory.usage", "process.cpu.utilization"} {
		if _, ok := seen[name]; !ok {
			t.Errorf("%s was not measured", name)
		}
	}
	if seen["system.processes.count"] < 1 || seen["process.memory.usage"] < 1<<20 {
		t.Errorf("%v", seen)
	}
}

func TestUtilization(t *testing.T) {
	for _, tc := range []struct {
		before, after cpu.TimesStat
		want          float64
		ok            bool
	}{
		{cpu.TimesStat{}, cpu.TimesStat{User: 1, System: 1, Idle: 2}, 0.5, true},
		{cpu.TimesStat{User: 1, Idle: 1}, cpu.TimesStat{User: 1, Idle: 1}, 0, false},
		{cpu.TimesStat{User: 10, Idle: 10}, cpu.TimesStat{User: 11, Idle: 10}, 1, true},
		{cpu.TimesStat{User: 10, Idle: 10}, cpu.TimesStat{User: 10, Idle: 10, Iowait: 3}, 0, true},
		{cpu.TimesStat{Guest: 5, User: 5}, cpu.TimesStat{Guest: 6, User: 6, Idle: 1}, 0.5, true},
	} {
		if got, ok := utilization(&tc.before, &tc.after); ok != tc.ok || math.Abs(got-tc.want) > 1e-9 {
			t.Errorf("%+v to %+v: %v %v, want %v %v", tc.before, tc.after, got, ok, tc.want, tc.ok)
		}
	}
}

// TestEventsDecode: whatever a machine calls its devices, the event is accepted by the decoder and says the same.
func TestEventsDecode(t *testing.T) {
	def, err := schemas.Builtin().Lookup("metric", 1)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		p := Point{Name: "system.disk.io", Kind: "sum", Unit: "By", Value: rapid.Float64Range(0, 1e18).Draw(t, "value")}
		device := rapid.String().Draw(t, "device")
		p.Attributes = []Attribute{{"device", device}}
		at := time.UnixMilli(rapid.Int64Range(1_767_268_800_000, 1_800_000_000_000).Draw(t, "at"))
		l := Labels{Host: rapid.StringN(1, 20, 60).Draw(t, "host"), Tenant: "local", Attributes: []Attribute{{"origin", "host"}}}
		text := p.AppendJSON(nil, at, &l)
		d, err := schemas.NewDecoder("json", def, []string{"name", "value", "host", "tenant", "attributes.device", "attributes.origin"})
		b := stream.NewBatch(d.Schema())
		if err = errors.Join(err, d.Decode(&stream.Message{Timestamp: stream.TimeOf(at), Value: text}, b)); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if b.Time[0] != stream.TimeOf(at) || b.Cols[1].Floats[0] != p.Value {
			t.Fatalf("%s: %v %v", text, b.Time[0], b.Cols[1].Floats[0])
		}
		var back struct {
			Host       string
			Attributes map[string]string
		}
		if err := json.Unmarshal(text, &back); err != nil || back.Host != l.Host || back.Attributes["device"] != device || back.Attributes["origin"] != "host" {
			t.Fatalf("%s: %+v %v", text, back, err)
		}
	})
}
