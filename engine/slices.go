package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/tidewatch/tidewatch/stream"
)

// A snapshot lies in the object store as slices: a base and deltas behind it. Each slice holds the blocks that no slice before it
// holds, and the index of the whole snapshot. Which bytes are a block says stream.StateWriter; equal bytes are one block,
// wherever they stand. FORMAT.md has the bytes.

const sliceMagic = "TWD1"

// The chain of slices begins anew with a base when it has so many slices, or when its deltas would hold more than half as much as
// the snapshot. A small snapshot is always a base: its object goes with the next one.
const (
	maxSlices  = 8
	smallState = 256 << 10
)

// errDamaged says that an object is missing, or is not what the row has promised.
var errDamaged = errors.New("the snapshot is damaged")

// state is a finished snapshot.
type state struct {
	data []byte
	ends []int // of its blocks
}

// block is a part of a snapshot and where it lies.
type block struct {
	slice  int // place in the snapshot's list
	offset int // in the slice
	length int
	hash   [sha256.Size]byte
}

// layers is a snapshot that lies in the object store. The zero layers are none.
type layers struct {
	slices []stream.Slice
	blocks []block
}

// add cuts a state into blocks and returns the slice with those that are not there yet, which is to be put under the key, and the
// layers that it makes up with those below.
func (l *layers) add(s *state, key string) (object []byte, next *layers) {
	blocks := make([]block, len(s.ends))
	from := 0
	for i, to := range s.ends {
		blocks[i] = block{offset: from, length: to - from, hash: sha256.Sum256(s.data[from:to])}
		from = to
	}
	below := l.below(blocks, len(s.data))
	known := make(map[[sha256.Size]byte]block, len(blocks))
	for _, b := range l.blocks {
		if len(below) > 0 {
			known[b.hash] = b
		}
	}
	object = make([]byte, 0, len(sliceMagic)+missing(blocks, known)+len(blocks)*(sha256.Size+8)+16)
	object = append(object, sliceMagic...)
	for i, b := range blocks {
		at, ok := known[b.hash]
		if !ok {
			at = b
			at.slice, at.offset = len(below), len(object)
			object = append(object, s.data[b.offset:][:b.length]...)
			known[b.hash] = at
		}
		blocks[i] = at
	}
	index := indexOf(blocks)
	object = append(object, index...)
	made := stream.Slice{Object: key, Size: int64(len(object)), Hash: indexHash(index)}
	return object, &layers{slices: append(slices.Clip(below), made), blocks: blocks}
}

// below is the slices that a new one goes on from, none where it is to be a base.
func (l *layers) below(blocks []block, size int) []stream.Slice {
	if len(l.slices) == 0 || len(l.slices) >= maxSlices || size < smallState {
		return nil
	}
	known := make(map[[sha256.Size]byte]block, len(l.blocks))
	for _, b := range l.blocks {
		known[b.hash] = b
	}
	deltas := missing(blocks, known)
	for _, s := range l.slices[1:] {
		deltas += int(s.Size)
	}
	if deltas > size/2 {
		return nil
	}
	return l.slices
}

// missing is how many bytes the unknown blocks have.
func missing(blocks []block, known map[[sha256.Size]byte]block) (bytes int) {
	for _, b := range blocks {
		if _, ok := known[b.hash]; !ok {
			bytes += b.length
		}
	}
	return bytes
}

// indexOf is the index and behind it its length.
func indexOf(blocks []block) (dst []byte) {
	dst = binary.AppendUvarint(dst, uint64(len(blocks)))
	for _, b := range blocks {
		dst = binary.AppendUvarint(dst, uint64(b.slice))
		dst = binary.AppendUvarint(dst, uint64(b.offset))
		dst = binary.AppendUvarint(dst, uint64(b.length))
		dst = append(dst, b.hash[:]...)
	}
	return binary.LittleEndian.AppendUint32(dst, uint32(len(dst)))
}

// indexHash is the hash of a slice: of its index, which holds the hashes of its blocks.
func indexHash(index []byte) string {
	h := sha256.New()
	h.Write([]byte(sliceMagic))
	h.Write(index)
	return hex.EncodeToString(h.Sum(nil))
}

