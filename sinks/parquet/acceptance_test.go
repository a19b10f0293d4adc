package parquet

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/internal/objects"
	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// shelf is a kind of store, and how much of a suite it can bear.
type shelf struct {
	name      string
	histories int
	shorter   int // histories are shorter by this factor
	// open returns what makes empty stores.
	open func(t *testing.T) func(t testing.TB) stream.Objects
}

// shelves are the kinds of stores that an archive may be in. A real disk waits for every file.
func shelves() []shelf {
	return []shelf{
		{"memory", 25, 1, func(*testing.T) func(testing.TB) stream.Objects {
			return func(testing.TB) stream.Objects { return newMemory() }
		}},
		{"folder", 1, 4, func(*testing.T) func(testing.TB) stream.Objects {
			return func(t testing.TB) stream.Objects { return openStore(t, objects.Default(t.TempDir())) }
		}},
		{"s3", 1, 2, func(t *testing.T) func(testing.TB) stream.Objects {
			b, n := testservers.S3(t), 0
			return func(t testing.TB) stream.Objects {
				n++
				return openStore(t, objects.Config{
					URL: fmt.Sprintf("s3://%s/archive%d", b.Bucket, n), Endpoint: b.Endpoint, Region: b.Region, AccessKey: b.AccessKey, SecretKey: b.SecretKey,
				})
			}
		}},
	}
}

func openStore(t testing.TB, c objects.Config) stream.Objects {
	t.Helper()
	s, err := objects.Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// archived are the files that readers see, and what is in them.
func archived(t testing.TB, s stream.Objects) map[string]string {
	t.Helper()
	seen := map[string]string{}
	err := s.List(t.Context(), "", func(o stream.Object) error {
		if strings.HasPrefix(o.Key, "state/") {
			return nil
		}
		data, err := s.Get(t.Context(), o.Key)
		seen[o.Key] = string(bytes.Clone(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// accept runs the suite on a kind of sink, in every kind of store.
func accept(t *testing.T, h streamtest.SinkHarness, open func(s stream.Objects) (stream.Sink, error)) {
	t.Helper()
	for _, of := range shelves() {
		t.Run(of.name, func(t *testing.T) {
			store, h := of.open(t), h
			draw := h.History
			h.Staged, h.Histories = true, of.histories
			h.History = func(t testing.TB, rng *rand.Rand, size int) []streamtest.SinkStep {
				return draw(t, rng, 1+size/of.shorter)
			}
			h.New = func(t testing.TB) streamtest.SinkReceiver {
				s := store(t)
				return streamtest.SinkReceiver{
					Open: func(t testing.TB, l *streamtest.Life) stream.Sink {
						sink, err := open(l.Over(s))
						if err != nil {
							t.Fatal(err)
						}
						return sink
					},
					Visible: func(t testing.TB) map[string]string { return archived(t, s) },
				}
			}
			streamtest.RunSink(t, h)
		})
	}
}

func TestRawAcceptance(t *testing.T) {
	accept(t, streamtest.SinkHarness{Cuts: true, History: rawHistory}, func(s stream.Objects) (stream.Sink, error) {
		return NewRaw(RawConfig{Objects: s, Partition: testPartition})
	})
}

// rawHistory is events on both sides of an hour, in parts.
func rawHistory(_ testing.TB, rng *rand.Rand, size int) []streamtest.SinkStep {
	b := stream.NewBatch(testSchema)
	var events []event
	offset := rng.Int64N(1 << 40)
	for i := range size {
		offset += 1 + rng.Int64N(3)
		e := event{
			offset: offset, time: start.Add(time.Duration(rng.IntN(4000)-1500) * time.Millisecond), timestamp: start.Add(time.Duration(i)),
			bytes: uint32(i), producer: rng.Uint64(),
		}
		for k, v := range [...]any{"m" + fmt.Sprint(i%3), rng.Float64(), int64(-i), i%2 == 0, fmt.Sprint("host-", i%4), "svc", `{"a":1}`, stream.Time(i)} {
			if rng.IntN(6) > 0 {
				e.fields[k] = v
			}
		}
		events = append(events, e)
	}
	fill(b, events)
	steps := streamtest.SinkSteps([]streamtest.OperatorStep{{Rows: b}})
	for i := range steps {
		steps[i].Cut = rng.IntN(8) == 0
	}
	return steps
}

func TestRollupsAcceptance(t *testing.T) {
	accept(t, streamtest.SinkHarness{History: func(t testing.TB, rng *rand.Rand, size int) []streamtest.SinkStep {
		return streamtest.SinkSteps(streamtest.WindowSteps(t, rng, 2*size, stream.Closed, stream.Final))
	}}, func(s stream.Objects) (stream.Sink, error) {
		c := rollupConfig(s)
		c.Slot, c.Lateness, c.Rows = 30*time.Second, streamtest.WindowLateness, 5
		return NewRollups(c)
	})
}

func TestControlsAcceptance(t *testing.T) {
	accept(t, streamtest.SinkHarness{History: func(t testing.TB, rng *rand.Rand, size int) []streamtest.SinkStep {
		return streamtest.SinkSteps(streamtest.WindowSteps(t, rng, 3*size))
	}}, func(s stream.Objects) (stream.Sink, error) {
		c := DefaultControls()
		c.Objects, c.Task, c.Slot = s, controlTask, time.Minute
		return NewControls(c)
	})
}
