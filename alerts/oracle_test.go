package alerts

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/stream"
)

// event is a call of the operator in a drawn history.
type event struct {
	phase   stream.Phase // Closed, Revised or Final
	window  int
	cells   []cell
	advance *stream.Advance // if this is an Advance
}

// history is a run of a rollup with three groups, in the order in which a window operator shows it: at every crossing
// first revisions, then closed windows in time order, revisions of those, final values, and then Advance.
type history struct {
	events []event
	last   int // windows have been judged up to this one
}

var hosts = []string{"a", "b", ""}

func drawCells(t *rapid.T, all bool) []cell {
	var cells []cell
	for _, h := range hosts {
		if all || rapid.IntRange(0, 4).Draw(t, "row") > 0 {
			cells = append(cells, cell{h, rapid.SampledFrom([]float64{0.2, 0.95, 0.95, 0.99}).Draw(t, "avg")})
		}
	}
	return cells
}

func drawHistory(t *rapid.T) history {
	h := history{last: -1}
	rows := map[int][]cell{}
	final := -1
	for range rapid.IntRange(1, 12).Draw(t, "crossings") {
		first := h.last + 1
		h.last += rapid.SampledFrom([]int{1, 1, 1, 1, 2, 5}).Draw(t, "windows")
		for w := first; w <= h.last; w++ {
			if rapid.IntRange(0, 5).Draw(t, "empty") == 0 {
				continue
			}
			if rows[w] = drawCells(t, false); len(rows[w]) > 0 {
				h.events = append(h.events, event{phase: stream.Closed, window: w, cells: rows[w]})
			}
		}
		if rapid.IntRange(0, 2).Draw(t, "final") == 0 && final < h.last {
			first, until := final+1, rapid.IntRange(final+1, h.last).Draw(t, "until")
			for final = first; final <= until; final++ {
				if rapid.IntRange(0, 2).Draw(t, "revised") == 0 {
					rows[final] = reviseCells(t, rows[final])
					h.events = append(h.events, event{phase: stream.Revised, window: final, cells: rows[final]})
				}
				h.events = append(h.events, event{phase: stream.Final, window: final, cells: []cell{{"a", 0.2}}})
			}
			final = until
		}
		mark := endOf(h.last).Add(rapid.SampledFrom([]time.Duration{0, 3, size - 1}).Draw(t, "past"))
		to := stream.Advance{Mark: mark, RecordMark: mark}
		if to.Provisional = rapid.IntRange(0, 4).Draw(t, "tick") == 0; to.Provisional {
			to.RecordMark = endOf(h.last).Add(-1)
		}
		h.events = append(h.events, event{advance: &to})
	}
	return h
}

// reviseCells changes some rows and adds some; complete slots come, so the others are there as they were.
func reviseCells(t *rapid.T, cells []cell) []cell {
	revised := slices.Clone(cells)
	for _, c := range drawCells(t, false) {
		if i := slices.IndexFunc(revised, func(r cell) bool { return r.host == c.host }); i >= 0 {
			if rapid.Bool().Draw(t, "change") {
				revised[i].avg = c.avg
			}
			continue
		}
		revised = append(revised, c)
	}
	return revised
}

