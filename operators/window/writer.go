package window

import (
	"github.com/tidewatch/tidewatch/operators/table"
	"github.com/tidewatch/tidewatch/stream"
)

// emitRows is about how many rows a batch has: it ends with the first slot that reaches it.
const emitRows = 4096

// writer emits rollup rows. Its batch and scratch memory are used again for every batch.
type writer struct {
	*layout
	groups *table.Groups
	out    *stream.Batch
	sort   []uint64 // scratch of sorting

	// The rows of the next batch: groups, where their words are, and the source partitions of their evidence.
	ids        []uint32
	at         []uint32
	partitions []int64
	cells      []uint32
}

func newWriter(l *layout, groups *table.Groups) writer {
	w := writer{layout: l, groups: groups, out: stream.NewBatch(l.rollup)}
	groups.Bind(w.out)
	return w
}

// emission says what a batch is.
type emission struct {
	phase       stream.Phase
	version     stream.Version
	provisional bool
	after       bool // of partials
}

// next lists the cells of the slots of the mask in order, beginning with the cell at from: complete slots, about emitRows
// cells. more is where to go on. No cells means that there are no more.
func (w *writer) next(p *pane, mask *slotSet, from int) (cells []uint32, more int) {
	slots := w.groups.Slots()
	var order []uint32
	order, w.sort = p.sorted(slots, w.sort)
	groups := p.cells.Keys()
	w.cells = w.cells[:0]
	last := -1
	for ; from < len(order); from++ {
		cell := order[from]
		slot := slots[groups[cell]]
		if int(slot) != last && len(w.cells) >= emitRows {
			break
		}
		if mask.has(slot) {
			w.cells = append(w.cells, cell)
			last = int(slot)
		}
	}
	return w.cells, from
}

// begin starts a batch of rows.
func (w *writer) begin() {
	w.ids, w.at, w.partitions = w.ids[:0], w.at[:0], w.partitions[:0]
}

// emit sends the rows that were collected since begin; their words are in words.
func (w *writer) emit(p *pane, e emission, words []uint64, out stream.Emitter) error {
	if len(w.ids) == 0 {
		return nil
	}
	b := w.out
	b.Reset()
	b.Phase, b.Window, b.Version, b.Provisional = e.phase, p.window(), e.version, e.provisional
	w.groups.AppendColumns(w.ids, b.Cols)
	rest := b.Cols[len(w.keys):]
	w.set.AppendResults(words, w.at, rest)
	if w.evidence {
		rest = rest[len(rest)-len(evidenceFields):]
		for _, n := range w.partitions {
			rest[0].AppendInt(n)
		}
		appendEvidence(words[w.set.Words():], w.at, rest[1:])
	}
	w.slots(b)
	return out.Emit(b)
}

// slots completes a batch of the collected rows.
func (w *writer) slots(b *stream.Batch) {
	slots := w.groups.Slots()
	for _, id := range w.ids {
		b.Slot = append(b.Slot, slots[id])
	}
	b.SetLen(len(w.ids))
}
