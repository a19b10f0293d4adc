package obs

import (
	"fmt"
	"maps"
	"net/http"
	"runtime/metrics"
	"slices"
)

// allocations answers with what a benchmark of allocations asks: a line `objects N`, allocated on the heap since the start,
// and a line `fetched TOPIC N` for each topic. The answer itself takes a few dozen objects, where /metrics takes ten
// thousand, so that whoever asks now and then does not measure his own questions.
func (m *Metrics) allocations(w http.ResponseWriter, _ *http.Request) {
	const objects, tiny = "/gc/heap/allocs:objects", "/gc/heap/tiny/allocs:objects"
	samples := []metrics.Sample{{Name: objects}, {Name: tiny}}
	metrics.Read(samples)
	topics := map[string]int64{}
	m.mu.Lock()
	for t, n := range m.mu.fetched {
		topics[t.Partition.Topic] += n
	}
	m.mu.Unlock()
	fmt.Fprintf(w, "objects %d\n", samples[0].Value.Uint64()+samples[1].Value.Uint64())
	for _, t := range slices.Sorted(maps.Keys(topics)) {
		fmt.Fprintf(w, "fetched %s %d\n", t, topics[t])
	}
}
