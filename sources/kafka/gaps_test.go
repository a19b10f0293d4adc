package kafka

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/stream"
)

// explained reads up to an offset and sums up: records, and gaps by kind. It fails where an Input explains more than there is.
func explained(t testing.TB, r stream.Reader, from, to int64) (records, absent int64, gaps stream.Gaps) {
	t.Helper()
	at, holes := from, int64(0)
	for deadline := time.Now().Add(patienceOfTests); at < to; {
		in, err := r.Read(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		n := int64(in.Batch.Len() + len(in.Rejected))
		var some stream.Gaps
		some.Pass(in.Gaps, in.From, in.Next)
		if left := in.Next - in.From - n - some.Marker - some.Aborted; in.From != at || left < 0 {
			t.Fatalf("offsets %d to %d: %d records, %+v", in.From, in.Next, n, some)
		}
		for i, g := range in.Gaps {
			if g.From < in.From || g.Next > in.Next || i > 0 && g.From < in.Gaps[i-1].Next {
				t.Fatalf("offsets %d to %d have the gaps %v", in.From, in.Next, in.Gaps)
			}
		}
		records, holes, at = records+n, holes+in.Next-in.From-n, in.Next
		gaps.Add(some)
		if time.Now().After(deadline) {
			t.Fatalf("nothing comes behind offset %d", at)
		}
	}
	return records, holes - gaps.Marker - gaps.Aborted, gaps
}

// TestGapsAreToldApart: a log of plain records and of transactions, some aborted, on a real broker. What the producers have
// done adds up to the offsets, from wherever the reading begins, in large portions and in small ones.
func TestGapsAreToldApart(t *testing.T) {
	e := newEnv(t, testservers.Kafka(t))
	topic := e.topic(t, 1)
	plain, tx := newProducer(t, e.brokers), newProducer(t, e.brokers, kgo.TransactionalID(topic))
	write := func(cl *kgo.Client, n int) {
		for range n { // a batch each
			if err := cl.ProduceSync(testContext(t), &kgo.Record{Topic: topic, Value: []byte("v")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	var kinds []string // of every offset
	note := func(kind string, n int) {
		for range n {
			kinds = append(kinds, kind)
		}
	}
	watch := newSource(t, e.brokers, nil)
	for i := range 12 {
		write(plain, i%4)
		note("record", i%4)
		if err := tx.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		write(tx, 1+i%3)
		commit := i%3 != 0
		if err := tx.EndTransaction(testContext(t), kgo.TransactionEndTry(commit)); err != nil {
			t.Fatal(err)
		}
		if commit {
			note("record", 1+i%3)
		} else {
			note("aborted", 1+i%3)
		}
		note("marker", 1)
		awaitEnd(t, watch, partitionOf(t, watch, topic, 0), int64(len(kinds)))
	}
	end := int64(len(kinds))
	for name, s := range map[string]*Source{
		"large": newSource(t, e.brokers, nil),
		"small": newSource(t, e.brokers, func(c *Config) { c.RingBytes, c.FetchMaxBytes = minRing, minRing }),
	} {
		for _, from := range []int64{0, 1, 7, end / 2, end - 1} {
			t.Run(fmt.Sprint(name, " from ", from), func(t *testing.T) {
				want := map[string]int64{}
				for _, k := range kinds[from:] {
					want[k]++
				}
				records, absent, gaps := explained(t, open(t, s, partitionOf(t, s, topic, 0), from), from, end)
				if records != want["record"] || absent != 0 || gaps.Marker != want["marker"] || gaps.Aborted != want["aborted"] {
					t.Fatalf("%d records, %d absent, %+v; want %v", records, absent, gaps, want)
				}
			})
		}
	}
}

// TestCompactedGapsAreAbsent: the broker has removed all but the last record of each key.
func TestCompactedGapsAreAbsent(t *testing.T) {
	e := newEnv(t, testservers.Kafka(t))
	topic := testservers.Name("compacted")
	config := map[string]*string{}
	for k, v := range map[string]string{
		"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.001", "max.compaction.lag.ms": "100", "min.compaction.lag.ms": "0",
	} {
		config[k] = &v
	}
	if _, err := e.admin.CreateTopic(testContext(t), 1, 1, config, topic); err != nil {
		t.Fatal(err)
	}
	cl := newProducer(t, e.brokers)
	n := int64(0)
	write := func() {
		if err := cl.ProduceSync(testContext(t), &kgo.Record{Topic: topic, Key: fmt.Append(nil, n%3), Value: []byte("v")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		n++
	}
	for range 30 {
		write()
	}
	s := newSource(t, e.brokers, func(c *Config) { c.RingBytes, c.FetchMaxBytes = minRing, minRing })
	p := partitionOf(t, s, topic, 0)
	deadline := time.Now().Add(90 * time.Second) // the cleaner looks every 15 s
	for {
		write() // rolls the segment
		end := n
		records, absent, gaps := explained(t, open(t, newSource(t, e.brokers, nil), p, 0), 0, end)
		if records+absent != end || gaps != (stream.Gaps{}) {
			t.Fatalf("%d records, %d absent, %+v of %d offsets", records, absent, gaps, end)
		}
		if absent > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the broker's cleaner has not run")
		}
	}
}

// awaitEnd waits until the log ends there: the broker answers before it has written the marker of a transaction.
func awaitEnd(t *testing.T, s *Source, p stream.Partition, end int64) {
	t.Helper()
	for {
		at, err := s.LogEnd(testContext(t), p)
		if err != nil {
			t.Fatal(err)
		}
		if at >= end {
			return
		}
	}
}
