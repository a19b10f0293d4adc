package postgres

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/stream"
)

// history is a random history on the real store and on a model of it.
type history struct {
	store    *ClaimStore // through a proxy that loses replies
	truth    *DB         // beside it
	proxy    *lossy
	name     string // of this history's tasks and rules
	timeline int64
	rows     map[int]*stream.Checkpoint // the model: rows by task number …
	attempts map[int]int                // … how often each was taken over since it has claimed …
	alerts   *alerts.Memory             // … and what their decisions lead to
	owners   []*stream.Checkpoint       // what owners believe to hold, the fenced ones too
	sent     []*stream.Checkpoint       // claims that may be repeated
}

const modelTasks = 3

// apply is the contract of stream.ClaimStore in a few lines.
func (h *history) apply(t *rapid.T, c *stream.Checkpoint) bool {
	row := h.rows[int(c.Task.Partition.Number)]
	if row == nil || row.Epoch != c.Epoch-1 || row.Owner != c.Owner || row.Timeline != c.Timeline || h.timeline != c.Timeline {
		return row != nil && row.Epoch == c.Epoch && bytes.Equal(row.Record, c.Record)
	}
	row.Epoch, row.Record = c.Epoch, c.Record
	h.attempts[int(c.Task.Partition.Number)] = 1
	for _, d := range c.Decisions {
		if err := h.alerts.Decide(d); err != nil {
			t.Fatal(err)
		}
	}
	return true
}

func (h *history) takeOver(t *rapid.T) {
	number := rapid.IntRange(0, modelTasks-1).Draw(t, "task")
	owner := fmt.Sprintf("owner-%d", len(h.owners))
	cp, err := h.store.TakeOver(context.Background(), task(h.name, number), owner)
	if err != nil {
		t.Fatal(err)
	}
	row := h.rows[number]
	if row == nil {
		row = &stream.Checkpoint{Task: cp.Task}
		h.rows[number] = row
	}
	row.Owner, row.Timeline = owner, h.timeline
	row.Ended.Deaths = h.attempts[number]
	h.attempts[number]++
	if diff := cmp.Diff(*row, *cp, cmp.Transformer("text", func(b []byte) string { return string(b) })); diff != "" {
		t.Fatal("take-over returns another row: " + diff)
	}
	h.owners = append(h.owners, cp)
}

// draw makes a claim of a random owner, mostly of its next epoch, with random decisions.
func (h *history) draw(t *rapid.T) *stream.Checkpoint {
	if len(h.sent) > 0 && rapid.IntRange(0, 3).Draw(t, "repeat") == 0 {
		return h.sent[rapid.IntRange(0, len(h.sent)-1).Draw(t, "sent")]
	}
	owner := h.owners[rapid.IntRange(0, len(h.owners)-1).Draw(t, "owner")]
	c := *owner
	c.Epoch = max(1, owner.Epoch+rapid.SampledFrom([]int64{1, 1, 1, 0, 2}).Draw(t, "step"))
	c.Record = rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "record")
	for _, d := range rapid.SliceOfN(rapid.Custom(h.change), 0, 3).Draw(t, "decisions") {
		tr := d.transition()
		decision, err := tr.Decision()
		if err != nil {
			t.Fatal(err)
		}
		c.Decisions = append(c.Decisions, decision)
		c.Record = append(c.Record, decision.ID...) // equal records come with equal decisions
	}
	return &c
}

// change draws a transition whose states follow from its place in the alert's life: equal ids have equal bodies.
func (h *history) change(t *rapid.T) change {
	at, revision := rapid.IntRange(0, 3).Draw(t, "at"), rapid.IntRange(0, 2).Draw(t, "revision")
	states := alerts.States()
	return change{
		rule: h.name, host: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "host"), at: time.Duration(at), revision: revision,
		from: states[at*revision%4], to: states[(at+revision)%4],
	}
}

func (h *history) claim(t *rapid.T) {
	if len(h.owners) == 0 {
		t.Skip("nobody owns anything")
	}
	var claims []*stream.Checkpoint
	for range rapid.IntRange(1, 3).Draw(t, "claims") {
		c := h.draw(t)
		same := func(o *stream.Checkpoint) bool { return o.Task == c.Task && o.Epoch != c.Epoch }
		if !slices.ContainsFunc(claims, same) { // one new epoch of a task in a call
			claims = append(claims, c)
		}
	}
	h.sent = append(h.sent, claims...)
	if rapid.IntRange(0, 4).Draw(t, "lose") == 0 {
		h.proxy.armed.Store(true)
	}
	won, err := h.store.Claim(context.Background(), claims)
	for repeats := 0; err != nil; repeats++ {
		if stream.KindOfError(err) != stream.Retry || repeats > 3 {
			t.Fatal(err)
		}
		won, err = h.store.Claim(context.Background(), claims)
	}
	h.proxy.armed.Store(false)
	h.judge(t, claims, won)
}