// compose puts the snapshot together from its slices' objects, and checks every byte of them.
func compose(named []stream.Slice, objects [][]byte) (data []byte, l *layers, err error) {
	var blocks []block
	for i, s := range named {
		if len(named) == 1 && isWhole(objects[0]) {
			return objects[0], &layers{}, checkWhole(s, objects[0])
		}
		if blocks, err = openSlice(i, s, objects[i]); err != nil {
			return nil, nil, err
		}
	}
	l = &layers{slices: named, blocks: blocks}
	size, inOrder := 0, true
	for _, b := range blocks {
		if b.slice >= len(objects) || b.offset+b.length > len(objects[b.slice]) {
			return nil, nil, damaged(named[len(named)-1], "its index names a block that does not exist")
		}
		inOrder = inOrder && b.slice == 0 && b.offset == len(sliceMagic)+size
		size += b.length
	}
	if inOrder {
		return objects[0][len(sliceMagic):][:size], l, nil
	}
	data = make([]byte, 0, size)
	for _, b := range blocks {
		data = append(data, objects[b.slice][b.offset:][:b.length]...)
	}
	return data, l, nil
}

// isWhole reports whether the object is a snapshot as format 1 of the row names it: whole, without blocks.
func isWhole(object []byte) bool { return len(object) >= 4 && string(object[:4]) == "TWS1" }

func checkWhole(s stream.Slice, object []byte) error {
	if sum := sha256.Sum256(object); hex.EncodeToString(sum[:]) != s.Hash {
		return damaged(s, "its hash is not the one in the task's row")
	}
	return nil
}

// openSlice returns the index of a slice, after a look at every byte.
func openSlice(place int, s stream.Slice, object []byte) ([]block, error) {
	if int64(len(object)) != s.Size {
		return nil, damaged(s, "it has %d bytes, the task's row says %d", len(object), s.Size)
	}
	end := len(object) - 4
	begin := -1
	if end >= len(sliceMagic) && string(object[:len(sliceMagic)]) == sliceMagic {
		begin = end - int(binary.LittleEndian.Uint32(object[end:]))
	}
	if begin < len(sliceMagic) || indexHash(object[begin:]) != s.Hash {
		return nil, damaged(s, "the hash of its index is not the one in the task's row")
	}
	blocks, err := readIndex(object[begin:end])
	if err != nil {
		return nil, fmt.Errorf("read slice %s: %w", s.Object, err)
	}
	for i := range blocks {
		b := &blocks[i]
		if b.slice == place && (b.offset+b.length > begin || sha256.Sum256(object[b.offset:][:b.length]) != b.hash) {
			return nil, damaged(s, "the hash of the block at bytes %d to %d is not the one in its index", b.offset, b.offset+b.length)
		}
	}
	return blocks, nil
}

func damaged(s stream.Slice, format string, args ...any) error {
	return fmt.Errorf("%w: object %s: %s", errDamaged, s.Object, fmt.Sprintf(format, args...))
}

// readIndex reads what indexOf wrote, without the length.
func readIndex(index []byte) ([]block, error) {
	n, rest, ok := uvarint(index)
	if !ok || n > len(index)/sha256.Size {
		return nil, errors.New("its index does not hold what it says")
	}
	blocks := make([]block, n)
	for i := range blocks {
		b := &blocks[i]
		for _, to := range []*int{&b.slice, &b.offset, &b.length} {
			if *to, rest, ok = uvarint(rest); !ok {
				return nil, errors.New("its index ends too early")
			}
		}
		if len(rest) < sha256.Size {
			return nil, errors.New("its index ends too early")
		}
		copy(b.hash[:], rest)
		rest = rest[sha256.Size:]
	}
	if len(rest) > 0 {
		return nil, errors.New("its index has an end that belongs to nothing")
	}
	return blocks, nil
}

// uvarint reads a number that is an int.
func uvarint(b []byte) (v int, rest []byte, ok bool) {
	u, n := binary.Uvarint(b)
	if n <= 0 || u > 1<<40 {
		return 0, nil, false
	}
	return int(u), b[n:], true
}
