package table

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"

	"github.com/tidewatch/tidewatch/stream"
)

// GroupsVersion is that of the section "groups". Its body: number of columns, kinds; number of groups, number of free
// numbers; the free numbers in order; then, of the groups in order of their numbers: which columns are null; each column,
// a String column as its distinct strings in order of first use and, for each group, 0 where the next of them is used for the
// first time, else how many strings before the next one its string is. So a group that goes leaves the bytes of the others as
// they are. In version 1 there was the string's index.
const GroupsVersion = 2

// Snapshot writes the section "groups". Every group is retained by somebody then.
func (g *Groups) Snapshot(w *stream.StateWriter) { g.SnapshotTo(w, "groups") }

// SnapshotTo writes a section of that name, for operators with several tables.
func (g *Groups) SnapshotTo(w *stream.StateWriter, section string) {
	w.Section(section, GroupsVersion)
	w.Uint(uint64(len(g.columns)))
	for i := range g.columns {
		w.Uint(uint64(g.columns[i].kind))
	}
	w.Uint(uint64(g.live))
	w.Uint(uint64(len(g.free)))
	for _, id := range g.free {
		w.Uint(uint64(id))
	}
	w.Cut()
	ids := g.living()
	for _, id := range ids {
		w.Uint(g.key(id)[0])
	}
	for c := range g.columns {
		w.Cut()
		g.writeColumn(w, c, ids)
	}
}

// living lists the groups by number.
func (g *Groups) living() []uint32 {
	ids := make([]uint32, 0, g.live)
	for id, refs := range g.refs {
		if refs > 0 {
			ids = append(ids, uint32(id))
		}
	}
	return ids
}

func (g *Groups) writeColumn(w *stream.StateWriter, c int, ids []uint32) {
	col := &g.columns[c]
	if col.kind != stream.String {
		for _, id := range ids {
			w.Uint(g.key(id)[1+c])
		}
		return
	}
	renamed := make([]uint32, col.dict.Len()) // 1 + index
	var used []uint32
	for _, id := range ids {
		key := g.key(id)
		if n := key[1+c]; key[0]>>c&1 == 0 && renamed[n] == 0 {
			used = append(used, uint32(n))
			renamed[n] = uint32(len(used))
		}
	}
	w.Uint(uint64(len(used)))
	for _, n := range used {
		text := col.dict.Bytes(n)
		w.Bytes(text)
		if endsBlock(text) {
			w.Cut()
		}
	}
	w.Cut()
	next := uint32(1)
	for _, id := range ids {
		key := g.key(id)
		if key[0]>>c&1 != 0 {
			continue
		}
		if n := renamed[key[1+c]]; n == next {
			w.Uint(0)
			next++
		} else {
			w.Uint(uint64(next - n))
		}
	}
}

// endsBlock picks one of 128 strings by their own bytes, whatever stands around them.
func endsBlock(text []byte) bool { return crc32.Checksum(text, castagnoli)&127 == 0 }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Restore reads what Snapshot wrote into an empty table. Nothing is retained yet: the caller retains what it restores and
// then calls Check.
func (g *Groups) Restore(r *stream.StateReader) error { return g.RestoreFrom(r, "groups") }

// RestoreFrom reads what SnapshotTo wrote.
func (g *Groups) RestoreFrom(r *stream.StateReader, section string) error {
	version, _ := r.Section(section)
	if version != GroupsVersion && version != 1 {
		return fmt.Errorf("restore groups: section version %d, want 1 or %d", version, GroupsVersion)
	}
	if n := r.Uint(); r.Err() == nil && n != uint64(len(g.columns)) {
		return fmt.Errorf("restore groups: %d group columns, want %d", n, len(g.columns))
	}
	for i := range g.columns {
		if k := r.Uint(); r.Err() == nil && k != uint64(g.columns[i].kind) {
			return fmt.Errorf("restore groups: group column %d is %s, want %s", i, stream.Kind(k), g.columns[i].kind)
		}
	}
	live, free := r.Len(1), r.Len(1)
	if err := r.Err(); err != nil {
		return err
	}
	ids, err := g.readFree(r, live, free)
	if err != nil {
		return err
	}
	keys := make([]uint64, live*g.stride)
	for i := range ids {
		if keys[i*g.stride] = r.Uint(); keys[i*g.stride]>>len(g.columns) != 0 {
			return errors.New("restore groups: a column that does not exist is null")
		}
	}
	distinct := false
	for c := range g.columns {
		alone, err := g.readColumn(r, c, keys, version)
		if err != nil {
			return err
		}
		distinct = distinct || alone
	}
	if len(g.free) == 0 {
		g.keys = keys
	} else {
		g.keys = make([]uint64, len(g.refs)*g.stride)
		for i, id := range ids {
			copy(g.key(id), keys[i*g.stride:])
		}
	}
	return g.place(ids, distinct)
}

