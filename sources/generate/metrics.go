package generate

import (
	"strconv"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// benchScenario is the form of the benchmark workloads: request durations of many hosts, about 250 bytes each.
func benchScenario() *scenario {
	return &scenario{
		name: "bench", about: "request durations of many hosts, the form of the benchmarks", topic: "metrics",
		perSecond: func(*Config) int { return 10_000 },
		entities:  func(c *Config) (string, int) { return "host", c.Hosts },
		event: func(g *Generator, _ int64, r *random, e *Event) {
			host := g.names[r.intn(len(g.names))]
			e.Time = disorder(r, e.Time)
			e.Key = append(e.Key, host...)
			b := appendMetric(e.Value, e.Time, "http.server.duration", "ms")
			b = strconv.AppendFloat(append(b, `,"value":`...), float64(r.intn(1_000_000))/1000, 'f', -1, 64)
			b = append(b, `,"tenant":"t`...)
			b = strconv.AppendInt(b, int64(r.intn(50)), 10)
			b = append(b, `","service":"svc-`...)
			b = append(b, host[len("host-"):]...)
			b = append(append(append(b, `","host":"`...), host...), `","attributes":{"region":"`...)
			b = append(b, []string{"eu-west-1", "us-east-1", "ap-south-1"}[r.intn(3)]...)
			b = append(append(b, `","zone":"`...), "abc"[r.intn(3)])
			b = append(append(b, `","status":"`...), []string{"200", "200", "200", "404", "500"}[r.intn(5)]...)
			b = append(b, `","version":"1.42.7","src_ip":"10.`...)
			b = appendAddress(b, r)
			b = append(b, `"}}`...)
			e.Value = b
		},
	}
}

func appendAddress(b []byte, r *random) []byte {
	for k := range 3 {
		if k > 0 {
			b = append(b, '.')
		}
		b = strconv.AppendInt(b, int64(r.intn(256)), 10)
	}
	return b
}

func appendMetric(b []byte, t stream.Time, name, unit string) []byte {
	b = strconv.AppendInt(append(b, `{"time":`...), int64(t)/int64(time.Millisecond), 10)
	b = append(append(b, `,"name":"`...), name...)
	return append(append(append(b, `","kind":"gauge","unit":"`...), unit...), '"')
}

// hostMetrics are what each host of hostsScenario reports in turn, every five seconds each.
var hostMetrics = [...]string{"system.cpu.utilization", "system.memory.utilization", "system.filesystem.utilization"}

const (
	reportEvery = 5 * time.Second
	// Every saturationEvery rounds of reports one host is saturated for saturationRounds of them.
	saturationEvery  = 360
	saturationRounds = 36
)

// hostsScenario is hosts that report their load, one of which is saturated for three minutes in every half hour.
func hostsScenario() *scenario {
	return &scenario{
		name: "hosts", about: "load of hosts every five seconds; now and then one is saturated for three minutes", topic: "metrics",
		perSecond: func(c *Config) int { return max(c.Hosts*len(hostMetrics)/int(reportEvery/time.Second), 1) },
		entities:  func(c *Config) (string, int) { return "web", c.Hosts },
		event:     hostEvent,
	}
}

func hostEvent(g *Generator, i int64, r *random, e *Event) {
	perRound := int64(len(g.names) * len(hostMetrics))
	round, within := i/perRound, i%perRound
	host, metric := int(within)/len(hostMetrics), int(within)%len(hostMetrics)
	episode := round / saturationEvery
	plan := random{g.c.Seed ^ uint64(episode)*0xd1342543de82ef95}
	victim, begin := plan.intn(len(g.names)), int64(plan.intn(saturationEvery-saturationRounds))
	in := round%saturationEvery - begin
	base := random{g.c.Seed ^ uint64(host*8+metric)}
	value := 0.15 + 0.45*base.unit() + 0.15*r.unit()
	if metric == 0 && host == victim && in >= 0 && in < saturationRounds {
		value, e.Label = 0.93+0.06*r.unit(), "saturation"
	}
	e.Time = disorder(r, e.Time)
	e.Key = append(e.Key, g.names[host]...)
	b := appendMetric(e.Value, e.Time, hostMetrics[metric], "1")
	b = strconv.AppendFloat(append(b, `,"value":`...), float64(int(value*10_000))/10_000, 'f', -1, 64)
	b = append(b, `,"tenant":"t`...)
	b = strconv.AppendInt(b, int64(host%5), 10)
	b = append(append(b, `","service":"node","host":"`...), g.names[host]...)
	b = append(b, `","attributes":{}}`...)
	e.Value = b
}
