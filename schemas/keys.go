package schemas

import (
	"encoding/binary"
	"math/bits"
)

// keys finds the number of a name. It compares the first eight bytes as one word and rarely looks further.
type keys struct {
	entries []keyEntry // open addressing, linear probing; length is a power of two, at least four times the names
	shift   uint
}

type keyEntry struct {
	word  uint64
	name  string
	index int // 0: the place is free; else 1 + the number
}

func newKeys(names []string) keys {
	size := max(8, 1<<bits.Len(uint(4*len(names))))
	k := keys{make([]keyEntry, size), uint(64 - bits.Len(uint(size-1)))}
	for i, name := range names {
		w := firstWord([]byte(name))
		h := k.home(w, len(name))
		for k.entries[h].index != 0 {
			h = (h + 1) & (size - 1)
		}
		k.entries[h] = keyEntry{w, name, i + 1}
	}
	return k
}

func (k *keys) home(w uint64, length int) int {
	return int((w + uint64(length)) * 0x9e3779b97f4a7c15 >> k.shift)
}

// find returns the number of the name b[start:end], or -1.
func (k *keys) find(b []byte, start, end int) int {
	var w uint64
	if n := end - start; start+8 <= len(b) {
		if w = binary.LittleEndian.Uint64(b[start:]); n < 8 {
			w &= 1<<(8*uint(n)) - 1
		}
	} else {
		w = firstWord(b[start:end])
	}
	for h := k.home(w, end-start); ; h = (h + 1) & (len(k.entries) - 1) {
		e := &k.entries[h]
		if e.index == 0 {
			return -1
		}
		if e.word == w && len(e.name) == end-start && (len(e.name) <= 8 || string(b[start+8:end]) == e.name[8:]) {
			return e.index - 1
		}
	}
}

// firstWord is the first eight bytes of name, filled up with zeros.
func firstWord(name []byte) uint64 {
	var w [8]byte
	copy(w[:], name)
	return binary.LittleEndian.Uint64(w[:])
}
