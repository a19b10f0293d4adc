package generate

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestPlan: the events of an incident lie within it, concern what its truth names, and nothing is planted outside.
func TestPlan(t *testing.T) {
	for _, scenario := range []string{"platform", "access"} {
		c := Default(scenario)
		c.Hosts, c.Users, c.Seed, c.Calm, c.PerSecond = 24, 200, 7, 30*time.Minute, 6
		g, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		until := c.Start.Add(c.Calm + 2*cycle)
		incidents := g.Incidents(until)
		if want := 2 * len(g.s.plan); len(incidents) != want {
			t.Fatalf("%s: %d incidents, want %d", scenario, len(incidents), want)
		}
		seen := make([]int, len(incidents))
		var e Event
		for i := int64(0); ; i++ {
			at := c.Start.Add(time.Duration(i) * g.step)
			if at >= until {
				break
			}
			if g.Event(i, &e); e.Label == "" {
				continue
			}
			n := incidentOf(incidents, &e, i, g)
			if n < 0 {
				t.Fatalf("%s %d at %v has label %s, but no incident does", scenario, i, at, e.Label)
			}
			seen[n]++
		}
		for n, in := range incidents {
			if seen[n] < 5 {
				t.Errorf("%s: %s from %v of %v has %d events", scenario, in.Kind, in.From, in.Labels, seen[n])
			}
		}
	}
}

// incidentOf finds the incident of a labelled event.
func incidentOf(all []Incident, e *Event, i int64, g *Generator) int {
	at := g.c.Start.Add(time.Duration(i) * g.step)
	var fields map[string]any
	if json.Unmarshal(e.Value, &fields) != nil {
		return -1
	}
	for n, in := range all {
		if in.Kind != e.Label || at < in.From || at >= in.To {
			continue
		}
		for name, value := range in.Labels {
			silent := in.Kind == SilentHost || in.Kind == SilentService
			if (fields[name] == value) == silent { // what is silent is what the event is not of
				return -1
			}
		}
		return n
	}
	return -1
}

// The first cycle of a demo is the same whatever the seed, so that people can be told what to watch for.
func TestFirstCycleComesAtItsTime(t *testing.T) {
	for seed := range uint64(5) {
		c := Default("access")
		c.Seed, c.Calm = seed, time.Hour
		g, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		in := g.Incidents(c.Start.Add(c.Calm + 3*time.Minute))
		if len(in) != 1 || in[0].Kind != BruteForce || in[0].From != c.Start.Add(c.Calm+20*time.Second) {
			t.Errorf("seed %d: three minutes after the calm there is %v", seed, in)
		}
		if len(g.Incidents(c.Start.Add(c.Calm-1))) > 0 {
			t.Errorf("seed %d: something is planted in the calm", seed)
		}
	}
}

// A brute force ends in a success from the country that the events carry, which is nobody's home.
func TestBruteForceSucceedsFromAStrangeCountry(t *testing.T) {
	c := Default("access")
	g, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	in := g.incident(0, 0)
	success := 0
	var e Event
	for i := range int64(3 * 60 / 0.1) {
		if g.Event(i, &e); e.Label != BruteForce {
			continue
		}
		if text := string(e.Value); !strings.Contains(text, `"country":"`+in.country+`"`) {
			t.Fatalf("%s lacks country %s", text, in.country)
		} else if strings.Contains(text, `"status":"success"`) {
			success++
		}
	}
	if success == 0 {
		t.Error("it never succeeds")
	}
}

// What only ever grows must not go back, whatever is planted: counters are told apart by host, name and device.
func TestCountersGrow(t *testing.T) {
	c := Default("platform")
	c.Hosts, c.Seed = 24, 3
	g, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	last, devices := map[string]float64{}, map[string]bool{}
	var e Event
	for i := int64(0); g.Time(i) < c.Start.Add(cycle+10*time.Minute); i++ {
		g.Event(i, &e)
		var v struct {
			Name, Host string
			Value      float64
			Attributes struct{ Device string }
		}
		if err := json.Unmarshal(e.Value, &v); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(v.Name, "system.network.") {
			continue
		}
		counter := v.Host + " " + v.Name + " " + v.Attributes.Device
		devices[v.Name+" "+v.Attributes.Device] = true
		if v.Value < last[counter] {
			t.Fatalf("event %d: %s goes back from %v to %v", i, counter, last[counter], v.Value)
		}
		last[counter] = v.Value
	}
	if want := "system.network.errors eth1"; !devices[want] || len(devices) != 3 {
		t.Errorf("seen %v, want three with %s", devices, want)
	}
}
