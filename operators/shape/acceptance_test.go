package shape

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// eventsOrWindows is input of both kinds: events that decode, or the rows of windows.
func eventsOrWindows(rng *rand.Rand, size int) []streamtest.OperatorStep {
	b := stream.NewBatch(eventSchema())
	for i := range size {
		appendEvent(b, i, []string{"cpu", "mem", "disk"}[rng.IntN(3)], rng.Float64(), rng.IntN(5) == 0)
	}
	if rng.IntN(2) == 0 {
		return streamtest.Feed{Disorder: time.Nanosecond}.Steps(rng, b)
	}
	asWindow(b, []stream.Phase{stream.Live, stream.Closed, stream.Revised, stream.Final, stream.Partial}[rng.IntN(5)])
	to := stream.Advance{Mark: b.Window.End, RecordMark: b.Window.End, At: b.Version}
	return []streamtest.OperatorStep{{Rows: b}, {To: &to}}
}

func TestFilterAcceptance(t *testing.T) {
	streamtest.RunOperator(t, streamtest.OperatorHarness{Draw: func(t testing.TB, rng *rand.Rand, size int) streamtest.OperatorCase {
		src := conditions[rng.IntN(len(conditions))].src
		return streamtest.OperatorCase{
			New: func() stream.Operator {
				f, err := NewFilter(src, eventSchema())
				if err != nil {
					t.Fatal(err)
				}
				return f
			},
			Steps: eventsOrWindows(rng, size), Keys: 2,
		}
	}})
}

func TestProjectAcceptance(t *testing.T) {
	columns := []Column{
		{Name: "what", Expr: "name"}, {Name: "percent", Expr: "value * 100"}, {Name: "place", Expr: "upper(host)"}, {Name: "even", Expr: "ok"},
	}
	streamtest.RunOperator(t, streamtest.OperatorHarness{Draw: func(t testing.TB, rng *rand.Rand, size int) streamtest.OperatorCase {
		return streamtest.OperatorCase{
			New: func() stream.Operator {
				p, err := NewProject(columns, eventSchema())
				if err != nil {
					t.Fatal(err)
				}
				return p
			},
			Steps: eventsOrWindows(rng, size), Keys: 1,
		}
	}})
}
