package parquet

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/internal/columnfile"
	"github.com/tidewatch/tidewatch/stream"
)

var controlTask = stream.TaskID{Instance: "host-cpu@1f", Stage: "main", Partition: testPartition}

func newControls(t rapid.TB, store stream.Objects) *Controls {
	t.Helper()
	c := DefaultControls()
	c.Objects, c.Task, c.Slot = store, controlTask, time.Minute
	s, err := NewControls(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// controlStep is something that a task goes through: a control record or records, and the progress then.
type controlStep struct {
	control *stream.Control
	mark    stream.Time
}

func drawControls(t *rapid.T) (steps []controlStep) {
	mark, at := start, stream.Version{}
	for range rapid.IntRange(1, 30).Draw(t, "steps") {
		mark = mark.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "ahead")) * time.Second)
		s := controlStep{mark: mark}
		if rapid.Bool().Draw(t, "tick") {
			at.Step++
			s.control = &stream.Control{Kind: "tick", At: at, Mark: mark}
		} else {
			at.Offset += rapid.Int64Range(1, 9).Draw(t, "records")
		}
		steps = append(steps, s)
	}
	return steps
}

// wantControls lists the files: the control records of each minute that progress has left.
func wantControls(steps []controlStep) map[string][]stream.Control {
	last := steps[len(steps)-1].mark
	slots := map[stream.Time][]stream.Control{}
	for _, s := range steps {
		if slot := s.mark.Floor(time.Minute); s.control != nil && slot.Add(time.Minute) <= last {
			slots[slot] = append(slots[slot], *s.control)
		}
	}
	want := map[string][]stream.Control{}
	for slot, list := range slots {
		want[fmt.Sprintf("controls/topic=metrics/instance=host-cpu@1f/date=%s/hour=%s/3-main-%010d-%010d.parquet", slot.Go().Format("2006-01-02"),
			slot.Go().Format("15"), list[0].At.Step, list[len(list)-1].At.Step)] = list
	}
	return want
}

// TestControls: crashes at any step of the protocol leave the files that follow from what was claimed.
func TestControls(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := drawControls(rt)
		store := newMemory()
		store.fail = func() error {
			if rapid.IntRange(0, 5).Draw(rt, "store away") == 0 {
				return errAway
			}
			return nil
		}
		r := &controlRow{}
		for lives := 0; r.claimed < len(steps) || len(r.receipts) > 0; lives++ {
			r.live(rt, store, steps, lives > 20)
		}
		want, got := wantControls(steps), map[string][]stream.Control{}
		for key, data := range store.visible() {
			f, err := columnfile.Open([]byte(data))
			if err != nil {
				rt.Fatal(err)
			}
			meta, list, err := columnfile.ReadControls(f)
			if err != nil || meta.Key() != key || meta.Incarnation != testPartition.Incarnation {
				rt.Fatalf("%s: metadata %+v, %v", key, meta, err)
			}
			got[key] = list
		}
		if !maps.EqualFunc(got, want, slices.Equal[[]stream.Control]) {
			rt.Fatalf("files hold %v, want %v", got, want)
		}
	})
}

// controlRow is what Postgres holds of the task.
type controlRow struct {
	claimed, at int // steps covered, by the claim and by the snapshot
	state       []byte
	receipts    []stream.Receipt
}

func (r *controlRow) live(t *rapid.T, store *memory, steps []controlStep, immortal bool) {
	crash := func() bool { return !immortal && rapid.IntRange(0, 7).Draw(t, "crash") == 0 }
	sink := newControls(t, store)
	if r.state != nil {
		s, err := stream.NewStateReader(r.state)
		if err == nil {
			err = sink.Restore(s)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	see := func(s controlStep) {
		if s.control != nil {
			sink.Control(s.control)
		}
	}
	for _, s := range steps[r.at:r.claimed] {
		see(s)
	}
	if r.claimed > 0 {
		sink.Stage(stream.Epoch{Mark: steps[r.claimed-1].mark}) // dropped
	}
	r.reveal(t, sink)
	for i := r.claimed; i < len(steps); i++ {
		s := steps[i]
		if see(s); i+1 < len(steps) && s.control == nil && rapid.Bool().Draw(t, "no epoch here") {
			continue
		}
		work := sink.Stage(stream.Epoch{Mark: s.mark, Prefix: fmt.Sprintf("state/%d/", rapid.Int64().Draw(t, "owner"))})
		w := stream.NewStateWriter()
		if err := sink.Snapshot(w); err != nil {
			t.Fatal(err)
		}
		var receipt stream.Receipt
		if work != nil && !crash() {
			receipt, _ = insist(func() (stream.Receipt, error) { return work(context.Background()) })
		}
		if crash() || work != nil && receipt == nil {
			return
		}
		r.claimed = i + 1
		if rapid.Bool().Draw(t, "snapshot") {
			r.state, r.at = w.Finish(), i+1
		}
		if receipt != nil {
			r.receipts = append(r.receipts, receipt)
		}
		if crash() {
			return
		}
		r.reveal(t, sink)
	}
}

func (r *controlRow) reveal(t *rapid.T, sink *Controls) {
	for _, receipt := range r.receipts {
		if _, err := insist(func() (stream.Receipt, error) { return nil, sink.Reveal(context.Background(), receipt) }); err != nil {
			t.Fatal(err)
		}
	}
	r.receipts = nil
}

// TestControlsConflict: a file that holds what another history has claimed is reported, whatever its size.
func TestControlsConflict(t *testing.T) {
	store := newMemory()
	for offset, want := range []string{"", "holds other control records"} {
		sink := newControls(t, store)
		sink.Control(&stream.Control{Kind: "tick", At: stream.Version{Offset: int64(offset), Step: 1}, Mark: start})
		receipt, err := sink.Stage(stream.Epoch{Mark: start.Add(time.Hour), Prefix: fmt.Sprintf("state/%d/", offset)})(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		err = sink.Reveal(t.Context(), receipt)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("reveal of offset %d: %v", offset, err)
		}
	}
}

func TestControlsRefuseAndDiscard(t *testing.T) {
	good := DefaultControls()
	good.Objects, good.Task = newMemory(), controlTask
	for _, change := range []func(*ControlsConfig){
		func(c *ControlsConfig) { c.Objects = nil },
		func(c *ControlsConfig) { c.Task.Instance = "" },
		func(c *ControlsConfig) { c.Slot = 7 * time.Minute },
		func(c *ControlsConfig) { c.Slot = 0 },
	} {
		c := good
		change(&c)
		if _, err := NewControls(c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
	good.Discard = true
	sink, err := NewControls(good)
	if err != nil {
		t.Fatal(err)
	}
	if sink.Control(&stream.Control{Kind: "tick", Mark: start}); sink.Stage(stream.Epoch{Mark: start.Add(time.Hour)}) != nil {
		t.Error("control records that nobody wants are staged")
	}
	if sink.Write(t.Context(), stream.NewBatch(rollupSchema)) == nil {
		t.Error("rows are taken")
	}
}
