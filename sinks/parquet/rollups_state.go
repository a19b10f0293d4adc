package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tidewatch/tidewatch/stream"
)

const (
	stateSection = "rollups"
	stateVersion = 2
	maxRun       = 1 << 31 // no batch has so many rows
)

// Snapshot implements stream.StatefulSink. Parts come in their order, so the text depends on the log only but for the
// numbers of strings.
func (r *Rollups) Snapshot(w *stream.StateWriter) error {
	w.Section(stateSection, stateVersion)
	w.Int(int64(r.record))
	w.Uint(uint64(len(r.filled)))
	for _, f := range r.filled {
		w.Int(int64(f.slot))
		w.Uint(uint64(f.files))
	}
	w.Uint(uint64(len(r.shown)))
	for _, s := range r.shown {
		w.Int(int64(s.Start))
		w.Int(int64(s.End))
	}
	w.Uint(uint64(len(r.parts)))
	for _, p := range r.parts {
		p.snapshot(w)
	}
	return nil
}

// Restore implements stream.StatefulSink. A snapshot of before the output existed restores as an empty sink.
func (r *Rollups) Restore(s *stream.StateReader) error {
	version, ok := s.Section(stateSection)
	if !ok {
		return nil
	}
	if version < 1 || version > stateVersion {
		return fmt.Errorf("restore rollups: section version %d, this program knows %d", version, stateVersion)
	}
	r.record, r.parts, r.filled, r.shown = stream.Time(s.Int()), nil, nil, nil
	for range s.Len(2) {
		r.filled = append(r.filled, filledSlot{stream.Time(s.Int()), int(s.Uint())})
	}
	for range shownLen(s, version) {
		r.shown = append(r.shown, stream.Window{Start: stream.Time(s.Int()), End: stream.Time(s.Int())})
	}
	for range s.Len(1) {
		p := &rollupPart{}
		if err := p.restore(s, version); err != nil {
			return fmt.Errorf("restore rollups: %w", err)
		}
		r.parts = append(r.parts, p)
	}
	return s.Err()
}

// shownLen is how many windows follow. Version 1 knew no provisional rows.
func shownLen(s *stream.StateReader, version uint64) int {
	if version == 1 {
		return 0
	}
	return s.Len(2)
}

func (p *rollupPart) snapshot(w *stream.StateWriter) {
	w.Int(int64(p.slot))
	w.Uint(uint64(p.fragment))
	w.Uint(uint64(bool2int(p.provisional)))
	w.Uint(uint64(bool2int(p.closed)))
	w.Uint(uint64(len(p.runs)))
	for _, r := range p.runs {
		w.Int(int64(r.window.Start))
		w.Int(int64(r.window.End))
		w.Uint(uint64(r.revision))
		w.Uint(uint64(r.rows))
		w.Uint(uint64(bool2int(r.withdrawn)))
	}
	w.Bytes(p.slots)
	w.Uint(uint64(len(p.schema.Fields)))
	for i, f := range p.schema.Fields {
		w.Text(f.Name)
		w.Uint(uint64(f.Kind))
		snapshotColumn(w, &p.cols[i])
	}
}

func (p *rollupPart) restore(s *stream.StateReader, version uint64) error {
	p.slot, p.fragment = stream.Time(s.Int()), int(s.Uint())
	p.provisional, p.closed = s.Uint() != 0, s.Uint() != 0
	if version == 1 {
		_, _ = s.Int(), s.Uint()
	}
	if err := p.restoreRuns(s, version); err != nil {
		return err
	}
	p.slots = append([]uint8(nil), s.Bytes()...)
	schema, cols := &stream.Schema{}, []stream.Column(nil)
	for range s.Len(2) {
		f := stream.Field{Name: s.Text(), Kind: stream.Kind(s.Uint())}
		schema.Fields = append(schema.Fields, f)
		cols = append(cols, restoreColumn(s, f.Kind))
	}
	if s.Err() != nil {
		return s.Err()
	}
	if err := p.adopt(schema); err != nil {
		return err
	}
	p.cols = cols
	if len(cols) == 0 {
		return errors.New("a part has no columns")
	}
	for i := range cols {
		if cols[i].Len() != p.count || len(cols[i].Null) != 0 && len(cols[i].Null) != p.count {
			return fmt.Errorf("column %s has %d values in %d rows", schema.Fields[i].Name, cols[i].Len(), p.count)
		}
	}
	if len(p.slots) != 0 && len(p.slots) != p.count {
		return fmt.Errorf("%d slots in %d rows", len(p.slots), p.count)
	}
	return nil
}

func (p *rollupPart) restoreRuns(s *stream.StateReader, version uint64) error {
	p.runs = make([]run, s.Len(4))
	for i := range p.runs {
		r := &p.runs[i]
		r.window = stream.Window{Start: stream.Time(s.Int()), End: stream.Time(s.Int())}
		r.revision, r.rows = uint32(s.Uint()), int(s.Uint())
		if version > 1 {
			r.withdrawn = s.Uint() != 0
		}
		if r.rows < 0 || r.rows > maxRun {
			return fmt.Errorf("a batch of %d rows cannot be", r.rows)
		}
		if p.count += r.rows; !r.withdrawn {
			p.left += r.rows
		}
	}
	return nil
}

func snapshotColumn(w *stream.StateWriter, c *stream.Column) {
	nulls := make([]byte, len(c.Null))
	for i, null := range c.Null {
		nulls[i] = byte(bool2int(null))
	}
	w.Bytes(nulls)
	switch c.Kind {
	case stream.Float:
		w.Floats(c.Floats)
	case stream.String:
		w.Uint(uint64(c.Dict.Len()))
		for id := range c.Dict.Len() {
			w.Bytes(c.Dict.Bytes(uint32(id)))
		}
		ids := make([]byte, 0, 4*len(c.IDs))
		for _, id := range c.IDs {
			ids = binary.LittleEndian.AppendUint32(ids, id)
		}
		w.Bytes(ids)
	case stream.Int, stream.Bool, stream.Timestamp:
		w.Ints(c.Ints)
	}
}

func restoreColumn(s *stream.StateReader, kind stream.Kind) stream.Column {
	c := stream.Column{Kind: kind}
	for _, null := range s.Bytes() {
		c.Null = append(c.Null, null != 0)
	}
	switch kind {
	case stream.Float:
		c.Floats = s.Floats()
	case stream.String:
		c.Dict = stream.NewDict()
		for range s.Len(1) {
			c.Dict.ID(s.Bytes())
		}
		for ids := s.Bytes(); len(ids) >= 4; ids = ids[4:] {
			c.IDs = append(c.IDs, min(binary.LittleEndian.Uint32(ids), uint32(max(c.Dict.Len(), 1)-1)))
		}
	default:
		c.Ints = s.Ints()
	}
	return c
}
