package window

import (
	"math"
	"slices"

	"github.com/tidewatch/tidewatch/operators/table"
	"github.com/tidewatch/tidewatch/stream"
)

// sources is what a Merge keeps of one window: for each cell and source partition an entry with the newest partial from
// before the source had closed the window, and perhaps one with the newest from after.
type sources struct {
	index    table.Index[uint64] // by entryKey
	versions []stream.Version    // by entry
	words    []uint64            // by entry: the state
	next     []uint32            // by entry: 1 + the next entry of the same cell
	head     []uint32            // by cell: 1 + its newest entry
}

// maxSource bounds the numbers of source partitions, so that they fit into the key of an entry.
const maxSource = math.MaxInt32

// entryKey names an entry: cell, source partition, and whether the source had closed the window before.
func entryKey(cell, source uint32, after bool) uint64 {
	k := uint64(cell)<<32 | uint64(source)<<1
	if after {
		k |= 1
	}
	return k
}

func cellOf(key uint64) uint32 { return uint32(key >> 32) }
func isAfter(key uint64) bool  { return key&1 != 0 }

// noVersion is older than every version.
var noVersion = stream.Version{Offset: -1}

// link gives the entries that the index has got since before their place in their cells.
func (s *sources) link(before, words int) {
	for _, k := range s.index.Keys()[before:] {
		cell := cellOf(k)
		s.next = append(s.next, s.head[cell])
		s.versions = append(s.versions, noVersion)
		s.head[cell] = uint32(len(s.next))
	}
	n := (s.index.Len() - before) * words
	s.words = slices.Grow(s.words, n)[:len(s.words)+n]
}

// touch reads what will be needed of the entries, so that the cache misses overlap.
func (s *sources) touch(entries []uint32, words int) (sum uint64) {
	for _, e := range entries {
		sum += s.words[int(e)*words] + uint64(s.versions[e].Offset)
	}
	return sum
}

// part says which entries make up a value.
type part struct {
	beforeOnly bool     // those from before the source had closed the window
	steps      []uint32 // by source: those that know so many control records; nil for all
}

// knows reports whether an entry knows as many control records as its source's step demands.
func knows(steps []uint32, key uint64, v stream.Version) bool {
	source := uint32(key) >> 1
	return int(source) >= len(steps) || v.Step >= steps[source]
}

// pick collects the entries that make up a cell's value, in the order of their sources: of each the newest of the part.
// picked is scratch memory.
func (s *sources) pick(cell uint32, of *part, picked []uint64) []uint64 {
	picked = picked[:0]
	keys := s.index.Keys()
	for n := s.head[cell]; n != 0; n = s.next[n-1] {
		if k := keys[n-1]; (!of.beforeOnly || !isAfter(k)) && s.versions[n-1] != noVersion && knows(of.steps, k, s.versions[n-1]) {
			picked = append(picked, k<<32|uint64(n-1)) // source and after lead, the cell falls out
		}
	}
	slices.Sort(picked)
	if of.beforeOnly {
		return picked
	}
	kept := picked[:0]
	for _, p := range picked {
		if n := len(kept); n > 0 && kept[n-1]>>33 == p>>33 {
			if before := kept[n-1]; !newer(s.versions[uint32(before)], s.versions[uint32(p)]) {
				kept[n-1] = p
			}
			continue
		}
		kept = append(kept, p)
	}
	return kept
}

func (s *sources) reset() {
	s.index.Reset()
	s.versions, s.words, s.next, s.head = emptied(s.versions), emptied(s.words), emptied(s.next), emptied(s.head)
}

func (s *sources) bytes() int64 {
	return s.index.Size() + int64(16*cap(s.versions)+8*cap(s.words)+4*(cap(s.next)+cap(s.head)))
}
