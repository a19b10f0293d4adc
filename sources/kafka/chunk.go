package kafka

import (
	"cmp"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidewatch/tidewatch/stream"
)

// chunk is what one fetch has brought of a partition: the blocks between two offsets, in order. What belongs to aborted
// transactions, and the markers of all, are not among them: their offsets are gaps. It is never changed once made.
type chunk struct {
	from, next int64
	blocks     []block
	bytes      int64 // of memory that it keeps
	records    int64 // that were fetched, those of gaps too
	epoch      int32 // of the newest block, -1 if it has none
	// gaps are the markers and aborted records; what the log does not hold is not listed.
	gaps []stream.Gap
}

// chunkOverhead is what a chunk takes beside the bytes it was fetched in.
const chunkOverhead = 512

// newChunk reads an answer to a fetch from offset from. It returns nil if that holds nothing yet.
func newChunk(from int64, data []byte, aborted []kmsg.FetchResponseTopicPartitionAbortedTransaction) (*chunk, error) {
	c := &chunk{from: from, next: from, bytes: int64(len(data)) + chunkOverhead, epoch: -1, blocks: make([]block, 0, countBlocks(data))}
	filter := newAbortFilter(aborted)
	for len(data) > 0 {
		var b block
		rest, ok, err := parseBlock(data, &b)
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		data = rest
		drop := filter.drops(&b) // sees every block, markers in particular
		at := max(b.base, c.next)
		if b.next <= c.next {
			continue
		}
		c.next, c.epoch = b.next, b.epoch
		c.records += int64(b.count)
		switch {
		case b.count == 0: // compacted away
		case !drop:
			c.blocks = append(c.blocks, b)
		case b.isControl():
			c.gaps = append(c.gaps, stream.Gap{From: at, Next: b.next, Kind: stream.GapMarker})
		default: // its records are counted from the first to the last, without a look into it
			c.gaps = append(c.gaps, stream.Gap{From: at, Next: b.next, Kind: stream.GapAborted})
		}
	}
	if c.next == from {
		return nil, nil
	}
	return c, nil
}

// countBlocks is how many whole blocks data holds at most, read from their lengths.
func countBlocks(data []byte) (n int) {
	for len(data) >= headerBytes {
		size := 12 + int(uint32(data[8])<<24|uint32(data[9])<<16|uint32(data[10])<<8|uint32(data[11]))
		if size < headerBytes || size > len(data) {
			break
		}
		data = data[size:]
		n++
	}
	return n
}

// abortFilter says which blocks a reader of committed records does not see. A broker lists with each answer the
// transactions that were aborted and reach into it, with their first offsets (Kafka's KIP-98). A producer's blocks
// are invisible from there to its next marker.
type abortFilter struct {
	starts []kmsg.FetchResponseTopicPartitionAbortedTransaction // not reached yet, by first offset
	open   map[int64]bool                                       // producers inside an aborted transaction
}

func newAbortFilter(aborted []kmsg.FetchResponseTopicPartitionAbortedTransaction) abortFilter {
	if len(aborted) == 0 {
		return abortFilter{}
	}
	type start = kmsg.FetchResponseTopicPartitionAbortedTransaction
	starts := slices.SortedFunc(slices.Values(aborted), func(a, b start) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	return abortFilter{starts: starts, open: map[int64]bool{}}
}

func (f *abortFilter) drops(b *block) bool {
	for len(f.starts) > 0 && f.starts[0].FirstOffset < b.next {
		f.open[f.starts[0].ProducerID] = true
		f.starts = f.starts[1:]
	}
	if b.isControl() {
		if b.aborts() {
			delete(f.open, b.producer)
		}
		return true
	}
	return b.isTransactional() && f.open[b.producer]
}
