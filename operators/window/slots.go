package window

import (
	"encoding/binary"
	"errors"

	"github.com/tidewatch/tidewatch/stream"
)

// slotSet is a set of slots.
type slotSet [stream.Slots / 64]uint64

func (s *slotSet) add(slot uint8)      { s[slot>>6] |= 1 << (slot & 63) }
func (s *slotSet) has(slot uint8) bool { return s[slot>>6]>>(slot&63)&1 != 0 }
func (s *slotSet) empty() bool         { return *s == slotSet{} }

func (s *slotSet) unite(t *slotSet) {
	for i, w := range t {
		s[i] |= w
	}
}

func (s *slotSet) subtract(t *slotSet) {
	for i, w := range t {
		s[i] &^= w
	}
}

// allSlots is every slot.
func allSlots() *slotSet { return &slotSet{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)} }

func (s *slotSet) snapshot(w *stream.StateWriter) {
	var b [8 * len(s)]byte
	for i, v := range s {
		binary.LittleEndian.PutUint64(b[8*i:], v)
	}
	w.Bytes(b[:])
}

func (s *slotSet) restore(r *stream.StateReader) error {
	b := r.Bytes()
	if err := r.Err(); err != nil {
		return err
	}
	if len(b) != 8*len(s) {
		return errors.New("restore windows: a set of slots has another size")
	}
	for i := range s {
		s[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return nil
}
