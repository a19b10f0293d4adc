package kafka

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/stream"
)

// modelLog plays the broker for one partition: a fetch brings some offsets from where the feed stands.
type modelLog struct {
	p       *partition
	end     int64
	fetches []*feed // dispatched, not answered
	keep    int64
	readers []*modelReader
	served  int64 // offsets
}

type modelReader struct {
	r     *Reader
	first int64
	pos   int64 // next offset to take
}

const (
	modelPortion = 1000
	modelBytes   = 10 // of an offset
)

func newModelLog(keep int64) *modelLog {
	m := &modelLog{keep: keep}
	m.p = &partition{reading: new(atomic.Int64)}
	m.p.limits = func() (portion, keep int64) { return modelPortion, m.keep }
	m.p.dispatch = func(f *feed) { m.fetches = append(m.fetches, f) }
	m.p.hot.inflater = newInflater(maxBlockBytes)
	return m
}

func (m *modelLog) open(at int64) {
	r := &Reader{p: m.p, taken: at, pos: at, woken: make(chan struct{}, 1)}
	m.p.attach(r)
	m.readers = append(m.readers, &modelReader{r: r, first: at, pos: at})
}

func (m *modelLog) close(i int) {
	m.p.detach(m.readers[i].r)
	m.readers = slices.Delete(m.readers, i, i+1)
}

// take lets a reader have its next chunk; it reports whether there was one.
func (m *modelLog) take(t *rapid.T, i int) bool {
	r := m.readers[i]
	had := r.r.feed.find(r.pos) != nil
	c, err := m.p.take(r.r, r.pos)
	if err != nil {
		t.Fatal(err)
	}
	if c == nil {
		if had {
			t.Fatalf("reader at %d was taken from a feed that has its chunk to one that has not", r.pos)
		}
		if r.r.feed.next() != r.pos {
			t.Fatalf("reader at %d gets nothing, its feed has %d to %d", r.pos, r.r.feed.tail(), r.r.feed.next())
		}
		if !slices.Contains(m.fetches, r.r.feed) {
			t.Fatalf("reader at %d waits, and its feed is not fetched", r.pos)
		}
		return false
	}
	if r.pos < c.from || r.pos >= c.next {
		t.Fatalf("reader at %d gets a chunk of %d to %d", r.pos, c.from, c.next)
	}
	r.pos = c.next
	return true
}

// answer ends a fetch with up to n offsets.
func (m *modelLog) answer(t *rapid.T, i int, n int64) {
	f := m.fetches[i]
	m.fetches = slices.Delete(m.fetches, i, i+1)
	if m.p.abandoned(f) {
		return
	}
	if !f.busy {
		t.Fatal("a feed is fetched that is not busy")
	}
	from := f.fetching.next
	n = min(n, m.end-from)
	var c *chunk
	if n > 0 {
		c = &chunk{from: from, next: from + n, bytes: n * modelBytes, records: n}
		m.served += n
	}
	m.p.deliver(f, c, m.end)
}

func (m *modelLog) check(t *rapid.T) {
	if len(m.p.mu.feeds) > len(m.readers) {
		t.Fatalf("%d feeds for %d readers", len(m.p.mu.feeds), len(m.readers))
	}
	for _, f := range m.p.mu.feeds {
		var bytes int64
		for i, c := range f.ring {
			bytes += c.bytes
			if i > 0 && f.ring[i-1].next != c.from {
				t.Fatal("the ring has a hole")
			}
		}
		if bytes != f.bytes {
			t.Fatalf("the ring has %d bytes and says %d", bytes, f.bytes)
		}
		// Read ahead: less than a portion before the last fetch, which brings another; behind: keep, and a chunk.
		if most := max(m.keep, 0) + 3*modelPortion; bytes > most {
			t.Fatalf("the ring has %d bytes, at most %d are allowed", bytes, most)
		}
		if len(f.readers) == 0 {
			t.Fatal("a feed without readers")
		}
		if slices.Contains(m.fetches, f) != f.busy {
			t.Fatal("busy is not what it says")
		}
	}
}

