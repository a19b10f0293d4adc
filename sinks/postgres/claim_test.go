package postgres

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/stream"
)

func task(name string, number int) stream.TaskID {
	return stream.TaskID{
		Instance: name + "@1f3a", Stage: "main",
		Partition: stream.Partition{Topic: "metrics", Number: int32(number), Incarnation: "AbC-1"},
	}
}

func takeOver(t testing.TB, s *ClaimStore, id stream.TaskID, owner string) *stream.Checkpoint {
	t.Helper()
	cp, err := s.TakeOver(context.Background(), id, owner)
	if err != nil {
		t.Fatal(err)
	}
	return cp
}

func claim(t testing.TB, s *ClaimStore, claims ...*stream.Checkpoint) []bool {
	t.Helper()
	won, err := s.Claim(context.Background(), claims)
	if err != nil {
		t.Fatal(err)
	}
	return won
}

// next is the claim that follows on cp.
func next(cp *stream.Checkpoint, record string, decisions ...stream.Decision) *stream.Checkpoint {
	return &stream.Checkpoint{
		Task: cp.Task, Epoch: cp.Epoch + 1, Owner: cp.Owner, Timeline: cp.Timeline,
		Record: []byte(record), Decisions: decisions,
	}
}

func TestFirstTakeOver(t *testing.T) {
	s := open(t, database(t)).Claims()
	id := task("first", 3)
	cp := takeOver(t, s, id, "me")
	if cp.Epoch != 0 || cp.Owner != "me" || cp.Task != id || len(cp.Record) != 0 || cp.Timeline&0xffffffff == 0 {
		t.Fatalf("first row: %+v", cp)
	}
	rows, err := s.Current(context.Background(), []stream.TaskID{task("other", 0), id, id})
	if err != nil {
		t.Fatal(err)
	}
	row := stream.Row{Epoch: 0, Owner: "me", Timeline: cp.Timeline}
	if diff := cmp.Diff([]stream.Row{{}, row, row}, rows); diff != "" {
		t.Fatal(diff)
	}
}

func TestClaimsWinOneByOne(t *testing.T) {
	s := open(t, database(t)).Claims()
	cp := takeOver(t, s, task("claims", 0), "a")
	first := next(cp, "\x00\xff one")
	if !claim(t, s, first)[0] {
		t.Fatal("a claim on a fresh row is lost")
	}
	if claim(t, s, next(cp, "other"))[0] {
		t.Fatal("another content of the same epoch is won")
	}
	if !claim(t, s, first)[0] {
		t.Fatal("a repeated claim is lost")
	}
	if !claim(t, s, next(first, "two"))[0] || claim(t, s, first)[0] {
		t.Fatal("the second epoch does not replace the first")
	}
	again := takeOver(t, s, cp.Task, "b")
	if again.Epoch != 2 || string(again.Record) != "two" {
		t.Fatalf("row: %+v", again)
	}
	if claim(t, s, withOwner(next(again, "three"), "a"))[0] {
		t.Fatal("the former owner has won")
	}
}

func TestClaimOnAnotherTimelineIsLost(t *testing.T) {
	db := open(t, database(t))
	s := db.Claims()
	cp := takeOver(t, s, task("timeline", 0), "a")
	failOver(t, db)
	if claim(t, s, next(cp, "one"))[0] {
		t.Fatal("the claim is won on a timeline on which nobody took over")
	}
	later := takeOver(t, s, cp.Task, "a")
	if later.Timeline == cp.Timeline || !claim(t, s, next(later, "one"))[0] || !claim(t, s, next(cp, "one"))[0] {
		t.Fatal("the owner cannot go on after the fail-over, or equal bytes are no longer equal")
	}
}

// failOver lets the server look like one on the next timeline.
func failOver(t testing.TB, db *DB) {
	t.Helper()
	ctx := context.Background()
	var now int64
	if err := db.Pool().QueryRow(ctx, `SELECT tidewatch_timeline()`).Scan(&now); err != nil {
		t.Fatal(err)
	}
	sql := fmt.Sprintf(`CREATE OR REPLACE FUNCTION tidewatch_timeline() RETURNS bigint LANGUAGE sql STABLE RETURN %d::bigint`, now+1)
	if _, err := db.Pool().Exec(ctx, sql); err != nil {
		t.Fatal(err)
	}
}

func TestManyClaimsAtOnce(t *testing.T) {
	s := open(t, database(t)).Claims()
	var claims []*stream.Checkpoint
	want := make([]bool, 0, 100)
	for i := range 100 {
		cp := takeOver(t, s, task("many", i), "a")
		n := next(cp, fmt.Sprintf("record %d", i))
		if i%3 == 0 {
			n.Owner = "somebody else"
		}
		claims, want = append(claims, n), append(want, i%3 != 0)
	}
	// The same task twice in one call: of an owner that was overtaken, and a repeat.
	claims = append(claims, claims[1], withOwner(next(claims[1], "x"), "b"))
	want = append(want, true, false)
	if won := claim(t, s, claims...); !slices.Equal(won, want) {
		t.Fatal(won)
	}
}

