package table

import (
	"math/bits"
	"slices"
	"unsafe"
)

// Index gives each distinct key a number: 0, 1, 2 and so on, in the order of first sight. The zero Index is empty. It takes
// 4 bytes a slot, with 1.3 to 2.7 slots a key, beside the keys.
type Index[K uint32 | uint64] struct {
	slots []uint32 // 1 + number; length is a power of two
	keys  []K      // by number
	shift uint     // of a hash, to get a slot
}

const minSlots = 16

// Len is the number of keys.
func (x *Index[K]) Len() int { return len(x.keys) }

// Keys lists the keys by number. It is valid until the next call that adds, and must not be changed.
func (x *Index[K]) Keys() []K { return x.keys }

// Size is the memory of the index in bytes.
func (x *Index[K]) Size() int64 {
	var k K
	return int64(4*cap(x.slots)) + int64(cap(x.keys))*int64(unsafe.Sizeof(k))
}

// Reset forgets all keys and keeps the memory, unless most of it was unused.
func (x *Index[K]) Reset() {
	if len(x.slots) > 1<<10 && len(x.slots) > 16*len(x.keys) {
		*x = Index[K]{}
		return
	}
	clear(x.slots)
	x.keys = x.keys[:0]
}

// slotOf is where the search for a key begins. Multiplying spreads runs of numbers evenly (Knuth, The Art of Computer
// Programming 6.4: Fibonacci hashing); the fold lets the upper half of a key take part.
func (x *Index[K]) slotOf(k K) uint64 {
	h := uint64(k)
	h ^= h >> 32
	return h * 0x9e3779b97f4a7c15 >> x.shift
}

// Find returns the number of the key, if it has one.
func (x *Index[K]) Find(k K) (number uint32, ok bool) {
	if len(x.slots) == 0 {
		return 0, false
	}
	mask := uint64(len(x.slots) - 1)
	for i := x.slotOf(k); ; i = (i + 1) & mask {
		s := x.slots[i]
		if s == 0 {
			return 0, false
		}
		if x.keys[s-1] == k {
			return s - 1, true
		}
	}
}

// Add returns the number of the key, which gets one if it had none.
func (x *Index[K]) Add(k K) uint32 {
	if 4*(len(x.keys)+1) > 3*len(x.slots) {
		x.grow()
	}
	mask := uint64(len(x.slots) - 1)
	i := x.slotOf(k)
	for ; x.slots[i] != 0; i = (i + 1) & mask {
		if n := x.slots[i] - 1; x.keys[n] == k {
			return n
		}
	}
	x.keys = append(x.keys, k)
	x.slots[i] = uint32(len(x.keys))
	return uint32(len(x.keys)) - 1
}

// Fill is Add for many keys that are all new, in an empty index; else it reports false.
func (x *Index[K]) Fill(keys []K) bool {
	x.keys = slices.Clone(keys)
	n := max(len(x.slots), minSlots)
	for 4*len(keys) > 3*n {
		n *= 2
	}
	x.slots = make([]uint32, n)
	x.shift = uint(64 - bits.TrailingZeros(uint(len(x.slots))))
	mask := uint64(len(x.slots) - 1)
	for number, k := range x.keys {
		i := x.slotOf(k)
		for ; x.slots[i] != 0; i = (i + 1) & mask {
			if x.keys[x.slots[i]-1] == k {
				return false
			}
		}
		x.slots[i] = uint32(number) + 1
	}
	return true
}

// Resolve is Add for many keys, in their order; numbers is as long as keys.
func (x *Index[K]) Resolve(keys []K, numbers []uint32) {
	if len(x.slots) == 0 {
		x.grow()
	}
	for i, k := range keys {
		numbers[i] = x.slots[x.slotOf(k)]
	}
	for i, k := range keys {
		if s := numbers[i]; s != 0 && x.keys[s-1] == k {
			numbers[i] = s - 1
			continue
		}
		numbers[i] = x.Add(k)
	}
}

func (x *Index[K]) grow() {
	n := max(2*len(x.slots), minSlots)
	x.slots = make([]uint32, n)
	x.shift = uint(64 - bits.TrailingZeros(uint(n)))
	mask := uint64(n - 1)
	for number, k := range x.keys {
		i := x.slotOf(k)
		for x.slots[i] != 0 {
			i = (i + 1) & mask
		}
		x.slots[i] = uint32(number) + 1
	}
	x.keys = slices.Grow(x.keys, n*3/4-len(x.keys))
}
