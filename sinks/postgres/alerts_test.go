package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/stream"
)

// decide claims the next epoch of a fresh task with these changes.
func decide(t testing.TB, db *DB, name string, changes ...change) {
	t.Helper()
	cp := takeOver(t, db.Claims(), task(name, 0), "a")
	n := next(cp, fmt.Sprint("record ", cp.Epoch))
	for _, c := range changes {
		n.Decisions = append(n.Decisions, c.decision(t))
	}
	if !claim(t, db.Claims(), n)[0] {
		t.Fatal("the claim is lost")
	}
}

// episode is the life of one alert, in order.
func episode(host string, start time.Duration) []change {
	all := []change{
		{from: alerts.Inactive, to: alerts.Pending},
		{from: alerts.Pending, to: alerts.Firing, at: time.Minute},
		{from: alerts.Firing, to: alerts.Firing, at: time.Minute, revision: 1},
		{from: alerts.Firing, to: alerts.Resolved, at: time.Minute + 1, revision: 1}, // 1 ns later
	}
	for i := range all {
		all[i].rule, all[i].host, all[i].start, all[i].at = "HostCPUHigh", host, start, start+all[i].at
	}
	return all
}

func TestAlertRowsFollowTheNewestTransition(t *testing.T) {
	db := open(t, database(t))
	life := episode("web-1", 0)
	ctx := context.Background()
	decide(t, db, "x", life[1], life[0]) // two of one alert in one call, newest first
	decide(t, db, "x", life[3])
	decide(t, db, "x", life[2], life[0]) // older ones, and a repeat
	want := alerts.Detail{Alert: life[3].transition().Alert}
	for _, c := range life {
		want.History = append(want.History, c.transition())
	}
	got, err := db.Alerts().Get(ctx, life[0].alertID())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	if page, err := db.Alerts().List(ctx, alerts.Filter{}); err != nil || len(page.Items) != 0 {
		t.Fatalf("a resolved alert is listed as active: %v %v", page, err)
	}
	checkOutbox(t, db, life[1], life[3])
}

func checkOutbox(t *testing.T, db *DB, want ...change) {
	t.Helper()
	ctx := context.Background()
	pending, err := db.Outbox().Pending(ctx, 100)
	if err != nil {
		t.Fatal(err)
	}
	var ids, wanted []string
	for _, n := range pending {
		ids = append(ids, n.Transition.ID)
		if n.CreatedAt.IsZero() {
			t.Error("no time")
		}
	}
	for _, c := range want {
		wanted = append(wanted, c.transition().ID)
	}
	if !slices.Equal(ids, wanted) {
		t.Fatalf("outbox: %v, want %v", ids, wanted)
	}
	for range 2 {
		if err := db.Outbox().Sent(ctx, append(ids[:1:1], "unknown")); err != nil {
			t.Fatal(err)
		}
	}
	rest, err := db.Outbox().Pending(ctx, 100)
	if err != nil || len(rest) != len(ids)-1 || rest[0].Transition.ID != ids[1] {
		t.Fatal(rest, err)
	}
}

// The outbox follows from what the history takes, even when its rows are gone.
func TestRepeatedDecisionIsNotToldAgain(t *testing.T) {
	db := open(t, database(t))
	life := episode("web-1", 0)
	decide(t, db, "x", life[1])
	if _, err := db.Pool().Exec(context.Background(), `DELETE FROM tidewatch_outbox`); err != nil {
		t.Fatal(err)
	}
	decide(t, db, "x", life[1])
	if pending, err := db.Outbox().Pending(context.Background(), 10); err != nil || len(pending) != 0 {
		t.Fatal(pending, err)
	}
}

