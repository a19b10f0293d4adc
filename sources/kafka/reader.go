package kafka

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// Reader reads one partition for one task. It implements stream.Reader; all calls come from the task's goroutine.
type Reader struct {
	p       *partition
	clock   stream.Clock
	decoder stream.Decoder

	// Guarded by the mutex of p:
	feed  *feed
	taken int64 // offset behind the chunk that is being read

	woken   chan struct{} // something has changed
	idle    <-chan time.Time
	readers int // of the feed, when it was last asked

	chunk *chunk
	block int // next of the chunk
	gap   int // next of the chunk
	open  struct {
		block   *block // nil: none
		records []byte // not read yet
		left    int32
		own     []byte // decompressed for this reader alone
		warm    *warm  // decompressed for several
	}
	pos int64 // next offset to read

	in    stream.Input
	msg   stream.Message
	stash []byte // bytes of rejected records
}

const (
	rowsPerRead = 1024
	// gapChunks bounds the chunks that one Read passes without finding a record.
	gapChunks = 16
	// idleAfter is how long Read waits for data, give or take half of it: all readers stop waiting at the same moments, so that their tasks
	// claim and publish together: each by itself wakes up database, brokers and processor many times as often.
	idleAfter = 100 * time.Millisecond
)

// The dictionaries of a batch are begun anew when they have grown to this: half a million series stay known, and texts that
// are new in every record (trace ids) cost 16 MB a column at most.
const (
	dictBytes   = 8 << 20
	dictEntries = 1 << 19
)

func newReader(p *partition, offset int64, d stream.Decoder, clock stream.Clock) *Reader {
	r := &Reader{p: p, clock: clock, decoder: d, pos: offset, taken: offset, woken: make(chan struct{}, 1)}
	r.in.Batch = stream.NewBatch(d.Schema())
	return r
}

// Read implements stream.Reader.
func (r *Reader) Read(ctx context.Context) (*stream.Input, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.begin()
	for chunks := 0; r.rows() < rowsPerRead && chunks < gapChunks; {
		if r.chunk != nil {
			if err := r.step(); err != nil {
				return nil, err
			}
			continue
		}
		chunks++
		more, err := r.nextChunk(ctx)
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
	}
	r.in.Batch.Settle()
	r.passGaps()
	r.in.Next, r.in.End = r.pos, r.p.end.Load()
	if r.in.Next == r.in.From {
		r.in.End = r.p.endAt(r.clock.Now())
	}
	return &r.in, nil
}

// step goes on within the chunk.
func (r *Reader) step() error {
	if r.open.block != nil {
		return r.decode()
	}
	return r.nextBlock()
}

// begin empties the Input of the Read before.
func (r *Reader) begin() {
	b := r.in.Batch
	b.Reset()
	for i := range b.Cols {
		if d := b.Cols[i].Dict; d != nil && (d.Size() > dictBytes || d.Len() > dictEntries) {
			d.Reset()
		}
	}
	r.in.Rejected, r.stash, r.in.Gaps = r.in.Rejected[:0], r.stash[:0], r.in.Gaps[:0]
	r.in.From = r.pos
}

func (r *Reader) rows() int { return r.in.Batch.Len() + len(r.in.Rejected) }

// nextChunk gets the chunk at pos. It waits for one only while the Input is empty, and no longer than idleAfter.
func (r *Reader) nextChunk(ctx context.Context) (more bool, err error) {
	for {
		r.chunk, err = r.p.take(r, r.pos)
		if err != nil && r.pos > r.in.From {
			return false, nil // the next Read tells
		}
		if err != nil || r.chunk != nil {
			r.block, r.gap = 0, 0
			return err == nil, err
		}
		if r.pos > r.in.From {
			return false, nil
		}
		if r.idle == nil {
			now := r.clock.Now()
			r.idle = r.clock.After(now.Round(idleAfter).Add(idleAfter).Sub(now))
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-r.idle:
			r.idle = nil
			return false, nil
		case <-r.woken:
		}
	}
}

