package parquet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tidewatch/tidewatch/internal/columnfile"
	"github.com/tidewatch/tidewatch/stream"
)

// RollupConfig is what a Rollups sink needs.
type RollupConfig struct {
	Objects                    stream.Objects
	Pipeline, Output, Instance string
	Partition                  stream.Partition // of the task
	// Slot is the span of event time whose windows make a file: those that end in it. It divides an hour.
	Slot time.Duration
	// Lateness is the allowed lateness of the windows: a slot is complete when the mark by records has passed its end by so
	// much.
	Lateness time.Duration
	// Rows is after how many rows a slot begins another file, at the next crossing of the grid.
	Rows int
}

// DefaultRollups is a file for five minutes, of about a million rows at most.
func DefaultRollups() RollupConfig { return RollupConfig{Slot: 5 * time.Minute, Rows: 1 << 20} }

// Validate reports the first mistake.
func (c RollupConfig) Validate() error {
	switch {
	case c.Objects == nil || c.Pipeline == "" || c.Output == "" || c.Instance == "" || c.Partition.Topic == "":
		return errors.New("open rollups: the object store or a name is missing")
	case c.Slot < time.Second || c.Slot%time.Second != 0 || time.Hour%c.Slot != 0:
		return fmt.Errorf("open rollups: a slot of %v does not divide an hour into whole seconds", c.Slot)
	case c.Lateness < 0 || c.Rows < 1:
		return fmt.Errorf("open rollups: a lateness of %v or %d rows cannot be", c.Lateness, c.Rows)
	}
	return nil
}

// Rollups keeps the final rows of one output of one task, and writes a file for each slot of event time once the mark by
// records says that no more rows can come. So the content of a file is a function of the log. It implements stream.Sink,
// stream.StatefulSink and stream.AdvancingSink; rows that are not staged yet are part of the task's snapshot.
//
// Windows that an idle tick has closed become files of another tree, with the values that rules have judged, when the progress
// with ticks has passed their slot. Their final rows have a higher revision.
type Rollups struct {
	config RollupConfig
	record stream.Time     // mark by records at the last crossing
	parts  []*rollupPart   // by slot, the provisional ones last, each in the order they were begun
	filled []filledSlot    // slots with more rows than one file takes, until they are complete
	shown  []stream.Window // that are in provisional files, until they are final; by end
}

// filledSlot counts the files of a slot. They may have left already, and the next one must not take a name again.
type filledSlot struct {
	slot  stream.Time
	files int
}

// NewRollups returns an empty sink.
func NewRollups(c RollupConfig) (*Rollups, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return &Rollups{config: c, record: stream.NoTime}, nil
}

// Write implements stream.Sink. It never blocks.
func (r *Rollups) Write(_ context.Context, b *stream.Batch) error {
	slot := r.slotOf(b.Window)
	switch {
	case b.Phase == stream.Closed && b.Provisional:
		return r.open(slot, true).take(b, 0)
	case b.Phase == stream.Closed:
		return nil
	case b.Phase != stream.Final:
		return fmt.Errorf("write rollups: they keep final rows, not %v ones", b.Phase)
	case r.record != stream.NoTime && r.complete(slot, r.record):
		return fmt.Errorf("write rollups: a final row of the window from %v to %v comes when the mark of records is %v, but the lateness "+
			"is %v; this is a mistake in tidewatch or in the declared lateness", b.Window.Start, b.Window.End, r.record, r.config.Lateness)
	}
	return r.open(slot, false).take(b, b.Revision+r.supersede(b.Window))
}

// supersede takes a window that is final now out of the provisional part that waits. It returns how often the window has
// been written.
func (r *Rollups) supersede(w stream.Window) uint32 {
	if slices.Contains(r.shown, w) {
		return 1 // a window is closed once
	}
	for _, p := range r.parts {
		if p.provisional && !p.closed {
			p.withdraw(w)
		}
	}
	return 0
}

// slotOf is the slot in which the window ends; one that ends at a border belongs to the slot before it.
func (r *Rollups) slotOf(w stream.Window) stream.Time { return (w.End - 1).Floor(r.config.Slot) }

func (r *Rollups) complete(slot, mark stream.Time) bool {
	return mark >= slot.Add(r.config.Slot).Add(r.config.Lateness)
}

