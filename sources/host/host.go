package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/net"
	"github.com/shirou/gopsutil/v4/process"
)

// Attribute is a fact about a point beside its host.
type Attribute struct{ Name, Value string }

// Point is one measured value.
type Point struct {
	Name, Kind, Unit string // Kind is gauge or sum; Unit is UCUM
	Value            float64
	Attributes       []Attribute
}

// Collector measures. It is used from one goroutine at a time.
type Collector struct {
	own    *process.Process // nil if it cannot be found
	before cpu.TimesStat    // of the last sample
	spent  float64          // processor seconds of this process at the last sample
	at     time.Time        // of the last sample
}

// New returns a collector that has taken its first look at what is measured between two samples.
func New(ctx context.Context, now time.Time) *Collector {
	c := &Collector{at: now}
	if p, err := process.NewProcessWithContext(ctx, int32(os.Getpid())); err == nil {
		c.own = p
		c.spent = spentBy(ctx, p)
	}
	if all, err := cpu.TimesWithContext(ctx, false); err == nil && len(all) > 0 {
		c.before = all[0]
	}
	return c
}

// Sample measures everything. What could not be measured is missing among the points and told by the error; the points are
// good all the same.
func (c *Collector) Sample(ctx context.Context, now time.Time) ([]Point, error) {
	var all []Point
	var errs []error
	for _, m := range []struct {
		what    string
		measure func(context.Context, time.Time) ([]Point, error)
	}{
		{"processor", c.processor},
		{"memory", memory},
		{"file systems", filesystems},
		{"disks", disks},
		{"network", network},
		{"processes", processes},
		{"this process", c.ownProcess},
	} {
		points, err := m.measure(ctx, now)
		if err != nil {
			errs = append(errs, fmt.Errorf("measure %s: %w", m.what, err))
		}
		all = append(all, points...)
	}
	c.at = now
	return all, errors.Join(errs...)
}

func gauge(name, unit string, v float64, attributes ...Attribute) Point {
	return Point{name, "gauge", unit, v, attributes}
}

func sum(name, unit string, v float64, attributes ...Attribute) Point {
	return Point{name, "sum", unit, v, attributes}
}

func (c *Collector) processor(ctx context.Context, _ time.Time) (points []Point, err error) {
	all, err := cpu.TimesWithContext(ctx, false)
	if err == nil && len(all) > 0 {
		if v, ok := utilization(&c.before, &all[0]); ok {
			points = append(points, gauge("system.cpu.utilization", "1", v))
		}
		c.before = all[0]
	}
	avg, err2 := load.AvgWithContext(ctx)
	if err2 == nil {
		points = append(points, gauge("system.cpu.load_average.1m", "{thread}", avg.Load1))
	}
	return points, errors.Join(err, err2)
}

// utilization is the share of the time between two readings that was not idle; not ok if no time has passed.
func utilization(before, after *cpu.TimesStat) (float64, bool) {
	total, idle := busyAndIdle(after)
	total0, idle0 := busyAndIdle(before)
	if total <= total0 {
		return 0, false
	}
	return min(max(1-(idle-idle0)/(total-total0), 0), 1), true
}

// busyAndIdle sums up the states of a processor. Time of guests is part of user and nice on Linux already; waiting for a
// disk is idleness.
func busyAndIdle(t *cpu.TimesStat) (total, idle float64) {
	idle = t.Idle + t.Iowait
	return t.User + t.System + t.Nice + t.Irq + t.Softirq + t.Steal + idle, idle
}

func memory(ctx context.Context, _ time.Time) ([]Point, error) {
	m, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil || m.Total == 0 {
		return nil, err
	}
	used := m.Total - min(m.Available, m.Total)
	return []Point{
		gauge("system.memory.usage", "By", float64(used)), gauge("system.memory.utilization", "1", float64(used)/float64(m.Total)),
	}, nil
}

