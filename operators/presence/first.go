package presence

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// FirstConfig declares a First.
type FirstConfig struct {
	By       []string      // group columns of the window
	Of       []string      // of By: what has to be new to the rest of By, its owner
	Within   time.Duration // a group is new if no window that ended less than this before had a row of it
	Learn    time.Duration // for so long after the first window of an owner all of its groups are learned, and none passes
	Lateness time.Duration // allowed lateness of the window
}

// Owner is By without Of.
func (c *FirstConfig) Owner() []string {
	return slices.DeleteFunc(slices.Clone(c.By), func(name string) bool { return slices.Contains(c.Of, name) })
}

// Validate checks what does not depend on the rows.
func (c *FirstConfig) Validate() error {
	for _, name := range c.Of {
		if !slices.Contains(c.By, name) {
			return fmt.Errorf("check first_seen: %q is no group column; there are %s", name, strings.Join(c.By, ", "))
		}
	}
	switch {
	case len(c.Of) == 0:
		return errors.New("check first_seen: it does not say what has to be new: name a group column")
	case c.Within <= 0:
		return fmt.Errorf("check first_seen: within is %v, it must be above 0", c.Within)
	case c.Learn < 0:
		return fmt.Errorf("check first_seen: learn is %v, it must not be below 0", c.Learn)
	case c.Lateness < 0:
		return fmt.Errorf("check first_seen: the allowed lateness is %v, it must not be below 0", c.Lateness)
	}
	return nil
}

// First passes the rows of a window whose groups are new: no window that ended less than Within before had a row of the
// group. A group is something of an owner, such as a country of a user; what the owner shows in its first time, Learn, is
// taken for usual. It is a stream.Operator on window rows, used from the task's goroutine. All groups of an owner must be
// in its task.
//
//   - Closed rows of new groups go on. All of them are remembered.
//   - Revised rows go on if the row of that group and window did, so that followers learn of the change. The others
//     teach only.
//   - Final rows go on as they are: they tell followers that a window does not change any more. Live rows end here.
//
// An owner that has not been there for Within is unknown when it comes back, and learns anew.
type First struct {
	within, learn, lateness stream.Time

	memory *memory
	owners *memory     // the second word is the end of the first window
	swept  stream.Time // progress when groups were forgotten last
	passes []pass      // into windows that may still be revised, in their order
	out    *stream.Batch
	rows   []int32 // scratch: those that go on
	passed []bool  // scratch, by group: in the window being revised
}

// pass is a group that has passed with the window that ends then.
type pass struct {
	end stream.Time
	id  uint32
}

// NewFirst returns a First over the rows of a window.
func NewFirst(cfg *FirstConfig, rollup *stream.Schema) (*First, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m, err := newMemory(cfg.By, rollup, 1)
	if err != nil {
		return nil, fmt.Errorf("compile first_seen: %w", err)
	}
	owners, err := newMemory(cfg.Owner(), rollup, 2)
	if err != nil {
		return nil, fmt.Errorf("compile first_seen: %w", err)
	}
	return &First{
		within: stream.Time(cfg.Within), learn: stream.Time(cfg.Learn), lateness: stream.Time(cfg.Lateness),
		memory: m, owners: owners, swept: stream.NoTime, out: stream.NewBatch(rollup),
	}, nil
}

// Process implements stream.Operator.
func (f *First) Process(b *stream.Batch, out stream.Emitter) error {
	f.rows = f.rows[:0]
	switch b.Phase {
	case stream.Closed:
		f.closed(b)
	case stream.Revised:
		f.revised(b)
	case stream.Final:
		return out.Emit(b)
	case stream.Live:
		return nil
	case stream.Event, stream.Late, stream.Partial:
		return fmt.Errorf("look for new groups: the rows are %s, not those of a window", b.Phase)
	}
	if len(f.rows) == 0 {
		return nil
	}
	if len(f.rows) == b.Len() {
		return out.Emit(b)
	}
	gather(f.out, b, f.rows)
	return out.Emit(f.out)
}

// closed remembers the rows and chooses those that are new.
func (f *First) closed(b *stream.Batch) {
	end := b.Window.End
	owners := f.noteOwners(b)
	for i, id := range f.memory.resolve(b) {
		last := f.memory.last(id)
		f.memory.note(id, end)
		begin := stream.Time(f.owners.of(owners[i])[1])
		if end-begin < f.learn || last != stream.NoTime && end-last < f.within {
			continue
		}
		f.passes = append(f.passes, pass{end, id})
		f.rows = append(f.rows, int32(i))
	}
}

