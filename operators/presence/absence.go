package presence

import (
	"fmt"
	"slices"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// AbsenceConfig declares an Absence.
type AbsenceConfig struct {
	By     []string      // group columns of the window
	Every  time.Duration // distance from one end of a window to the next
	Forget time.Duration // a group that has been missing for longer is gone for good
}

// Validate checks what does not depend on the rows.
func (c *AbsenceConfig) Validate() error {
	switch {
	case c.Every <= 0:
		return fmt.Errorf("check absence: windows end every %v, it must be above 0", c.Every)
	case c.Forget < c.Every:
		return fmt.Errorf("check absence: forget is %v, it must be %v, the length of a window, or more", c.Forget, c.Every)
	}
	return nil
}

// The columns of an Absence behind the group columns.
const (
	MissedColumn   = "missed"
	LastSeenColumn = "last_seen"
)

// evidenceColumns are those of a window that names its records; an Absence passes those of the last row on.
var evidenceColumns = [...]string{"_partition", "_first", "_first_time", "_last", "_last_time"}

// AbsenceSchema is the schema of the rows of an Absence: the group columns; missed, the number of windows since the last
// one with a row; last_seen, the end of that window; and the evidence of that row, if the window has evidence.
func AbsenceSchema(by []string, rollup *stream.Schema) (*stream.Schema, error) {
	var fields []stream.Field
	add := func(name string) error {
		at := rollup.Index(name)
		if at < 0 {
			return fmt.Errorf("compile absence: the group column %q is not in the rows of the window", name)
		}
		fields = append(fields, rollup.Fields[at])
		return nil
	}
	for _, name := range by {
		if err := add(name); err != nil {
			return nil, err
		}
		if name == MissedColumn || name == LastSeenColumn {
			return nil, fmt.Errorf("compile absence: %q is what it computes: a group column cannot be called so", name)
		}
	}
	fields = append(fields, stream.Field{Name: MissedColumn, Kind: stream.Int}, stream.Field{Name: LastSeenColumn, Kind: stream.Timestamp})
	if rollup.Index(evidenceColumns[0]) >= 0 {
		for _, name := range evidenceColumns {
			if err := add(name); err != nil {
				return nil, err
			}
		}
	}
	return &stream.Schema{Fields: fields}, nil
}

// Absence emits, at the end of every window, a row for each group that has none in it but had one before: how many windows
// it has missed. It goes on until the group comes back, or is forgotten. It is a stream.Operator on window rows, used from the
// task's goroutine, and passes none of them on.
//
// Its rows are Closed, for rules to judge, and at once Final, since nothing can change them: a late event that shows that a
// group was there ends its absence from the next window on.
type Absence struct {
	every, forget stream.Time
	memory        *memory
	evidence      []int       // columns of the rows of the window
	judged        stream.Time // end of the last window that was looked at
	out           *stream.Batch
	order         []uint64 // scratch: slot and number of the missing groups
	ids           []uint32
}

// NewAbsence returns an Absence over the rows of a window.
func NewAbsence(cfg *AbsenceConfig, rollup *stream.Schema) (*Absence, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	schema, err := AbsenceSchema(cfg.By, rollup)
	if err != nil {
		return nil, err
	}
	a := &Absence{every: stream.Time(cfg.Every), forget: stream.Time(cfg.Forget), judged: stream.NoTime, out: stream.NewBatch(schema)}
	for _, name := range evidenceColumns {
		if at := rollup.Index(name); at >= 0 {
			a.evidence = append(a.evidence, at)
		}
	}
	if a.memory, err = newMemory(cfg.By, rollup, 1+len(a.evidence)); err != nil {
		return nil, fmt.Errorf("compile absence: %w", err)
	}
	a.memory.groups.Bind(a.out)
	return a, nil
}

// Process implements stream.Operator.
func (a *Absence) Process(b *stream.Batch, _ stream.Emitter) error {
	switch b.Phase {
	case stream.Closed, stream.Revised:
	case stream.Live, stream.Final:
		return nil
	case stream.Event, stream.Late, stream.Partial:
		return fmt.Errorf("look for missing groups: the rows are %s, not those of a window", b.Phase)
	}
	end := b.Window.End
	if a.memory.groups.Live() == 0 { // there was nothing to look for before
		a.judged = max(a.judged, end-a.every)
	}
	for i, id := range a.memory.resolve(b) {
		if !a.memory.note(id, end) {
			continue
		}
		w := a.memory.of(id)[1:]
		for k, c := range a.evidence {
			w[k] = uint64(b.Cols[c].Ints[i])
		}
	}
	return nil
}

// Due implements stream.Dated: every window is looked at while there is a group.
func (a *Absence) Due() stream.Time {
	if a.memory.groups.Live() == 0 {
		return stream.MaxTime
	}
	return a.judged + a.every
}

// Advance implements stream.Operator.
func (a *Absence) Advance(to stream.Advance, out stream.Emitter) error {
	for a.memory.groups.Live() > 0 && a.judged+a.every <= to.Mark {
		a.judged += a.every
		a.memory.forget(a.judged - a.forget - 1)
		if err := a.judge(to, out); err != nil {
			return err
		}
	}
	return nil
}

// batchRows is about how many rows a batch has: it ends with the first slot that reaches it.
const batchRows = 4096

// judge emits the groups that have no row in the window that ends at judged.
func (a *Absence) judge(to stream.Advance, out stream.Emitter) error {
	a.order = a.order[:0]
	for id, held := range a.memory.held {
		if held && a.memory.last(uint32(id)) < a.judged {
			a.order = append(a.order, uint64(a.memory.groups.Slot(uint32(id)))<<32|uint64(id))
		}
	}
	slices.Sort(a.order)
	for lo := 0; lo < len(a.order); {
		hi := min(lo+batchRows, len(a.order))
		for hi < len(a.order) && a.order[hi]>>32 == a.order[hi-1]>>32 {
			hi++
		}
		a.fill(a.order[lo:hi], to)
		for _, a.out.Phase = range [...]stream.Phase{stream.Closed, stream.Final} {
			if err := out.Emit(a.out); err != nil {
				return err
			}
		}
		lo = hi
	}
	return nil
}

// fill makes the rows of the groups.
func (a *Absence) fill(order []uint64, to stream.Advance) {
	b := a.out
	b.Reset()
	b.Window, b.Version = stream.Window{Start: a.judged - a.every, End: a.judged}, to.At
	b.Provisional = to.Provisional || a.judged > to.RecordMark
	a.ids = a.ids[:0]
	for _, o := range order {
		a.ids, b.Slot = append(a.ids, uint32(o)), append(b.Slot, uint8(o>>32))
	}
	a.memory.groups.AppendColumns(a.ids, b.Cols)
	rest := b.Cols[len(a.memory.by):]
	for _, id := range a.ids {
		w := a.memory.of(id)
		last := stream.Time(w[0])
		rest[0].AppendInt(int64((a.judged - last) / a.every))
		rest[1].AppendInt(int64(last))
		for k := range a.evidence {
			rest[2+k].AppendInt(int64(w[1+k]))
		}
	}
	b.SetLen(len(order))
}

// Size implements stream.Sized.
func (a *Absence) Size() (bytes, groups int64) {
	return a.memory.bytes(), int64(a.memory.groups.Live())
}

// Snapshot implements stream.Operator.
func (a *Absence) Snapshot(w *stream.StateWriter) error {
	a.memory.snapshot(w, "groups")
	w.Int(int64(a.every))
	w.Int(int64(a.judged))
	return nil
}

// Restore implements stream.Operator.
func (a *Absence) Restore(r *stream.StateReader) error {
	if err := a.memory.restore(r, "groups"); err != nil {
		return err
	}
	if every := r.Int(); r.Err() == nil && every != int64(a.every) {
		return fmt.Errorf("restore presence: the snapshot is of windows every %v, not %v: it belongs to another pipeline version",
			time.Duration(every), time.Duration(a.every))
	}
	a.judged = stream.Time(r.Int())
	return r.Err()
}

// Inherit implements stream.Heir. Between the state and the cut nothing is known: that time counts for nobody as missed, and moves
// last_seen.
func (a *Absence) Inherit(r *stream.StateReader, cut stream.Time) error {
	if err := a.Restore(r); err != nil {
		return err
	}
	if a.judged == stream.NoTime {
		return nil
	}
	gap := cut.Sub(a.judged)
	a.judged = cut
	for id, held := range a.memory.held {
		if w := a.memory.of(uint32(id)); held && w[0] != noTime {
			w[0] = uint64(stream.Time(w[0]).Add(gap))
		}
	}
	return nil
}
