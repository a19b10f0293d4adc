package dedupe_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/operators/dedupe"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

func TestAcceptance(t *testing.T) {
	streamtest.RunOperator(t, streamtest.OperatorHarness{Draw: func(t testing.TB, rng *rand.Rand, size int) streamtest.OperatorCase {
		cfg := &dedupe.Config{
			By:       []string{"tenant", "id"},
			Span:     time.Duration(1+rng.IntN(20)) * time.Second,
			Lateness: time.Duration(rng.IntN(20)) * time.Second,
		}
		b := stream.NewBatch(schema)
		now := 1000 * second
		for i := range size {
			now += stream.Time(rng.IntN(6)) * second
			e := event{at: now - stream.Time(rng.IntN(4)*rng.IntN(15))*second, id: int64(rng.IntN(3))}
			if rng.IntN(5) > 0 {
				e.tenant = string(rune('a' + rng.IntN(2)))
			}
			appendEvent(b, &e, i)
		}
		return streamtest.OperatorCase{
			New:   func() stream.Operator { return newDedupe(t, cfg) },
			Steps: streamtest.Feed{Disorder: 3 * time.Second}.Steps(rng, b),
		}
	}})
}