// noteOwners remembers the owners of the rows.
func (f *First) noteOwners(b *stream.Batch) []uint32 {
	ids, end := f.owners.resolve(b), b.Window.End
	for _, id := range ids {
		if last := f.owners.last(id); last == stream.NoTime || end-last >= f.within {
			f.owners.of(id)[1] = uint64(end)
		}
		f.owners.note(id, end)
	}
	return ids
}

// revised chooses the rows that passed when their window was closed.
func (f *First) revised(b *stream.Batch) {
	f.noteOwners(b)
	ids := f.memory.resolve(b)
	f.mark(b.Window.End, true)
	for i, id := range ids {
		f.memory.note(id, b.Window.End)
		if f.passed[id] {
			f.rows = append(f.rows, int32(i))
		}
	}
	f.mark(b.Window.End, false)
}

// mark notes which groups have passed with a window, or takes that back.
func (f *First) mark(end stream.Time, passed bool) {
	if n := len(f.memory.held); n > len(f.passed) {
		f.passed = append(f.passed, make([]bool, n-len(f.passed))...)
	}
	for _, p := range f.passes {
		if p.end == end {
			f.passed[p.id] = passed
		}
	}
}

// sweeps is how often in a horizon forgotten groups are looked for. That decides about memory only.
const sweeps = 16

// Advance implements stream.Operator: what nothing depends on any more is forgotten. A group is remembered at least as long
// as a window with which it has passed may be revised.
func (f *First) Advance(to stream.Advance, _ stream.Emitter) error {
	if to.RecordMark == stream.NoTime {
		return nil
	}
	n := 0
	for n < len(f.passes) && f.passes[n].end+f.lateness <= to.RecordMark {
		n++
	}
	f.passes = slices.Delete(f.passes, 0, n)
	if f.swept != stream.NoTime && to.RecordMark-f.swept < f.within/sweeps {
		return nil
	}
	f.swept = to.RecordMark
	until := to.RecordMark - f.within - f.lateness
	f.memory.forget(until)
	f.owners.forget(until)
	return nil
}

// Size implements stream.Sized.
func (f *First) Size() (bytes, groups int64) {
	return f.memory.bytes() + f.owners.bytes() + int64(16*cap(f.passes)+cap(f.passed)+4*cap(f.rows)), int64(f.memory.groups.Live())
}

// Snapshot implements stream.Operator.
func (f *First) Snapshot(w *stream.StateWriter) error {
	f.memory.snapshot(w, "groups")
	f.owners.snapshot(w, "owners")
	w.Int(int64(f.within))
	w.Int(int64(f.swept))
	w.Uint(uint64(len(f.passes)))
	for _, p := range f.passes {
		w.Int(int64(p.end))
		w.Uint(uint64(p.id))
	}
	return nil
}

// Restore implements stream.Operator.
func (f *First) Restore(r *stream.StateReader) error {
	if err := f.memory.restore(r, "groups"); err != nil {
		return err
	}
	if err := f.owners.restore(r, "owners"); err != nil {
		return err
	}
	if within := r.Int(); r.Err() == nil && within != int64(f.within) {
		return fmt.Errorf("restore presence: the snapshot looks back %v, not %v: it belongs to another pipeline version",
			time.Duration(within), time.Duration(f.within))
	}
	f.swept = stream.Time(r.Int())
	for range r.Len(2) {
		end, id := stream.Time(r.Int()), r.Uint()
		if id >= uint64(len(f.memory.held)) || !f.memory.held[id] {
			return errors.Join(r.Err(), fmt.Errorf("restore presence: %d, which has passed, is no group", id))
		}
		f.passes = append(f.passes, pass{end, uint32(id)})
	}
	return r.Err()
}

// gather fills a batch with rows of another one, whose strings it shares.
func gather(dst, src *stream.Batch, rows []int32) {
	dst.Reset()
	dst.Phase, dst.Window, dst.Version = src.Phase, src.Window, src.Version
	dst.Provisional, dst.Revision = src.Provisional, src.Revision
	for c := range src.Cols {
		dst.Cols[c].Dict = src.Cols[c].Dict
	}
	for _, r := range rows {
		dst.AppendRow(src, int(r))
	}
}
