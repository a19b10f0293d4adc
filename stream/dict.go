package stream

import (
	"hash/maphash"
	"math/bits"
	"slices"
)

// Dict gives each distinct string of a column a small number. It belongs to whoever fills the column and is used from
// the task's goroutine only. Numbers are handed out in order of first sight, start at 0 and hold until Reset. They are
// not part of any output: two runs may number differently.
//
// Readers may cache what they derive from a number, as long as they compare Generation.
type Dict struct {
	slots      []dictSlot // open addressing, linear probing; length is a power of two
	offsets    []uint32   // offsets[id] to offsets[id+1] in bytes
	bytes      []byte
	strings    []string // made on demand by String
	made       int      // bytes of these
	generation uint64
	seed       maphash.Seed
	seen       uint32 // keeps reads ahead from being left out
}

// dictSlot is the place of a string. Half of the hash is kept: it tells most other strings apart without a look at their
// bytes, and where the string belongs when there are more slots.
type dictSlot struct {
	hash uint32
	next uint32 // behind its number: 1 + id; 0: nobody is here
}

// NewDict returns an empty dictionary.
func NewDict() *Dict {
	d := &Dict{seed: maphash.MakeSeed()}
	d.clear()
	return d
}

func (d *Dict) clear() {
	d.slots = make([]dictSlot, 64)
	d.bytes, d.strings, d.made = d.bytes[:0], d.strings[:0], 0
	d.offsets = append(d.offsets[:0], 0)
}

// Len is the number of distinct strings since the last Reset.
func (d *Dict) Len() int { return len(d.offsets) - 1 }

// Size is the number of bytes that the strings take, without the index.
func (d *Dict) Size() int { return len(d.bytes) }

// Memory is the number of bytes that the dictionary takes, with its index and what is in reserve.
func (d *Dict) Memory() int64 {
	return int64(8*cap(d.slots) + 4*cap(d.offsets) + cap(d.bytes) + 16*cap(d.strings) + d.made)
}

// Generation changes with every Reset.
func (d *Dict) Generation() uint64 { return d.generation }

// Reset forgets all strings. Batches that still refer to the dictionary become meaningless, so only the filler calls it,
// between two batches.
func (d *Dict) Reset() {
	d.generation++
	d.clear()
}

// ID returns the number of the string b and remembers a copy of it on first sight. It does not keep b.
func (d *Dict) ID(b []byte) uint32 { return d.id(b, d.hash(b)) }

func (d *Dict) hash(b []byte) uint32 { return uint32(maphash.Bytes(d.seed, b) >> 32) }

func (d *Dict) id(b []byte, h uint32) uint32 {
	mask := uint32(len(d.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		s := d.slots[i]
		if s.next == 0 {
			return d.add(i, h, b)
		}
		if s.hash == h && string(d.Bytes(s.next-1)) == string(b) {
			return s.next - 1
		}
	}
}

// Find is the number of the string, if it has one.
func (d *Dict) Find(b []byte) (id uint32, ok bool) {
	h := d.hash(b)
	mask := uint32(len(d.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		s := d.slots[i]
		if s.next == 0 {
			return 0, false
		}
		if s.hash == h && string(d.Bytes(s.next-1)) == string(b) {
			return s.next - 1, true
		}
	}
}

func (d *Dict) add(slot, h uint32, b []byte) uint32 {
	id := uint32(d.Len())
	d.slots[slot] = dictSlot{h, id + 1}
	d.bytes = append(d.bytes, b...)
	d.offsets = append(d.offsets, uint32(len(d.bytes)))
	if 2*d.Len() > len(d.slots) {
		d.grow()
	}
	return id
}

// A dictionary of so many strings does not fit the nearest caches: look-ups are worth being done dictAhead at a time.
const (
	largeDict = 8192
	dictAhead = 32
)

// resolve is ID for the strings that wait in l; ids has their rows. Each pass reads what the next one needs, for all of them.
func (d *Dict) resolve(l *later, ids []uint32) {
	var hashes [dictAhead]uint32
	slots, from := d.slots, 0
	mask := uint32(len(slots) - 1)
	for i, end := range l.ends[:l.n] {
		hashes[i] = d.hash(l.texts[from:end])
		d.seen |= slots[hashes[i]&mask].next
		from = end
	}
	for _, h := range hashes[:l.n] {
		if s := slots[h&mask]; s.next > 0 {
			d.seen |= d.offsets[s.next]
		}
	}
	from = 0
	for i, end := range l.ends[:l.n] {
		ids[l.rows[i]] = d.id(l.texts[from:end], hashes[i])
		from = end
	}
}

func (d *Dict) grow() { d.place(2 * len(d.slots)) }

// Fill is ID for many strings, which are read one after the other: those of a dictionary that is restored. It looks at their
// slots some strings ahead, so that the cache misses overlap. text is called n times; what it returns need not stay.
func (d *Dict) Fill(n int, text func() []byte) []uint32 {
	ids := make([]uint32, n)
	if slots := 1 << bits.Len(uint(2*(n+d.Len()))); slots > len(d.slots) {
		d.place(slots)
	}
	d.offsets = slices.Grow(d.offsets, n)
	var ahead [32][]byte
	var hashes [len(ahead)]uint32
	read := 0
	for at := 0; at < n; at += len(ahead) {
		m := min(len(ahead), n-at)
		for i := range m {
			ahead[i] = text()
			read += len(ahead[i])
			hashes[i] = d.hash(ahead[i])
			d.seen |= d.slots[hashes[i]&uint32(len(d.slots)-1)].next
		}
		if at == 0 { // the others are about as long
			d.bytes = slices.Grow(d.bytes, read/m*n+read)
		}
		for i := range m {
			ids[at+i] = d.id(ahead[i], hashes[i])
		}
	}
	return ids
}

// place puts all strings into so many slots.
func (d *Dict) place(slots int) {
	old := d.slots
	d.slots = make([]dictSlot, slots)
	mask := uint32(slots - 1)
	for _, s := range old {
		if s.next == 0 {
			continue
		}
		i := s.hash & mask
		for d.slots[i].next != 0 {
			i = (i + 1) & mask
		}
		d.slots[i] = s
	}
}

// Bytes returns the string with that number. The slice is valid until the next ID or Reset and must not be changed.
func (d *Dict) Bytes(id uint32) []byte { return d.bytes[d.offsets[id]:d.offsets[id+1]] }

// String returns the string with that number. It allocates on the first call for a number only.
func (d *Dict) String(id uint32) string {
	for len(d.strings) <= int(id) {
		d.strings = append(d.strings, "")
	}
	if d.strings[id] == "" {
		d.strings[id] = string(d.Bytes(id))
		d.made += len(d.strings[id])
	}
	return d.strings[id]
}