// judge compares the answer with the model. The claims of a call have no order, so each that won must be won in the model in
// some order; then the others must be lost.
func (h *history) judge(t *rapid.T, claims []*stream.Checkpoint, won []bool) {
	var winners []*stream.Checkpoint
	for i, c := range claims {
		if won[i] {
			winners = append(winners, c)
			h.noteWon(c)
		}
	}
	for len(winners) > 0 {
		i := slices.IndexFunc(winners, func(c *stream.Checkpoint) bool { return h.apply(t, c) })
		if i < 0 {
			t.Fatalf("%d claims are won, in the model they are lost, one of epoch %d by %s", len(winners), winners[0].Epoch, winners[0].Owner)
		}
		winners = slices.Delete(winners, i, i+1)
	}
	for i, c := range claims {
		if !won[i] && h.apply(t, c) {
			t.Fatalf("the claim of epoch %d by %s is lost, in the model it is won", c.Epoch, c.Owner)
		}
	}
}

func (h *history) noteWon(c *stream.Checkpoint) {
	for _, o := range h.owners {
		if o.Owner == c.Owner {
			o.Epoch = c.Epoch
		}
	}
}

func (h *history) failOver(t *rapid.T) {
	h.timeline++
	if _, err := h.truth.Pool().Exec(context.Background(), `UPDATE timeline_of_test SET timeline = $1`, h.timeline); err != nil {
		t.Fatal(err)
	}
}

// check compares the task rows with the model.
func (h *history) check(t *rapid.T) {
	var tasks []stream.TaskID
	var want []stream.Row
	for i := range modelTasks {
		tasks, want = append(tasks, task(h.name, i)), append(want, stream.Row{})
		if r := h.rows[i]; r != nil {
			want[i] = stream.Row{Epoch: r.Epoch, Owner: r.Owner, Timeline: r.Timeline}
		}
	}
	got, err := h.truth.Claims().Current(context.Background(), tasks)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
}

// checkAlerts compares the alerts and the outbox with the model.
func (h *history) checkAlerts(t *rapid.T) {
	ctx, f := context.Background(), alerts.Filter{States: alerts.States(), Name: h.name}
	want, err := h.alerts.List(ctx, f)
	if err != nil {
		t.Fatal(err)
	}
	got, err := h.truth.Alerts().List(ctx, f)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	pending, err := h.truth.Outbox().Pending(ctx, 100000)
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]int{}
	for _, n := range pending {
		if n.Transition.Alert.Name == h.name {
			told[n.Transition.ID]++
		}
	}
	for _, tr := range h.alerts.Outbox() {
		told[tr.ID]--
	}
	for id, n := range told {
		if n != 0 {
			t.Fatalf("notification %s: %d too many", id, n)
		}
	}
}

// Random histories of take-overs, claims, repeats, lost replies and fail-overs agree with the model at every step.
func TestHistories(t *testing.T) {
	dsn := database(t)
	truth := open(t, dsn)
	const steered = `
CREATE TABLE timeline_of_test (timeline bigint); INSERT INTO timeline_of_test VALUES (1);
CREATE OR REPLACE FUNCTION tidewatch_timeline() RETURNS bigint LANGUAGE sql STABLE RETURN (SELECT timeline FROM timeline_of_test)`
	if _, err := truth.Pool().Exec(context.Background(), steered); err != nil {
		t.Fatal(err)
	}
	proxy, through := throughProxy(t, dsn)
	store := open(t, through, func(c *Config) { c.MaxConns = 2 }).Claims()
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		few := "30" // a step costs milliseconds on a real server
		if err := checks.Value.Set(few); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = checks.Value.Set(checks.DefValue) })
	}
	histories, timeline := 0, int64(1)
	rapid.Check(t, func(t *rapid.T) {
		histories++
		h := &history{
			store: store, truth: truth, proxy: proxy, name: fmt.Sprintf("h%d", histories), timeline: timeline,
			rows: map[int]*stream.Checkpoint{}, attempts: map[int]int{}, alerts: alerts.NewMemory(),
		}
		h.failOver(t)
		t.Repeat(map[string]func(*rapid.T){
			"take over": h.takeOver, "claim": h.claim, "claim again": h.claim, "fail over": h.failOver, "": h.check,
		})
		h.checkAlerts(t)
		timeline = h.timeline
	})
}
