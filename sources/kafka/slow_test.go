package kafka

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// TestSlowReaderHoldsNobodyBack: of two readers of a partition one stops, as the task of a pipeline does whose sink takes
// nothing. The other reads on to the end, what is held stays within the bound that docs/design/engine.md states, and the
// slow one finds everything when it goes on: from a fetch of its own.
func TestSlowReaderHoldsNobodyBack(t *testing.T) {
	onBoth(t, func(e *env) {
		t := e.t
		const records = 8 << 10
		topic := e.topic(t, 1)
		rng := rand.New(rand.NewPCG(1, 2))
		values := make([]string, records)
		for i := range values { // texts that do not compress to nothing
			noise := make([]byte, 512)
			for k := range noise {
				noise[k] = byte(rng.Uint32())
			}
			values[i] = fmt.Sprintf("v%07d %x", i, noise)
		}
		cl := newProducer(t, e.brokers)
		for part := range slices.Chunk(values, 256) {
			produce(t, cl, topic, 0, part...)
		}
		s := newSource(t, e.brokers, func(c *Config) { c.RingBytes = minRing })
		at := partitionOf(t, s, topic, 0)
		slow, fast := open(t, s, at, 0), open(t, s, at, 0)
		var behind, ahead got
		behind.read(t, slow)
		if n := len(behind.values); n == 0 || n == records {
			t.Fatalf("the slow reader has read %d of %d records", n, records)
		}
		portion, keep := s.limits()
		const batch = 256 << 11 // the largest of the log, which is fetched whole
		bound := keep + 2*(portion+batch)
		for len(ahead.values) < records {
			ahead.read(t, fast)
			if held, feeds := heldBy(s, at); held > bound || feeds > 2 {
				t.Fatalf("%d B are held in %d feeds after %d records, at most %d B are allowed", held, feeds, len(ahead.values), bound)
			}
		}
		if !slices.Equal(ahead.values, values) {
			t.Error("the fast reader has read something else")
		}
		for len(behind.values) < records {
			behind.read(t, slow)
			if held, feeds := heldBy(s, at); held > 2*bound || feeds > 2 {
				t.Fatalf("%d B are held in %d feeds when the slow reader is at %d", held, feeds, len(behind.values))
			}
		}
		if !slices.Equal(behind.values, values) {
			t.Error("the slow reader has read something else")
		}
		if fetched := s.known()[0].records.Load(); fetched <= records {
			t.Errorf("%d records were fetched: the slow reader had no fetch of its own, the test tests nothing", fetched)
		}
	})
}

// heldBy is what the feeds of a partition keep.
func heldBy(s *Source, at stream.Partition) (bytes int64, feeds int) {
	s.mu.Lock()
	p := s.mu.partitions[at]
	s.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.mu.feeds {
		bytes += f.bytes
	}
	return bytes, len(p.mu.feeds)
}
