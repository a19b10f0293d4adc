package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/stream"
)

// tally is a tumbling window over one text column that counts, and adds up one column of numbers. Its state and its rows have the
// size of real ones. It implements stream.Operator, and belongs to its task.
type tally struct {
	size, lateness time.Duration
	by, value      int // columns of the events
	windows        map[stream.Time]map[string]*sum
	rows           *stream.Batch
}

type sum struct {
	count int64
	total float64
}

// tallySchema is that of its rows.
func tallySchema(in *stream.Schema, c *pipelines.WindowConfig) (*stream.Schema, error) {
	if len(c.By) != 1 || len(c.Aggregates) != 2 || c.Every != c.Size || in.Index(c.By[0]) < 0 || in.Index("value") < 0 {
		return nil, errors.New("this window tumbles, is by one column, and has a count and a sum of value")
	}
	return &stream.Schema{Fields: []stream.Field{
		{Name: c.By[0], Kind: stream.String}, {Name: c.Aggregates[0].Name, Kind: stream.Int}, {Name: c.Aggregates[1].Name, Kind: stream.Float},
	}}, nil
}

func newTally(in *stream.Schema, c *pipelines.WindowConfig) (*tally, error) {
	schema, err := tallySchema(in, c)
	if err != nil {
		return nil, err
	}
	return &tally{
		size: c.Size, lateness: c.Lateness, by: in.Index(c.By[0]), value: in.Index("value"),
		windows: map[stream.Time]map[string]*sum{}, rows: stream.NewBatch(schema),
	}, nil
}

// Grids implements stream.Gridded: a window ends, and is final.
func (t *tally) Grids() stream.Grids {
	return stream.Grids{{Period: t.size}, {Period: t.size, Phase: t.lateness % t.size}}
}

// Due implements stream.Dated.
func (t *tally) Due() stream.Time {
	due := stream.MaxTime
	for start := range t.windows {
		due = min(due, t.final(start))
	}
	return due
}

// final is when the window that begins there has its last value.
func (t *tally) final(start stream.Time) stream.Time { return start.Add(t.size + t.lateness) }

// Process implements stream.Operator.
func (t *tally) Process(b *stream.Batch, out stream.Emitter) error {
	for i, at := range b.Time {
		start := at.Floor(t.size)
		if b.Mark[i] != stream.NoTime && t.final(start) <= b.Mark[i] {
			out.Count(stream.BucketLate, 1)
			continue
		}
		w := t.windows[start]
		if w == nil {
			w = map[string]*sum{}
			t.windows[start] = w
		}
		key := b.Cols[t.by].Text(i)
		s := w[key]
		if s == nil {
			s = &sum{}
			w[key] = s
		}
		s.count++
		s.total += b.Cols[t.value].Floats[i]
	}
	return nil
}

// Advance implements stream.Operator. Only final rows are of use to files.
func (t *tally) Advance(to stream.Advance, out stream.Emitter) error {
	for _, start := range t.starts() {
		if t.final(start) > to.RecordMark {
			break
		}
		w, b := t.windows[start], t.rows
		delete(t.windows, start)
		b.Reset()
		b.Phase, b.Version, b.Window = stream.Final, to.At, stream.Window{Start: start, End: start.Add(t.size)}
		for _, key := range slices.Sorted(maps.Keys(w)) {
			b.Cols[0].AppendString(key)
			b.Cols[1].AppendInt(w[key].count)
			b.Cols[2].AppendFloat(w[key].total)
			b.SetLen(b.Len() + 1)
		}
		if err := out.Emit(b); err != nil {
			return err
		}
	}
	return nil
}

func (t *tally) starts() []stream.Time { return slices.Sorted(maps.Keys(t.windows)) }

// Snapshot implements stream.Operator.
func (t *tally) Snapshot(w *stream.StateWriter) error {
	w.Section("windows", 1)
	w.Uint(uint64(len(t.windows)))
	for _, start := range t.starts() {
		w.Cut()
		window := t.windows[start]
		w.Int(int64(start))
		w.Uint(uint64(len(window)))
		for _, key := range slices.Sorted(maps.Keys(window)) {
			w.Text(key)
			w.Int(window[key].count)
			w.Float(window[key].total)
		}
	}
	return nil
}

// Restore implements stream.Operator.
func (t *tally) Restore(r *stream.StateReader) error {
	if version, _ := r.Section("windows"); version != 1 {
		return fmt.Errorf("restore windows: section version %d, want 1", version)
	}
	for range r.Len(2) {
		start := stream.Time(r.Int())
		window := map[string]*sum{}
		for range r.Len(3) {
			key := r.Text()
			window[key] = &sum{count: r.Int(), total: r.Float()}
		}
		t.windows[start] = window
	}
	return r.Err()
}
