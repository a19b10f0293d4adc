package streamtest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// RunStore checks a claim store against its contract. open returns a store without rows; decision makes one that the store
// accepts, and inserted tells which ids it holds by now.
func RunStore(t *testing.T, open OpenStore, decision func(n int) stream.Decision) {
	t.Helper()
	runParts(t, storeParts(open, decision))
}

// OpenStore returns a claim store without rows, and what tells which decisions it holds by now, in the order of their ids.
type OpenStore func(t testing.TB) (s stream.ClaimStore, inserted func() []string)

func storeParts(open OpenStore, decision func(n int) stream.Decision) (parts []part) {
	r := &storeRun{decision: decision}
	for _, p := range []struct {
		name string
		run  func(t testing.TB, s stream.ClaimStore, inserted func() []string)
	}{
		{"a new task has an empty row", r.empty},
		{"a take-over fences the owner before", r.fences},
		{"an epoch is claimed once", r.once},
		{"an unanswered claim may be repeated", r.repeats},
		{"a claim of several tasks wins those that are due", r.several},
		{"rows can be looked at", r.looks},
		{"racing owners leave one content an epoch", r.races},
		{"peers know each other", r.peers},
		{"an instance follows another", r.succeeds},
		{"deaths of owners are counted", r.deaths},
		{"an entry of the journal is its owner's", r.notes},
		{"one task is isolated at a time", r.isolates},
		{"only winners insert decisions, each id once", r.decides},
	} {
		parts = append(parts, part{p.name, func(t testing.TB) {
			s, inserted := open(t)
			p.run(t, s, inserted)
		}})
	}
	return parts
}

type storeRun struct{ decision func(n int) stream.Decision }

func taskNo(n int32) stream.TaskID {
	return stream.TaskID{Instance: "p@1", Stage: "main", Partition: stream.Partition{Topic: "t", Number: n, Incarnation: "i"}}
}

func takeOver(t testing.TB, s stream.ClaimStore, n int32, owner string) *stream.Checkpoint {
	t.Helper()
	cp, err := s.TakeOver(t.Context(), taskNo(n), owner)
	if err != nil {
		t.Fatal(err)
	}
	if cp.Owner != owner || cp.Task != taskNo(n) {
		t.Fatalf("took over %v as %q, got %v of %q", taskNo(n), owner, cp.Task, cp.Owner)
	}
	return cp
}

// next is the claim after cp.
func next(cp *stream.Checkpoint, record string, d ...stream.Decision) *stream.Checkpoint {
	n := *cp
	n.Epoch, n.Record, n.Decisions = cp.Epoch+1, []byte(record), d
	return &n
}

func claimAll(t testing.TB, s stream.ClaimStore, want []bool, cps ...*stream.Checkpoint) {
	t.Helper()
	won, err := s.Claim(t.Context(), cps)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(won) != fmt.Sprint(want) {
		t.Fatalf("won %v, want %v", won, want)
	}
}

func (r *storeRun) empty(t testing.TB, s stream.ClaimStore, _ func() []string) {
	t.Helper()
	if cp := takeOver(t, s, 0, "a"); cp.Epoch != 0 || len(cp.Record) != 0 {
		t.Errorf("new row: epoch %d, record %q", cp.Epoch, cp.Record)
	}
}

