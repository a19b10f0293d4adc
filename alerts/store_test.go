package alerts

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func at(seconds int) time.Time { return time.Unix(int64(seconds), 0).UTC() }

// transitionAt makes a valid transition of an alert of the host.
func transitionAt(host string, started, seconds, revision int, from, to State) Transition {
	fingerprint := Fingerprint("rule", map[string]string{"host": host})
	t := Transition{
		Fingerprint: fingerprint, From: from, To: to, At: at(seconds), Revision: revision, Evidence: []Evidence{},
		Alert: Alert{
			ID: EpisodeID(fingerprint, endOf(started)), Name: "rule", Severity: Critical, State: to, Pipeline: "p",
			Labels: map[string]string{"host": host}, StartedAt: endOf(started).Go(), UpdatedAt: at(seconds), Evidence: []Evidence{},
		},
	}
	t.ID = transitionID(&t)
	return t
}

func decide(t *testing.T, m *Memory, ts ...Transition) {
	t.Helper()
	for i := range ts {
		d, err := ts[i].Decision()
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Decide(d); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCurrentRowIsTheNewestTransition(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ordered := []Transition{
			transitionAt("a", 0, 10, 0, Inactive, Pending), transitionAt("a", 0, 10, 1, Pending, Pending),
			transitionAt("a", 0, 70, 1, Pending, Firing), transitionAt("a", 0, 70, 2, Firing, Firing),
			transitionAt("a", 0, 100, 2, Firing, Resolved),
		}
		order := rapid.SliceOfN(rapid.IntRange(0, len(ordered)-1), 1, 12).Draw(t, "order")
		m := NewMemory()
		for _, i := range order {
			d, err := ordered[i].Decision()
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Decide(d); err != nil {
				t.Fatal(err)
			}
		}
		got, err := m.Get(nil, ordered[0].Alert.ID) //nolint:staticcheck // Memory does not look at it
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(order)
		order = slices.Compact(order)
		if want := ordered[order[len(order)-1]].Alert; !reflect.DeepEqual(got.Alert, want) {
			t.Fatalf("%+v, want %+v", got.Alert, want)
		}
		var want []Transition
		notices := 0
		for _, i := range order {
			want = append(want, ordered[i])
			if ordered[i].Notifies() {
				notices++
			}
		}
		if !reflect.DeepEqual(got.History, want) || len(m.Outbox()) != notices {
			t.Fatalf("history %+v, want %+v; outbox %d, want %d", got.History, want, len(m.Outbox()), notices)
		}
	})
}

func TestPagesCoverTheList(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	for i := range 25 { // several start at the same time
		decide(t, m, transitionAt(fmt.Sprint("host-", i), i/3, 10+i, 0, Inactive, Firing))
	}
	var pages, starts []string
	f := Filter{Limit: 4}
	for {
		page, err := m.List(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range page.Items {
			pages, starts = append(pages, a.ID), append(starts, a.StartedAt.Format(time.RFC3339))
		}
		if f.Cursor = page.NextCursor; f.Cursor == "" {
			break
		}
	}
	if !slices.IsSortedFunc(starts, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("not newest first: %v", starts)
	}
	slices.Sort(pages)
	if pages = slices.Compact(pages); len(pages) != 25 {
		t.Errorf("%d alerts on all pages, want 25", len(pages))
	}
}

func TestFilterChooses(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	decide(t, m, transitionAt("a", 0, 10, 0, Inactive, Pending), transitionAt("b", 1, 20, 0, Inactive, Firing),
		transitionAt("c", 2, 30, 0, Inactive, Firing), transitionAt("c", 2, 40, 0, Firing, Resolved))
	for want, f := range map[string]Filter{
		"b a":   {},
		"c b a": {States: States()},
		"c":     {States: []State{Resolved}},
		"b":     {Labels: map[string]string{"host": "b"}},
		"a":     {To: endOf(1).Go()},
		"b ":    {From: endOf(1).Go(), Severity: []Severity{Critical}, Name: "rule", Pipeline: "p"},
		"":      {Name: "other"},
		" ":     {Severity: []Severity{Info}},
		"  ":    {Pipeline: "q"},
		"   ":   {Labels: map[string]string{"zone": ""}},
	} {
		page, err := m.List(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range page.Items {
			got = append(got, a.Labels["host"])
		}
		if strings.Join(got, " ") != strings.TrimSpace(want) {
			t.Errorf("%+v: %v, want %s", f, got, want)
		}
	}
	for _, f := range []Filter{{States: []State{"x"}}, {Severity: []Severity{"x"}}, {Limit: MaxLimit + 1}, {Limit: -1}, {Cursor: "x"}} {
		if _, err := m.List(t.Context(), f); err == nil {
			t.Errorf("%+v: accepted", f)
		}
	}
	if _, err := m.Get(t.Context(), "x"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a missing alert: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	t := transitionAt("a", 0, 10, 0, Inactive, Pending)
	d, err := t.Decision()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(d.Body)
	f.Add([]byte("{}"))
	f.Add([]byte(`{"from":"pending","to":"firing","at":"2026-01-01T00:00:00Z","alert":{"state":"firing"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		tr, err := Decode(body)
		if err != nil {
			return
		}
		d, err := tr.Decision()
		if err != nil {
			t.Fatalf("decoded, but does not encode: %v", err)
		}
		again, err := Decode(d.Body)
		if err != nil || again.ID != tr.ID || !again.At.Equal(tr.At) {
			t.Fatalf("decoded again: %+v, %v", again, err)
		}
	})
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(tr *Transition){
		`unknown state "x" in from`:    func(tr *Transition) { tr.From = "x" },
		`unknown state "x" in to`:      func(tr *Transition) { tr.To = "x" },
		"after a transition to":        func(tr *Transition) { tr.Alert.State = Firing },
		"at is missing":                func(tr *Transition) { tr.At = time.Time{} },
		"is not 24 hex digits":         func(tr *Transition) { tr.Alert.ID = "x" },
		"does not follow from the con": func(tr *Transition) { tr.Revision++ },
	} {
		tr := transitionAt("a", 0, 10, 0, Inactive, Pending)
		change(&tr)
		d, err := tr.Decision()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(d.Body); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := Decode([]byte(`{"newer":1}`)); err == nil || !strings.Contains(err.Error(), "unknown field") {
		t.Errorf("an unknown field: %v", err)
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for name, f := range map[string]string{
		"a":             Fingerprint("rule", map[string]string{"host": "a", "tenant": "b"}),
		"another rule":  Fingerprint("rules", map[string]string{"host": "a", "tenant": "b"}),
		"shifted":       Fingerprint("rule", map[string]string{"host": "ab", "tenant": ""}),
		"empty":         Fingerprint("rule", map[string]string{"host": "a", "tenant": ""}),
		"null":          Fingerprint("rule", map[string]string{"host": "a"}),
		"exchanged":     Fingerprint("rule", map[string]string{"host": "b", "tenant": "a"}),
		"without group": Fingerprint("rule", nil),
	} {
		if other, ok := seen[f]; ok {
			t.Errorf("%s and %s are the same", name, other)
		}
		seen[f] = name
		if !ValidID(f) || !ValidID(EpisodeID(f, endOf(0))) || EpisodeID(f, endOf(0)) == EpisodeID(f, endOf(1)) {
			t.Errorf("%s: ids of episodes", name)
		}
	}
	// This value is in databases and in people's bookmarks: it never changes.
	if f := Fingerprint("HostCPUHigh", map[string]string{"host": "web-7"}); f != "92abb85905ed2397a6c2fdba" {
		t.Errorf("fingerprints have changed: %s", f)
	}
}
