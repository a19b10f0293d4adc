package kafka

import (
	"slices"
	"sort"
)

// feed is one place in a partition from which chunks are fetched, with a ring of the newest ones. Readers that are near
// each other share a feed; one that is elsewhere (a slow pipeline, a replay) has its own until it comes near. The feed
// fetches only while a reader has little left, so a reader that stands still stops it, and one that is slower than
// others falls out of the ring and delays nobody.
//
// All fields are guarded by the partition's mutex, but those of fetching: they belong to whoever has set busy.
type feed struct {
	p       *partition
	number  uint64 // feeds made earlier have lower ones
	ring    []*chunk
	bytes   int64 // of the ring
	readers []*Reader
	busy    bool // waits for a fetch, or is in one
	failed  error

	fetching struct {
		next   int64 // offset to fetch from
		atEnd  bool  // the last fetch found nothing, so the next one waits at the broker
		epoch  int32 // of the newest block, -1 unknown
		tries  int   // failures since the last success
		reason error // of the last failure
	}
}

// next is the offset behind the ring.
func (f *feed) next() int64 { return f.fetching.next }

// tail is the first offset of the ring.
func (f *feed) tail() int64 {
	if len(f.ring) == 0 {
		return f.fetching.next
	}
	return f.ring[0].from
}

// find returns the chunk that covers offset pos, nil if that is outside the ring.
func (f *feed) find(pos int64) *chunk {
	i := sort.Search(len(f.ring), func(i int) bool { return f.ring[i].next > pos })
	if i == len(f.ring) || f.ring[i].from > pos {
		return nil
	}
	return f.ring[i]
}

// add puts a fetched chunk at the end of the ring.
func (f *feed) add(c *chunk) {
	if len(f.ring) > 0 && f.ring[len(f.ring)-1].next != c.from {
		panic("ring of chunks has a hole")
	}
	f.ring = append(f.ring, c)
	f.bytes += c.bytes
}

// trim drops chunks from the tail until the ring has keep bytes, whether slow readers have taken them or not. What the
// fastest reader has not taken yet stays, and so does the last chunk: at it, feeds of readers that have caught up meet.
func (f *feed) trim(keep int64) {
	fastest := f.fastest()
	n := 0
	for n < len(f.ring)-1 && f.bytes > keep && f.ring[n].next <= fastest {
		f.bytes -= f.ring[n].bytes
		n++
	}
	f.ring = slices.Delete(f.ring, 0, n)
}

// fastest is the highest offset that a reader of the feed has taken.
func (f *feed) fastest() (pos int64) {
	for _, r := range f.readers {
		pos = max(pos, r.taken)
	}
	return pos
}

// ahead is the bytes that the fastest reader has not taken yet.
func (f *feed) ahead() (bytes int64) {
	fastest := f.fastest()
	for i := len(f.ring) - 1; i >= 0 && f.ring[i].next > fastest; i-- {
		bytes += f.ring[i].bytes
	}
	return bytes
}

// wants says whether to fetch on.
func (f *feed) wants(portion int64) bool {
	return !f.busy && f.failed == nil && len(f.readers) > 0 && f.ahead() < portion
}

// covers says that a reader at pos, whose own feed has been fetched up to own, does as well here.
func (f *feed) covers(pos, own int64) bool {
	if f.failed != nil || pos < f.tail() {
		return false
	}
	return pos < f.next() || pos == f.next() && own <= pos
}
