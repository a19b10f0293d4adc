package streamtest

import (
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// The parts of RunStore about the ability stream.Journal.

func journalOf(t testing.TB, s stream.ClaimStore) stream.Journal {
	t.Helper()
	j, ok := s.(stream.Journal)
	if !ok {
		t.Skip("the store has no journal")
	}
	return j
}

// deaths are counted where an owner has ended without a word.
func (r *storeRun) deaths(t testing.TB, s stream.ClaimStore, _ func() []string) {
	t.Helper()
	j := journalOf(t, s)
	want := func(owner string, deaths int) *stream.Checkpoint {
		t.Helper()
		cp := takeOver(t, s, 0, owner)
		if cp.Ended.Deaths != deaths || cp.Ended.Entry != nil || cp.Ended.Lasted != 0 {
			t.Errorf("%s took over behind %+v, want %d deaths", owner, cp.Ended, deaths)
		}
		return cp
	}
	release := func(owner string) {
		t.Helper()
		if err := j.Release(t.Context(), taskNo(0), owner); err != nil {
			t.Fatal(err)
		}
	}
	want("a", 0)
	want("b", 1)
	want("b", 1) // repeated, since the answer was lost
	c := want("c", 2)
	release("b") // overtaken
	want("d", 3)
	claimAll(t, s, []bool{false}, next(c, `{"n":1}`))
	e := want("e", 4)
	claimAll(t, s, []bool{true}, next(e, `{"n":1}`))
	want("f", 1)
	release("f")
	want("f", 0)
	want("g", 1)
	release("g")
	want("h", 0)
	if cp := takeOver(t, s, 1, "h"); cp.Ended.Deaths != 0 {
		t.Errorf("another task: %+v", cp.Ended)
	}
}

// notes belong to the owner.
func (r *storeRun) notes(t testing.TB, s stream.ClaimStore, _ func() []string) {
	t.Helper()
	j := journalOf(t, s)
	note := func(n int32, owner, entry string, want bool) {
		t.Helper()
		var body []byte
		if entry != "" {
			body = []byte(entry)
		}
		if mine, err := j.Note(t.Context(), taskNo(n), owner, body); err != nil || mine != want {
			t.Fatalf("the note %q of %s: %t, %v, want %t", entry, owner, mine, err, want)
		}
	}
	read := func(n int32, owner, want string) {
		t.Helper()
		if cp := takeOver(t, s, n, owner); string(cp.Ended.Entry) != want || want == "" && cp.Ended.Entry != nil {
			t.Fatalf("the entry is %q, want %q", cp.Ended.Entry, want)
		}
	}
	note(0, "a", "no row", false)
	read(0, "a", "")
	read(1, "a", "")
	note(0, "a", "first", true)
	note(0, "a", "second", true)
	note(1, "a", "of another task", true)
	read(0, "b", "second")
	note(0, "a", "late", false)
	note(0, "a", "", false)
	read(0, "c", "second")
	note(0, "c", "", true)
	read(0, "d", "")
	read(1, "d", "of another task")
}

// isolates lets one task of all work.
func (r *storeRun) isolates(t testing.TB, s stream.ClaimStore, _ func() []string) {
	t.Helper()
	j := journalOf(t, s)
	want := func(n int32, owner string, alone, mine bool) {
		t.Helper()
		if a, m, err := j.Isolate(t.Context(), taskNo(n), owner); err != nil || a != alone || m != mine {
			t.Fatalf("task %d of %s: alone %t, mine %t, %v; want %t, %t", n, owner, a, m, err, alone, mine)
		}
	}
	release := func(n int32, owner string) {
		t.Helper()
		if err := j.Release(t.Context(), taskNo(n), owner); err != nil {
			t.Fatal(err)
		}
	}
	told := func(owner string, isolation bool) {
		t.Helper()
		if cp := takeOver(t, s, 2, owner); cp.Ended.Isolation != isolation {
			t.Fatalf("%s was told of an isolation: %t", owner, cp.Ended.Isolation)
		}
	}
	want(0, "a", false, false)
	takeOver(t, s, 0, "a")
	takeOver(t, s, 1, "b")
	told("x", false)
	want(0, "a", true, true)
	told("y", true)
	want(0, "a", true, true)
	want(1, "b", false, true)
	want(1, "a", false, false)
	release(1, "b")
	release(0, "b")
	want(1, "b", false, true)
	release(0, "a")
	want(1, "b", true, true)
	want(0, "a", false, true)
	takeOver(t, s, 1, "c") // its isolation was that of the owner before
	want(1, "b", false, false)
	want(0, "a", true, true)
	want(1, "c", false, true)
	takeOver(t, s, 0, "d")
	told("x", true) // it died, or does not know yet
	want(0, "d", true, true)
	release(0, "d")
	told("y", false)
}