// open is the part of a slot that takes rows.
func (r *Rollups) open(slot stream.Time, provisional bool) *rollupPart {
	at := 0
	for i, p := range r.parts {
		switch {
		case p.slot == slot && p.provisional == provisional && !p.closed:
			return p
		case p.slot < slot, p.slot == slot && (provisional || !p.provisional):
			at = i + 1
		}
	}
	p := &rollupPart{slot: slot, provisional: provisional}
	if !provisional {
		p.fragment = r.files(slot)
	}
	r.parts = slices.Insert(r.parts, at, p)
	return p
}

// files counts the full files of a slot.
func (r *Rollups) files(slot stream.Time) int {
	for _, f := range r.filled {
		if f.slot == slot {
			return f.files
		}
	}
	return 0
}

// fill notes that a file of the slot is full.
func (r *Rollups) fill(slot stream.Time) {
	for i := range r.filled {
		if r.filled[i].slot == slot {
			r.filled[i].files++
			return
		}
	}
	r.filled = append(r.filled, filledSlot{slot, 1})
}

// Advance implements stream.AdvancingSink: it closes the parts that the progress has passed.
func (r *Rollups) Advance(_ context.Context, to stream.Advance) error {
	r.record = to.RecordMark
	r.parts = slices.DeleteFunc(r.parts, func(p *rollupPart) bool {
		return p.provisional && !p.closed && (p.left == 0 || r.complete(p.slot, to.RecordMark))
	})
	r.shown = slices.DeleteFunc(r.shown, func(w stream.Window) bool { return w.End.Add(r.config.Lateness) <= to.RecordMark })
	r.filled = slices.DeleteFunc(r.filled, func(f filledSlot) bool { return r.complete(f.slot, to.RecordMark) })
	for _, p := range r.parts {
		switch {
		case p.closed:
		case p.provisional:
			if p.closed = p.slot.Add(r.config.Slot) <= to.Mark; p.closed {
				r.shown = p.appendWindows(r.shown)
			}
		case r.complete(p.slot, to.RecordMark):
			p.closed = true
		case p.rows() >= r.config.Rows:
			p.closed = true
			r.fill(p.slot)
		}
	}
	return nil
}

// Stage implements stream.Sink: it takes the closed parts.
func (r *Rollups) Stage(e stream.Epoch) stream.Work {
	var closed []*rollupPart
	r.parts = slices.DeleteFunc(r.parts, func(p *rollupPart) bool {
		if p.closed {
			closed = append(closed, p)
		}
		return p.closed
	})
	if len(closed) == 0 {
		return nil
	}
	var files []encoded // kept for a second attempt
	return func(ctx context.Context) (stream.Receipt, error) {
		if files == nil {
			var err error
			if files, err = r.encode(closed); err != nil {
				return nil, stream.Mark(stream.Fatal, err)
			}
			closed = nil
		}
		return put(ctx, r.config.Objects, e.Prefix, files)
	}
}

func (r *Rollups) encode(parts []*rollupPart) ([]encoded, error) {
	w, err := columnfile.NewWriter()
	if err != nil {
		return nil, err
	}
	files := make([]encoded, 0, len(parts))
	for _, p := range parts {
		meta := columnfile.RollupMeta{
			RollupName: columnfile.RollupName{
				Pipeline: r.config.Pipeline, Output: r.config.Output, Instance: r.config.Instance,
				Topic: r.config.Partition.Topic, Partition: r.config.Partition.Number,
				Slot: p.slot, Fragment: p.fragment, Provisional: p.provisional,
			},
			Incarnation: r.config.Partition.Incarnation, SlotEnd: p.slot.Add(r.config.Slot),
		}
		table, err := p.table(meta)
		if err != nil {
			return nil, fmt.Errorf("encode rollups of %v: %w", p.slot, err)
		}
		data, err := w.Encode(table, p.order())
		if err != nil {
			return nil, fmt.Errorf("encode rollups of %v: %w", p.slot, err)
		}
		files = append(files, newEncoded(meta.Key(), data))
	}
	return files, nil
}

// Reveal implements stream.Sink.
func (r *Rollups) Reveal(ctx context.Context, receipt stream.Receipt) error {
	return reveal(ctx, r.config.Objects, receipt)
}

// Close implements stream.Sink; what is not staged is in the task's snapshot.
func (r *Rollups) Close() error { return nil }

// Size is about the bytes of memory that the waiting rows take, and their number. From the task's goroutine.
func (r *Rollups) Size() (bytes, rows int64) {
	for _, p := range r.parts {
		bytes, rows = bytes+p.size(), rows+int64(p.rows())
	}
	return bytes, rows
}
