package generate

import (
	"math"
	"strconv"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// What the scenario platform is made of: in each round every host reports its load, and every service some requests.
const (
	roundEvery       = 10 * time.Second
	requestsPerRound = 20 // of a service
	hostsPerService  = 3
)

// The metrics of a host. The last two are counters since the start; a host reports one of them in a round, and the other one in
// the next.
const (
	cpuMetric = iota
	memoryMetric
	diskMetric
	errorsMetric
	droppedMetric

	reportsPerRound = errorsMetric + 1
)

var platformMetrics = [...]struct{ name, unit string }{
	cpuMetric:     {"system.cpu.utilization", "1"},
	memoryMetric:  {"system.memory.utilization", "1"},
	diskMetric:    {"system.filesystem.utilization", "1"},
	errorsMetric:  {"system.network.errors", "{error}"},
	droppedMetric: {"system.network.dropped", "{packet}"},
}

// platformScenario is hosts and the services on them, in a normal life with bad moments, and planted incidents.
func platformScenario() *scenario {
	return &scenario{
		name: "platform", about: "load of hosts, requests of services; planted: slow and failing requests, saturation, silence, what fills up", topic: "metrics",
		perSecond: func(c *Config) int { return max(platformRound(c)/int(roundEvery/time.Second), 1) },
		entities:  func(c *Config) (string, int) { return "web", c.Hosts },
		plan:      platformPlan(),
		aim:       aimPlatform,
		event:     platformEvent,
	}
}

func services(hosts int) int { return max(hosts/hostsPerService, 1) }

// platformRound is the number of events of a round.
func platformRound(c *Config) int {
	return c.Hosts*reportsPerRound + services(c.Hosts)*requestsPerRound
}

// aimPlatform chooses what an incident happens to.
func aimPlatform(g *Generator, in *Incident, draw *random) {
	switch in.Kind {
	case LatencyStep, ErrorBurst, SlowRequests, SilentService:
		in.victim = draw.intn(services(len(g.names)))
		in.Labels = map[string]string{"service": serviceName(in.victim)}
	default:
		in.victim = draw.intn(len(g.names))
		in.Labels = map[string]string{"host": string(g.names[in.victim])}
	}
}

func serviceName(n int) string { return "svc-" + strconv.Itoa(n) }

// platformEvent spreads the turns of a round evenly over it, and rounds over the scenario's time, whatever the rate is.
func platformEvent(g *Generator, i int64, r *random, e *Event) {
	turns := int64(platformRound(&g.c))
	turn := int(i * 7919 % turns) // prime: neighbours in a round are neighbours nowhere else
	if hosts := len(g.names) * reportsPerRound; turn < hosts {
		metric := turn % reportsPerRound
		if metric == errorsMetric && i/turns%2 == 1 {
			metric = droppedMetric
		}
		hostLoad(g, turn/reportsPerRound, metric, r, e)
		return
	}
	request(g, r.intn(services(len(g.names))), r, e)
}

// hostLoad is a report of a host. While it is silent another one takes its turn.
func hostLoad(g *Generator, host, metric int, r *random, e *Event) {
	at := e.Time
	if in, ok := g.active(at, SilentHost); ok && in.victim == host {
		host, e.Label = (host+1)%len(g.names), SilentHost
	}
	report := g.disturbed(host, metric, at, r, e)
	e.Time = disorder(r, at)
	e.Key = append(e.Key, g.names[host]...)
	b := appendMetric(e.Value, e.Time, platformMetrics[metric].name, platformMetrics[metric].unit)
	b = strconv.AppendFloat(append(b, `,"value":`...), math.Round(report.value*10_000)/10_000, 'f', -1, 64)
	b = append(b, `,"tenant":"t`...)
	b = strconv.AppendInt(b, int64(host%tenants), 10)
	b = append(append(b, `","service":"`...), serviceName(host%services(len(g.names)))...)
	b = append(append(append(b, `","host":"`...), g.names[host]...), `","attributes":{`...)
	switch metric {
	case diskMetric:
		b = append(b, `"mountpoint":"/data"`...)
	case errorsMetric, droppedMetric:
		b = append(append(append(b, `"device":"`...), report.device...), '"')
	}
	b = append(b, `}}`...)
	e.Value = b
}

// report is what a host says of one of its metrics.
type report struct {
	value  float64
	device string // of counters of the network
}

// disturbed is the load of a host, and what incidents make of it.
func (g *Generator) disturbed(host, metric int, at stream.Time, r *random, e *Event) report {
	out := report{g.load(host, metric, at, r), "eth0"}
	hit := func(kind string, of int) (since, length float64, ok bool) {
		if metric != of {
			return 0, 0, false
		}
		in, ok := g.active(at, kind)
		if !ok || in.victim != host {
			return 0, 0, false
		}
		e.Label = kind
		return at.Sub(in.From).Seconds(), in.To.Sub(in.From).Seconds(), true
	}
	if _, _, ok := hit(Saturation, cpuMetric); ok {
		out.value = 0.94 + 0.05*r.unit()
	}
	if since, length, ok := hit(MemoryLeak, memoryMetric); ok {
		out.value = min(out.value+0.45*since/length, 0.97)
	}
	if _, _, ok := hit(MemoryFull, memoryMetric); ok {
		out.value = 0.96 + 0.03*r.unit()
	}
	if since, length, ok := hit(DiskFull, diskMetric); ok { // it is full after half of the time, and nobody makes room
		out.value += (0.99 - out.value) * min(2*since/length, 1)
	}
	if since, _, ok := hit(NetworkErrors, errorsMetric); ok { // the other interface counts from its start
		out = report{math.Floor(3 * since), "eth1"}
	}
	return out
}

// load is what a host shows in normal life: a base of its own, a slow wave, noise; and batch jobs that take the CPU for
// half a minute, which nobody needs to be told of.
func (g *Generator) load(host, metric int, at stream.Time, r *random) float64 {
	base := random{g.c.Seed ^ uint64(host*8+metric+1)*0x2545f4914f6cdd1d}
	level, phase := 0.2+0.35*base.unit(), base.unit()
	minutes := at.Sub(g.c.Start).Minutes()
	wave := math.Sin(2 * math.Pi * (minutes/(23*60) + phase))
	switch metric {
	case cpuMetric:
		job := random{g.c.Seed ^ uint64(host+1)*0x9e3779b97f4a7c15 ^ uint64(int64(minutes)/10)*0xd1342543de82ef95}
		job.next()
		begin := float64(int64(minutes)/10*10) + 9*job.unit()
		if job.chance(150) && minutes >= begin && minutes < begin+0.6 {
			return 0.92 + 0.07*r.unit()
		}
		return level + 0.1*wave + 0.15*r.unit()
	case memoryMetric: // what is collected and fills up again, every ten minutes or so
		saw := math.Mod(minutes/(8+6*phase)+phase, 1)
		return level + 0.05*wave + 0.06*saw + 0.02*r.unit()
	case diskMetric:
		return level + 0.1*wave
	case droppedMetric:
		return math.Floor(10_000*level + minutes/(1+2*phase))
	}
	return math.Floor(minutes / (20 + 60*phase)) // errors since the start
}

// request is the duration of a request: most are fast, one in a hundred is not, and one in two hundred fails.
// While a service is silent another one takes its turn.
func request(g *Generator, service int, r *random, e *Event) {
	at := e.Time
	if in, ok := g.active(at, SilentService); ok && in.victim == service {
		service, e.Label = (service+1)%services(len(g.names)), SilentService
	}
	base := random{g.c.Seed ^ uint64(service+1)*0x94d049bb133111eb}
	typical := 40 + 160*base.unit()
	value := typical * math.Exp(0.4*(r.unit()+r.unit()+r.unit()-1.5))
	status, version := "200", "1.42."+strconv.FormatInt(int64(at.Sub(g.c.Start)/cycle), 10)
	if r.chance(10) {
		value *= 10
	}
	if r.chance(5) {
		status = "500"
	}
	if in, ok := g.active(at, LatencyStep); ok && in.victim == service {
		value, version, e.Label = 700+4*value, version+"-rc1", LatencyStep
	}
	if in, ok := g.active(at, ErrorBurst); ok && in.victim == service {
		version, e.Label = version+"-rc2", ErrorBurst
		if r.chance(200) {
			status = "503"
		}
	}
	if in, ok := g.active(at, SlowRequests); ok && in.victim == service {
		e.Label = SlowRequests
		if r.chance(350) {
			value += 1500
		}
	}
	e.Time = disorder(r, at)
	host := g.names[(service+r.intn(hostsPerService)*services(len(g.names)))%len(g.names)]
	e.Key = append(e.Key, host...)
	b := appendMetric(e.Value, e.Time, "http.server.duration", "ms")
	b = strconv.AppendFloat(append(b, `,"value":`...), math.Round(value*1000)/1000, 'f', -1, 64)
	b = append(b, `,"tenant":"t`...)
	b = strconv.AppendInt(b, int64(service%tenants), 10)
	b = append(append(b, `","service":"`...), serviceName(service)...)
	b = append(append(append(b, `","attributes":{"status":"`...), status...), `","version":"`...)
	e.Value = append(append(b, version...), `"}}`...)
}