// readFree reads the free numbers and lists the others.
func (g *Groups) readFree(r *stream.StateReader, live, free int) (ids []uint32, err error) {
	total := live + free
	g.vacant = make([]bool, total)
	for range free {
		id := r.Uint()
		if id >= uint64(total) || g.vacant[id] {
			return nil, fmt.Errorf("restore groups: %d is no free number of %d", id, total)
		}
		g.vacant[id] = true
		g.free = append(g.free, uint32(id))
	}
	g.hash, g.refs = make([]uint8, total), make([]uint32, total)
	if g.direct() {
		g.back = make([]uint32, total)
	}
	ids = make([]uint32, 0, live)
	for id, free := range g.vacant {
		if !free {
			ids = append(ids, uint32(id))
		}
	}
	return ids, r.Err()
}

// readColumn also tells whether the column alone makes the groups distinct.
func (g *Groups) readColumn(r *stream.StateReader, c int, keys []uint64, version uint64) (alone bool, err error) {
	if g.columns[c].kind == stream.String {
		return g.readTexts(r, c, keys, version)
	}
	for i := 0; i < len(keys) && r.Err() == nil; i += g.stride {
		if keys[i+1+c] = r.Uint(); keys[i]>>c&1 != 0 && keys[i+1+c] != 0 {
			return false, errors.New("restore groups: a null has a value")
		}
	}
	return false, r.Err()
}

func (g *Groups) readTexts(r *stream.StateReader, c int, keys []uint64, version uint64) (alone bool, err error) {
	numbers := g.columns[c].dict.Fill(r.Len(1), r.Bytes)
	next, others := uint64(0), 0
	for i := 0; i < len(keys) && r.Err() == nil; i += g.stride {
		if keys[i]>>c&1 != 0 {
			others++
			continue
		}
		at := r.Uint()
		if version > 1 {
			if at = next - at; at == next {
				next++
			} else {
				others += 2 // a string that two groups have
			}
		}
		if at >= uint64(len(numbers)) {
			return false, fmt.Errorf("restore groups: string %d of %d", at, len(numbers))
		}
		keys[i+1+c] = uint64(numbers[at])
	}
	return version > 1 && others <= 1 && g.columns[c].dict.Len() == len(numbers), r.Err()
}

// place puts the groups into slots, which are looked at some groups ahead, so that the cache misses overlap. Groups that are
// known to be distinct need not be compared.
func (g *Groups) place(ids []uint32, distinct bool) error {
	g.slots = make([]uint32, g.room(len(ids)))
	g.shift = uint(64 - bits.TrailingZeros(uint(len(g.slots))))
	g.live = len(ids)
	var homes [portion]uint64
	for len(ids) > 0 {
		n := min(len(ids), portion)
		for i, id := range ids[:n] {
			key := g.key(id)
			homes[i] = g.home(key)
			g.scratch.seen |= g.slots[homes[i]]
			g.hash[id] = g.slotOf(key)
		}
		for i, id := range ids[:n] {
			if !g.placeOne(id, homes[i], distinct) {
				return errors.New("restore groups: a group occurs twice")
			}
		}
		ids = ids[n:]
	}
	return nil
}

func (g *Groups) placeOne(id uint32, at uint64, distinct bool) bool {
	mask := uint64(len(g.slots) - 1)
	for ; g.slots[at] != 0; at = (at + 1) & mask {
		if !distinct && equal(g.key(g.slots[at]-1), g.key(id)) {
			return false
		}
	}
	g.slots[at] = id + 1
	return true
}

// portion is how many groups are placed together.
const portion = 64

// Has reports whether the number is that of a group, in a table that was just restored.
func (g *Groups) Has(id uint64) bool { return id < uint64(len(g.vacant)) && !g.vacant[id] }

// Check tells whether every restored group has been retained.
func (g *Groups) Check() error {
	g.vacant = nil
	if n := len(g.living()); n != g.live {
		return fmt.Errorf("restore groups: %d of %d groups belong to nothing", g.live-n, g.live)
	}
	return nil
}