// nextBlock opens the next block of the chunk, or leaves the chunk behind.
func (r *Reader) nextBlock() (err error) {
	if r.block == len(r.chunk.blocks) {
		r.pos = max(r.pos, r.chunk.next)
		r.passGaps()
		r.chunk = nil
		return nil
	}
	b := &r.chunk.blocks[r.block]
	r.block++
	if b.next <= r.pos {
		return nil
	}
	o := &r.open
	switch {
	case b.codec() == codecNone:
		o.records = b.records
	case r.readers > 1:
		if o.warm, err = r.p.hot.acquire(b, r.readers); err != nil {
			return r.refuse(err)
		}
		o.records = o.warm.data
	default:
		if o.own, err = r.p.hot.inflater.inflate(b); err != nil {
			return r.refuse(err)
		}
		o.records = o.own
	}
	o.block, o.left = b, b.count
	return nil
}

// passGaps hands out the gaps of the chunk that the position has passed.
func (r *Reader) passGaps() {
	for r.chunk != nil && r.gap < len(r.chunk.gaps) && r.chunk.gaps[r.gap].From < r.pos {
		g := r.chunk.gaps[r.gap]
		r.gap++
		if g.From = max(g.From, r.in.From); g.From < g.Next {
			r.in.Gaps = append(r.in.Gaps, g)
		}
	}
}

// closeBlock gives back what nextBlock has taken.
func (r *Reader) closeBlock() {
	o := &r.open
	if o.warm != nil {
		r.p.hot.release(o.warm)
	}
	if o.own != nil {
		r.p.hot.inflater.release(o.own)
	}
	o.block, o.records, o.own, o.warm = nil, nil, nil, nil
}

// decode turns records of the open block into rows, until the Input is full or the block is read.
func (r *Reader) decode() error {
	o, b := &r.open, r.in.Batch
	stamp := millis(o.block.latest)
	var rec record
	for o.left > 0 && r.rows() < rowsPerRead {
		rest, ok := parseRecord(o.records, &rec)
		offset := o.block.base + rec.offsetDelta
		if !ok || offset >= o.block.next || rec.offsetDelta < 0 {
			return r.refuse(fmt.Errorf("read block at offset %d: %w: record %d of %d cannot be read",
				o.block.base, errDamaged, o.block.count-o.left, o.block.count))
		}
		o.records, o.left = rest, o.left-1
		if offset < r.pos {
			continue
		}
		if !o.block.hasAppendTime() {
			stamp = millis(o.block.first + rec.timeDelta)
		}
		r.msg = stream.Message{Offset: offset, Timestamp: stamp, Key: rec.key, Value: rec.value}
		if err := r.decoder.Decode(&r.msg, b); err != nil {
			if err := r.reject(err); err != nil {
				return err
			}
		}
		r.pos = offset + 1
	}
	if o.left == 0 {
		r.pos = max(r.pos, o.block.next)
		r.closeBlock()
	}
	return nil
}

// reject makes a dead letter of the message. Its bytes are copied: they have to outlive the block.
func (r *Reader) reject(err error) error {
	if stream.KindOfError(err) != stream.Reject {
		return fmt.Errorf("decode offset %d of %s: %w", r.msg.Offset, name(r.p.id), err)
	}
	r.in.Rejected = append(r.in.Rejected, stream.Rejected{
		Offset: r.msg.Offset, Timestamp: r.msg.Timestamp, Reason: err.Error(), Key: r.keep(r.msg.Key), Raw: r.keep(r.msg.Value),
	})
	return nil
}

func (r *Reader) keep(b []byte) []byte {
	if b == nil {
		return nil
	}
	at := len(r.stash)
	r.stash = append(r.stash, b...)
	return r.stash[at:len(r.stash):len(r.stash)]
}

// refuse explains what no repetition mends: the bytes are what the producer's broker has stored.
func (r *Reader) refuse(err error) error {
	r.closeBlock()
	return stream.Mark(stream.Fatal, fmt.Errorf("read %s at offset %d: %w; the log itself is damaged there, "+
		"since its checksum holds: restore the topic, or give the pipeline a new name to start behind it", name(r.p.id), r.pos, err))
}

// Close implements stream.Reader.
func (r *Reader) Close() error {
	if r.feed == nil {
		return nil
	}
	r.closeBlock()
	r.chunk = nil
	r.p.detach(r)
	return nil
}

// millis converts a broker's timestamp; what lies outside the range of stream.Time becomes its nearest end.
func millis(ms int64) stream.Time {
	const most = math.MaxInt64 / int64(time.Millisecond)
	if ms > most {
		return stream.MaxTime
	}
	if ms < -most {
		return stream.NoTime + 1
	}
	return stream.Time(ms * int64(time.Millisecond))
}
