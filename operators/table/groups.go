package table

import (
	"fmt"
	"math/bits"

	"github.com/tidewatch/tidewatch/stream"
)

// Groups gives each group, which is a combination of values of the group columns, a small number. A number stays as long
// as somebody has retained the group; then it is free for the next new group.
//
// A group takes 8 bytes a column and 28 bytes, with its place in the slots, and its strings once.
type Groups struct {
	columns []column
	stride  int      // words of a key: which columns are null, then a word a column
	keys    []uint64 // by number
	hash    []uint8  // by number: the slot, in the sense of stream.SlotOf
	refs    []uint32 // by number: how often it is retained; 0 of a free number, and of one just given
	back    []uint32 // by number, of a single String column: 1 + the input's number that leads here
	free    []uint32 // the last one is given next
	slots   []uint32 // 1 + number, at home of the key or behind it; length is a power of two, unless the table is direct
	shift   uint
	live    int
	vacant  []bool // by number, between Restore and Check: it is free

	row     *stream.Batch // one row, to compute a slot
	rowCols []int         // of which the slot is computed
	text    []byte
	scratch scratch
}

// scratch is what Resolve works with: one entry a row.
type scratch struct {
	keys   []uint64
	hashes []uint64
	seen   uint32 // keeps reads ahead from being left out
}

// column is a group column.
type column struct {
	kind stream.Kind
	dict *stream.Dict // own, of a String column

	// The cache maps the numbers of an input's dictionary: to 1 + own number or, if this is the only group column, to 1 +
	// the group. It holds for one dictionary and generation.
	cache      []uint32
	of         *stream.Dict
	generation uint64
}

// MaxColumns bounds the group columns.
const MaxColumns = 32

// NewGroups returns an empty table for group columns of the fields' kinds.
func NewGroups(fields []stream.Field) (*Groups, error) {
	if len(fields) > MaxColumns {
		return nil, fmt.Errorf("group by %d columns: at most %d", len(fields), MaxColumns)
	}
	g := &Groups{stride: 1 + len(fields), row: stream.NewBatch(&stream.Schema{Fields: fields})}
	for i, f := range fields {
		g.columns = append(g.columns, column{kind: f.Kind, dict: g.row.Cols[i].Dict})
		g.rowCols = append(g.rowCols, i)
	}
	g.rebuild(g.room(0))
	return g, nil
}

// SlotBy lets the slot of a group depend on some of its columns only, so that groups that are equal in these have one slot. It is
// called before the first group comes.
func (g *Groups) SlotBy(columns []int) { g.rowCols = columns }

// Live is the number of groups.
func (g *Groups) Live() int { return g.live }

// Slot is the hash range of a group.
func (g *Groups) Slot(id uint32) uint8 { return g.hash[id] }

// Slots is Slot of every number. It is valid until the next Resolve.
func (g *Groups) Slots() []uint8 { return g.hash }

// Size is the memory of the table in bytes.
func (g *Groups) Size() (bytes int64) {
	bytes = int64(8*cap(g.keys) + cap(g.hash) + 4*(cap(g.refs)+cap(g.back)+cap(g.free)+cap(g.slots)))
	bytes += int64(8 * (cap(g.scratch.keys) + cap(g.scratch.hashes)))
	for i := range g.columns {
		c := &g.columns[i]
		bytes += int64(4 * cap(c.cache))
		if c.dict != nil {
			bytes += c.dict.Memory()
		}
	}
	return bytes
}

// Bind gives the leading columns of an output batch the table's dictionaries, so that AppendColumns copies numbers.
func (g *Groups) Bind(out *stream.Batch) {
	for i := range g.columns {
		out.Cols[i].Dict = g.columns[i].dict
	}
}

// AppendColumns appends the values of the groups to the leading columns of a batch that was bound.
func (g *Groups) AppendColumns(ids []uint32, out []stream.Column) {
	for c := range g.columns {
		null := uint64(1) << c
		for _, id := range ids {
			key := g.keys[int(id)*g.stride:][:g.stride]
			g.columns[c].appendTo(&out[c], key[1+c], key[0]&null != 0)
		}
	}
}

func (c *column) appendTo(out *stream.Column, word uint64, null bool) {
	switch {
	case null:
		out.AppendNull()
	case c.kind == stream.String:
		out.IDs = append(out.IDs, uint32(word))
		if len(out.Null) > 0 {
			out.Null = append(out.Null, false)
		}
	case c.kind == stream.Float:
		out.AppendFloat(floatOf(word))
	default:
		out.AppendInt(int64(word))
	}
}

// Retain counts one more reason to keep each of the groups.
func (g *Groups) Retain(ids []uint32) {
	for _, id := range ids {
		g.refs[id]++
	}
}

// Release takes one reason away. Numbers of groups that nobody retains are free from now on.
func (g *Groups) Release(ids []uint32) {
	for _, id := range ids {
		if g.refs[id]--; g.refs[id] == 0 {
			g.remove(id)
		}
	}
}

func (g *Groups) key(id uint32) []uint64 { return g.keys[int(id)*g.stride:][:g.stride] }

// hashOf mixes the words of a key by multiplying to 128 bits and folding (the mixing step of wyhash, Wang Yi).
func hashOf(key []uint64) uint64 {
	h := uint64(0xa0761d6478bd642f)
	for _, w := range key {
		hi, lo := bits.Mul64(h^w, 0xe7037ed1a0b428db)
		h = hi ^ lo
	}
	return h
}

