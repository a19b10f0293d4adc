package window

import (
	"slices"

	"github.com/tidewatch/tidewatch/operators/table"
	"github.com/tidewatch/tidewatch/stream"
)

// pane is the state of one window: a cell for each group that it has seen. Cells are numbered in the order of first sight.
type pane struct {
	start, end stream.Time
	until      stream.Time // end plus lateness: it is final then
	closed     bool

	dirty   slotSet // changed since they were emitted
	revised slotSet // of a Tumbling: changed since the pane was closed

	cells table.Index[uint32] // by group
	words []uint64            // of Tumbling and Fold: the cells, one after the other
	order []uint32            // cells by (slot, group), as far as they were sorted

	changes changes // of a Fold: since they were emitted
	after   changes // of a Fold: since the pane was closed
	again   bool    // of a Fold: everything is to be emitted
	sources sources // of a Merge
	gone    slotSet // of a Merge: slots that have lost a partial and may be empty
}

func (p *pane) window() stream.Window { return stream.Window{Start: p.start, End: p.end} }

// reset empties the pane and keeps its memory.
func (p *pane) reset() {
	p.cells.Reset()
	p.words, p.order = emptied(p.words), emptied(p.order)
	p.closed, p.again, p.dirty, p.revised, p.gone = false, false, slotSet{}, slotSet{}, slotSet{}
	p.after.reset()
	p.sources.reset() // and a Fold has emitted all changes before it drops a pane
}

// emptied keeps the memory of a slice, unless most of it was unused.
func emptied[T any](s []T) []T {
	if cap(s) > 1<<12 && cap(s) > 16*len(s) {
		return nil
	}
	return s[:0]
}

func (p *pane) bytes() int64 {
	return p.cells.Size() + int64(8*cap(p.words)+4*cap(p.order)) + p.changes.bytes() + p.after.bytes() + p.sources.bytes()
}

// sorted returns the cells ordered by slot, then by group. keys is scratch memory, returned for the next call.
func (p *pane) sorted(slots []uint8, keys []uint64) (order []uint32, scratch []uint64) {
	n := p.cells.Len()
	if len(p.order) == n {
		return p.order, keys
	}
	groups := p.cells.Keys()
	var ends [stream.Slots + 1]int
	for _, g := range groups {
		ends[int(slots[g])+1]++
	}
	for s := range stream.Slots {
		ends[s+1] += ends[s]
	}
	keys = slices.Grow(keys[:0], n)[:n]
	at := ends
	for cell, g := range groups {
		s := slots[g]
		keys[at[s]] = uint64(g)<<32 | uint64(cell)
		at[s]++
	}
	for s := range stream.Slots {
		slices.Sort(keys[ends[s]:ends[s+1]])
	}
	p.order = slices.Grow(p.order[:0], n)[:n]
	for i, k := range keys {
		p.order[i] = uint32(k)
	}
	return p.order, keys
}

// panes are the windows that are held, in order of time, and the progress that Advance has told.
type panes struct {
	list         []*pane
	spare        []*pane // empty, with memory
	mark, record stream.Time
}

// leastSpare is how many empty panes keep their memory, and at least as many as half of those that are held. In the steady
// state one is dropped when one opens; while a backlog is read, many are dropped at once, and soon needed again.
const leastSpare = 4

func newPanes() panes { return panes{mark: stream.NoTime, record: stream.NoTime} }

// advance notes the progress.
func (ps *panes) advance(to stream.Advance) {
	ps.mark, ps.record = max(ps.mark, to.Mark), max(ps.record, to.RecordMark)
}

// Due implements stream.Gridded: a window closes, or is final.
func (ps *panes) Due() stream.Time {
	due := stream.MaxTime
	for _, p := range ps.list {
		due = min(due, p.until)
		if !p.closed {
			return min(due, p.end)
		}
	}
	return due
}

// at returns the pane that starts at the instant, or nil.
func (ps *panes) at(start stream.Time) *pane {
	i, ok := slices.BinarySearchFunc(ps.list, start, byStart)
	if !ok {
		return nil
	}
	return ps.list[i]
}

func byStart(p *pane, start stream.Time) int {
	switch {
	case p.start < start:
		return -1
	case p.start > start:
		return 1
	}
	return 0
}

// open adds a pane that is not there yet.
func (ps *panes) open(start, end, until stream.Time) *pane {
	var p *pane
	if n := len(ps.spare); n > 0 {
		p, ps.spare = ps.spare[n-1], ps.spare[:n-1]
	} else {
		p = &pane{}
	}
	p.start, p.end, p.until = start, end, until
	i, _ := slices.BinarySearchFunc(ps.list, start, byStart)
	ps.list = slices.Insert(ps.list, i, p)
	return p
}

// drop removes the panes that are final by the records' mark and lets go of their groups.
func (ps *panes) drop(groups *table.Groups) {
	n := 0
	for n < len(ps.list) && ps.list[n].until <= ps.record {
		p := ps.list[n]
		groups.Release(p.cells.Keys())
		p.reset()
		ps.spare = append(ps.spare, p)
		n++
	}
	if n > 0 {
		ps.list = slices.Delete(ps.list, 0, n)
		if keep := max(leastSpare, len(ps.list)/2); len(ps.spare) > keep {
			ps.spare = slices.Delete(ps.spare, keep, len(ps.spare))
		}
		groups.Tidy()
	}
}

func (ps *panes) bytes() (bytes int64) {
	for _, p := range ps.list {
		bytes += p.bytes()
	}
	for _, p := range ps.spare {
		bytes += p.bytes()
	}
	return bytes
}
