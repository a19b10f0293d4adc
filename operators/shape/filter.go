package shape

import (
	"fmt"
	"slices"

	"github.com/tidewatch/tidewatch/internal/expression"
	"github.com/tidewatch/tidewatch/stream"
)

// Filter passes on the rows for which a condition holds, in their order. Events that it drops end in the ledger as
// filtered; rows of a window are counted where their events were. It is a stream.Operator.
type Filter struct {
	condition *expression.Program
	pass      []bool
	rows      []int32 // that pass
	out       *stream.Batch
}

// NewFilter compiles a condition for batches of the schema in. A mistake in it is an *expression.Error.
func NewFilter(condition string, in *stream.Schema) (*Filter, error) {
	p, err := expression.Compile(condition, in)
	if err != nil {
		return nil, err
	}
	if p.Kind() != stream.Bool {
		return nil, &expression.Error{Line: 1, Column: 1, Message: fmt.Sprintf("a filter needs a condition, and this gives %s", p.Kind())}
	}
	return &Filter{condition: p, out: &stream.Batch{Cols: make([]stream.Column, len(in.Fields))}}, nil
}

// Process implements stream.Operator. A batch of which every row passes goes on as it is.
func (f *Filter) Process(b *stream.Batch, out stream.Emitter) error {
	if b.Phase == stream.Late || b.Phase == stream.Partial {
		return out.Emit(b) // of another schema, on their way past
	}
	f.pass = f.condition.Bool(b, f.pass)
	f.rows = passing(f.rows, f.pass)
	dropped := b.Len() - len(f.rows)
	if dropped > 0 && b.Phase == stream.Event {
		out.Count(stream.BucketFiltered, int64(dropped))
	}
	switch {
	case len(f.rows) == 0:
		return nil
	case dropped == 0:
		return out.Emit(b)
	}
	f.compact(b)
	return out.Emit(f.out)
}

// passing lists the rows that pass, without a branch on the data: a filter's verdicts are hard to predict.
func passing(dst []int32, pass []bool) []int32 {
	dst = slices.Grow(dst[:0], len(pass))[:len(pass)]
	n := 0
	for i, p := range pass {
		dst[n] = int32(i)
		if p {
			n++
		}
	}
	return dst[:n]
}

// compact copies the rows that pass. Strings stay where they are: the columns share their dictionaries with b.
func (f *Filter) compact(b *stream.Batch) {
	o := f.out
	o.Schema, o.Phase, o.Window, o.Version = b.Schema, b.Phase, b.Window, b.Version
	o.Provisional, o.Revision, o.AfterClose = b.Provisional, b.Revision, b.AfterClose
	for i := range b.Cols {
		from, to := &b.Cols[i], &o.Cols[i]
		to.Kind, to.Dict = from.Kind, from.Dict
		to.Ints, to.Floats = gather(to.Ints, from.Ints, f.rows), gather(to.Floats, from.Floats, f.rows)
		to.IDs, to.Null = gather(to.IDs, from.IDs, f.rows), gather(to.Null, from.Null, f.rows)
	}
	o.Time, o.Mark = gather(o.Time, b.Time, f.rows), gather(o.Mark, b.Mark, f.rows)
	o.Offset, o.Producer = gather(o.Offset, b.Offset, f.rows), gather(o.Producer, b.Producer, f.rows)
	o.Timestamp, o.Bytes = gather(o.Timestamp, b.Timestamp, f.rows), gather(o.Bytes, b.Bytes, f.rows)
	o.Slot = gather(o.Slot, b.Slot, f.rows)
	o.SetLen(len(f.rows))
}

// gather copies the rows of src, which is empty or has all of them.
func gather[T any](dst, src []T, rows []int32) []T {
	if len(src) == 0 {
		return dst[:0]
	}
	dst = slices.Grow(dst[:0], len(rows))[:len(rows)]
	for i, r := range rows {
		dst[i] = src[r]
	}
	return dst
}

// Advance implements stream.Operator: a filter waits for nothing.
func (f *Filter) Advance(stream.Advance, stream.Emitter) error { return nil }

// Snapshot implements stream.Operator with an empty section, so that the snapshot tells that the step was there.
func (f *Filter) Snapshot(w *stream.StateWriter) error {
	w.Section("filter", 1)
	return nil
}

// Restore implements stream.Operator.
func (f *Filter) Restore(r *stream.StateReader) error { return restoreEmpty(r, "filter") }

func restoreEmpty(r *stream.StateReader, name string) error {
	if version, ok := r.Section(name); !ok || version != 1 {
		return fmt.Errorf("restore %s: section version %d, want 1", name, version)
	}
	return r.Err()
}