// home is where the search for a key begins. In a direct table every key has a slot of its own, the first one that of null, and
// the others that of their string: groups that are restored lie one behind the other.
func (g *Groups) home(key []uint64) uint64 {
	if g.direct() {
		return key[1] + 1 - key[0]
	}
	return hashOf(key) >> g.shift
}

// insert returns the group with the key, which is made if there is none. The key holds own numbers of strings; home is that of
// the key.
func (g *Groups) insert(key []uint64, home uint64) (id uint32) {
	mask := uint64(len(g.slots) - 1)
	i := home
	if missing := int(i) - len(g.slots) + 1; missing > 0 { // a new string of a direct table
		g.slots = append(g.slots, make([]uint32, missing)...)
	}
	for ; g.slots[i] != 0; i = (i + 1) & mask {
		if id := g.slots[i] - 1; equal(g.key(id), key) {
			return id
		}
	}
	if n := len(g.free); n > 0 {
		id = g.free[n-1]
		g.free = g.free[:n-1]
	} else {
		id = g.extend()
	}
	copy(g.key(id), key)
	g.hash[id] = g.slotOf(key)
	g.slots[i] = id + 1
	if g.live++; 4*g.live > 3*len(g.slots) && !g.direct() {
		g.rebuild(2 * len(g.slots))
	}
	return id
}

// Find is the group of one row of b, if there is one. It makes nothing.
func (g *Groups) Find(b *stream.Batch, cols []int, row int) (id uint32, ok bool) {
	var words [1 + MaxColumns]uint64
	key := words[:g.stride]
	for i := range g.columns {
		c, in := &g.columns[i], &b.Cols[cols[i]]
		switch {
		case in.IsNull(row):
			key[0] |= 1 << i
		case c.kind == stream.String:
			n, known := c.dict.Find(in.Dict.Bytes(in.IDs[row]))
			if !known {
				return 0, false
			}
			key[1+i] = uint64(n)
		case c.kind == stream.Float:
			key[1+i] = wordOf(in.Floats[row])
		default:
			key[1+i] = uint64(in.Ints[row])
		}
	}
	mask := uint64(len(g.slots) - 1)
	for at := g.home(key); at < uint64(len(g.slots)) && g.slots[at] != 0; at = (at + 1) & mask {
		if id := g.slots[at] - 1; equal(g.key(id), key) {
			return id, true
		}
	}
	return 0, false
}

// Other is the group whose String columns all say text and whose other columns are null. It is made if there is none, and like
// any new one has to be retained.
func (g *Groups) Other(text string) uint32 {
	var words [1 + MaxColumns]uint64
	key := words[:g.stride]
	for i := range g.columns {
		if c := &g.columns[i]; c.kind == stream.String {
			key[1+i] = uint64(c.dict.ID([]byte(text)))
		} else {
			key[0] |= 1 << i
		}
	}
	id := g.insert(key, g.home(key))
	return id
}

// extend makes a new number.
func (g *Groups) extend() uint32 {
	id := uint32(len(g.refs))
	for range g.stride {
		g.keys = append(g.keys, 0)
	}
	g.hash, g.refs = append(g.hash, 0), append(g.refs, 0)
	if g.direct() {
		g.back = append(g.back, 0)
	}
	return id
}

func equal(a, b []uint64) bool {
	for i, w := range b {
		if a[i] != w {
			return false
		}
	}
	return true
}

// slotOf computes the hash range from the values, not from the words of the key, since the numbers of strings mean nothing.
func (g *Groups) slotOf(key []uint64) uint8 {
	for c := range g.columns {
		col := &g.row.Cols[c]
		col.Reset()
		g.columns[c].appendTo(col, key[1+c], key[0]>>c&1 != 0)
	}
	g.text = stream.AppendKey(g.text[:0], g.row, g.rowCols, 0)
	return stream.SlotOf(g.text)
}

// remove frees a number and closes the gap in the slots (Knuth, 6.4, algorithm R), so that no search passes over it.
func (g *Groups) remove(id uint32) {
	mask := uint64(len(g.slots) - 1)
	gap := g.home(g.key(id))
	for g.slots[gap] != id+1 {
		gap = (gap + 1) & mask
	}
	for i := (gap + 1) & mask; !g.direct() && g.slots[i] != 0; i = (i + 1) & mask {
		home := hashOf(g.key(g.slots[i]-1)) >> g.shift
		if (i-home)&mask >= (i-gap)&mask {
			g.slots[gap] = g.slots[i]
			gap = i
		}
	}
	g.slots[gap] = 0
	g.free = append(g.free, id)
	g.live--
	g.forget(id)
}

// forget takes the group out of the cache of a single String column: its number may come to mean another group.
func (g *Groups) forget(id uint32) {
	if !g.direct() || g.back[id] == 0 {
		return
	}
	if c, at := &g.columns[0], g.back[id]-1; int(at) < len(c.cache) && c.cache[at] == id+1 {
		c.cache[at] = 0
	}
	g.back[id] = 0
}

// room is the number of slots for n groups, which fill them to half or less.
func (g *Groups) room(n int) int {
	if g.direct() {
		return g.columns[0].dict.Len() + 1
	}
	return max(minSlots, 1<<bits.Len(uint(2*n)))
}

// rebuild places all groups in n slots.
func (g *Groups) rebuild(n int) {
	old := g.slots
	g.slots = make([]uint32, n)
	g.shift = uint(64 - bits.TrailingZeros(uint(n)))
	mask := uint64(n - 1)
	for _, s := range old {
		if s == 0 {
			continue
		}
		i := g.home(g.key(s - 1))
		for g.slots[i] != 0 {
			i = (i + 1) & mask
		}
		g.slots[i] = s
	}
}
