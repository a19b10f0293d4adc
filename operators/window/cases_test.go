package window_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/operators/aggregate"
	"github.com/tidewatch/tidewatch/operators/window"
	"github.com/tidewatch/tidewatch/stream"
)

func countByHost(lateness time.Duration) *window.Config {
	return &window.Config{
		Size: 10 * time.Second, Lateness: lateness, By: []string{"host"},
		Aggregates: []aggregate.Spec{{Name: "n", Function: "count"}},
	}
}

// eventsAt is a batch of events of one host, in seconds, that travelled with the mark.
func eventsAt(mark stream.Time, seconds ...float64) *stream.Batch {
	b := stream.NewBatch(eventSchema)
	host := "web-7"
	for i, s := range seconds {
		appendEvent(b, &event{at: stream.Time(s * float64(second)), mark: mark, offset: int64(i), host: &host})
	}
	return b
}

// partialsOf is an entry of the second stage for one host.
func partialsOf(t *testing.T, cfg *window.Config, version int64, after bool, start, n int64) *entry {
	t.Helper()
	schema, err := window.PartialSchema(cfg, eventSchema)
	if err != nil {
		t.Fatal(err)
	}
	p := stream.NewBatch(schema)
	p.Version, p.AfterClose = stream.Version{Offset: version}, after
	p.Window = stream.Window{Start: stream.Time(start) * second, End: stream.Time(start+10) * second}
	p.Cols[0].AppendString("web-7")
	p.Cols[1].AppendInt(n)
	p.SetLen(1)
	return &entry{partials: p}
}

func entries(t *testing.T, cfg *window.Config, all ...*entry) *stream.Batch {
	t.Helper()
	schema, err := window.PartialSchema(cfg, eventSchema)
	if err != nil {
		t.Fatal(err)
	}
	b := stream.NewBatch(stream.EntrySchema(schema))
	for i, e := range all {
		appendEntry(b, e, int64(i))
	}
	return b
}

