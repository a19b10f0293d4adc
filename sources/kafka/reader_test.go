package kafka

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

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
