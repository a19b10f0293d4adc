package window_test

import (
	"slices"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/operators/window"
	"github.com/tidewatch/tidewatch/stream"
)

// erasures notes the slots that are told to be empty.
type erasures struct {
	stream.Emitter
	gone map[stream.Window][]uint8
}

func (*erasures) Wants(stream.Phase) bool { return true }

func (e *erasures) Emit(b *stream.Batch) error {
	if len(b.Gone) > 0 {
		e.gone[b.Window] = append(e.gone[b.Window], b.Gone...)
	}
	return nil
}

// TestQuarantineErasesBehindTheEndOfTheWindow: a value that only an owner has shown that got past a quarantined record is erased
// with the next publication, also if the same portion closes the window.
func TestQuarantineErasesBehindTheEndOfTheWindow(t *testing.T) {
	cfg := countByHost(time.Minute)
	for _, closes := range []bool{false, true} {
		m, out := newMerge(t, cfg), &erasures{gone: map[stream.Window][]uint8{}}
		steps := []error{
			m.Process(entries(t, cfg, partialsOf(t, cfg, 5, false, 1000, 1)), out), m.Publish(stream.Version{Offset: 1}, out),
			m.Process(quarantined(t, cfg, stream.Version{Offset: 4, Step: 1}), out),
		}
		if closes {
			steps = append(steps, m.Advance(advance(3, 1011, 1011), out))
		}
		steps = append(steps, m.Publish(stream.Version{Offset: 3}, out))
		for _, err := range steps {
			if err != nil {
				t.Fatal(err)
			}
		}
		span := stream.Window{Start: 1000 * second, End: 1010 * second}
		if want := []uint8{slotOfHost(t)}; !slices.Equal(out.gone[span], want) {
			t.Errorf("closed %v: the slots %v are erased, want %v", closes, out.gone[span], want)
		}
	}
}

// quarantined is what source 0 says of a record that it has quarantined.
func quarantined(t *testing.T, cfg *window.Config, at stream.Version) *stream.Batch {
	t.Helper()
	b := entries(t, cfg)
	for c := range b.Cols {
		switch c {
		case stream.EntryKind:
			b.Cols[c].AppendInt(stream.RaiseEntry)
		case stream.EntrySource:
			b.Cols[c].AppendInt(0)
		case stream.EntryOffset:
			b.Cols[c].AppendInt(at.Offset)
		case stream.EntryStep:
			b.Cols[c].AppendInt(int64(at.Step))
		default:
			b.Cols[c].AppendNull()
		}
	}
	b.Time, b.Mark, b.Offset = append(b.Time, 0), append(b.Mark, 0), append(b.Offset, 2)
	b.SetLen(1)
	return b
}

// slotOfHost is the slot of the host of partialsOf.
func slotOfHost(t *testing.T) uint8 {
	t.Helper()
	b := stream.NewBatch(&stream.Schema{Fields: []stream.Field{{Name: "host", Kind: stream.String}}})
	b.Cols[0].AppendString("web-7")
	b.SetLen(1)
	return stream.SlotOf(stream.AppendKey(nil, b, []int{0}, 0))
}
