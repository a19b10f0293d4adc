package parquet

import (
	"slices"

	"github.com/tidewatch/tidewatch/internal/columnfile"
	"github.com/tidewatch/tidewatch/stream"
)

func equalSchemas(a, b *stream.Schema) bool { return slices.Equal(a.Fields, b.Fields) }

// windowColumns is what a file says about windows, row by row.
type windowColumns struct {
	start, end, revision, slot stream.Column
}

// read appends what a row group says.
func (w *windowColumns) read(r *columnfile.Reader, f *columnfile.File, group int) error {
	for _, c := range []struct {
		name string
		kind stream.Kind
		to   *stream.Column
	}{
		{columnfile.ColumnWindowStart, stream.Timestamp, &w.start},
		{columnfile.ColumnWindowEnd, stream.Timestamp, &w.end},
		{columnfile.ColumnRevision, stream.Int, &w.revision},
		{columnfile.ColumnSlot, stream.Int, &w.slot},
	} {
		c.to.Kind = c.kind
		if c.name == columnfile.ColumnSlot && f.Schema().Index(c.name) < 0 {
			continue
		}
		if err := r.Read(f, group, c.name, c.to); err != nil {
			return err
		}
	}
	return nil
}

// same reports whether rows i and j can stand in one batch.
func (w *windowColumns) same(i, j int) bool {
	return w.start.Ints[i] == w.start.Ints[j] && w.end.Ints[i] == w.end.Ints[j] && w.revision.Ints[i] == w.revision.Ints[j]
}

// stamp gives a batch what row i says about its window.
func (w *windowColumns) stamp(b *stream.Batch, i int) {
	b.Phase = stream.Final
	b.Window = stream.Window{Start: stream.Time(w.start.Ints[i]), End: stream.Time(w.end.Ints[i])}
	b.Revision = uint32(w.revision.Ints[i])
	b.Version = stream.Version{Step: b.Revision}
}

// rollups reads a file of rollups: all of it at once, since the rows of a window may lie in two row groups.
func (s *scan) rollups(f *columnfile.File, visit func(*stream.Batch) error) error {
	var w windowColumns
	b := s.empty(f)
	for g := range f.Groups() {
		if low, high, ok := f.Bounds(g, columnfile.ColumnWindowEnd); ok && (stream.Time(high) <= s.query.From || stream.Time(low) > s.query.To) {
			continue
		}
		if err := s.columns(f, g, b); err != nil {
			return err
		}
		if err := w.read(&s.reader, f, g); err != nil {
			return err
		}
	}
	for _, slot := range w.slot.Ints {
		b.Slot = append(b.Slot, uint8(slot))
	}
	b.SetLen(len(w.end.Ints))
	return s.stretches(b, w.same, func(lo, hi int) error {
		if end := stream.Time(w.end.Ints[lo]); end <= s.query.From || end > s.query.To {
			return nil
		}
		b.View(&s.view, lo, hi)
		w.stamp(&s.view, lo)
		return visit(&s.view)
	})
}
