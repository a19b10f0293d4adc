package rekey

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

const internalPartitions = 3

// internal is an internal topic.
type internal struct {
	mu      sync.Mutex
	records [internalPartitions][][]byte
}

// producer writes to it for one process; like a real one it repeats what failed, and then a record may be there twice.
type producer struct {
	to *internal
	l  *streamtest.Life
}

func (p producer) Append(_ context.Context, partition int32, value []byte) error {
	for {
		err := p.l.Call("append", func() error {
			p.to.mu.Lock()
			defer p.to.mu.Unlock()
			p.to.records[partition] = append(p.to.records[partition], slices.Clone(value))
			return nil
		})
		if err == nil || stream.KindOfError(err) != stream.Retry {
			return err
		}
	}
}

func (p producer) Flush(context.Context) error { return nil }
func (p producer) Close() error                { return nil }

// seen is what a second stage makes of the topic: every partial once, and the newest progress. A partial that progress has
// covered already comes too late.
func (x *internal) seen(t testing.TB) map[string]string {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := map[string]string{}
	for p := range x.records {
		d, told := NewDecoder(partial), stream.Version{}
		b := stream.NewBatch(d.Schema())
		for o, value := range x.records[p] {
			b.Reset()
			if err := d.Decode(&stream.Message{Offset: int64(o), Value: value}, b); err != nil {
				t.Fatal(err)
			}
			for i := range b.Len() {
				at := stream.Version{Offset: b.Cols[stream.EntryOffset].Ints[i], Step: uint32(b.Cols[stream.EntryStep].Ints[i])}
				text := fmt.Sprint(p, " ", values(b, i, 0))
				if b.Cols[stream.EntryKind].Ints[i] != stream.PartialEntry {
					if told.Compare(at) <= 0 {
						told, all[fmt.Sprint("progress ", p)] = at, text
					}
					continue
				}
				if _, known := all[text]; !known && at.Compare(told) <= 0 {
					t.Errorf("the partial %s comes behind the progress of %+v", text, told)
				}
				all[text] = ""
			}
		}
	}
	return all
}

// partials are what a first stage emits, and its progress.
func partials(_ testing.TB, rng *rand.Rand, size int) []streamtest.SinkStep {
	var steps []streamtest.OperatorStep
	at, mark := stream.Version{}, stream.Time(0)
	for range size {
		at.Offset += 1 + rng.Int64N(4)
		b := stream.NewBatch(partial)
		start := mark.Floor(10 * time.Second)
		b.Phase, b.Version, b.Window = stream.Partial, at, stream.Window{Start: start, End: start.Add(10 * time.Second)}
		b.AfterClose = rng.IntN(4) == 0
		for range rng.IntN(5) {
			b.Cols[0].AppendString(fmt.Sprint("host", rng.IntN(4)))
			b.Cols[1].AppendInt(rng.Int64N(5))
			b.Cols[2].AppendFloat(rng.Float64())
			b.Cols[3].AppendInt(at.Offset)
			b.Slot = append(b.Slot, uint8(rng.IntN(stream.Slots)))
			b.SetLen(b.Len() + 1)
		}
		if b.Len() > 0 {
			steps = append(steps, streamtest.OperatorStep{Rows: b})
		}
		mark = mark.Add(time.Duration(rng.IntN(5)) * time.Second)
		steps = append(steps, streamtest.OperatorStep{To: &stream.Advance{Mark: mark, RecordMark: mark, At: at}})
	}
	return streamtest.SinkSteps(steps)
}

func TestSinkAcceptance(t *testing.T) {
	streamtest.RunSink(t, streamtest.SinkHarness{
		New: func(testing.TB) streamtest.SinkReceiver {
			x := &internal{}
			return streamtest.SinkReceiver{
				Open: func(_ testing.TB, l *streamtest.Life) stream.Sink {
					return NewSink(producer{x, l}, 0, 2, internalPartitions)
				},
				Visible: x.seen,
			}
		},
		History: partials,
	})
}