// succeeds is for stores with that ability.
func (r *storeRun) succeeds(t testing.TB, s stream.ClaimStore, inserted func() []string) {
	t.Helper()
	store, ok := s.(stream.Successions)
	if !ok {
		t.Skip("the store has no successions")
	}
	first := next(takeOver(t, s, 0, "a"), "zero")
	second := takeOver(t, s, 1, "b")
	claimAll(t, s, []bool{true}, first)
	fresh := func(n int32) *stream.Checkpoint {
		id := taskNo(n)
		id.Instance = "p@2"
		return &stream.Checkpoint{Task: id, Epoch: 1, Owner: "cut", Record: fmt.Appendf(nil, "fresh %d", n)}
	}
	turn := func(begun ...*stream.Checkpoint) func(rows []*stream.Checkpoint) (claims, _ []*stream.Checkpoint, err error) {
		return func(rows []*stream.Checkpoint) (claims, _ []*stream.Checkpoint, err error) {
			if len(rows) != 2 || rows[0].Task != taskNo(0) || rows[0].Epoch != 1 || string(rows[0].Record) != "zero" || rows[1].Epoch != 0 {
				t.Errorf("the rows of the instance are %+v", rows)
			}
			for _, row := range rows {
				c := next(row, "cut")
				c.Owner = "cut"
				claims = append(claims, c)
			}
			return claims, begun, nil
		}
	}
	refused := errors.New("not now")
	err := store.Succeed(t.Context(), "p@1", func([]*stream.Checkpoint) (claims, fresh []*stream.Checkpoint, err error) { return nil, nil, refused })
	if !errors.Is(err, refused) {
		t.Errorf("a refused turn: %v", err)
	}
	if err := store.Succeed(t.Context(), "p@1", turn(fresh(0), fresh(1))); err != nil {
		t.Fatal(err)
	}
	claimAll(t, s, []bool{false, false}, next(first, "one", r.decision(1)), next(second, "one"))
	if ids := inserted(); len(ids) > 0 {
		t.Errorf("the owner before has decided %v", ids)
	}
	for n, want := range []int64{2, 1} {
		if cp := takeOver(t, s, int32(n), "c"); cp.Epoch != want || string(cp.Record) != "cut" {
			t.Errorf("task %d: epoch %d, record %q", n, cp.Epoch, cp.Record)
		}
	}
	cp, err := s.TakeOver(t.Context(), fresh(1).Task, "c")
	if err != nil || cp.Epoch != 1 || string(cp.Record) != "fresh 1" {
		t.Errorf("a fresh row: %+v, %v", cp, err)
	}
	claimAll(t, s, []bool{true}, next(cp, "on its way"))
	err = store.Succeed(t.Context(), "p@1", func(rows []*stream.Checkpoint) (claims, _ []*stream.Checkpoint, err error) {
		return []*stream.Checkpoint{next(rows[0], "again")}, []*stream.Checkpoint{fresh(2), fresh(1)}, nil
	})
	if err == nil {
		t.Error("a task that has a row got another one")
	}
	if cp := takeOver(t, s, 0, "d"); string(cp.Record) != "cut" {
		t.Errorf("a succession that failed has written %q", cp.Record)
	}
}

