package kafka

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// partition is what this worker knows of a partition of one incarnation of a topic, with the feeds that fetch it. It is
// safe for concurrent use: readers and fetchers meet here once per chunk, never per record.
type partition struct {
	id      stream.Partition
	topicID [16]byte

	hot hot

	records, bytes atomic.Int64 // fetched since the start
	end            atomic.Int64 // last stable offset as the broker last said, -1 unknown; written under mu
	heard          atomic.Int64 // when the newest fetch was sent that the broker has answered, in nanoseconds

	// limits returns the bytes that one fetch asks for, and those that a shared ring keeps; dispatch hands a feed that
	// is busy from now on to a fetcher.
	limits   func() (portion, keep int64)
	dispatch func(*feed)
	reading  *atomic.Int64 // partitions that have readers

	mu struct {
		sync.Mutex
		feeds   []*feed // older ones first
		readers int
		made    uint64 // feeds
	}
}

// attach gives a new reader at r.taken a feed.
func (p *partition) attach(r *Reader) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.readers++; p.mu.readers == 1 {
		p.reading.Add(1)
	}
	for _, f := range p.mu.feeds {
		if f.covers(r.taken, r.taken) {
			p.join(r, f)
			return
		}
	}
	p.join(r, p.newFeed(r.taken))
}

func (p *partition) newFeed(at int64) *feed {
	p.mu.made++
	f := &feed{p: p, number: p.mu.made}
	f.fetching.next, f.fetching.epoch = at, -1
	p.mu.feeds = append(p.mu.feeds, f)
	return f
}

func (p *partition) join(r *Reader, f *feed) {
	r.feed = f
	f.readers = append(f.readers, r)
	p.demand(f)
}

// detach takes a reader from its feed, which ends with its last one.
func (p *partition) detach(r *Reader) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.readers--; p.mu.readers == 0 {
		p.reading.Add(-1)
	}
	if p.mu.readers < 2 {
		p.hot.clear()
	}
	p.leave(r)
}

func (p *partition) leave(r *Reader) {
	f := r.feed
	r.feed = nil
	f.readers = slices.DeleteFunc(f.readers, func(o *Reader) bool { return o == r })
	if len(f.readers) == 0 {
		p.mu.feeds = slices.DeleteFunc(p.mu.feeds, func(o *feed) bool { return o == f })
	}
}

// take returns the chunk that covers pos, the reader's next offset, or nil if it is not there yet: then the reader is
// woken when something is. From now on the reader counts as having taken all of the chunk.
func (p *partition) take(r *Reader, pos int64) (*chunk, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.taken = pos
	p.rehome(r, pos)
	f := r.feed
	c := f.find(pos)
	if c != nil {
		r.taken = c.next
	} else if f.failed != nil {
		return nil, f.failed
	}
	r.readers = len(f.readers)
	p.tidy(f)
	return c, nil
}

// rehome moves a reader to the oldest feed that covers pos: so feeds that have met become one. A reader that fell out of
// the ring goes to whichever feed covers pos, else to a new one.
func (p *partition) rehome(r *Reader, pos int64) {
	own := r.feed
	fell := pos < own.tail()
	if len(p.mu.feeds) == 1 && !fell || own.failed != nil {
		return
	}
	for _, f := range p.mu.feeds {
		if f == own && !fell {
			return // all others are younger
		}
		if f != own && f.covers(pos, own.next()) {
			p.leave(r)
			p.join(r, f)
			return
		}
	}
	p.leave(r)
	p.join(r, p.newFeed(pos))
}

// tidy drops what the ring need not keep, and fetches on if a reader has little left.
func (p *partition) tidy(f *feed) {
	keep := int64(0)
	if p.mu.readers > 1 {
		_, keep = p.limits()
	}
	f.trim(keep)
	p.demand(f)
}

func (p *partition) demand(f *feed) {
	if portion, _ := p.limits(); f.wants(portion) {
		f.busy = true
		p.dispatch(f)
	}
}

// deliver ends a fetch of the feed with what it brought, nil for nothing. Only the fetcher that has the feed calls it.
func (p *partition) deliver(f *feed, c *chunk, end int64) {
	if c != nil {
		p.records.Add(c.records)
		p.bytes.Add(c.bytes - chunkOverhead)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.learnEnd(end)
	f.busy = false
	f.fetching.atEnd, f.fetching.tries, f.fetching.reason = c == nil, 0, nil
	if len(f.readers) == 0 {
		return
	}
	if c != nil {
		f.add(c)
		f.fetching.next, f.fetching.epoch = c.next, c.epoch
		f.wake()
	}
	p.tidy(f)
}

// learnEnd notes the end of the log. Answers may overtake each other, the end never moves back.
func (p *partition) learnEnd(end int64) {
	if end > p.end.Load() {
		p.end.Store(end)
	}
}

// heardFor is how long an answer of the broker says where the log ends. It is many times the distance of requests at the
// end, and little against the time after which a partition counts as idle.
const heardFor = 2 * time.Second

// endAt is the end of the log, -1 if no broker has confirmed it lately: while none answers, what was read is all that is
// known, and not all that there is.
func (p *partition) endAt(now time.Time) int64 {
	if now.UnixNano()-p.heard.Load() > int64(heardFor) {
		return -1
	}
	return p.end.Load()
}

// fail ends the feed: its readers get the error once they have read what was fetched before.
func (p *partition) fail(f *feed, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f.busy = false
	f.failed = err
	f.wake()
}

// abandoned reports, and ends the fetch, when no reader is left: the fetcher drops the feed then.
func (p *partition) abandoned(f *feed) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(f.readers) > 0 {
		return false
	}
	f.busy = false
	return true
}

// wake tells all readers of the feed that something has changed.
func (f *feed) wake() {
	for _, r := range f.readers {
		select {
		case r.woken <- struct{}{}:
		default:
		}
	}
}