// play runs the operator over the history.
func play(t *rapid.T, o *Operator, h history) *collector {
	out := &collector{}
	for _, e := range h.events {
		var err error
		if e.advance != nil {
			err = o.Advance(*e.advance, out)
		} else {
			err = o.Process(windowRows(e.phase, endOf(e.window), e.cells), out)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// expected is what the oracle says about a transition.
type expected struct {
	host     string
	from, to State
	at       stream.Time
	revision int
	window   stream.Time // end
	holds    bool
}

// oracle judges the history by definition: it knows the rows of all windows when they were closed, looks up the state of
// each group at each window, and only then adds revisions.
type oracle struct {
	timing  Timing
	closed  map[int]map[string]float64
	latest  map[int]map[string]float64
	holds   map[string][]bool
	judged  int
	closing stream.Time // end of the last closed window
	revised []event
	started map[string][]span
	want    []expected
}

// span is an episode: windows from first to last.
type span struct {
	first, last int
	at          int // window of the last change of state
	state       State
	revision    int
}

func (o *oracle) judge(host string, w int) {
	avg, ok := o.closed[w][host]
	o.holds[host] = append(o.holds[host], ok && avg > 0.9)
	before := Inactive
	if w > 0 {
		before = stateByDefinition(o.holds[host], w-1, o.timing)
	}
	after := stateByDefinition(o.holds[host], w, o.timing)
	if before == after {
		return
	}
	to := after
	if before == Firing {
		to = Resolved
	}
	spans := o.started[host]
	if before == Inactive {
		spans = append(spans, span{first: w, last: 1 << 30})
	}
	s := &spans[len(spans)-1]
	if s.state, s.at = to, w; after == Inactive {
		s.last = w
	}
	o.started[host] = spans
	o.want = append(o.want, expected{host, before, to, endOf(w), s.revision, endOf(w), o.holds[host][w]})
}

func (o *oracle) revise(w int, cells []cell) {
	for _, c := range cells {
		before, had := o.latest[w][c.host]
		if had && before == c.avg {
			continue
		}
		setCell(o.latest, w, c)
		for i := range o.started[c.host] {
			s := &o.started[c.host][i]
			if w < s.first || w > s.last {
				continue
			}
			s.revision++
			o.want = append(o.want, expected{c.host, s.state, s.state, endOf(s.at), s.revision, endOf(w), c.avg > 0.9})
			break
		}
	}
}

// reviseAll takes the revisions since the last call, behind the windows that were closed before them.
func (o *oracle) reviseAll() {
	if len(o.revised) == 0 {
		return
	}
	o.judgeTo(o.closing)
	slices.SortStableFunc(o.revised, func(a, b event) int { return a.window - b.window })
	for _, e := range o.revised {
		o.revise(e.window, e.cells)
	}
	o.revised = nil
}

func (o *oracle) judgeTo(mark stream.Time) {
	for endOf(o.judged+1) <= mark {
		o.judged++
		for _, host := range hosts {
			o.judge(host, o.judged)
		}
	}
}

func setCell(m map[int]map[string]float64, w int, c cell) {
	if m[w] == nil {
		m[w] = map[string]float64{}
	}
	m[w][c.host] = c.avg
}

func (h history) expect(timing Timing) []expected {
	o := &oracle{
		timing: timing, closed: map[int]map[string]float64{}, latest: map[int]map[string]float64{},
		holds: map[string][]bool{}, started: map[string][]span{}, judged: -1, closing: stream.NoTime,
	}
	var all []expected
	for _, e := range h.events {
		switch {
		case e.advance != nil:
			o.reviseAll()
			o.judgeTo(e.advance.Mark)
			slices.SortStableFunc(o.want, byTimeAndKey)
			all, o.want = append(all, o.want...), nil
		case e.phase == stream.Closed:
			o.reviseAll()
			for _, c := range e.cells {
				setCell(o.closed, e.window, c)
				setCell(o.latest, e.window, c)
			}
			o.closing = endOf(e.window)
		case e.phase == stream.Revised:
			o.revised = append(o.revised, e)
		}
	}
	return all
}

// byTimeAndKey: the null host has the lowest key.
func byTimeAndKey(a, b expected) int {
	return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.host, b.host))
}

func TestOperatorEqualsTheOracle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cfg, h := testConfig(), drawHistory(t)
		timing := drawTiming(t)
		cfg.Rule.For, cfg.Rule.KeepFiringFor = timing.For, timing.KeepFiringFor
		o, err := NewOperator(cfg, rollup())
		if err != nil {
			t.Fatal(err)
		}
		out := play(t, o, h)
		var got []expected
		for _, d := range out.decisions {
			tr, err := Decode(d.Body)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, expected{
				tr.Alert.Labels["host"], tr.From, tr.To, stream.TimeOf(tr.At), tr.Revision, stream.TimeOf(tr.Window.End), tr.Holds,
			})
			if tr.Alert.Revised != (tr.Revision > 0) {
				t.Fatalf("%s: revised %t after %d revisions", tr.ID, tr.Alert.Revised, tr.Revision)
			}
		}
		if want := h.expect(timing); !reflect.DeepEqual(got, want) {
			t.Fatalf("history %s\ngot  %+v\nwant %+v", h, got, want)
		}
	})
}

// String shows the history in a failure.
func (h history) String() string {
	s := ""
	for _, e := range h.events {
		if e.advance != nil {
			s += fmt.Sprintf("advance %s by records %s\n", e.advance.Mark, e.advance.RecordMark)
			continue
		}
		s += fmt.Sprintf("%s %s %v\n", e.phase, endOf(e.window), e.cells)
	}
	return s
}
