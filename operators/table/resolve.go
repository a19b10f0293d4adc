package table

import (
	"math"
	"slices"

	"github.com/tidewatch/tidewatch/stream"
)

// Resolve gives rows of b their groups: ids[i] becomes the number of row rows[i], of the group columns cols, which have
// the kinds of the table. New groups get their numbers in the order of the rows. The caller retains those that it keeps
// before it releases any.
func (g *Groups) Resolve(b *stream.Batch, cols []int, rows []int32, ids []uint32) {
	for c := range g.columns {
		g.columns[c].follow(b.Cols[cols[c]].Dict)
	}
	if g.direct() {
		g.resolveDirect(&b.Cols[cols[0]], rows, ids)
		return
	}
	n := len(rows)
	g.scratch.keys = slices.Grow(g.scratch.keys[:0], n*g.stride)[:n*g.stride]
	g.scratch.hashes = slices.Grow(g.scratch.hashes[:0], n)[:n]
	clear(g.scratch.keys)
	for c := range g.columns {
		g.columns[c].words(&b.Cols[cols[c]], rows, g.scratch.keys, c, g.stride)
	}
	g.find(ids[:n])
}

// direct reports whether there is a single String column: then the cache leads from the input's number to the group.
func (g *Groups) direct() bool { return len(g.columns) == 1 && g.columns[0].kind == stream.String }

// follow makes the cache fit the input's dictionary.
func (c *column) follow(d *stream.Dict) {
	if c.kind != stream.String {
		return
	}
	if c.of != d || c.generation != d.Generation() {
		c.of, c.generation = d, d.Generation()
		clear(c.cache)
	}
	if n := d.Len(); n > len(c.cache) {
		c.cache = append(c.cache, make([]uint32, n-len(c.cache))...)
	}
}

// words writes the column's word of every row's key.
func (c *column) words(in *stream.Column, rows []int32, keys []uint64, place, stride int) {
	at := 0
	for _, r := range rows {
		switch {
		case in.IsNull(int(r)):
			keys[at] |= 1 << place
		case c.kind == stream.String:
			keys[at+1+place] = uint64(c.own(in.IDs[r]))
		case c.kind == stream.Float:
			keys[at+1+place] = wordOf(in.Floats[r])
		default:
			keys[at+1+place] = uint64(in.Ints[r])
		}
		at += stride
	}
}

// own is the table's number of an input's string.
func (c *column) own(id uint32) uint32 {
	if n := c.cache[id]; n != 0 {
		return n - 1
	}
	n := c.dict.ID(c.of.Bytes(id))
	c.cache[id] = n + 1
	return n
}

// find looks up the keys in the scratch memory: first the slots of all, then the keys.
func (g *Groups) find(ids []uint32) {
	for i := range ids {
		key := g.scratch.keys[i*g.stride:][:g.stride]
		h := hashOf(key)
		g.scratch.hashes[i] = h
		ids[i] = g.slots[h>>g.shift]
	}
	for i, s := range ids {
		key := g.scratch.keys[i*g.stride:][:g.stride]
		if s != 0 && equal(g.key(s-1), key) {
			ids[i] = s - 1
			continue
		}
		ids[i] = g.insert(key, g.scratch.hashes[i]>>g.shift)
	}
}

// resolveDirect needs no search where the cache knows the group.
func (g *Groups) resolveDirect(in *stream.Column, rows []int32, ids []uint32) {
	cache := g.columns[0].cache
	for i, r := range rows {
		s := cache[in.IDs[r]]
		if s == 0 || len(in.Null) > 0 && in.Null[r] {
			s = 1 + g.first(in, int(r))
		}
		ids[i] = s - 1
	}
}

// first finds the group of one row of a single String column.
func (g *Groups) first(in *stream.Column, r int) uint32 {
	c := &g.columns[0]
	key := [2]uint64{1, 0}
	if in.IsNull(r) {
		id := g.insert(key[:], g.home(key[:]))
		return id
	}
	key = [2]uint64{0, uint64(c.dict.ID(in.Dict.Bytes(in.IDs[r])))}
	id := g.insert(key[:], g.home(key[:]))
	c.cache[in.IDs[r]], g.back[id] = id+1, in.IDs[r]+1
	return id
}

// Tidy drops the strings of groups that are gone once they outnumber the others. The numbers of strings change then,
// those of groups do not. Call it between two batches: the dictionaries of bound batches are reset.
func (g *Groups) Tidy() {
	done := false
	for c := range g.columns {
		if d := g.columns[c].dict; d != nil && d.Len() > 2*g.live+1024 {
			g.renumber(c)
			done = true
		}
	}
	if done {
		g.rebuild(g.room(g.live))
	}
}

// renumber fills the dictionary of a column anew, in the order of the groups.
func (g *Groups) renumber(place int) {
	c := &g.columns[place]
	renamed := make([]uint32, c.dict.Len()) // 1 + new number
	var texts []byte
	var ends []int
	for id, refs := range g.refs {
		key := g.key(uint32(id))
		if refs == 0 || key[0]>>place&1 != 0 {
			continue
		}
		old := key[1+place]
		if renamed[old] == 0 {
			texts = append(texts, c.dict.Bytes(uint32(old))...)
			ends = append(ends, len(texts))
			renamed[old] = uint32(len(ends))
		}
		key[1+place] = uint64(renamed[old] - 1)
	}
	c.dict.Reset()
	start := 0
	for _, end := range ends {
		c.dict.ID(texts[start:end])
		start = end
	}
	c.of, c.cache = nil, nil
	clear(g.back)
}

// wordOf is the word of a float key: equal values have equal words, all NaN are one value.
func wordOf(v float64) uint64 {
	switch {
	case v == 0:
		return 0
	case math.IsNaN(v):
		return math.Float64bits(math.NaN())
	}
	return math.Float64bits(v)
}

func floatOf(w uint64) float64 { return math.Float64frombits(w) }
