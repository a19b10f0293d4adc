package streamtest

import (
	"math/rand/v2"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// WindowSteps is input for an operator behind a window: the rows that a window of WindowSize emits in these phases, and the
// progress at which it does. The schema is WindowSchema, the grids are WindowGrids.
func WindowSteps(t testing.TB, rng *rand.Rand, size int, phases ...stream.Phase) []OperatorStep {
	t.Helper()
	f := &following{t: t, phases: phases}
	f.run(rng, size)
	return f.steps
}

// WindowGrids are the points at which the windows of WindowSteps close, or are final.
func WindowGrids() stream.Grids { return newCounter().Grids() }

// following collects what a window emits, with the progress that follows. It implements stream.Emitter.
type following struct {
	t      testing.TB
	phases []stream.Phase
	steps  []OperatorStep
}

// run plays a partition. Live values are shown now and then.
func (f *following) run(rng *rand.Rand, size int) {
	window := newCounter()
	r := &operatorRun{t: f.t, c: &OperatorCase{}, out: &transcript{t: f.t, then: f.take}, op: window}
	r.told = stream.Advance{Mark: stream.NoTime, RecordMark: stream.NoTime}
	r.after = func(to stream.Advance) { f.steps = append(f.steps, OperatorStep{To: &to}) }
	feed := Feed{Grids: window.Grids(), Disorder: disorder, Grace: grace}.Steps(rng, drawEvents(rng, size))
	for i, s := range feed {
		var err error
		if s.To != nil {
			err = r.progress(*s.To)
		} else {
			err = r.feed(s.Rows, false)
		}
		crossing := i+1 < len(feed) && feed[i+1].To != nil && !feed[i+1].To.Provisional
		if err == nil && !crossing && rng.IntN(2) == 0 {
			err = window.Publish(r.at, r.out)
		}
		if err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *following) take(b *stream.Batch) {
	for _, p := range f.phases {
		if p == b.Phase {
			rows := stream.NewBatch(b.Schema)
			copyRows(rows, b, 0, b.Len())
			f.steps = append(f.steps, OperatorStep{Rows: rows})
		}
	}
}