// TestRingAgainstModel: whatever readers and broker do, each reader gets every offset once and in order, memory stays
// bounded, whoever waits is being fetched for, and readers that have caught up share one feed.
func TestRingAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModelLog(rapid.SampledFrom([]int64{0, 500, 2000, 8000}).Draw(t, "keep"))
		t.Repeat(map[string]func(*rapid.T){
			"":     m.check,
			"grow": func(t *rapid.T) { m.end += rapid.Int64Range(1, 3000).Draw(t, "n") },
			"open": func(t *rapid.T) {
				if len(m.readers) < 4 {
					m.open(rapid.Int64Range(0, m.end).Draw(t, "at"))
				}
			},
			"close": func(t *rapid.T) {
				if len(m.readers) > 0 {
					m.close(rapid.IntRange(0, len(m.readers)-1).Draw(t, "reader"))
				}
			},
			"take": func(t *rapid.T) {
				if len(m.readers) > 0 {
					m.take(t, rapid.IntRange(0, len(m.readers)-1).Draw(t, "reader"))
				}
			},
			"answer": func(t *rapid.T) {
				if len(m.fetches) > 0 {
					m.answer(t, rapid.IntRange(0, len(m.fetches)-1).Draw(t, "fetch"), rapid.Int64Range(0, 100).Draw(t, "n"))
				}
			},
		})
		m.settle(t)
	})
}

// TestRingKeepsWhatItMay: a reader that is behind by less than the ring's bytes costs no fetch.
func TestRingKeepsWhatItMay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModelLog(rapid.Int64Range(1000, 5000).Draw(t, "keep"))
		m.end = 10_000
		m.open(0)
		m.open(0)
		lag := rapid.Int64Range(0, m.keep/modelBytes-100).Draw(t, "lag")
		for m.readers[0].pos < 5000 {
			for m.take(t, 0) {
			}
			for m.readers[1].pos < m.readers[0].pos-lag && m.take(t, 1) {
			}
			m.answer(t, 0, rapid.Int64Range(1, 100).Draw(t, "n"))
		}
		if most := m.readers[0].r.feed.next(); m.served > most || len(m.p.mu.feeds) != 1 {
			t.Fatalf("%d offsets were fetched for %d, with %d feeds", m.served, most, len(m.p.mu.feeds))
		}
	})
}

// TestRingOfOneReader: alone, a reader has each offset fetched once, at most a few portions ahead, and nothing kept behind.
func TestRingOfOneReader(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModelLog(50_000)
		m.end = 10_000
		m.open(0)
		for m.readers[0].pos < m.end {
			for range rapid.IntRange(1, 60).Draw(t, "answers") {
				if len(m.fetches) > 0 {
					m.answer(t, 0, rapid.Int64Range(1, 100).Draw(t, "n"))
				}
			}
			for range rapid.IntRange(0, 30).Draw(t, "takes") {
				m.take(t, 0)
			}
			f := m.p.mu.feeds[0]
			if len(m.p.mu.feeds) != 1 || m.served != f.next() {
				t.Fatalf("%d offsets were fetched up to %d, with %d feeds", m.served, f.next(), len(m.p.mu.feeds))
			}
			if f.bytes > 3*modelPortion {
				t.Fatalf("the ring has %d bytes", f.bytes)
			}
		}
	})
}

// settle lets everybody come to the end, and a little further.
func (m *modelLog) settle(t *rapid.T) {
	for range 3 {
		m.end += 50
		for done := false; !done; {
			done = true
			for i := range m.readers {
				for m.take(t, i) {
				}
				done = done && m.readers[i].pos == m.end
			}
			for range len(m.fetches) {
				m.answer(t, 0, 100)
			}
			m.check(t)
		}
	}
	if len(m.readers) > 0 && len(m.p.mu.feeds) != 1 {
		t.Fatalf("%d readers have caught up and use %d feeds", len(m.readers), len(m.p.mu.feeds))
	}
}

