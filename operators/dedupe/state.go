package dedupe

import (
	"errors"
	"fmt"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// stateVersion is that of the section "sights". Its body: span and lateness; the generations in order of time: start, then
// of its sights in the order of their hashes the upper halves, the lower halves, and how long after the start they were.
const stateVersion = 1

// Snapshot implements stream.Operator.
func (d *Dedupe) Snapshot(w *stream.StateWriter) error {
	w.Section("sights", stateVersion)
	w.Int(int64(d.span))
	w.Int(int64(d.lateness))
	w.Uint(uint64(len(d.generations)))
	var column []int64
	for _, g := range d.generations {
		w.Int(int64(g.start))
		for _, field := range []func(*sight) int64{
			func(s *sight) int64 { return int64(s.hi) },
			func(s *sight) int64 { return int64(s.lo) },
			func(s *sight) int64 { return int64(s.at - g.start) },
		} {
			column = column[:0]
			for i := range g.table.slots {
				if s := &g.table.slots[i]; s.hi != 0 {
					column = append(column, field(s))
				}
			}
			w.Ints(column)
		}
	}
	return nil
}

// Restore implements stream.Operator.
func (d *Dedupe) Restore(r *stream.StateReader) error {
	if version, _ := r.Section("sights"); version != stateVersion {
		return fmt.Errorf("restore sights: section version %d, want %d", version, stateVersion)
	}
	span, lateness := r.Int(), r.Int()
	if r.Err() == nil && (span != int64(d.span) || lateness != int64(d.lateness)) {
		return fmt.Errorf("restore sights: the snapshot is of a span of %v with lateness %v, not %v and %v: it belongs to another "+
			"pipeline version", time.Duration(span), time.Duration(lateness), time.Duration(d.span), time.Duration(d.lateness))
	}
	last := stream.NoTime
	for range r.Len(4) {
		g, err := d.restoreGeneration(r, last)
		if err != nil {
			return errors.Join(r.Err(), err)
		}
		last = g.start
		d.generations = append(d.generations, g)
	}
	return r.Err()
}

func (d *Dedupe) restoreGeneration(r *stream.StateReader, last stream.Time) (*generation, error) {
	at := stream.Time(r.Int())
	start, end, until, ok := d.bounds(at)
	if !ok || start != at || start <= last {
		return nil, fmt.Errorf("restore sights: a generation starts at %v", at)
	}
	upper, lower, times := r.Ints(), r.Ints(), r.Ints()
	if r.Err() != nil || len(lower) != len(upper) || len(times) != len(upper) {
		return nil, errors.New("restore sights: the columns of a generation differ in length")
	}
	sorted := make([]sight, len(upper))
	for i := range sorted {
		s := sight{uint64(upper[i]), uint64(lower[i]), start + stream.Time(times[i])}
		if s.hi == 0 || i > 0 && !sorted[i-1].less(s.hi, s.lo) || s.at < start || s.at >= end {
			return nil, fmt.Errorf("restore sights: sight %d of the generation at %v", i, start)
		}
		sorted[i] = s
	}
	g := &generation{start: start, end: end, until: until, table: newTable(len(sorted))}
	g.table.fill(sorted)
	g.table.n = len(sorted)
	return g, nil
}
