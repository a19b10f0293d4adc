package engine

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/stream"
)

// logStarting is a source whose log begins at an offset.
type logStarting struct {
	Source
	offset int64
}

func (l logStarting) LogStart(context.Context, stream.Partition) (int64, error) { return l.offset, nil }

// TestSnapshotBeforeADamagedOne: it is used if the log still reaches back to it; else the refusal says what is damaged and why
// the one before it is of no use.
func TestSnapshotBeforeADamagedOne(t *testing.T) {
	for _, start := range []int64{0, 100, 101} {
		rec := &stream.Record{
			At:       stream.Version{Offset: 900},
			Snapshot: stream.Snapshot{At: stream.Version{Offset: 500}, Slices: []stream.Slice{{Object: "state/t/snapshot", Size: 9, Hash: "00"}}},
			Previous: &stream.Snapshot{At: stream.Version{Offset: 100}},
		}
		tk := &task{log: slog.New(slog.DiscardHandler), deps: &deps{Config: Config{
			Objects: &someObjects{}, Clock: clock.System{}, Source: logStarting{offset: start},
		}}}
		_, err := tk.restore(t.Context(), rec)
		if start <= 100 {
			if err != nil || !tk.fellBack || rec.Snapshot.At.Offset != 100 || rec.Previous != nil {
				t.Errorf("the log begins at %d: error %v, snapshot of offset %d", start, err, rec.Snapshot.At.Offset)
			}
			continue
		}
		if err == nil || tk.fellBack {
			t.Fatal("a snapshot is used though the log does not reach back to it")
		}
		for _, want := range []string{"state/t/snapshot", "missing", "offset 100", "begins at offset 101"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("the refusal does not say %q: %v", want, err)
			}
		}
	}
}