func TestNoClaims(t *testing.T) {
	s := open(t, database(t)).Claims()
	if won := claim(t, s); len(won) != 0 {
		t.Fatal(won)
	}
	rows, err := s.Current(context.Background(), nil)
	if err != nil || len(rows) != 0 {
		t.Fatal(rows, err)
	}
}

func TestDecisionsOfLosersAreDropped(t *testing.T) {
	db := open(t, database(t))
	s := db.Claims()
	winner, loser := takeOver(t, s, task("w", 0), "a"), takeOver(t, s, task("l", 0), "a")
	fires := change{rule: "R", host: "w", from: alerts.Inactive, to: alerts.Firing}
	lost := change{rule: "R", host: "l", from: alerts.Inactive, to: alerts.Firing}
	won := claim(t, s, withOwner(next(loser, "x", lost.decision(t)), "b"), next(winner, "x", fires.decision(t)))
	if !slices.Equal(won, []bool{false, true}) {
		t.Fatal(won)
	}
	page, err := db.Alerts().List(context.Background(), alerts.Filter{})
	if err != nil || len(page.Items) != 1 || page.Items[0].ID != fires.alertID() {
		t.Fatal(page, err)
	}
	pending, err := db.Outbox().Pending(context.Background(), 10)
	if err != nil || len(pending) != 1 || pending[0].Transition.ID != fires.transition().ID {
		t.Fatal(pending, err)
	}
}

func TestDecisionThatIsNoTransitionIsFatal(t *testing.T) {
	s := open(t, database(t)).Claims()
	cp := takeOver(t, s, task("bad", 0), "a")
	good := change{rule: "R", host: "h", from: alerts.Inactive, to: alerts.Firing}.decision(t)
	for _, d := range []stream.Decision{{ID: "x", Body: []byte(`{"id":"x"}`)}, {ID: "other", Body: good.Body}, {ID: good.ID}} {
		_, err := s.Claim(context.Background(), []*stream.Checkpoint{next(cp, "x", d)})
		if err == nil || stream.KindOfError(err) != stream.Fatal {
			t.Fatalf("decision %s: %v", d.ID, err)
		}
	}
	if takeOver(t, s, cp.Task, "a").Epoch != 0 {
		t.Fatal("something was claimed")
	}
}

// Owners of several processes claim the same rows at the same time, take over and repeat. Whoever is told that it has won
// must agree with everybody else about the content of that epoch.
func TestOneContentForEachEpoch(t *testing.T) {
	dsn := database(t)
	open(t, dsn)
	const processes, tasks, rounds = 8, 3, 25
	var mu sync.Mutex
	contents := map[string]string{}
	var wg sync.WaitGroup
	for p := range processes {
		s := open(t, dsn, func(c *Config) { c.MaxConns = 2 }).Claims()
		wg.Go(func() {
			for round := range rounds {
				owner := fmt.Sprintf("%d-%d", p, round)
				var claims []*stream.Checkpoint
				for i := range tasks {
					cp := takeOver(t, s, task("race", (i+p)%tasks), owner)
					d := change{rule: "R", host: fmt.Sprint("host-", cp.Task.Partition.Number), start: -1, from: alerts.Inactive, to: alerts.Firing}
					d.at, d.revision = 1, int(cp.Epoch)
					claims = append(claims, next(cp, owner, d.decision(t)))
				}
				for range 2 {
					won := claim(t, s, claims...)
					mu.Lock()
					for i, c := range claims {
						key := fmt.Sprintf("%v at %d", c.Task, c.Epoch)
						if old := contents[key]; won[i] && old != "" && old != owner {
							t.Errorf("%s has two contents: %s and %s", key, old, owner)
						}
						if won[i] {
							contents[key] = owner
						}
					}
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if len(contents) < tasks {
		t.Fatal("hardly anybody has won", contents)
	}
	checkEpochs(t, open(t, dsn), contents, tasks)
}

// checkEpochs demands that every epoch up to the row's was won by somebody, and left its decision.
func checkEpochs(t *testing.T, db *DB, contents map[string]string, tasks int) {
	t.Helper()
	var transitions int
	if err := db.Pool().QueryRow(context.Background(), `SELECT count(*) FROM tidewatch_transitions`).Scan(&transitions); err != nil {
		t.Fatal(err)
	}
	total := 0
	for i := range tasks {
		cp := takeOver(t, db.Claims(), task("race", i), "end")
		total += int(cp.Epoch)
		if got := contents[fmt.Sprintf("%v at %d", cp.Task, cp.Epoch)]; got != string(cp.Record) {
			t.Errorf("task %d: the row holds %q, and %q was told to have won", i, cp.Record, got)
		}
	}
	if total != len(contents) || total != transitions {
		t.Errorf("%d epochs, %d winners, %d transitions", total, len(contents), transitions)
	}
}

// withEpoch is a copy for another epoch.
func withEpoch(cp *stream.Checkpoint, epoch int64) *stream.Checkpoint {
	n := *cp
	n.Epoch = epoch
	return &n
}

func withOwner(cp *stream.Checkpoint, owner string) *stream.Checkpoint {
	cp.Owner = owner
	return cp
}
