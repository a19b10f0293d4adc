package alerts

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

func TestOperatorAcceptance(t *testing.T) {
	streamtest.RunOperator(t, streamtest.OperatorHarness{Histories: 40, Draw: func(t testing.TB, rng *rand.Rand, size int) streamtest.OperatorCase {
		rule := DefaultRule()
		rule.Name, rule.When = "Busy", []string{"samples > 1", "mean > 60", "mean == nil", "true"}[rng.IntN(4)]
		rule.For = time.Duration(rng.IntN(4)) * streamtest.WindowSize
		rule.KeepFiringFor = time.Duration(rng.IntN(3)) * 15 * time.Second
		rule.Summary = "{{ host }} has {{ samples }}"
		rule.Labels = map[string]string{"team": "infra-{{ upper(host) }}"}
		cfg := OperatorConfig{
			Rule: rule, Pipeline: "busy", Version: "1", Topic: "metrics", GroupColumns: []string{"host"}, WindowSize: streamtest.WindowSize,
		}
		return streamtest.OperatorCase{
			New: func() stream.Operator {
				o, err := NewOperator(cfg, streamtest.WindowSchema())
				if err != nil {
					t.Fatal(err)
				}
				return o
			},
			Steps: streamtest.WindowSteps(t, rng, size, stream.Live, stream.Closed, stream.Revised, stream.Final),
			Grids: streamtest.WindowGrids(),
		}
	}})
}
