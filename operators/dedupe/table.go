package dedupe

import (
	"math/bits"

	"github.com/tidewatch/tidewatch/stream"
)

// sight is a key that was seen, and when. A free slot has hi 0, which no hash has.
type sight struct {
	hi, lo uint64
	at     stream.Time
}

func (s *sight) less(hi, lo uint64) bool { return s.hi < hi || s.hi == hi && s.lo < lo }

// table holds the sights of a generation: at most one of each key, since two would be less than a span apart. It is an
// array sorted by hash with gaps: a hash begins at a slot in proportion to its value, and linear probing keeps the order (ordered
// hash tables; Amble and Knuth, 1974). So the search for a key that is not there ends at the first larger hash, after three slots
// on average even when four fifths are full; the capacity need not be a power of two; growing is one walk over both arrays,
// which makes it cheap to grow in small steps; and a snapshot is a walk.
type table struct {
	slots []sight // the capacity, and a tail that takes what is pushed beyond
	size  uint64  // the capacity
	n     int
}

const (
	minCapacity = 64
	tail        = 64
)

// newTable holds n sights before it grows.
func newTable(n int) table {
	size := max(minCapacity, n+n/4+1)
	return table{slots: make([]sight, size+tail), size: uint64(size)}
}

func (t *table) bytes() int64 { return int64(24 * cap(t.slots)) }

// home is where the search for a hash begins: hi/2^64 of the capacity.
func (t *table) home(hi uint64) uint64 {
	at, _ := bits.Mul64(hi, t.size)
	return at
}

// find returns the sight of the hash, or nil.
func (t *table) find(hi, lo uint64) *sight {
	for i := t.home(hi); i < uint64(len(t.slots)); i++ {
		s := &t.slots[i]
		if s.hi == 0 || !s.less(hi, lo) {
			if s.hi == hi && s.lo == lo {
				return s
			}
			return nil
		}
	}
	return nil
}

// add puts in a sight whose hash is not there. The larger ones of its cluster move up by one.
func (t *table) add(s sight) {
	if uint64(5*(t.n+1)) > 4*t.size {
		old := t.slots
		size := t.size + t.size/8
		*t = table{slots: make([]sight, size+tail), size: size, n: t.n}
		t.fill(old)
	}
	at := t.home(s.hi)
	for at < uint64(len(t.slots)) && t.slots[at].hi != 0 && t.slots[at].less(s.hi, s.lo) {
		at++
	}
	end := at
	for end < uint64(len(t.slots)) && t.slots[end].hi != 0 {
		end++
	}
	if end == uint64(len(t.slots)) {
		t.extend()
	}
	copy(t.slots[at+1:end+1], t.slots[at:end])
	t.slots[at] = s
	t.n++
}

// extend makes the tail longer. Only hashes that somebody has chosen ever need it; more capacity would not help then.
func (t *table) extend() { t.slots = append(t.slots, make([]sight, tail)...) }

// fill inserts sights that come in order into an empty table.
func (t *table) fill(sorted []sight) {
	next := uint64(0)
	for _, s := range sorted {
		if s.hi == 0 {
			continue
		}
		if next = max(next, t.home(s.hi)); next == uint64(len(t.slots)) {
			t.extend()
		}
		t.slots[next] = s
		next++
	}
}
