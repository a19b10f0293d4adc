package stream

import "fmt"

// Phase says what the rows of a batch are to the outputs. All rows of a batch have the same.
type Phase uint8

// The phases. Event rows are input events, or what filters and projections made of them. The others come from windows.
const (
	Event   Phase = iota // an event of the source
	Live                 // the value of a window so far, published now and then; only for displays
	Closed               // the value of a window that the watermark has just passed: rules judge it
	Revised              // right before Final, once: slots that late events have changed since the window was Closed
	Final                // the last value of a window: the records' mark has passed its end and the lateness
	Late                 // events that every window refused
	Partial              // the mergeable state of one source partition, on its way to the next stage
)

var phaseNames = [...]string{"event", "live", "closed", "revised", "final", "late", "partial"}

// String is the phase's name in messages and golden files.
func (p Phase) String() string { return phaseNames[p] }

// Version stamps every output: the state after the record before Offset, and after Step control records since the task
// began. Offset counts consumed offsets: it is the next offset to read. Both only grow, so of two states at one offset the
// newer is the one that knows more control records.
type Version struct {
	Offset int64  `json:"offset"`
	Step   uint32 `json:"step"`
}

// Compare is negative, zero or positive as v is older, equal or newer than w.
func (v Version) Compare(w Version) int {
	switch {
	case v.Offset != w.Offset:
		if v.Offset < w.Offset {
			return -1
		}
		return 1
	case v.Step != w.Step:
		if v.Step < w.Step {
			return -1
		}
		return 1
	}
	return 0
}

// Hex is a fixed-width text whose byte order is the order of versions: 16 digits of offset, 8 of step.
func (v Version) Hex() string { return fmt.Sprintf("%016x%08x", uint64(v.Offset), v.Step) }

// Window is the span [Start, End) of event time.
type Window struct{ Start, End Time }

// Batch is the only form in which data travels: rows in typed columns. Borders between batches have no meaning: cutting
// the same rows otherwise must not change any result.
//
// A batch has one owner. Handing it to Process, Emit or Write lends it until the call returns; whoever needs a row
// longer copies it. Only the owner resets or fills it. The event columns (Time to Bytes) and Slot are each either empty or
// as long as the batch.
type Batch struct {
	Schema *Schema
	Phase  Phase
	Cols   []Column // parallel to Schema.Fields

	// Event rows:
	Time      []Time   // event time
	Mark      []Time   // the partition's mark by records just before the event; lateness is judged against it
	Offset    []int64  // offset of the record
	Producer  []uint64 // hash of the producer's name (HashProducer), 0 if it has none
	Timestamp []Time   // the broker's timestamp of the record
	Bytes     []uint32 // length of the record's value

	// Window rows (all phases but Event and Late): all rows belong to one window.
	Window      Window
	Version     Version // of the state that the rows show
	At          Version // where in the log they leave, for sinks; it never goes back, while Version may lie before it
	Slot        []uint8 // hash range of the row's group. Live, Closed and Revised rows of a slot come complete and together, in slot order
	Provisional bool    // an idle tick, not a record, has closed the window
	Revision    uint32  // of Final rows: counts how often the window was written before
	AfterClose  bool    // of Partial rows: the window had been closed at the source partition before
	Gone        []uint8 // of a Live batch without rows: slots of the window that hold none any more, see ErasingSink

	rows int
}

// Slots is the number of fixed hash ranges of a stage's groups.
const Slots = 256

// NewBatch returns an empty batch; every string column gets its own dictionary.
func NewBatch(s *Schema) *Batch {
	b := &Batch{Schema: s, Cols: make([]Column, len(s.Fields))}
	for i, f := range s.Fields {
		b.Cols[i].Kind = f.Kind
		if f.Kind == String {
			b.Cols[i].Dict = NewDict()
		}
	}
	return b
}

// Len is the number of rows.
func (b *Batch) Len() int { return b.rows }

// SetLen declares the number of rows once every column has been filled.
func (b *Batch) SetLen(n int) { b.rows = n }

// Reset empties the batch and keeps its memory and dictionaries.
func (b *Batch) Reset() {
	b.Time, b.Mark, b.Offset, b.Producer = b.Time[:0], b.Mark[:0], b.Offset[:0], b.Producer[:0]
	b.Timestamp, b.Bytes, b.Slot, b.Gone = b.Timestamp[:0], b.Bytes[:0], b.Slot[:0], b.Gone[:0]
	for i := range b.Cols {
		b.Cols[i].Reset()
	}
	b.Provisional, b.AfterClose, b.Revision, b.rows = false, false, 0, 0
}

