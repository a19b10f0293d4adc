package streamtest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// The windows of the suites: an operator that is simple enough to be believed. It counts and adds the values of events by
// host in tumbling windows, and emits what a window of the product does.

const (
	// WindowSize is the length of the windows that WindowHistory writes.
	WindowSize = 10 * time.Second
	// WindowLateness is their allowed lateness.
	WindowLateness = 15 * time.Second

	disorder = 3 * time.Second
	grace    = 40 * time.Second
)

// WindowStart is a time shortly before the first event of a WindowHistory.
const WindowStart stream.Time = 1_764_000_000_000_000_000

func eventSchema() *stream.Schema {
	return &stream.Schema{Fields: []stream.Field{{Name: "host", Kind: stream.String}, {Name: "value", Kind: stream.Float}}}
}

// WindowSchema is the schema of the window rows of WindowHistory. The group is the first column. host and mean may be null.
func WindowSchema() *stream.Schema {
	return &stream.Schema{Fields: []stream.Field{
		{Name: "host", Kind: stream.String}, {Name: "mean", Kind: stream.Float}, {Name: "samples", Kind: stream.Int},
	}}
}

// counter is the operator.
type counter struct {
	windows      map[stream.Time]*counted
	mark, record stream.Time
}

// counted is a window.
type counted struct {
	closed         bool
	hosts          map[string]*counts // "" is null
	dirty, revised map[uint8]bool     // slots
}

type counts struct {
	samples, values int64
	sum             float64
}

func newCounter() *counter {
	return &counter{windows: map[stream.Time]*counted{}, mark: stream.NoTime, record: stream.NoTime}
}

// Process implements stream.Operator.
func (c *counter) Process(b *stream.Batch, out stream.Emitter) error {
	late := stream.NewBatch(b.Schema)
	late.Phase = stream.Late
	for i := range b.Len() {
		start := b.Time[i].Floor(WindowSize)
		end := start.Add(WindowSize)
		if end.Add(WindowLateness) <= b.Mark[i] {
			late.AppendRow(b, i)
			continue
		}
		w := c.windows[start]
		if w == nil {
			w = &counted{closed: end <= max(b.Mark[i], c.mark), hosts: map[string]*counts{}, dirty: map[uint8]bool{}, revised: map[uint8]bool{}}
			c.windows[start] = w
		}
		host := b.Cols[0].Text(i)
		if w.hosts[host] == nil {
			w.hosts[host] = &counts{}
		}
		w.hosts[host].add(&b.Cols[1], i)
		w.dirty[slotOfHost(host)] = true
		if w.closed {
			w.revised[slotOfHost(host)] = true
			out.Count(stream.BucketRevised, 1)
		}
	}
	if late.Len() == 0 {
		return nil
	}
	out.Count(stream.BucketLate, int64(late.Len()))
	return out.Emit(late)
}

func (n *counts) add(c *stream.Column, i int) {
	n.samples++
	if !c.IsNull(i) {
		n.values++
		n.sum += c.Floats[i]
	}
}

func slotOfHost(host string) uint8 { return stream.SlotOf([]byte(host)) % 4 } // few, so that slots hold several hosts

// Advance implements stream.Operator.
func (c *counter) Advance(to stream.Advance, out stream.Emitter) error {
	c.mark, c.record = max(c.mark, to.Mark), max(c.record, to.RecordMark)
	for _, start := range slices.Sorted(maps.Keys(c.windows)) {
		w, end := c.windows[start], start.Add(WindowSize)
		if end <= c.mark && !w.closed {
			w.closed, w.dirty = true, map[uint8]bool{}
			shown := stream.Advance{At: to.At, Provisional: to.Provisional || end > c.record}
			if err := c.emit(start, nil, stream.Closed, shown, out); err != nil {
				return err
			}
			if err := c.decide(start, out); err != nil {
				return err
			}
		}
		if end.Add(WindowLateness) > c.record {
			continue
		}
		last := stream.Advance{At: to.At}
		if err := c.emit(start, w.revised, stream.Revised, last, out); err != nil {
			return err
		}
		if err := c.emit(start, nil, stream.Final, last, out); err != nil {
			return err
		}
		delete(c.windows, start)
	}
	return nil
}

// decide tells of hosts with many events.
func (c *counter) decide(start stream.Time, out stream.Emitter) error {
	for _, host := range slices.Sorted(maps.Keys(c.windows[start].hosts)) {
		n := c.windows[start].hosts[host].samples
		if n < 3 {
			continue
		}
		if err := out.Decide(stream.Decision{ID: fmt.Sprintf("%d %s", start, host), Body: fmt.Appendf(nil, "%d", n)}); err != nil {
			return err
		}
	}
	return nil
}

