package window_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/operators/aggregate"
	"github.com/tidewatch/tidewatch/operators/window"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// anyConfig is one of the windows that there are, with all aggregates.
func anyConfig(rng *rand.Rand) *window.Config {
	return &window.Config{
		Size:       10 * time.Second,
		Every:      time.Duration([]int{0, 0, 10, 5, 2}[rng.IntN(5)]) * time.Second,
		Lateness:   time.Duration([]int{0, 5, 10, 25}[rng.IntN(4)]) * time.Second,
		By:         [][]string{{"host"}, {"host", "port"}, {"port"}, nil}[rng.IntN(4)],
		MaxGroups:  max(rng.IntN(8)-3, 0),
		Evidence:   rng.IntN(2) == 0,
		Aggregates: everyFunction(),
	}
}

func everyFunction() (specs []aggregate.Spec) {
	for _, name := range aggregate.Names() {
		column := map[string]string{"count": "", "count_if": "ok", "count_distinct": "host"}
		of, special := column[name]
		if !special {
			of = "value"
		}
		specs = append(specs, aggregate.Spec{Name: name, Function: name, Column: of})
	}
	return specs
}

var acceptanceSchema = &stream.Schema{Fields: append(slices.Clone(eventSchema.Fields), stream.Field{Name: "ok", Kind: stream.Bool})}

// anyEvents are events of few groups, in some disorder, with anything missing now and then.
func anyEvents(rng *rand.Rand, size int) *stream.Batch {
	b := stream.NewBatch(acceptanceSchema)
	now := 1000 * second
	for range rng.IntN(size + 2) {
		now += stream.Time(rng.IntN(9)) * second / 2
		if rng.IntN(10) == 0 {
			now += stream.Time(rng.IntN(60)) * second
		}
		at := now
		if rng.IntN(4) == 0 {
			at -= stream.Time(rng.IntN(50)) * second
		}
		orNull := func(c *stream.Column, one int, fill func()) {
			if rng.IntN(one) == 0 {
				c.AppendNull()
			} else {
				fill()
			}
		}
		orNull(&b.Cols[0], 6, func() { b.Cols[0].AppendString(fmt.Sprint("h", rng.IntN(6))) })
		orNull(&b.Cols[1], 4, func() { b.Cols[1].AppendInt(int64(rng.IntN(3))) })
		orNull(&b.Cols[2], 5, func() { b.Cols[2].AppendFloat(1e3 * rng.NormFloat64()) })
		orNull(&b.Cols[3], 5, func() { b.Cols[3].AppendBool(rng.IntN(2) == 0) })
		b.Time = append(b.Time, at)
		b.SetLen(b.Len() + 1)
	}
	return b
}

func feed(rng *rand.Rand, grids stream.Grids, size int) []streamtest.OperatorStep {
	return streamtest.Feed{Grids: grids, Disorder: time.Duration(disorder), Grace: time.Duration(grace)}.Steps(rng, anyEvents(rng, size))
}

// fresh makes operators, or ends the test.
func fresh[O stream.Operator](t testing.TB, open func() (O, error)) O {
	op, err := open()
	if err != nil {
		t.Fatal(err)
	}
	return op
}

func TestTumblingAcceptance(t *testing.T) {
	streamtest.RunOperator(t, streamtest.OperatorHarness{Histories: 60, Draw: func(t testing.TB, rng *rand.Rand, size int) streamtest.OperatorCase {
		cfg := anyConfig(rng)
		open := func() *window.Tumbling {
			return fresh(t, func() (*window.Tumbling, error) { return window.NewTumbling(cfg, acceptanceSchema) })
		}
		return streamtest.OperatorCase{New: func() stream.Operator { return open() }, Steps: feed(rng, open().Grids(), size)}
	}})
}

func openFold(t testing.TB, cfg *window.Config) *window.Fold {
	return fresh(t, func() (*window.Fold, error) { return window.NewFold(cfg, acceptanceSchema) })
}

func TestFoldAcceptance(t *testing.T) {
	streamtest.RunOperator(t, streamtest.OperatorHarness{Histories: 60, Draw: func(t testing.TB, rng *rand.Rand, size int) streamtest.OperatorCase {
		cfg := anyConfig(rng)
		steps := feed(rng, openFold(t, cfg).Grids(), size)
		return streamtest.OperatorCase{New: func() stream.Operator { return openFold(t, cfg) }, Steps: steps, Keys: len(cfg.By)}
	}})
}