// Truncate drops the rows from n on.
func (b *Batch) Truncate(n int) {
	b.Time, b.Mark, b.Offset, b.Producer = trim(b.Time, n), trim(b.Mark, n), trim(b.Offset, n), trim(b.Producer, n)
	b.Timestamp, b.Bytes, b.Slot = trim(b.Timestamp, n), trim(b.Bytes, n), trim(b.Slot, n)
	b.Settle()
	for i := range b.Cols {
		c := &b.Cols[i]
		c.Ints, c.Floats, c.IDs, c.Null = trim(c.Ints, n), trim(c.Floats, n), trim(c.IDs, n), trim(c.Null, n)
	}
	b.rows = min(b.rows, n)
}

// Settle completes columns that AppendLater has appended to.
func (b *Batch) Settle() {
	for i := range b.Cols {
		b.Cols[i].settle()
	}
}

func trim[T any](s []T, n int) []T { return s[:min(len(s), n)] }

// Col returns the column with that name, or nil.
func (b *Batch) Col(name string) *Column {
	if i := b.Schema.Index(name); i >= 0 {
		return &b.Cols[i]
	}
	return nil
}

// View makes dst show rows lo to hi of b, sharing memory with b.
func (b *Batch) View(dst *Batch, lo, hi int) {
	cols := dst.Cols[:0]
	*dst = *b
	for i := range b.Cols {
		cols = append(cols, b.Cols[i].view(lo, hi))
	}
	dst.Cols, dst.rows = cols, hi-lo
	dst.Time, dst.Mark, dst.Offset = cut(b.Time, lo, hi), cut(b.Mark, lo, hi), cut(b.Offset, lo, hi)
	dst.Producer, dst.Timestamp = cut(b.Producer, lo, hi), cut(b.Timestamp, lo, hi)
	dst.Bytes, dst.Slot = cut(b.Bytes, lo, hi), cut(b.Slot, lo, hi)
}

func cut[T any](s []T, lo, hi int) []T {
	if len(s) == 0 {
		return nil
	}
	return s[lo:hi:hi]
}

// AppendRow copies row i of src, which must have the same schema, with its event columns.
func (b *Batch) AppendRow(src *Batch, i int) {
	for c := range b.Cols {
		b.Cols[c].AppendFrom(&src.Cols[c], i)
	}
	b.Time, b.Mark = appendAt(b.Time, src.Time, i), appendAt(b.Mark, src.Mark, i)
	b.Offset, b.Producer = appendAt(b.Offset, src.Offset, i), appendAt(b.Producer, src.Producer, i)
	b.Timestamp, b.Bytes = appendAt(b.Timestamp, src.Timestamp, i), appendAt(b.Bytes, src.Bytes, i)
	b.Slot = appendAt(b.Slot, src.Slot, i)
	b.rows++
}

func appendAt[T any](dst, src []T, i int) []T {
	if len(src) == 0 {
		return dst
	}
	return append(dst, src[i])
}

// Column is the values of one field. Which slice is used follows from Kind; the others are empty.
type Column struct {
	Kind   Kind
	Ints   []int64   // Int, Timestamp; Bool as 0 and 1
	Floats []float64 // Float
	IDs    []uint32  // String: numbers in Dict
	Dict   *Dict     // String only; may be shared with another batch
	Null   []bool    // empty when no row is null; otherwise one a row. A null row still holds a zero in its value slice

	later *later
}

// later is the strings of a column that wait for their numbers.
type later struct {
	texts []byte // one after the other
	ends  [dictAhead]int
	rows  [dictAhead]int
	n     int
}

// Len is the number of values.
func (c *Column) Len() int {
	switch c.Kind {
	case Float:
		return len(c.Floats)
	case String:
		return len(c.IDs)
	case Int, Bool, Timestamp:
	}
	return len(c.Ints)
}

// Reset empties the column and keeps its memory and dictionary.
func (c *Column) Reset() {
	c.Ints, c.Floats, c.IDs, c.Null = c.Ints[:0], c.Floats[:0], c.IDs[:0], c.Null[:0]
	if c.later != nil {
		c.later.n, c.later.texts = 0, c.later.texts[:0]
	}
}

