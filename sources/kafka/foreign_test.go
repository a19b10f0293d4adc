package kafka

import (
	"os/exec"
	"slices"
	"testing"

	"github.com/tidewatch/tidewatch/internal/testservers"
)

// TestForeignProducer reads what librdkafka writes: other frames of the same codecs, transactions, one of them aborted.
func TestForeignProducer(t *testing.T) {
	python, brokers := testservers.Python(t), testservers.Kafka(t)
	e := newEnv(t, brokers)
	s := newSource(t, brokers, nil)
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		t.Run(codec, func(t *testing.T) {
			topic := e.topic(t, 1)
			out, err := exec.CommandContext(testContext(t), python, "testdata/foreign.py", brokers[0], topic, codec).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			p := partitionOf(t, s, topic, 0)
			end, err := s.LogEnd(testContext(t), p)
			if err != nil {
				t.Fatal(err)
			}
			var g got
			g.until(t, open(t, s, p, 0), end)
			if want := slices.Concat(numbered(0, 1000), numbered(2000, 1000)); !slices.Equal(g.values, want) {
				t.Fatalf("%d values, want %d", len(g.values), len(want))
			}
			if g.gaps < 1003 { // the aborted records, three markers
				t.Fatalf("%d gaps up to offset %d", g.gaps, end)
			}
		})
	}
}
