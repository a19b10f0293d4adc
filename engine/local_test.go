package engine_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// localRun counts events of one partition that begins at offset 10, and lists what is closed.
func localRun(t *testing.T, controls []stream.Control, events ...event) (closed []string, res *engine.LocalResult, err error) {
	t.Helper()
	world := streamtest.NewWorld()
	log := streamtest.LogID{Topic: "events"}
	world.Append(log, make([]stream.Message, 10)...)
	for _, e := range events {
		world.Append(log, e.message())
	}
	source := &bounded{life: streamtest.NewLife(world, nil), end: int64(10 + len(events))}
	p := newHistory(1).plan
	r := &engine.Local{Clock: clock.System{}, Collect: func(_ string, b *stream.Batch) error {
		if b.Phase == stream.Closed {
			closed = append(closed, fmt.Sprint(b.Window.Start, " ", b.Version))
		}
		return nil
	}}
	res, err = r.Run(t.Context(), p, []engine.LocalInput{{
		Partition: stream.Partition{Topic: "events"}, Partitions: 1, Open: source.open, Controls: controls,
	}})
	return closed, res, err
}

// bounded reads a log from offset 10 to its end.
type bounded struct {
	life *streamtest.Life
	end  int64
}

func (b *bounded) open(ctx context.Context, d stream.Decoder) (stream.Reader, error) {
	r, err := b.life.Source(map[string]int32{"events": 1}, newHistory(1).rng).Open(ctx, stream.Partition{Topic: "events"}, 10, d)
	return &boundedReader{Reader: r, end: b.end, at: 10}, err
}

type boundedReader struct {
	stream.Reader
	at, end int64
}

func (b *boundedReader) Read(ctx context.Context) (*stream.Input, error) {
	if b.at == b.end {
		return emptyReader{}.Read(ctx)
	}
	in, err := b.Reader.Read(ctx)
	if err == nil {
		b.at = in.Next
	}
	return in, err
}

func tick(offset int64, step uint32, mark time.Duration) stream.Control {
	return stream.Control{Kind: "tick", At: stream.Version{Offset: offset, Step: step}, Mark: stream.Time(mark)}
}

// TestLocalControls: control records take effect before the record at their offset, in steps that go on from those before
// the input, and behind the last record.
func TestLocalControls(t *testing.T) {
	const s = time.Second
	events := []event{{at: 1000 * s, key: "a"}, {at: 1001 * s, key: "a"}, {at: 1022 * s, key: "a"}}
	closed, res, err := localRun(t, []stream.Control{tick(3, 5, 900*s), tick(11, 6, 1011*s), tick(13, 7, 1031*s), tick(14, 8, 1050*s)}, events...)
	want := []string{"1970-01-01T00:16:40Z {11 6}", "1970-01-01T00:17:00Z {13 7}"}
	if err != nil || !slices.Equal(closed, want) || res.Ticks != 3 {
		t.Fatalf("closed %q with %d ticks, %v; want %q", closed, res.Ticks, err, want)
	}
	if res.Ledger.Sum() != 3 {
		t.Errorf("ledger %v of 3 records", res.Ledger.Map())
	}
}

// TestLocalSilent: a partition without records has its control records, up to the first that follows on records.
func TestLocalSilent(t *testing.T) {
	_, res, err := localRun(t, []stream.Control{tick(7, 1, 900*time.Second), tick(7, 2, 950*time.Second), tick(8, 3, 990*time.Second)})
	if err != nil || res.Ticks != 2 || res.CompleteThrough != stream.Time(950*time.Second) {
		t.Fatalf("%+v, %v", res, err)
	}
}

// TestLocalRefuses control records that cannot be those of the input.
func TestLocalRefuses(t *testing.T) {
	events := []event{{at: 1000 * time.Second, key: "a"}, {at: 1001 * time.Second, key: "a"}}
	for what, controls := range map[string][]stream.Control{
		"takes effect at": {tick(11, 1, 1002*time.Second), tick(11, 3, 1003*time.Second)},
		"unknown kind":    {{Kind: "tock", At: stream.Version{Offset: 11, Step: 1}}},
	} {
		if _, _, err := localRun(t, controls, events...); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v: %v, want %q", controls, err, what)
		}
	}
}
