package redis

import (
	"context"
	"sync"

	"github.com/tidewatch/tidewatch/stream"
)

// block is a packed slot of a window on its way to Redis.
type block struct {
	at     place
	window stream.Window
	number uint64 // in the order of the queue
	final  bool   // of a window that is closed: no other value need follow
	bytes  []byte // version and rows
}

// place is where a block goes.
type place struct {
	start stream.Time
	slot  uint8
}

// MarshalBinary lets go-redis take the bytes without a conversion that allocates.
func (b *block) MarshalBinary() ([]byte, error) { return b.bytes, nil }

// queue holds the blocks of one sink that Redis has not acknowledged. The task's goroutine puts, the sender takes; both
// keep reusing the same blocks. A newer block takes the place of one that was not sent yet, so a slow Redis costs memory
// for each slot of each window once, and the order of acknowledgements stays that of first sight.
type queue struct {
	limit int           // bytes that may be unacknowledged
	wake  chan struct{} // tells the sender that there is something
	space chan struct{} // tells the writer that something was acknowledged

	mu struct {
		sync.Mutex
		order   []*block // unsent, from head on
		head    int
		unsent  map[place]*block
		free    []*block
		spare   int           // bytes of memory of free, up to twice the limit: memory is larger than what is in it
		bytes   int           // unsent and on their way
		last    uint64        // number of the newest block
		flying  uint64        // number of the oldest block on its way; 0: none
		changed chan struct{} // nil if nobody waits
	}
}

// maxFreeBytes is the largest block that is kept for reuse.
const maxFreeBytes = 64 << 10

func newQueue(limit int) *queue {
	q := &queue{limit: limit, wake: make(chan struct{}, 1), space: make(chan struct{}, 1)}
	q.mu.unsent = map[place]*block{}
	return q
}

// put adds a block, a version and what follows it, and waits while too much is unacknowledged. It copies the bytes.
func (q *queue) put(ctx context.Context, b block) error {
	for !q.try(b) {
		signal(q.wake)
		select {
		case <-q.space:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (q *queue) try(put block) bool {
	at, bytes := put.at, put.bytes
	q.mu.Lock()
	defer q.mu.Unlock()
	if b := q.mu.unsent[at]; b != nil {
		if string(bytes[:versionSize]) <= string(b.bytes[:versionSize]) {
			return true // the rule of the script, for blocks that never meet there
		}
		q.mu.bytes += len(bytes) - len(b.bytes)
		b.bytes, b.final = filled(b.bytes, bytes), b.final || put.final
		return true
	}
	if q.mu.bytes > 0 && q.mu.bytes+len(bytes) > q.limit {
		return false
	}
	b := q.reuse()
	q.mu.last++
	b.at, b.window, b.number, b.final, b.bytes = at, put.window, q.mu.last, put.final, filled(b.bytes, bytes)
	q.mu.unsent[at] = b
	q.mu.order = append(q.mu.order, b)
	q.mu.bytes += len(bytes)
	return true
}

// filled copies src into the memory of dst. New memory is larger than needed, because the next slot to use it may be.
func filled(dst, src []byte) []byte {
	if cap(dst) < len(src) {
		dst = make([]byte, 0, 2*len(src))
	}
	return append(dst[:0], src...)
}

// reuse needs the lock.
func (q *queue) reuse() *block {
	n := len(q.mu.free)
	if n == 0 {
		return &block{}
	}
	b := q.mu.free[n-1]
	q.mu.free = q.mu.free[:n-1]
	q.mu.spare -= cap(b.bytes)
	return b
}

// take hands out the oldest blocks, up to so many bytes and at least one. They are on their way until done.
func (q *queue) take(dst []*block, limit int) []*block {
	q.mu.Lock()
	defer q.mu.Unlock()
	size := 0
	for q.mu.head < len(q.mu.order) {
		b := q.mu.order[q.mu.head]
		if size += len(b.bytes); size > limit && len(dst) > 0 {
			break
		}
		q.mu.order[q.mu.head] = nil
		q.mu.head++
		delete(q.mu.unsent, b.at)
		dst = append(dst, b)
	}
	if 2*q.mu.head >= len(q.mu.order) {
		n := copy(q.mu.order, q.mu.order[q.mu.head:])
		clear(q.mu.order[n:])
		q.mu.order, q.mu.head = q.mu.order[:n], 0
	}
	if len(dst) > 0 {
		q.mu.flying = dst[0].number
	}
	return dst
}

// done says that Redis has taken all blocks that were on their way.
func (q *queue) done(blocks []*block) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, b := range blocks {
		q.mu.bytes -= len(b.bytes)
		if size := cap(b.bytes); size <= maxFreeBytes && q.mu.spare+size <= 2*q.limit {
			q.mu.free = append(q.mu.free, b)
			q.mu.spare += size
		}
	}
	q.mu.flying = 0
	if q.mu.changed != nil {
		close(q.mu.changed)
		q.mu.changed = nil
	}
	signal(q.space)
}

// newest is the number of the block that was put last.
func (q *queue) newest() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.last
}

// acknowledged is the number up to which Redis has everything.
func (q *queue) acknowledged() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.acknowledgedLocked()
}

func (q *queue) acknowledgedLocked() uint64 {
	switch {
	case q.mu.flying > 0:
		return q.mu.flying - 1
	case q.mu.head < len(q.mu.order):
		return q.mu.order[q.mu.head].number - 1
	}
	return q.mu.last
}

// watch is acknowledged, with a channel that is closed when that changes.
func (q *queue) watch() (uint64, <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.changed == nil {
		q.mu.changed = make(chan struct{})
	}
	return q.acknowledgedLocked(), q.mu.changed
}

// load is the number of unsent blocks and the bytes that are unacknowledged.
func (q *queue) load() (blocks, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.mu.order) - q.mu.head, q.mu.bytes
}

// signal wakes whoever waits for the channel, now or soon.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
