package table

import (
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

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
	for c := range g.columns {
		if err := g.readColumn(r, c, keys, version); err != nil {
			return err
		}
	}
	if err := r.Err(); err != nil {
		return err
	}
	return g.place(ids, keys)
}

// readFree reads the free numbers and lists the others.
func (g *Groups) readFree(r *stream.StateReader, live, free int) (ids []uint32, err error) {
	total := live + free
	isFree := make([]bool, total)
	for range free {
		id := r.Uint()
		if id >= uint64(total) || isFree[id] {
			return nil, fmt.Errorf("restore groups: %d is no free number of %d", id, total)
		}
		isFree[id] = true
		g.free = append(g.free, uint32(id))
	}
	for id, f := range isFree {
		g.extend()
		if !f {
			ids = append(ids, uint32(id))
		}
	}
	return ids, r.Err()
}

func (g *Groups) readColumn(r *stream.StateReader, c int, keys []uint64, version uint64) error {
	if g.columns[c].kind == stream.String {
		return g.readTexts(r, c, keys, version)
	}
	for i := 0; i < len(keys) && r.Err() == nil; i += g.stride {
		if keys[i+1+c] = r.Uint(); keys[i]>>c&1 != 0 && keys[i+1+c] != 0 {
			return errors.New("restore groups: a null has a value")
		}
	}
	return r.Err()
}

func (g *Groups) readTexts(r *stream.StateReader, c int, keys []uint64, version uint64) error {
	dict, n := g.columns[c].dict, r.Len(1)
	dict.Reserve(n)
	numbers := make([]uint32, n)
	for i := range numbers {
		numbers[i] = dict.ID(r.Bytes())
	}
	next := uint64(0)
	for i := 0; i < len(keys) && r.Err() == nil; i += g.stride {
		if keys[i]>>c&1 != 0 {
			continue
		}
		at := r.Uint()
		if version > 1 {
			if at = next - at; at == next {
				next++
			}
		}
		if at >= uint64(n) {
			return fmt.Errorf("restore groups: string %d of %d", at, n)
		}
		keys[i+1+c] = uint64(numbers[at])
	}
	return r.Err()
}

// place gives the groups their numbers back.
func (g *Groups) place(ids []uint32, keys []uint64) error {
	free := g.free
	g.free = make([]uint32, 0, len(ids))
	for _, id := range slices.Backward(ids) { // insert takes from the end
		g.free = append(g.free, id)
	}
	g.rebuild(slotsFor(len(ids)))
	for i := range ids {
		key := keys[i*g.stride:][:g.stride]
		if _, added := g.insert(key, hashOf(key)); !added {
			return errors.New("restore groups: a group occurs twice")
		}
	}
	g.free = free
	return nil
}

// Has reports whether the number is that of a group, in a table that was just restored.
func (g *Groups) Has(id uint64) bool {
	if id >= uint64(len(g.refs)) {
		return false
	}
	n := uint32(id)
	mask := uint64(len(g.slots) - 1)
	for i := hashOf(g.key(n)) >> g.shift; g.slots[i] != 0; i = (i + 1) & mask {
		if g.slots[i] == n+1 {
			return true
		}
	}
	return false
}

// Check tells whether every restored group has been retained.
func (g *Groups) Check() error {
	if n := len(g.living()); n != g.live {
		return fmt.Errorf("restore groups: %d of %d groups belong to nothing", g.live-n, g.live)
	}
	return nil
}
