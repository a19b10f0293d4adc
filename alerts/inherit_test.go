package alerts

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/stream"
)

// TestHeirGoesOn: where the next version of a pipeline has the same rule, alerts change as if one operator had judged all
// windows, with the same ids. What is pending or firing at the cut gets a transition that names the new version.
func TestHeirGoesOn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		windows := rapid.IntRange(2, 30).Draw(rt, "windows")
		cut := rapid.IntRange(0, windows).Draw(rt, "windows before the cut")
		var cells [][]cell
		for range windows {
			var row []cell
			for _, host := range []string{"a", "b", "c"} {
				if rapid.IntRange(0, 4).Draw(rt, "comes") > 0 {
					row = append(row, cell{host, rapid.SampledFrom([]float64{0.5, 0.95}).Draw(rt, "avg")})
				}
			}
			cells = append(cells, row)
		}
		cfg := testConfig()
		whole, all := newOperator(t, cfg), &collector{}
		judge(rt, whole, all, cells, 0, windows)
		old, out := newOperator(t, cfg), &collector{}
		judge(rt, old, out, cells, 0, cut)
		live := 0
		for _, g := range old.groups {
			if g.isLive() {
				live++
			}
		}
		w := stream.NewStateWriter()
		if err := old.Snapshot(w); err != nil {
			rt.Fatal(err)
		}
		r, err := stream.NewStateReader(w.Finish())
		if err != nil {
			rt.Fatal(err)
		}
		cfg.Version = "next"
		heir := newOperator(t, cfg)
		if err := heir.Inherit(r, endOf(cut-1)); err != nil {
			rt.Fatal(err)
		}
		before := len(out.decisions)
		judge(rt, heir, out, cells, cut, windows)
		told, got := 0, []string{}
		for i, one := range out.transitions(t) {
			if i >= before && one.Alert.Version != "next" {
				rt.Fatalf("the heir says version %s", one.Alert.Version)
			}
			if i >= before && one.IsRevision() && one.At.Equal(endOf(cut-1).Go()) {
				told++
				continue
			}
			got = append(got, changeOf(&one))
		}
		want := []string{}
		for _, one := range all.transitions(t) {
			want = append(want, changeOf(&one))
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("with a cut behind %d windows:\n%v\nwithout:\n%v", cut, got, want)
		}
		if cut < windows && told != live {
			rt.Fatalf("%d alerts were live at the cut, %d are told of", live, told)
		}
	})
}

func changeOf(t *Transition) string {
	return fmt.Sprint(t.Alert.ID, " ", t.From, " ", t.To, " ", t.At.Unix(), " ", t.Alert.StartedAt.Unix())
}

func judge(t *rapid.T, o *Operator, out *collector, cells [][]cell, from, to int) {
	for i := from; i < to; i++ {
		if len(cells[i]) > 0 {
			if err := o.Process(windowRows(stream.Closed, endOf(i), cells[i]), out); err != nil {
				t.Fatal(err)
			}
		}
		if err := o.Advance(stream.Advance{Mark: endOf(i), RecordMark: endOf(i)}, out); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHeirDoesNotGuess: between the state and the cut nothing is known, so nothing lapses there.
func TestHeirDoesNotGuess(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.Rule.For = 0
	old, out := newOperator(t, cfg), &collector{}
	pass := func(o *Operator, window int, avg float64) {
		if err := o.Process(windowRows(stream.Closed, endOf(window), []cell{{"a", avg}}), out); err != nil {
			t.Fatal(err)
		}
		if err := o.Advance(stream.Advance{Mark: endOf(window), RecordMark: endOf(window)}, out); err != nil {
			t.Fatal(err)
		}
	}
	pass(old, 0, 0.95)
	w := stream.NewStateWriter()
	if err := old.Snapshot(w); err != nil {
		t.Fatal(err)
	}
	r, err := stream.NewStateReader(w.Finish())
	if err != nil {
		t.Fatal(err)
	}
	heir := newOperator(t, cfg)
	if err := heir.Inherit(r, endOf(20)); err != nil {
		t.Fatal(err)
	}
	for window := 21; window <= 24; window++ { // keep_firing_for is three windows
		pass(heir, window, 0.1)
	}
	var got []string
	for _, one := range out.transitions(t) {
		got = append(got, fmt.Sprint(one.From, " ", one.To, " ", (one.At.UnixNano()-int64(endOf(0)))/int64(size)))
	}
	if want := []string{"inactive firing 0", "firing firing 20", "firing resolved 23"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
