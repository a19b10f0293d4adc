package engine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// event is one record of a history.
type event struct {
	at  time.Duration
	key string
	bad bool
	// panics says whom the record makes panic, "" for nobody.
	panics string
}

func (e event) message() stream.Message {
	if e.bad {
		return stream.Message{Value: []byte("bad")}
	}
	return stream.Message{Value: fmt.Appendf(nil, "%d %s %s", int64(e.at), e.key, e.panics)}
}

// eventDecoder reads what message writes.
type eventDecoder struct{}

var eventSchema = &stream.Schema{Fields: []stream.Field{{Name: "key", Kind: stream.String}}}

func (*eventDecoder) Schema() *stream.Schema { return eventSchema }

func (*eventDecoder) Decode(m *stream.Message, b *stream.Batch) error {
	var at int64
	var key string
	if n, _ := fmt.Sscanf(string(m.Value), "%d %s", &at, &key); n != 2 {
		return stream.Mark(stream.Reject, errors.New("not an event"))
	}
	b.Time, b.Offset = append(b.Time, stream.Time(at)), append(b.Offset, m.Offset)
	b.Timestamp, b.Bytes = append(b.Timestamp, 0), append(b.Bytes, uint32(len(m.Value)))
	b.Cols[0].AppendString(key)
	b.SetLen(b.Len() + 1)
	return nil
}

// oracle is what an undisturbed run shows: the mark is folded record by record, windows are kept in a map.
type oracle struct {
	live, files, decisions map[string]string
	ledger                 string
}

func (h *history) oracle() *oracle {
	o := &oracle{live: map[string]string{}, files: map[string]string{}, decisions: map[string]string{}}
	var ledger stream.Ledger
	front := time.Duration(-1)
	counts := map[time.Duration]map[string]int{}
	closed, final := map[time.Duration]bool{}, map[time.Duration]bool{}
	for i, e := range h.events {
		if e.bad {
			ledger[stream.BucketRejected]++
			o.live[fmt.Sprintf("dead|%d", i)] = "not an event"
			continue
		}
		mark := front - disorder
		w := e.at.Truncate(size)
		switch {
		case front >= 0 && w+size+lateness <= mark:
			ledger[stream.BucketLate]++
		default:
			if counts[w] == nil {
				counts[w] = map[string]int{}
				closed[w] = front >= 0 && w+size <= mark // opened behind the mark: rules have judged it without rows
			}
			counts[w][e.key]++
			o.live[fmt.Sprintf("%s|%s", stream.Time(w), e.key)] = fmt.Sprintf("%s %d", e.key, counts[w][e.key])
			if closed[w] || front >= 0 && w+size <= mark {
				ledger[stream.BucketRevised]++
			} else {
				ledger[stream.BucketCounted]++
			}
		}
		front = max(front, e.at)
		for _, w := range sortedWindows(counts) {
			if w+size <= front-disorder && !closed[w] {
				closed[w] = true
				o.decisions[fmt.Sprint("closed ", stream.Time(w))] = rows(counts[w])
			}
			if w+size+lateness <= front-disorder && !final[w] {
				final[w] = true
				o.files["rollups/"+stream.Time(w).String()] = rows(counts[w])
			}
		}
	}
	raw, _ := json.Marshal(ledger)
	o.ledger = string(raw)
	return o
}

func sortedWindows(m map[time.Duration]map[string]int) (ws []time.Duration) {
	for w := range m {
		ws = append(ws, w)
	}
	slices.Sort(ws)
	return ws
}