// emit sends the slots, nil for all. Version and Provisional are those of the rows.
func (c *counter) emit(start stream.Time, slots map[uint8]bool, phase stream.Phase, of stream.Advance, out stream.Emitter) error {
	w := c.windows[start]
	hosts := slices.DeleteFunc(slices.Sorted(maps.Keys(w.hosts)), func(h string) bool { return slots != nil && !slots[slotOfHost(h)] })
	if len(hosts) == 0 {
		return nil
	}
	slices.SortStableFunc(hosts, func(a, b string) int { return int(slotOfHost(a)) - int(slotOfHost(b)) })
	b := stream.NewBatch(WindowSchema())
	b.Phase, b.Window, b.Version, b.At = phase, stream.Window{Start: start, End: start.Add(WindowSize)}, of.At, of.At
	b.Provisional = of.Provisional
	for _, host := range hosts {
		n := w.hosts[host]
		if host == "" {
			b.Cols[0].AppendNull()
		} else {
			b.Cols[0].AppendString(host)
		}
		if n.values == 0 {
			b.Cols[1].AppendNull()
		} else {
			b.Cols[1].AppendFloat(n.sum / float64(n.values))
		}
		b.Cols[2].AppendInt(n.samples)
		b.Slot = append(b.Slot, slotOfHost(host))
	}
	b.SetLen(len(hosts))
	return out.Emit(b)
}

// Publish implements stream.Publisher.
func (c *counter) Publish(at stream.Version, out stream.Emitter) error {
	for _, start := range slices.Sorted(maps.Keys(c.windows)) {
		w := c.windows[start]
		if len(w.dirty) == 0 {
			continue
		}
		if err := c.emit(start, w.dirty, stream.Live, stream.Advance{At: at, Provisional: w.closed && start.Add(WindowSize) > c.record}, out); err != nil {
			return err
		}
		w.dirty = map[uint8]bool{}
	}
	return nil
}

// Refresh implements stream.Refresher.
func (c *counter) Refresh() {
	for _, w := range c.windows {
		for host := range w.hosts {
			w.dirty[slotOfHost(host)] = true
		}
	}
}

// Due implements stream.Gridded.
func (c *counter) Due() stream.Time {
	due := stream.MaxTime
	for start, w := range c.windows {
		end := start.Add(WindowSize)
		if w.closed {
			end = end.Add(WindowLateness)
		}
		due = min(due, end)
	}
	return due
}

// Grids implements stream.Gridded.
func (c *counter) Grids() stream.Grids {
	return stream.Grids{{Period: WindowSize}, {Period: WindowSize, Phase: WindowLateness % WindowSize}}
}

// Snapshot implements stream.Operator.
func (c *counter) Snapshot(w *stream.StateWriter) error {
	w.Section("counts", 1)
	w.Int(int64(c.mark))
	w.Int(int64(c.record))
	w.Uint(uint64(len(c.windows)))
	for _, start := range slices.Sorted(maps.Keys(c.windows)) {
		x := c.windows[start]
		w.Int(int64(start))
		w.Uint(map[bool]uint64{true: 1}[x.closed])
		for _, slots := range []map[uint8]bool{x.dirty, x.revised} {
			w.Uint(uint64(len(slots)))
			for _, s := range slices.Sorted(maps.Keys(slots)) {
				w.Uint(uint64(s))
			}
		}
		w.Uint(uint64(len(x.hosts)))
		for _, host := range slices.Sorted(maps.Keys(x.hosts)) {
			n := x.hosts[host]
			w.Text(host)
			w.Int(n.samples)
			w.Int(n.values)
			w.Float(n.sum)
		}
	}
	return nil
}

// Restore implements stream.Operator.
func (c *counter) Restore(r *stream.StateReader) error {
	if version, _ := r.Section("counts"); version != 1 {
		return fmt.Errorf("restore counts: section version %d, want 1", version)
	}
	c.mark, c.record = stream.Time(r.Int()), stream.Time(r.Int())
	for range r.Len(5) {
		start := stream.Time(r.Int())
		x := &counted{closed: r.Uint() == 1, hosts: map[string]*counts{}, dirty: map[uint8]bool{}, revised: map[uint8]bool{}}
		for _, slots := range []map[uint8]bool{x.dirty, x.revised} {
			for range r.Len(1) {
				slots[uint8(r.Uint())] = true
			}
		}
		for range r.Len(11) {
			x.hosts[r.Text()] = &counts{r.Int(), r.Int(), r.Float()}
		}
		c.windows[start] = x
	}
	return r.Err()
}

// drawEvents draws events of few hosts, some of them late.
func drawEvents(rng *rand.Rand, size int) *stream.Batch {
	b := stream.NewBatch(eventSchema())
	now := WindowStart
	for range rng.IntN(size + 2) {
		now = now.Add(time.Duration(rng.IntN(9)) * time.Second / 2) // often exactly at the ends of windows
		if rng.IntN(12) == 0 {
			now = now.Add(time.Duration(rng.IntN(60)) * time.Second)
		}
		at := now
		if rng.IntN(4) == 0 {
			at = at.Add(-time.Duration(rng.IntN(50)) * time.Second)
		}
		if n := rng.IntN(6); n > 0 {
			b.Cols[0].AppendString(fmt.Sprintf("host-%d", n))
		} else {
			b.Cols[0].AppendNull()
		}
		if rng.IntN(4) > 0 {
			b.Cols[1].AppendFloat(float64(rng.IntN(1000)) / 8)
		} else {
			b.Cols[1].AppendNull()
		}
		b.Time = append(b.Time, at)
		b.SetLen(b.Len() + 1)
	}
	return b
}
