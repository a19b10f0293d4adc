package generate

import (
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// The kinds of incidents that the scenarios platform and access plant. They are the labels of their events.
const (
	BruteForce    = "brute_force"          // of one user, from a country that is new to them; it succeeds in the end
	Spraying      = "password_spraying"    // a few attempts at each of many users, from one address
	Enumeration   = "enumeration"          // a user whose calls are denied again and again
	Escalation    = "privilege_escalation" // a user calls what they have never called
	LatencyStep   = "latency_step"         // after a deploy a service answers slowly
	ErrorBurst    = "error_burst"          // after a deploy a service fails often
	Saturation    = "saturation"           // a host without idle CPU
	SilentHost    = "silent_host"          // a host that reports nothing
	MemoryLeak    = "memory_leak"          // the memory of a host fills up
	SecretHarvest = "secret_harvest"       // a user reads one secret after the other
	Stuffing      = "credential_stuffing"  // one address tries stolen passwords of all users of a tenant
	BrokenClient  = "broken_client"        // a program of a user whose every call is invalid
	SignOnFailure = "sign_on_failure"      // two of three logins of a tenant fail, whoever it is
	SlowRequests  = "slow_requests"        // a third of the requests of a service wait for something
	SilentService = "silent_service"       // a service that answers nothing
	MemoryFull    = "memory_full"          // a host whose memory is used up at once
	DiskFull      = "disk_full"            // a file system of a host fills up
	NetworkErrors = "network_errors"       // a host goes over to an interface with a bad cable
)

// Incident is the truth about one planted incident.
type Incident struct {
	Kind     string
	From, To stream.Time // of its events; a silent host has none in between
	// Labels name what it happens to, in the words of the events: user, tenant, src_ip, service or host.
	Labels map[string]string

	victim  int    // number of the user, service or host; a tenant is that of the user
	address uint32 // of the attacker
	country string
}

// planned is an incident of the plan that is played in every cycle.
type planned struct {
	kind       string
	at, length time.Duration
}

const (
	// cycle is how long the plan takes. In the first cycle everything happens at its time, so that a demo is the same each
	// time; in the others it is up to maxShift later.
	cycle    = 2 * time.Hour
	maxShift = 8 * time.Minute
)

// platformPlan and accessPlan do not meet on the same victim: each incident draws its own, and lasts as long as it takes to
// be told from a bad moment. An incident draws by its place in the plan, so new ones come last.
func platformPlan() []planned {
	return []planned{
		{LatencyStep, 6 * time.Minute, 12 * time.Minute},
		{Saturation, 22 * time.Minute, 5 * time.Minute},
		{SilentHost, 32 * time.Minute, 8 * time.Minute},
		{ErrorBurst, 45 * time.Minute, 8 * time.Minute},
		{MemoryLeak, 50 * time.Minute, time.Hour},
		{MemoryFull, 8 * time.Minute, 12 * time.Minute},
		{DiskFull, 55 * time.Minute, 40 * time.Minute},
		{SlowRequests, 62 * time.Minute, 8 * time.Minute},
		{SilentService, 80 * time.Minute, 10 * time.Minute},
		{NetworkErrors, 100 * time.Minute, 8 * time.Minute},
	}
}

func accessPlan() []planned {
	return []planned{
		{BruteForce, 20 * time.Second, 2 * time.Minute},
		{Spraying, 8 * time.Minute, 6 * time.Minute},
		{Enumeration, 16 * time.Minute, 3 * time.Minute},
		{Escalation, 27 * time.Minute, 2 * time.Minute},
		{SecretHarvest, 40 * time.Minute, 3 * time.Minute},
		{BrokenClient, 54 * time.Minute, 8 * time.Minute},
		{Stuffing, 72 * time.Minute, 4 * time.Minute},
		{SignOnFailure, 88 * time.Minute, 8 * time.Minute},
	}
}

// strangeCountries are those that no user is at home in or travels to.
var strangeCountries = [...]string{"KP", "RU", "NG", "VN"}

// span is when the n-th incident of the plan happens in a cycle; draw is for what else is to be chosen.
func (g *Generator) span(round int64, n int) (from, to stream.Time, draw random) {
	p := &g.s.plan[n]
	draw = random{g.c.Seed ^ uint64(round)*0xd1342543de82ef95 ^ uint64(n+1)*0xa0761d6478bd642f}
	draw.next()
	shift := time.Duration(0)
	if round > 0 {
		shift = time.Duration(draw.intn(int(maxShift/time.Second))) * time.Second
	}
	from = g.calmUntil().Add(time.Duration(round)*cycle + p.at + shift)
	return from, from.Add(p.length), draw
}

// incident is the n-th of the plan in a cycle.
func (g *Generator) incident(round int64, n int) Incident {
	from, to, draw := g.span(round, n)
	in := Incident{Kind: g.s.plan[n].kind, From: from, To: to, address: uint32(draw.next()), country: strangeCountries[draw.intn(len(strangeCountries))]}
	g.s.aim(g, &in, &draw)
	return in
}

func (g *Generator) calmUntil() stream.Time { return g.c.Start.Add(g.c.Calm) }

// round is the cycle of an instant; there is none before the plan begins.
func (g *Generator) round(t stream.Time) (round int64, ok bool) {
	since := t.Sub(g.calmUntil())
	return int64(since / cycle), since >= 0
}

// Incidents lists what is planted and over by then, in the order of the plan: the ground truth of the scenarios that have
// one. The label of an event is the kind of its incident.
func (g *Generator) Incidents(until stream.Time) (all []Incident) {
	last, ok := g.round(until)
	if !ok {
		return nil
	}
	for round := range last + 1 {
		for n := range g.s.plan {
			if in := g.incident(round, n); in.To <= until {
				all = append(all, in)
			}
		}
	}
	return all
}

// active finds the incident of a kind that goes on at the instant.
func (g *Generator) active(t stream.Time, kind string) (in Incident, ok bool) {
	round, ok := g.round(t)
	if !ok {
		return in, false
	}
	for n := range g.s.plan {
		if g.s.plan[n].kind != kind {
			continue
		}
		if from, to, _ := g.span(round, n); from <= t && t < to {
			return g.incident(round, n), true
		}
	}
	return in, false
}
