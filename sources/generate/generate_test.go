package generate

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/schemas"
	"github.com/tidewatch/tidewatch/stream"
)

// TestEventsAreFunctionsOfTheirNumber makes events twice, in other orders, and expects valid JSON with a time that is
// never ahead.
func TestEventsAreFunctionsOfTheirNumber(t *testing.T) {
	names, _ := Names()
	for _, name := range names {
		c := Default(name)
		c.Partitions, c.Seed = 4, 7
		g, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		var first []string
		var e Event
		for i := range int64(2000) {
			g.Event(i, &e)
			var v map[string]any
			if err := json.Unmarshal(e.Value, &v); err != nil || v["time"] == nil {
				t.Fatalf("%s %d: %s: %v", name, i, e.Value, err)
			}
			if late := c.Start.Add(time.Duration(i) * g.step).Sub(e.Time); late < 0 || late > 2*time.Minute {
				t.Errorf("%s %d is late by %s", name, i, late)
			}
			first = append(first, string(e.Value))
		}
		for i := int64(1999); i >= 0; i-- {
			if g.Event(i, &e); string(e.Value) != first[i] {
				t.Fatalf("%s %d is %s, was %s", name, i, e.Value, first[i])
			}
		}
	}
}

// TestPlantedIncidents counts the labelled events of one block, and looks at what they say.
func TestPlantedIncidents(t *testing.T) {
	for _, tc := range []struct {
		scenario, label string
		events          int
		all             string
	}{
		{"logins", "brute_force", bruteEvents, `"country":"KP"`},
		{"logins", "password_spraying", sprayEvents, `"status":"failure"`},
		{"api", "enumeration", deniedEvents, `"error":"AccessDenied"`},
	} {
		g, err := New(Default(tc.scenario))
		if err != nil {
			t.Fatal(err)
		}
		n, success := 0, 0
		var e Event
		for i := range int64(blockEvents) {
			if g.Event(i, &e); e.Label != tc.label {
				continue
			}
			n++
			if !strings.Contains(string(e.Value), tc.all) {
				t.Errorf("%s lacks %s", e.Value, tc.all)
			}
			if strings.Contains(string(e.Value), `"status":"success"`) {
				success++
			}
		}
		if n != tc.events {
			t.Errorf("%s: %d events, want %d", tc.label, n, tc.events)
		}
		if want := map[bool]int{true: 1}[tc.label == "brute_force"]; success != want {
			t.Errorf("%s: %d successes, want %d", tc.label, success, want)
		}
	}
}

// TestUnitsAreThoseOfTheSchema: rollups take the unit of a metric from its schema, so events must not say another.
func TestUnitsAreThoseOfTheSchema(t *testing.T) {
	def, err := schemas.Builtin().Lookup("metric", 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, scenario := range []string{"bench", "hosts", "platform"} {
		g, err := New(Default(scenario))
		if err != nil {
			t.Fatal(err)
		}
		var e Event
		for i := range int64(4000) {
			g.Event(i, &e)
			var v struct{ Name, Unit string }
			if err := json.Unmarshal(e.Value, &v); err != nil {
				t.Fatal(err)
			}
			if seen[v.Name] = true; def.Units[v.Name] != v.Unit {
				t.Fatalf("%s is in %q, the schema says %q", v.Name, v.Unit, def.Units[v.Name])
			}
		}
	}
	if len(seen) != 6 {
		t.Errorf("seen %v, want six metrics", seen)
	}
}

func TestKeysDecideThePartition(t *testing.T) {
	c := Default("bench")
	c.Partitions, c.Hosts = 4, 50
	g, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]int32{}
	var e Event
	for i := range int64(1000) {
		g.Event(i, &e)
		if p, ok := at[string(e.Key)]; ok && p != e.Partition {
			t.Fatalf("key %s is in partitions %d and %d", e.Key, p, e.Partition)
		}
		at[string(e.Key)] = e.Partition
	}
	if e.Time < stream.Time(0) || len(at) != 50 {
		t.Errorf("%d keys, want 50", len(at))
	}
}

func TestUnknownScenarioNamesTheOthers(t *testing.T) {
	if _, err := New(Default("hsots")); err == nil || !strings.Contains(err.Error(), "hosts") {
		t.Errorf("error %v", err)
	}
}