// filesystems measures those on devices, each device once: at its shortest mountpoint.
func filesystems(ctx context.Context, _ time.Time) (points []Point, err error) {
	all, err := disk.PartitionsWithContext(ctx, false)
	slices.SortFunc(all, func(a, b disk.PartitionStat) int {
		if d := len(a.Mountpoint) - len(b.Mountpoint); d != 0 {
			return d
		}
		return strings.Compare(a.Mountpoint, b.Mountpoint)
	})
	var seen []string
	if !slices.ContainsFunc(all, func(p disk.PartitionStat) bool { return p.Mountpoint == "/" }) { // an overlay, in containers
		all = append([]disk.PartitionStat{{Mountpoint: "/", Device: "/"}}, all...)
	}
	for _, p := range all {
		if slices.Contains(seen, p.Device) || p.Fstype == "squashfs" {
			continue
		}
		seen = append(seen, p.Device)
		u, failed := disk.UsageWithContext(ctx, p.Mountpoint)
		if failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		if u.Used+u.Free == 0 {
			continue
		}
		where := Attribute{"mountpoint", p.Mountpoint}
		points = append(points, gauge("system.filesystem.usage", "By", float64(u.Used), where),
			gauge("system.filesystem.utilization", "1", float64(u.Used)/float64(u.Used+u.Free), where))
	}
	return points, err
}

func disks(ctx context.Context, _ time.Time) (points []Point, err error) {
	all, err := disk.IOCountersWithContext(ctx)
	names := make([]string, 0, len(all))
	for name := range all {
		if !strings.HasPrefix(name, "loop") && !strings.HasPrefix(name, "ram") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		d := all[name]
		points = append(points, sum("system.disk.io", "By", float64(d.ReadBytes), Attribute{"device", name}, Attribute{"direction", "read"}),
			sum("system.disk.io", "By", float64(d.WriteBytes), Attribute{"device", name}, Attribute{"direction", "write"}))
	}
	return points, err
}

func network(ctx context.Context, _ time.Time) (points []Point, err error) {
	all, err := net.IOCountersWithContext(ctx, true)
	slices.SortFunc(all, func(a, b net.IOCountersStat) int { return strings.Compare(a.Name, b.Name) })
	for _, d := range all {
		if d.Name == "lo" {
			continue
		}
		device := Attribute{"device", d.Name}
		points = append(points, sum("system.network.io", "By", float64(d.BytesRecv), device, Attribute{"direction", "receive"}),
			sum("system.network.io", "By", float64(d.BytesSent), device, Attribute{"direction", "transmit"}),
			sum("system.network.errors", "{error}", float64(d.Errin+d.Errout), device))
	}
	return points, err
}

func processes(ctx context.Context, _ time.Time) ([]Point, error) {
	pids, err := process.PidsWithContext(ctx)
	if err != nil {
		return nil, err
	}
	return []Point{gauge("system.processes.count", "{process}", float64(len(pids)))}, nil
}

func spentBy(ctx context.Context, p *process.Process) float64 {
	t, err := p.TimesWithContext(ctx)
	if err != nil {
		return 0
	}
	return t.User + t.System
}

func (c *Collector) ownProcess(ctx context.Context, now time.Time) (points []Point, err error) {
	if c.own == nil {
		return nil, nil
	}
	spent := spentBy(ctx, c.own)
	if passed := now.Sub(c.at).Seconds(); passed > 0 && spent >= c.spent {
		points = append(points, gauge("process.cpu.utilization", "1", (spent-c.spent)/passed))
	}
	c.spent = spent
	m, err := c.own.MemoryInfoWithContext(ctx)
	if err == nil {
		points = append(points, gauge("process.memory.usage", "By", float64(m.RSS)))
	}
	return points, err
}

// Labels are what all events of one producer say beside their points.
type Labels struct {
	Host, Service, Tenant string // empty ones are left out
	Attributes            []Attribute
}

// AppendJSON appends the point as an event of the schema metric, measured at a time.
func (p *Point) AppendJSON(dst []byte, at time.Time, l *Labels) []byte {
	dst = strconv.AppendInt(append(dst, `{"time":`...), at.UnixMilli(), 10)
	field := func(key, value string) {
		if value != "" {
			dst = appendText(append(append(append(dst, `,"`...), key...), `":`...), value)
		}
	}
	field("name", p.Name)
	field("kind", p.Kind)
	field("unit", p.Unit)
	dst = strconv.AppendFloat(append(dst, `,"value":`...), p.Value, 'g', -1, 64)
	field("tenant", l.Tenant)
	field("service", l.Service)
	field("host", l.Host)
	dst = append(dst, `,"attributes":{`...)
	for i, a := range slices.Concat(l.Attributes, p.Attributes) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendText(append(appendText(dst, a.Name), ':'), a.Value)
	}
	return append(dst, "}}"...)
}

// appendText writes a JSON string. Names of devices and folders may hold anything.
func appendText(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			dst = append(dst, string(r)...)
		}
	}
	return append(dst, '"')
}
