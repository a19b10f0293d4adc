package kafka

import "sync"

// hot keeps the decompressed records of the blocks that several readers of a partition are at, so that each block is
// decompressed once for all of them. A block goes when all of them have read it: of a quiet topic nothing is held. It is
// safe for concurrent use.
type hot struct {
	inflater *inflater
	keep     int // bytes of memory that blocks without users may take
	mu       struct {
		sync.Mutex
		held  []*warm // least recently used first
		spare []*warm
		bytes int
	}
}

// warm is one decompressed block.
type warm struct {
	block *block
	fill  sync.Mutex // locked until data or err is there
	data  []byte
	err   error
	// Guarded by the mutex of hot:
	users  int
	size   int // of the buffer, which may be far larger than the data; 0 until it is filled
	uses   int // all of them
	wanted int // the readers that there are
}

// hotBytes is what is kept for each partition with several readers, beside the blocks in use.
const hotBytes = 2 << 20

// acquire returns the decompressed block, which stays as it is until release, to one of so many readers.
func (h *hot) acquire(b *block, readers int) (*warm, error) {
	w, mine := h.find(b, readers)
	if mine {
		w.data, w.err = h.inflater.inflate(b)
		w.fill.Unlock()
		h.mu.Lock()
		w.size = cap(w.data)
		h.mu.bytes += w.size
		h.mu.Unlock()
	} else {
		w.fill.Lock()
		w.fill.Unlock() //nolint:staticcheck // an empty critical section waits for the one who fills
	}
	if err := w.err; err != nil {
		h.release(w)
		return nil, err
	}
	return w, nil
}

// find returns the block's entry as the newest, and whether the caller has to fill it.
func (h *hot) find(b *block, readers int) (w *warm, mine bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, w := range h.mu.held {
		if w.block == b {
			copy(h.mu.held[i:], h.mu.held[i+1:])
			h.mu.held[len(h.mu.held)-1] = w
			w.users++
			w.uses, w.wanted = w.uses+1, readers
			return w, false
		}
	}
	if n := len(h.mu.spare); n > 0 {
		w, h.mu.spare = h.mu.spare[n-1], h.mu.spare[:n-1]
	} else {
		w = &warm{}
	}
	w.block, w.users, w.uses, w.wanted = b, 1, 1, readers
	w.fill.Lock()
	h.mu.held = append(h.mu.held, w)
	return w, true
}

// release ends a use. Entries that nobody uses go when all readers have had them, or when there are too many bytes, the
// oldest first.
func (h *hot) release(w *warm) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w.users--
	h.shrink(h.keep)
}

// clear drops everything that nobody uses.
func (h *hot) clear() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.shrink(0)
}

func (h *hot) shrink(keep int) {
	kept := h.mu.held[:0]
	for _, w := range h.mu.held {
		if w.users > 0 || h.mu.bytes <= keep && w.err == nil && w.uses < w.wanted {
			kept = append(kept, w)
			continue
		}
		h.mu.bytes -= w.size
		h.inflater.release(w.data)
		w.block, w.data, w.size, w.err = nil, nil, 0, nil
		h.mu.spare = append(h.mu.spare, w)
	}
	clear(h.mu.held[len(kept):])
	h.mu.held = kept
}