// IsNull reports whether row i has no value.
func (c *Column) IsNull(i int) bool { return len(c.Null) > 0 && c.Null[i] }

// AppendInt appends to an Int, Timestamp or Bool column.
func (c *Column) AppendInt(v int64) {
	c.Ints = append(c.Ints, v)
	c.noteValue()
}

// AppendBool appends to a Bool column.
func (c *Column) AppendBool(v bool) {
	if v {
		c.AppendInt(1)
		return
	}
	c.AppendInt(0)
}

// AppendFloat appends to a Float column.
func (c *Column) AppendFloat(v float64) {
	c.Floats = append(c.Floats, v)
	c.noteValue()
}

// AppendBytes appends to a String column; b is copied into the dictionary on first sight.
func (c *Column) AppendBytes(b []byte) {
	c.IDs = append(c.IDs, c.Dict.ID(b))
	c.noteValue()
}

// AppendLater is AppendBytes, for whoever appends many rows: where the dictionary is large, the number is looked up together
// with others, so that the cache misses overlap. Batch.Settle has to be called before the column is read.
func (c *Column) AppendLater(b []byte) {
	if c.Dict.Len() < largeDict {
		c.AppendBytes(b)
		return
	}
	if c.later == nil {
		c.later = new(later)
	}
	l := c.later
	l.texts = append(l.texts, b...)
	l.rows[l.n], l.ends[l.n] = len(c.IDs), len(l.texts)
	l.n++
	c.IDs = append(c.IDs, 0)
	c.noteValue()
	if l.n == dictAhead {
		c.settle()
	}
}

func (c *Column) settle() {
	if l := c.later; l != nil && l.n > 0 {
		c.Dict.resolve(l, c.IDs)
		l.n, l.texts = 0, l.texts[:0]
	}
}

// AppendString is AppendBytes for a string.
func (c *Column) AppendString(s string) { c.AppendBytes([]byte(s)) }

// AppendNull appends a row without a value.
func (c *Column) AppendNull() {
	for len(c.Null) < c.Len() {
		c.Null = append(c.Null, false)
	}
	switch c.Kind {
	case Float:
		c.Floats = append(c.Floats, 0)
	case String:
		c.IDs = append(c.IDs, c.Dict.ID(nil))
	default:
		c.Ints = append(c.Ints, 0)
	}
	c.Null = append(c.Null, true)
}

func (c *Column) noteValue() {
	if len(c.Null) > 0 {
		c.Null = append(c.Null, false)
	}
}

// AppendFrom copies row i of a column of the same kind.
func (c *Column) AppendFrom(src *Column, i int) {
	switch {
	case src.IsNull(i):
		c.AppendNull()
	case c.Kind == Float:
		c.AppendFloat(src.Floats[i])
	case c.Kind == String && c.Dict == src.Dict:
		c.IDs = append(c.IDs, src.IDs[i])
		c.noteValue()
	case c.Kind == String:
		c.AppendBytes(src.Dict.Bytes(src.IDs[i]))
	default:
		c.AppendInt(src.Ints[i])
	}
}

// Text returns the string of row i of a String column, "" where it is null.
func (c *Column) Text(i int) string {
	if c.IsNull(i) {
		return ""
	}
	return c.Dict.String(c.IDs[i])
}

// Value returns row i as nil, int64, float64, bool, string or Time. It allocates; for edges and tests.
func (c *Column) Value(i int) any {
	switch {
	case c.IsNull(i):
		return nil
	case c.Kind == Float:
		return c.Floats[i]
	case c.Kind == String:
		return c.Text(i)
	case c.Kind == Bool:
		return c.Ints[i] != 0
	case c.Kind == Timestamp:
		return Time(c.Ints[i])
	}
	return c.Ints[i]
}

func (c *Column) view(lo, hi int) Column {
	return Column{Kind: c.Kind, Dict: c.Dict, Ints: cut(c.Ints, lo, hi), Floats: cut(c.Floats, lo, hi), IDs: cut(c.IDs, lo, hi), Null: cut(c.Null, lo, hi)}
}

// HashProducer is the FNV-1a hash of a producer's name (Fowler, Noll, Vo: the 64-bit form). It is state: the same name
// has the same hash in every run.
func HashProducer(name []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range name {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}
