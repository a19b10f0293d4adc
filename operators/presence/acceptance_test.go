package presence_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/operators/presence"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// behindWindows is the harness of an operator behind a window; draw draws its configuration.
func behindWindows(draw func(rng *rand.Rand) func() (stream.Operator, error)) streamtest.OperatorHarness {
	return streamtest.OperatorHarness{Draw: func(t testing.TB, rng *rand.Rand, size int) streamtest.OperatorCase {
		open := draw(rng)
		return streamtest.OperatorCase{
			New: func() stream.Operator {
				op, err := open()
				if err != nil {
					t.Fatal(err)
				}
				return op
			},
			Steps: streamtest.WindowSteps(t, rng, size, stream.Live, stream.Closed, stream.Revised, stream.Final),
			Grids: streamtest.WindowGrids(),
		}
	}}
}

func TestAbsenceAcceptance(t *testing.T) {
	streamtest.RunOperator(t, behindWindows(func(rng *rand.Rand) func() (stream.Operator, error) {
		cfg := &presence.AbsenceConfig{By: []string{"host"}, Every: streamtest.WindowSize, Forget: time.Duration(1+rng.IntN(6)) * streamtest.WindowSize}
		return func() (stream.Operator, error) { return presence.NewAbsence(cfg, streamtest.WindowSchema()) }
	}))
}

func TestFirstAcceptance(t *testing.T) {
	streamtest.RunOperator(t, behindWindows(func(rng *rand.Rand) func() (stream.Operator, error) {
		cfg := &presence.FirstConfig{
			By: []string{"host"}, Of: []string{"host"}, Within: time.Duration(1+rng.IntN(6)) * streamtest.WindowSize,
			Learn: time.Duration(rng.IntN(3)) * streamtest.WindowSize, Lateness: 2 * streamtest.WindowSize,
		}
		return func() (stream.Operator, error) { return presence.NewFirst(cfg, streamtest.WindowSchema()) }
	}))
}
