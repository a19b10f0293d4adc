package parquet

import "github.com/tidewatch/tidewatch/stream"

var _ stream.HoldingSink = (*Rollups)(nil)

// Held implements stream.HoldingSink. Provisional rows are left out: the operators still hold their windows.
func (r *Rollups) Held(visit func(b *stream.Batch) error) error {
	for _, p := range r.parts {
		if p.provisional {
			continue
		}
		if err := p.visit(visit); err != nil {
			return err
		}
	}
	return nil
}

// visit shows the rows batch by batch, as they were taken.
func (p *rollupPart) visit(visit func(b *stream.Batch) error) error {
	all := &stream.Batch{Schema: p.schema, Cols: p.cols, Slot: p.slots, Phase: stream.Final}
	all.SetLen(p.count)
	var view stream.Batch
	at := 0
	for _, r := range p.runs {
		all.View(&view, at, at+r.rows)
		view.Window, view.Revision = r.window, r.revision
		if err := visit(&view); err != nil {
			return err
		}
		at += r.rows
	}
	return nil
}