// peers is for stores with that ability.
func (r *storeRun) peers(t testing.TB, s stream.ClaimStore, _ func() []string) {
	t.Helper()
	p, ok := s.(stream.Peers)
	if !ok {
		t.Skip("the store has no peers")
	}
	other := taskNo(1)
	other.Stage = "other"
	if _, err := s.TakeOver(t.Context(), other, "a"); err != nil {
		t.Fatal(err)
	}
	claimAll(t, s, []bool{true, true}, next(takeOver(t, s, 0, "a"), "zero"), next(takeOver(t, s, 1, "b"), "one"))
	takeOver(t, s, 2, "b")
	records, err := p.PeerRecords(t.Context(), taskNo(1))
	if err != nil || len(records) != 2 || string(records[0]) != "zero" || string(records[1]) != "one" {
		t.Errorf("records of peers: %q, %v", records, err)
	}
	for _, body := range []string{"old", "new"} {
		if err := p.SaveKeys(t.Context(), taskNo(1), []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.SaveKeys(t.Context(), other, []byte("of another stage")); err != nil {
		t.Fatal(err)
	}
	keys, err := p.PeerKeys(t.Context(), taskNo(0))
	if err != nil || len(keys) != 1 || string(keys[1]) != "new" {
		t.Errorf("keys of peers: %q, %v", keys, err)
	}
}

func (r *storeRun) fences(t testing.TB, s stream.ClaimStore, _ func() []string) {
	t.Helper()
	a := takeOver(t, s, 0, "a")
	claimAll(t, s, []bool{true}, next(a, `{"n":1}`))
	b := takeOver(t, s, 0, "b")
	if b.Epoch != 1 || string(b.Record) != `{"n":1}` {
		t.Errorf("took over epoch %d, record %q", b.Epoch, b.Record)
	}
	claimAll(t, s, []bool{false}, next(next(a, `{"n":1}`), `{"n":2}`))
	claimAll(t, s, []bool{true}, next(b, `{"n":"b"}`))
	if c := takeOver(t, s, 0, "c"); string(c.Record) != `{"n":"b"}` {
		t.Errorf("record %q", c.Record)
	}
}

func (r *storeRun) once(t testing.TB, s stream.ClaimStore, _ func() []string) {
	t.Helper()
	a := takeOver(t, s, 0, "a")
	claimAll(t, s, []bool{true}, next(a, `{"n":1}`))
	claimAll(t, s, []bool{false}, next(a, `{"n":"other"}`))
	two := next(next(a, `{"n":1}`), `{"n":2}`)
	skipped := next(two, `{"n":3}`)
	claimAll(t, s, []bool{false}, skipped)
	claimAll(t, s, []bool{true}, two)
}

func (r *storeRun) repeats(t testing.TB, s stream.ClaimStore, _ func() []string) {
	t.Helper()
	a := takeOver(t, s, 0, "a")
	one := next(a, `{"n":1}`)
	claimAll(t, s, []bool{true}, one)
	claimAll(t, s, []bool{true}, one)
	takeOver(t, s, 0, "b") // the row still holds the bytes: the claim was won, whoever owns the row now
	claimAll(t, s, []bool{true}, one)
}

func (r *storeRun) several(t testing.TB, s stream.ClaimStore, _ func() []string) {
	t.Helper()
	a, b, c := takeOver(t, s, 0, "a"), takeOver(t, s, 1, "a"), takeOver(t, s, 2, "a")
	takeOver(t, s, 1, "other")
	claimAll(t, s, []bool{true, false, true}, next(a, `{"a":1}`), next(b, `{"b":1}`), next(c, `{"c":1}`))
}

func (r *storeRun) looks(t testing.TB, s stream.ClaimStore, _ func() []string) {
	t.Helper()
	a := takeOver(t, s, 0, "a")
	claimAll(t, s, []bool{true}, next(a, `{"n":1}`))
	rows, err := s.Current(t.Context(), []stream.TaskID{taskNo(5), taskNo(0)})
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 2 || rows[0] != (stream.Row{}) || rows[1].Epoch != 1 || rows[1].Owner != "a" || rows[1].Timeline != a.Timeline {
		t.Errorf("rows %+v", rows)
	}
}

// races lets owners take over and claim at once; afterwards every epoch that two of them believe to have won has the
// same bytes. In every other round all claims come after all take-overs, so that most owners are fenced when they claim.
func (r *storeRun) races(t testing.TB, s stream.ClaimStore, _ func() []string) {
	t.Helper()
	const owners, rounds = 6, 8
	var mu sync.Mutex
	won := map[int64][]byte{}
	for round := range rounds {
		var there, done sync.WaitGroup
		there.Add(owners)
		for w := range owners {
			done.Go(func() {
				owner := fmt.Sprintf("%d-%d", w, round)
				cp, err := s.TakeOver(t.Context(), taskNo(0), owner)
				there.Done()
				if err != nil {
					t.Error(err)
					return
				}
				if round%2 == 0 {
					there.Wait()
				}
				claim := next(cp, fmt.Sprintf(`{"owner":%q}`, owner))
				got, err := s.Claim(t.Context(), []*stream.Checkpoint{claim})
				if err != nil {
					t.Error(err)
					return
				}
				if !got[0] {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if old, ok := won[claim.Epoch]; ok && !bytes.Equal(old, claim.Record) {
					t.Errorf("epoch %d was won with %s and with %s", claim.Epoch, old, claim.Record)
				}
				won[claim.Epoch] = claim.Record
			})
		}
		done.Wait()
	}
}

func (r *storeRun) decides(t testing.TB, s stream.ClaimStore, inserted func() []string) {
	t.Helper()
	a := takeOver(t, s, 0, "a")
	one, two, three := r.decision(1), r.decision(2), r.decision(3)
	claimAll(t, s, []bool{true}, next(a, `{"n":1}`, one))
	b := takeOver(t, s, 0, "b")
	claimAll(t, s, []bool{false}, next(next(a, `{"n":1}`), `{"n":2}`, two))
	claimAll(t, s, []bool{true}, next(b, `{"n":"b"}`, one, three))
	got := fmt.Sprint(inserted())
	if want := fmt.Sprint([]string{one.ID, three.ID}); got != want {
		t.Errorf("inserted %s, want %s", got, want)
	}
}
