package parquet

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/tidewatch/tidewatch/internal/columnfile"
	"github.com/tidewatch/tidewatch/stream"
)

// rollupPart is rows of windows that end in one slot. What all rows of a batch share is kept once a batch.
type rollupPart struct {
	columns
	slot        stream.Time
	fragment    int
	provisional bool
	closed      bool // no more rows come: the next Stage takes it
	runs        []run
	slots       []uint8 // hash range by row; empty while no batch had any
	count       int
	left        int // rows that are not withdrawn
}

// run is the rows of one batch.
type run struct {
	window    stream.Window
	revision  uint32
	rows      int
	withdrawn bool // of a provisional part: the window is final before the part could be seen
}

func (p *rollupPart) rows() int { return p.count }

func (p *rollupPart) take(b *stream.Batch, revision uint32) error {
	if err := p.adopt(b.Schema); err != nil {
		return err
	}
	p.columns.take(b)
	if len(b.Slot) > 0 || len(p.slots) > 0 {
		p.slots = append(p.slots, make([]uint8, p.count-len(p.slots))...)
		p.slots = takeAll(p.slots, b.Slot, b.Len())
	}
	p.runs = append(p.runs, run{window: b.Window, revision: revision, rows: b.Len()})
	p.count, p.left = p.count+b.Len(), p.left+b.Len()
	return nil
}

// withdraw leaves out the rows of a window.
func (p *rollupPart) withdraw(w stream.Window) {
	for i := range p.runs {
		if r := &p.runs[i]; r.window == w && !r.withdrawn {
			r.withdrawn = true
			p.left -= r.rows
		}
	}
}

// appendWindows appends the windows whose rows are in the part, each once.
func (p *rollupPart) appendWindows(to []stream.Window) []stream.Window {
	for i := range p.runs {
		if r := &p.runs[i]; !r.withdrawn && !slices.Contains(to, r.window) {
			to = append(to, r.window)
		}
	}
	return to
}

func (p *rollupPart) size() int64 { return p.columns.size() + int64(cap(p.slots)+32*cap(p.runs)) }

// runOfRow lists the run of every row.
func (p *rollupPart) runOfRow() []uint32 {
	of := make([]uint32, 0, p.count)
	for i, r := range p.runs {
		for range r.rows {
			of = append(of, uint32(i))
		}
	}
	return of
}

// order sorts rows by window, slot, the columns from the left, and revision: by what the rows say, and never by the numbers
// of groups or strings, which depend on the task's past.
func (p *rollupPart) order() []uint32 {
	of, ranks := p.runOfRow(), p.ranks()
	rows := make([]uint32, 0, p.left)
	for i, r := range of {
		if !p.runs[r].withdrawn {
			rows = append(rows, uint32(i))
		}
	}
	slices.SortFunc(rows, func(a, b uint32) int {
		ra, rb := &p.runs[of[a]], &p.runs[of[b]]
		c := cmp.Or(cmp.Compare(ra.window.End, rb.window.End), cmp.Compare(ra.window.Start, rb.window.Start))
		if c == 0 && len(p.slots) > 0 {
			c = cmp.Compare(p.slots[a], p.slots[b])
		}
		for i := 0; c == 0 && i < len(p.cols); i++ {
			c = compareRows(&p.cols[i], ranks[i], a, b)
		}
		return cmp.Or(c, cmp.Compare(ra.revision, rb.revision))
	})
	return rows
}

// ranks orders the strings of each column once, so that sorting compares numbers.
func (p *rollupPart) ranks() [][]uint32 {
	all := make([][]uint32, len(p.cols))
	for i := range p.cols {
		d := p.cols[i].Dict
		if d == nil {
			continue
		}
		ids := make([]uint32, d.Len())
		for id := range ids {
			ids[id] = uint32(id)
		}
		slices.SortFunc(ids, func(a, b uint32) int { return bytes.Compare(d.Bytes(a), d.Bytes(b)) })
		all[i] = make([]uint32, len(ids))
		for rank, id := range ids {
			all[i][id] = uint32(rank)
		}
	}
	return all
}

// compareRows puts nulls first.
func compareRows(c *stream.Column, ranks []uint32, a, b uint32) int {
	if na, nb := c.IsNull(int(a)), c.IsNull(int(b)); na || nb {
		return cmp.Compare(bool2int(nb), bool2int(na))
	}
	switch c.Kind {
	case stream.String:
		return cmp.Compare(ranks[c.IDs[a]], ranks[c.IDs[b]])
	case stream.Float:
		return cmp.Compare(c.Floats[a], c.Floats[b])
	case stream.Int, stream.Bool, stream.Timestamp:
	}
	return cmp.Compare(c.Ints[a], c.Ints[b])
}

func bool2int(b bool) int {
	if b {
		return 1
	}
	return 0
}

// table lists the columns of a file of rollups. The version of the state is not among them: in a re-keyed pipeline it
// counts offsets of the internal topic, and those depend on how often the first stage was restarted.
func (p *rollupPart) table(meta columnfile.RollupMeta) (*columnfile.Table, error) {
	t := &columnfile.Table{Meta: meta.KeyValues(), SortedBy: []string{columnfile.ColumnWindowEnd, columnfile.ColumnWindowStart}}
	byRun := func(name string, kind stream.Kind, value func(*run) int64) {
		ints := make([]int64, 0, p.count)
		for i := range p.runs {
			for range p.runs[i].rows {
				ints = append(ints, value(&p.runs[i]))
			}
		}
		t.Columns = append(t.Columns, required(name, kind, ints))
	}
	byRun(columnfile.ColumnWindowStart, stream.Timestamp, func(r *run) int64 { return int64(r.window.Start) })
	byRun(columnfile.ColumnWindowEnd, stream.Timestamp, func(r *run) int64 { return int64(r.window.End) })
	for i, f := range p.schema.Fields {
		if f.Name == "" || f.Name[0] == '_' || slices.Contains(rollupColumns(), f.Name) {
			return nil, fmt.Errorf("the name of column %q belongs to the archive: choose another", f.Name)
		}
		t.Columns = append(t.Columns, columnfile.Column{Name: f.Name, Column: p.cols[i]})
	}
	byRun(columnfile.ColumnRevision, stream.Int, func(r *run) int64 { return int64(r.revision) })
	provisional := required(columnfile.ColumnProvisional, stream.Bool, []int64{int64(bool2int(p.provisional))})
	provisional.Same = true
	t.Columns = append(t.Columns, provisional)
	if len(p.slots) > 0 {
		ints := make([]int64, len(p.slots))
		for i, s := range p.slots {
			ints[i] = int64(s)
		}
		t.Columns = append(t.Columns, required(columnfile.ColumnSlot, stream.Int, ints))
	}
	return t, nil
}

// rollupColumns are the columns that a file has beside those of the output and those with an underscore.
func rollupColumns() []string {
	return []string{columnfile.ColumnWindowStart, columnfile.ColumnWindowEnd, columnfile.ColumnRevision, columnfile.ColumnProvisional}
}