// play does the calls and returns what was emitted, Live rows included.
func play(t *testing.T, op operator, calls ...any) (lines []string) {
	t.Helper()
	out := &transcript{t: t}
	for _, c := range calls {
		var err error
		switch c := c.(type) {
		case *stream.Batch:
			err = op.Process(c, out)
		case stream.Advance:
			err = op.Advance(c, out)
		case stream.Version:
			err = op.Publish(c, out)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range out.batches {
		for i := range b.Len() {
			lines = append(lines, head(b)+": "+text(b, i))
		}
	}
	return lines
}

func advance(offset int64, mark, record float64) stream.Advance {
	return stream.Advance{
		Mark: stream.Time(mark * float64(second)), RecordMark: stream.Time(record * float64(second)), At: stream.Version{Offset: offset},
	}
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestTickClosesProvisionallyAndRecordsFinish(t *testing.T) {
	tick := advance(2, 1015, 997)
	tick.Provisional = true
	got := play(t, newTumbling(t, countByHost(5*time.Second)),
		eventsAt(997*second, 1001), tick,
		eventsAt(997*second, 1002), stream.Version{Offset: 3}, // accepted, though the window is closed
		advance(4, 1015, 1010),
		eventsAt(1010*second, 1003), stream.Version{Offset: 5},
		advance(6, 1020, 1015),
	)
	same(t, got,
		"closed 1000-1010 at 2.0 provisional: web-7 1",
		"live 1000-1010 at 3.0 provisional: web-7 2",
		"live 1000-1010 at 5.0: web-7 3",
		"revised 1000-1010 at 6.0: web-7 3",
		"final 1000-1010 at 6.0: web-7 3",
	)
}

// TestOpenedBehindTheMark: rules have judged the window without a row; its rows are revisions.
func TestOpenedBehindTheMark(t *testing.T) {
	got := play(t, newTumbling(t, countByHost(time.Minute)), advance(1, 1020, 1020), eventsAt(1020*second, 1001), advance(3, 1030, 1030),
		advance(4, 1070, 1070))
	same(t, got, "revised 1000-1010 at 4.0: web-7 1", "final 1000-1010 at 4.0: web-7 1")
}

func TestEndsOfTheCalendarAreLate(t *testing.T) {
	out := &transcript{t: t}
	b := eventsAt(stream.NoTime, 1001, 1002, 1003, 1004)
	b.Time[0], b.Time[1], b.Time[2] = stream.MaxTime, math.MinInt64, stream.MaxTime-stream.Time(12*time.Second)
	op := newTumbling(t, countByHost(time.Minute))
	if err := op.Process(b, out); err != nil {
		t.Fatal(err)
	}
	if late := out.counts[stream.BucketLate]; late != 3 {
		t.Errorf("%d events are late, want 3", late)
	}
	if _, groups := op.Size(); groups != 1 {
		t.Errorf("%d groups, want 1", groups)
	}
}

func TestOnlyEventsAreFolded(t *testing.T) {
	b := eventsAt(0, 1001)
	b.Phase = stream.Closed
	if err := newTumbling(t, countByHost(0)).Process(b, &transcript{t: t}); err == nil {
		t.Error("want an error")
	}
}

// TestRepeatsForAWindowThatIsGone: another owner of a source may send what was final long ago.
func TestRepeatsForAWindowThatIsGone(t *testing.T) {
	cfg := countByHost(5 * time.Second)
	op := newMerge(t, cfg)
	got := play(t, op,
		entries(t, cfg, partialsOf(t, cfg, 1, false, 1000, 4)), advance(1, 1015, 1015),
		entries(t, cfg, partialsOf(t, cfg, 1, false, 1000, 4), partialsOf(t, cfg, 2, true, 1000, 5)), stream.Version{Offset: 3},
		advance(4, 1030, 1030),
	)
	same(t, got, "closed 1000-1010 at 0.0: web-7 4", "final 1000-1010 at 1.0: web-7 4")
	if _, groups := op.Size(); groups != 0 {
		t.Errorf("%d groups are kept, want none", groups)
	}
}

// TestPartialBehindTheCut: a window that stage 2 has passed is never closed afterwards.
func TestPartialBehindTheCut(t *testing.T) {
	cfg := countByHost(time.Minute)
	got := play(t, newMerge(t, cfg),
		advance(1, 1020, 1005), entries(t, cfg, partialsOf(t, cfg, 1, true, 1000, 4)), stream.Version{Offset: 2},
		advance(3, 1030, 1030), advance(4, 1070, 1070),
	)
	same(t, got, "live 1000-1010 at 2.0 provisional: web-7 4", "revised 1000-1010 at 4.0: web-7 4", "final 1000-1010 at 4.0: web-7 4")
}

// TestCountedAfterTheCut: what the source counted after its own cut is no part of the closed value. Displays see it again
// with the next publication, under a newer version.
func TestCountedAfterTheCut(t *testing.T) {
	cfg := countByHost(time.Minute)
	got := play(t, newMerge(t, cfg),
		entries(t, cfg, partialsOf(t, cfg, 1, false, 1000, 4), partialsOf(t, cfg, 2, true, 1000, 6), partialsOf(t, cfg, 2, false, 1010, 1)),
		stream.Version{Offset: 3}, advance(4, 1020, 1020), stream.Version{Offset: 4}, advance(5, 1070, 1070))
	same(t, got,
		"live 1000-1010 at 3.0: web-7 6", "live 1010-1020 at 3.0: web-7 1",
		"closed 1000-1010 at 3.0: web-7 4", "closed 1010-1020 at 3.0: web-7 1",
		"live 1000-1010 at 4.0: web-7 6",
		"revised 1000-1010 at 5.0: web-7 6", "final 1000-1010 at 5.0: web-7 6",
	)
}

// TestClosedRevisedAndFinalAtOnce: the values leave under two versions, so that receivers end with the later one.
func TestClosedRevisedAndFinalAtOnce(t *testing.T) {
	cfg := countByHost(5 * time.Second)
	got := play(t, newMerge(t, cfg),
		entries(t, cfg, partialsOf(t, cfg, 1, false, 1000, 4), partialsOf(t, cfg, 2, true, 1000, 6)), advance(3, 1020, 1020))
	same(t, got, "closed 1000-1010 at 2.0: web-7 4", "revised 1000-1010 at 3.0: web-7 6", "final 1000-1010 at 3.0: web-7 6")
}

func TestDamagedEntries(t *testing.T) {
	cfg := countByHost(0)
	for name, change := range map[string]func(*entry){
		"another size":   func(e *entry) { e.partials.Window.End += second },
		"not aligned":    func(e *entry) { e.partials.Window.Start += second; e.partials.Window.End += second },
		"another source": func(e *entry) { e.source = -1 },
	} {
		e := partialsOf(t, cfg, 1, false, 1000, 4)
		change(e)
		if err := newMerge(t, cfg).Process(entries(t, cfg, e), &transcript{t: t}); err == nil {
			t.Errorf("%s: want an error", name)
		}
	}
}

func TestConfigFaults(t *testing.T) {
	good := countByHost(0)
	for want, change := range map[string]func(c *window.Config){
		"the size is 0s":        func(c *window.Config) { c.Size = 0 },
		"must be a multiple":    func(c *window.Config) { c.Every = 3 * time.Second },
		"at most 60":            func(c *window.Config) { c.Size, c.Every = 61*time.Second, time.Second },
		"lateness is -1s":       func(c *window.Config) { c.Lateness = -time.Second },
		"no aggregate":          func(c *window.Config) { c.Aggregates = nil },
		"at most 32":            func(c *window.Config) { c.By = make([]string, 33) },
		`unknown column "hots"`: func(c *window.Config) { c.By = []string{"hots"} },
		"there are host, port, value; ": func(c *window.Config) {
			c.Aggregates = []aggregate.Spec{{Name: "a", Function: "sum", Column: "vaule"}, {Name: "b", Function: "sum", Column: "host"}}
		},
		`two columns are called "host"`: func(c *window.Config) { c.Aggregates = []aggregate.Spec{{Name: "host", Function: "count"}} },
	} {
		cfg := *good
		change(&cfg)
		_, tumbling := window.NewTumbling(&cfg, eventSchema)
		_, fold := window.NewFold(&cfg, eventSchema)
		_, merge := window.NewMerge(&window.MergeConfig{Config: cfg, In: eventSchema})
		_, rollup := window.RollupSchema(&cfg, eventSchema)
		_, partial := window.PartialSchema(&cfg, eventSchema)
		for _, err := range []error{tumbling, fold, merge, rollup, partial} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v does not say %q", err, want)
			}
		}
	}
}

func TestGrids(t *testing.T) {
	for lateness, want := range map[time.Duration]int{0: 1, 20 * time.Second: 1, 25 * time.Second: 2} {
		if got := newMerge(t, countByHost(lateness)).Grids(); len(got) != want {
			t.Errorf("lateness %v: grids %v, want %d", lateness, got, want)
		}
	}
	gs := newTumbling(t, countByHost(25*time.Second)).Grids()
	if got := gs.Next(1011 * second); got != 1015*second {
		t.Errorf("the point after 1011 s is %v, want 1015 s", got)
	}
}