func TestGetOfMissingAlert(t *testing.T) {
	db := open(t, database(t))
	for _, id := range []string{"", "x\x00", "00112233445566778899aabb"} {
		if _, err := db.Alerts().Get(context.Background(), id); !errors.Is(err, alerts.ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestAcknowledgementsMayComeInAnyOrder(t *testing.T) {
	db := open(t, database(t))
	s := db.Alerts()
	life := episode("web-1", 0)
	id := life[0].alertID()
	command := func(at time.Duration, offset int64, by string) alerts.Logged {
		c := alerts.Command{Command: alerts.Acknowledge, Alert: id, By: by, Note: "n\x00te", Time: base.Add(at)}
		return alerts.Logged{Command: c, Offset: offset}
	}
	acknowledge := func(commands ...alerts.Logged) {
		t.Helper()
		if err := s.Acknowledge(context.Background(), commands); err != nil {
			t.Fatal(err)
		}
	}
	acknowledge(command(5, 2, "newest"), command(5, 1, "old"), command(4, 9, "older")) // the alert is not known yet
	decide(t, db, "x", life[:2]...)
	acknowledge()
	acknowledge(command(4, 9, "older"))
	acknowledge(command(5, 2, "newest"), alerts.Logged{Command: alerts.Command{Command: "other"}})
	page, err := s.List(context.Background(), alerts.Filter{})
	if err != nil || len(page.Items) != 1 {
		t.Fatal(page, err)
	}
	want := &alerts.Acknowledgement{By: "newest", At: base.Add(5), Note: "n\uFFFDte"}
	if diff := cmp.Diff(want, page.Items[0].Acknowledged); diff != "" {
		t.Fatal(diff)
	}
	acknowledge(command(6, 1, "later"))
	acknowledge(command(6, 0, "earlier at the same time"))
	acknowledge(command(5, 9, "earlier"))
	if d, err := s.Get(context.Background(), id); err != nil || d.Acknowledged.By != "later" {
		t.Fatal(d, err)
	}
}

// Every filter gives what Filter.Passes says of all alerts, in the order of Cursor.Before, and pages put together give the
// whole list.
func TestListAgreesWithFilter(t *testing.T) {
	db := open(t, database(t))
	var all []alerts.Alert
	var changes []change
	for i := range 12 {
		life := episode(fmt.Sprintf("web-%d", i%5), time.Duration(i/3)) // some start together, others 1 ns apart
		for j := range life {
			life[j].rule = fmt.Sprintf("R%d", i%2)
		}
		changes = append(changes, life[:1+i%4]...)
		all = append(all, life[i%4].transition().Alert)
	}
	decide(t, db, "list", changes...)
	slices.SortFunc(all, func(a, b alerts.Alert) int {
		if alerts.CursorOf(&a).Before(alerts.CursorOf(&b)) {
			return -1
		}
		return 1
	})
	every := alerts.States()
	for _, f := range []alerts.Filter{
		{},
		{States: every},
		{States: []alerts.State{alerts.Resolved}},
		{States: every, Name: "R1"},
		{States: every, Severity: []alerts.Severity{alerts.Critical}},
		{States: every, Severity: alerts.Severities()},
		{States: every, Pipeline: "host-cpu"},
		{States: every, Pipeline: "other"},
		{States: every, Name: "\x00\xff"},
		{States: every, Labels: map[string]string{"host": "web-2"}},
		{States: every, Labels: map[string]string{"host": "web-2", "x": "y"}},
		{States: every, Labels: map[string]string{"text": all[0].Labels["text"]}},
		{States: every, From: base.Add(1), To: base.Add(3)},
		{States: every, To: base.Add(1)},
	} {
		checkList(t, db.Alerts(), f, all)
	}
	if _, err := db.Alerts().List(context.Background(), alerts.Filter{Cursor: "?"}); err == nil || stream.KindOfError(err) == stream.Retry {
		t.Error(err)
	}
}

func checkList(t *testing.T, s *AlertStore, f alerts.Filter, all []alerts.Alert) {
	t.Helper()
	want := []alerts.Alert{}
	for i := range all {
		if f.WithDefaults().Passes(&all[i]) {
			want = append(want, all[i])
		}
	}
	for _, limit := range []int{0, 1, 5, len(want) + 1} {
		f.Limit, f.Cursor = limit, ""
		got := []alerts.Alert{}
		for {
			page, err := s.List(context.Background(), f)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, page.Items...)
			if f.Cursor = page.NextCursor; f.Cursor == "" {
				break
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%+v: %s", f, diff)
		}
	}
}

func TestListForPeople(t *testing.T) {
	db := open(t, database(t))
	decide(t, db, "x", episode("web-1", 0)[:2]...)
	var name, state, summary string
	var started time.Time
	sql := `SELECT name, state, summary, started_at FROM tidewatch_alert_list WHERE labels ->> 'host' = 'web-1'`
	if err := db.Pool().QueryRow(context.Background(), sql).Scan(&name, &state, &summary, &started); err != nil {
		t.Fatal(err)
	}
	if name != "HostCPUHigh" || state != "firing" || summary != "100 % \uFFFD busy" || started.Sub(base).Abs() > time.Millisecond {
		t.Fatal(name, state, summary, started)
	}
}