// sentEntries is what a task of the first stage writes into the internal topic. It implements stream.Emitter.
type sentEntries struct {
	source int
	log    []entry
}

func (e *sentEntries) Emit(b *stream.Batch) error {
	if b.Phase == stream.Partial {
		c := stream.NewBatch(b.Schema)
		c.Phase, c.Window, c.Version, c.AfterClose = b.Phase, b.Window, b.Version, b.AfterClose
		for i := range b.Len() {
			c.AppendRow(b, i)
		}
		e.log = append(e.log, entry{source: e.source, partials: c})
	}
	return nil
}

func (e *sentEntries) Decide(stream.Decision) error { return nil }

func (*sentEntries) Wants(stream.Phase) bool { return true }

func (e *sentEntries) Count(stream.Bucket, int64) {}

// anyEntries runs a source partition through the first stage: partials leave now and then, and at each step of progress,
// which follows them.
func anyEntries(t testing.TB, rng *rand.Rand, cfg *window.Config, source, size int) []entry {
	f, out := openFold(t, cfg), &sentEntries{source: source}
	at := stream.Version{}
	for _, s := range feed(rng, f.Grids(), size) {
		switch {
		case s.Rows != nil:
			if err := f.Process(s.Rows, out); err != nil {
				t.Fatal(err)
			}
			at.Offset = s.Rows.Offset[s.Rows.Len()-1] + 1
			if rng.IntN(2) == 0 {
				if err := f.Publish(at, out); err != nil {
					t.Fatal(err)
				}
			}
		default:
			at = s.To.At
			if err := f.Advance(*s.To, out); err != nil {
				t.Fatal(err)
			}
			out.log = append(out.log, entry{source: source, mark: s.To})
		}
	}
	return out.log
}

func TestMergeAcceptance(t *testing.T) {
	streamtest.RunOperator(t, streamtest.OperatorHarness{Histories: 60, Draw: func(t testing.TB, rng *rand.Rand, size int) streamtest.OperatorCase {
		cfg := anyConfig(rng)
		open := func() *window.Merge {
			return fresh(t, func() (*window.Merge, error) {
				return window.NewMerge(&window.MergeConfig{Config: *cfg, In: acceptanceSchema})
			})
		}
		var logs [][]entry
		for source := range 1 + rng.IntN(3) {
			logs = append(logs, anyEntries(t, rng, cfg, source, size))
		}
		return streamtest.OperatorCase{New: func() stream.Operator { return open() }, Steps: mergeSteps(t, rng, cfg, open().Grids(), logs)}
	}})
}

// mergeSteps interleaves the logs of all sources, some entries twice, and folds their progress.
func mergeSteps(t testing.TB, rng *rand.Rand, cfg *window.Config, grids stream.Grids, logs [][]entry) (steps []streamtest.OperatorStep) {
	partial, err := window.PartialSchema(cfg, acceptanceSchema)
	if err != nil {
		t.Fatal(err)
	}
	schema := stream.EntrySchema(partial)
	s := &secondStage{cfg: cfg, sources: len(logs), marks: map[int]*stream.Advance{}, mark: stream.NoTime, record: stream.NoTime}
	for offset := int64(0); ; {
		logs = slices.DeleteFunc(logs, func(l []entry) bool { return len(l) == 0 })
		if len(logs) == 0 {
			return steps
		}
		i := rng.IntN(len(logs))
		e := logs[i][0]
		if rng.IntN(8) > 0 { // or it comes again: its producer did not hear that it was there
			logs[i] = logs[i][1:]
		}
		b := stream.NewBatch(schema)
		appendEntry(b, &e, offset)
		offset++
		if n := len(steps); n > 0 && steps[n-1].Rows != nil {
			for k := range b.Len() {
				steps[n-1].Rows.AppendRow(b, k)
			}
		} else {
			steps = append(steps, streamtest.OperatorStep{Rows: b})
		}
		if e.mark != nil {
			if to := s.learn(&e, stream.Version{Offset: offset}, grids); to != nil {
				steps = append(steps, streamtest.OperatorStep{To: to})
			}
		}
	}
}
