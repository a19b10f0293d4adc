package kafka

import (
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/stream"
)

func TestReadsWhatWasWritten(t *testing.T) {
	for _, codec := range []struct {
		name  string
		codec kgo.CompressionCodec
	}{
		{"none", kgo.NoCompression()},
		{"gzip", kgo.GzipCompression()},
		{"snappy", kgo.SnappyCompression()},
		{"lz4", kgo.Lz4Compression()},
		{"zstd", kgo.ZstdCompression()},
	} {
		t.Run(codec.name, func(t *testing.T) {
			onBoth(t, func(e *env) {
				t := e.t
				topic := e.topic(t, 2)
				cl := newProducer(t, e.brokers, kgo.ProducerBatchCompression(codec.codec))
				var want []string
				for i := range 7 {
					vs := numbered(i*700, 700)
					produce(t, cl, topic, 1, vs...)
					want = append(want, vs...)
				}
				s := newSource(t, e.brokers, nil)
				p := partitionOf(t, s, topic, 1)
				var g got
				g.until(t, open(t, s, p, 0), 4900)
				if !slices.Equal(g.values, want) || g.gaps != 0 {
					t.Fatalf("read %d values, want %d, and %d gaps", len(g.values), len(want), g.gaps)
				}
				mid := got{}
				mid.until(t, open(t, s, p, 777), 4900)
				if !slices.Equal(mid.values, want[777:]) {
					t.Fatalf("from offset 777: %d values, want %d", len(mid.values), len(want)-777)
				}
			})
		})
	}
}

func TestRejectedRecordsComeWithTheirBytes(t *testing.T) {
	onBoth(t, func(e *env) {
		t := e.t
		topic := e.topic(t, 1)
		cl := newProducer(t, e.brokers)
		produce(t, cl, topic, 0, "a", "bad one", "b")
		produce(t, cl, topic, 0, "bad two", "c")
		s := newSource(t, e.brokers, nil)
		var g got
		g.until(t, open(t, s, partitionOf(t, s, topic, 0), 0), 5)
		if !slices.Equal(g.values, []string{"a", "b", "c"}) || len(g.rejected) != 2 {
			t.Fatalf("%+v", g)
		}
		for i, want := range []stream.Rejected{{Offset: 1, Raw: []byte("bad one")}, {Offset: 3, Raw: []byte("bad two")}} {
			r := g.rejected[i]
			if r.Offset != want.Offset || string(r.Raw) != string(want.Raw) || r.Reason == "" || r.Timestamp == 0 {
				t.Fatalf("rejected %+v, want %+v", r, want)
			}
		}
	})
}

func TestNothingNewIsAnInputWithoutRows(t *testing.T) {
	onBoth(t, func(e *env) {
		t := e.t
		topic := e.topic(t, 1)
		s := newSource(t, e.brokers, nil)
		r := open(t, s, partitionOf(t, s, topic, 0), 0)
		in, err := r.Read(testContext(t))
		for err == nil && in.End < 0 && in.Batch.Len() == 0 { // the broker has not answered yet
			in, err = r.Read(testContext(t))
		}
		if err != nil || in.Batch.Len() != 0 || in.From != 0 || in.Next != 0 || in.End != 0 {
			t.Fatalf("%+v, %v", in, err)
		}
		produce(t, newProducer(t, e.brokers), topic, 0, "x")
		var g got
		g.until(t, r, 1)
		if in, err = r.Read(testContext(t)); err != nil || in.End != 1 || in.Next != 1 {
			t.Fatalf("%+v, %v", in, err)
		}
	})
}

// TestDictionariesStaySmall: texts that are new in every record do not fill the memory.
func TestDictionariesStaySmall(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(1, "in"))
	cl := newProducer(t, c.ListenAddrs())
	long := strings.Repeat("x", 2000)
	const n = 2 * dictBytes / 2000
	for i := 0; i < n; i += 400 {
		vs := numbered(i, min(400, n-i))
		for k := range vs {
			vs[k] += long
		}
		produce(t, cl, "in", 0, vs...)
	}
	s := newSource(t, c.ListenAddrs(), nil)
	r := open(t, s, partitionOf(t, s, "in", 0), 0)
	for next := int64(0); next < n; {
		in, err := r.Read(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		for i := range in.Batch.Len() {
			if want := numbered(int(in.Batch.Offset[i]), 1)[0] + long; in.Batch.Cols[0].Text(i) != want {
				t.Fatalf("offset %d has another value", in.Batch.Offset[i])
			}
		}
		if size := in.Batch.Cols[0].Dict.Size(); size > dictBytes+rowsPerRead*(len(long)+8) {
			t.Fatalf("the dictionary has %d bytes", size)
		}
		next = in.Next
	}
}