// TestReadersShareFetches: three readers of a partition cost one fetch of each record.
func TestReadersShareFetches(t *testing.T) {
	onBoth(t, func(e *env) {
		t := e.t
		topic := e.topic(t, 1)
		cl := newProducer(t, e.brokers)
		s := newSource(t, e.brokers, nil)
		p := partitionOf(t, s, topic, 0)
		readers := []stream.Reader{open(t, s, p, 0), open(t, s, p, 0), open(t, s, p, 0)}
		seen := make([]got, len(readers))
		for i := range 20 {
			produce(t, cl, topic, 0, numbered(i*50, 50)...)
			var wg sync.WaitGroup
			for j, r := range readers {
				wg.Go(func() { seen[j].until(t, r, int64(i+1)*50) })
			}
			wg.Wait()
		}
		for _, g := range seen {
			if !slices.Equal(g.values, numbered(0, 1000)) {
				t.Fatal(len(g.values))
			}
		}
		s.Stats(func(_ stream.Partition, records, bytes int64) {
			if records != 1000 || bytes == 0 {
				t.Fatalf("%d records in %d bytes were fetched for 1000", records, bytes)
			}
		})
	})
}

// TestSlowReaderStopsNobody: one reader stands still while the other reads far more than the ring holds. Then it goes on,
// on a feed of its own, until it has come near.
func TestSlowReaderStopsNobody(t *testing.T) {
	onBoth(t, func(e *env) {
		t := e.t
		topic := e.topic(t, 1)
		cl := newProducer(t, e.brokers)
		s := newSource(t, e.brokers, func(cfg *Config) { cfg.RingBytes = minRing })
		p := partitionOf(t, s, topic, 0)
		fast, slow := open(t, s, p, 0), open(t, s, p, 0)
		var f, l got
		produce(t, cl, topic, 0, numbered(0, 10)...)
		f.until(t, fast, 10)
		l.until(t, slow, 10)
		const blocks, per = 60, 400
		for i := range blocks { // 60 times 40 kB, uncompressed: the ring keeps half a megabyte
			vs := make([]string, per)
			for k := range vs {
				vs[k] = numbered(i*per+k, 1)[0] + string(make([]byte, 100))
			}
			produce(t, cl, topic, 0, vs...)
			f.until(t, fast, int64(10+(i+1)*per))
		}
		part := s.known()[0]
		part.mu.Lock()
		kept := int64(0)
		for _, x := range part.mu.feeds {
			kept += x.bytes
		}
		part.mu.Unlock()
		if kept > minRing {
			t.Fatalf("%d bytes are kept", kept)
		}
		l.until(t, slow, 10+blocks*per)
		if !slices.Equal(l.values, f.values) || len(l.values) != 10+blocks*per {
			t.Fatalf("slow has read %d values, fast %d", len(l.values), len(f.values))
		}
		for deadline := time.Now().Add(patienceOfTests); ; { // near each other they share again
			produce(t, cl, topic, 0, "x")
			f.until(t, fast, f.next+1)
			l.until(t, slow, l.next+1)
			part.mu.Lock()
			feeds := len(part.mu.feeds)
			part.mu.Unlock()
			if feeds == 1 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d feeds for two readers at the end", feeds)
			}
		}
	})
}

// TestManyReadersManyPartitions: readers that come and go at random, against what was written.
func TestManyReadersManyPartitions(t *testing.T) {
	c := newCluster(t, kfake.NumBrokers(2), kfake.SeedTopics(3, "a", "b"))
	cl := newProducer(t, c.ListenAddrs())
	s := newSource(t, c.ListenAddrs(), func(cfg *Config) { cfg.RingBytes = minRing })
	const n = 3000
	var wg sync.WaitGroup
	for _, topic := range []string{"a", "b"} {
		for number := range int32(3) {
			wg.Go(func() {
				for i := range n / 100 {
					produce(t, cl, topic, number, numbered(i*100, 100)...)
				}
			})
			for k := range 3 {
				wg.Go(func() {
					p := partitionOf(t, s, topic, number)
					var g got
					for g.next < n {
						r, err := s.Open(testContext(t), p, g.next, values{})
						if err != nil {
							t.Error(err)
							return
						}
						g.until(t, r, min(n, g.next+int64(300*(k+1))))
						if err := r.Close(); err != nil {
							t.Error(err)
						}
					}
					if !slices.Equal(g.values, numbered(0, n)) {
						t.Errorf("%s/%d: %d values", topic, number, len(g.values))
					}
				})
			}
		}
	}
	wg.Wait()
	if s.reading.Load() != 0 {
		t.Fatalf("%d partitions seem to be read", s.reading.Load())
	}
}