func rows(counts map[string]int) string {
	var lines []string
	for k, n := range counts {
		lines = append(lines, fmt.Sprintf("%s %d false\n", k, n))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// counter is a tumbling count by key, as short as it can be; it decides about every closed window.
type counter struct {
	windows map[stream.Time]*countWindow
	out     *stream.Batch
}

type countWindow struct {
	counts map[string]int64
	dirty  map[string]bool
	closed bool
}

var countSchema = &stream.Schema{Fields: []stream.Field{{Name: "key", Kind: stream.String}, {Name: "n", Kind: stream.Int}}}

func newCounter() *counter {
	return &counter{windows: map[stream.Time]*countWindow{}, out: stream.NewBatch(countSchema)}
}

func (c *counter) Grids() stream.Grids {
	return stream.Grids{{Period: size}, {Period: size, Phase: lateness % size}}
}

func (c *counter) Due() stream.Time {
	due := stream.MaxTime
	for start, w := range c.windows {
		end := start.Add(size)
		if due = min(due, end.Add(lateness)); !w.closed {
			due = min(due, end)
		}
	}
	return due
}

func (c *counter) Process(b *stream.Batch, out stream.Emitter) error {
	for i, t := range b.Time {
		start := t.Floor(size)
		end := start.Add(size)
		if b.Mark[i] != stream.NoTime && end.Add(lateness) <= b.Mark[i] {
			out.Count(stream.BucketLate, 1)
			continue
		}
		w := c.windows[start]
		if w == nil {
			// A window that opens behind the mark is closed already: its first event is a revision.
			w = &countWindow{counts: map[string]int64{}, dirty: map[string]bool{}, closed: b.Mark[i] != stream.NoTime && end <= b.Mark[i]}
			c.windows[start] = w
		}
		if w.closed {
			out.Count(stream.BucketRevised, 1)
		}
		key := b.Cols[0].Text(i)
		w.counts[key]++
		w.dirty[key] = true
	}
	return nil
}

func (c *counter) Advance(to stream.Advance, out stream.Emitter) error {
	for _, start := range c.starts() {
		w := c.windows[start]
		if end := start.Add(size); end <= to.Mark && !w.closed {
			w.closed = true
			if err := c.emit(start, stream.Closed, to.At, out); err != nil {
				return err
			}
			if err := out.Decide(stream.Decision{ID: fmt.Sprint("closed ", start), Body: []byte(w.text())}); err != nil {
				return err
			}
		}
		if start.Add(size+lateness) <= to.RecordMark {
			if err := c.emit(start, stream.Live, to.At, out); err != nil {
				return err
			}
			if err := c.emit(start, stream.Final, to.At, out); err != nil {
				return err
			}
			delete(c.windows, start)
		}
	}
	return nil
}

func (w *countWindow) text() string {
	counts := map[string]int{}
	for k, n := range w.counts {
		counts[k] = int(n)
	}
	return rows(counts)
}

func (c *counter) Publish(at stream.Version, out stream.Emitter) error {
	for _, start := range c.starts() {
		if w := c.windows[start]; len(w.dirty) > 0 {
			if err := c.emit(start, stream.Live, at, out); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *counter) emit(start stream.Time, p stream.Phase, at stream.Version, out stream.Emitter) error {
	w := c.windows[start]
	clear(w.dirty)
	c.out.Reset()
	c.out.Phase, c.out.Version, c.out.Window = p, at, stream.Window{Start: start, End: start.Add(size)}
	keys := make([]string, 0, len(w.counts))
	for k := range w.counts {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		c.out.Cols[0].AppendString(k)
		c.out.Cols[1].AppendInt(w.counts[k])
		c.out.SetLen(c.out.Len() + 1)
	}
	return out.Emit(c.out)
}

func (c *counter) starts() (all []stream.Time) {
	for s := range c.windows {
		all = append(all, s)
	}
	slices.Sort(all)
	return all
}

func (c *counter) Snapshot(w *stream.StateWriter) error {
	w.Section("windows", 1)
	w.Uint(uint64(len(c.windows)))
	for _, s := range c.starts() {
		win := c.windows[s]
		w.Int(int64(s))
		closed := uint64(0)
		if win.closed {
			closed = 1
		}
		w.Uint(closed)
		w.Uint(uint64(len(win.counts)))
		for _, k := range slices.Sorted(mapKeys(win.counts)) {
			w.Text(k)
			w.Int(win.counts[k])
		}
	}
	return nil
}

func mapKeys(m map[string]int64) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (c *counter) Restore(r *stream.StateReader) error {
	r.Section("windows")
	for range r.Len(3) {
		s := stream.Time(r.Int())
		w := &countWindow{counts: map[string]int64{}, dirty: map[string]bool{}, closed: r.Uint() == 1}
		for range r.Len(2) {
			k := r.Text()
			w.counts[k] = r.Int()
		}
		c.windows[s] = w
	}
	return r.Err()
}
