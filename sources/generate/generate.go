// Package generate makes synthetic events with planted incidents: for load, for demos, and for tests that must know the
// truth. Event i of a scenario is a function of the seed and i alone, so a run can be repeated, continued or checked from
// its numbers.
package generate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// Config chooses a scenario and its size. The zero value is not usable; see Default.
type Config struct {
	Scenario   string
	Seed       uint64
	Hosts      int // of metric scenarios
	Users      int // of security scenarios
	Partitions int32
	NilKeys    bool          // producers that do not key: events go round robin over the partitions
	Start      stream.Time   // event time of event 0
	PerSecond  int           // events a second of event time; 0 is the scenario's own rate
	Calm       time.Duration // of scenarios with a plan of incidents: none is planted for so long
}

// Default is the configuration of a scenario in its usual size.
func Default(scenario string) Config {
	return Config{Scenario: scenario, Seed: 1, Hosts: 100, Users: 1000, Partitions: 1, Start: stream.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))}
}

// Event is one generated event. Its slices belong to the caller's buffers.
type Event struct {
	Time      stream.Time
	Partition int32
	Key       []byte // nil if the producers do not key
	Value     []byte // JSON
	// Label names the planted incident that the event belongs to, "" for normal life: the ground truth.
	Label string
}

// Generator makes the events of one scenario. Safe for concurrent use.
type Generator struct {
	c     Config
	s     *scenario
	step  time.Duration // event time between two events
	names [][]byte      // of hosts or users
}

// scenario is one kind of life.
type scenario struct {
	name, about, topic string
	perSecond          func(c *Config) int
	entities           func(c *Config) (prefix string, n int)
	// plan is what is planted, again and again; aim chooses what an incident of it happens to. nil of scenarios that plant
	// by the number of the event.
	plan []planned
	aim  func(g *Generator, in *Incident, draw *random)
	// event appends event i, whose undisturbed time is at, and returns the key and the label.
	event func(g *Generator, i int64, r *random, e *Event)
}

// scenarios is the table of all there are.
func scenarios() []*scenario {
	return []*scenario{benchScenario(), hostsScenario(), loginsScenario(), apiScenario(), platformScenario(), accessScenario()}
}

// Names lists the scenarios with what they are, for help texts.
func Names() (names, about []string) {
	for _, s := range scenarios() {
		names, about = append(names, s.name), append(about, s.about)
	}
	return names, about
}

// New checks the configuration.
func New(c Config) (*Generator, error) {
	all := scenarios()
	at := slices.IndexFunc(all, func(s *scenario) bool { return s.name == c.Scenario })
	if at < 0 {
		names, _ := Names()
		return nil, fmt.Errorf("choose scenario: there is no %q; there are %s", c.Scenario, strings.Join(names, ", "))
	}
	if c.Hosts < 1 || c.Users < 1 || c.Partitions < 1 {
		return nil, fmt.Errorf("choose scenario %s: hosts, users and partitions must be at least 1", c.Scenario)
	}
	g := &Generator{c: c, s: all[at]}
	rate := c.PerSecond
	if rate == 0 {
		rate = g.s.perSecond(&c)
	}
	if rate < 1 {
		return nil, fmt.Errorf("choose scenario %s: at least one event a second", c.Scenario)
	}
	g.step = time.Second / time.Duration(rate)
	prefix, n := g.s.entities(&c)
	for i := range n {
		g.names = append(g.names, fmt.Appendf(nil, "%s-%d", prefix, i))
	}
	return g, nil
}

// Topic is the default topic of the scenario.
func (g *Generator) Topic() string { return g.s.topic }

// Time is the undisturbed time of event i: producers may be late, and never early.
func (g *Generator) Time(i int64) stream.Time { return g.c.Start.Add(time.Duration(i) * g.step) }

// Event makes event i in the buffers of e.
func (g *Generator) Event(i int64, e *Event) {
	r := random{g.c.Seed ^ uint64(i)*0x9e3779b97f4a7c15}
	r.next()
	e.Value, e.Key, e.Label = e.Value[:0], e.Key[:0], ""
	e.Time = g.Time(i)
	g.s.event(g, i, &r, e)
	switch {
	case g.c.NilKeys:
		e.Key, e.Partition = nil, int32(i%int64(g.c.Partitions))
	default:
		e.Partition = int32(stream.HashProducer(e.Key) % uint64(g.c.Partitions))
	}
}

// disorder makes an event late as real producers do: one in five by up to two seconds, one in a thousand by 30 to 120.
func disorder(r *random, t stream.Time) stream.Time {
	switch n := r.intn(1000); {
	case n == 0:
		return t.Add(-30*time.Second - time.Duration(r.intn(90_000))*time.Millisecond)
	case n <= 200:
		return t.Add(-time.Duration(r.intn(2000)) * time.Millisecond)
	}
	return t
}

// random is SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
type random struct{ state uint64 }

func (r *random) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// intn is a number from 0 to n-1; the bias of the remainder is far below what events show.
func (r *random) intn(n int) int { return int(r.next() % uint64(n)) }

// unit is a number from 0 to 1, not 1 itself.
func (r *random) unit() float64 { return float64(r.next()>>11) / (1 << 53) }

// chance is true in permille of 1,000 draws.
func (r *random) chance(permille int) bool { return r.intn(1000) < permille }
