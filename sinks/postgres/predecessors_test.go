package postgres

import (
	"slices"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// TestPredecessors: rows of the same task on another incarnation of the topic are found, and nothing else is.
func TestPredecessors(t *testing.T) {
	store := open(t, database(t)).Claims()
	id := func(topic, incarnation string, n int32) stream.TaskID {
		return stream.TaskID{Instance: "p@1", Stage: "main", Partition: stream.Partition{Topic: topic, Number: n, Incarnation: incarnation}}
	}
	claim := func(task stream.TaskID) {
		t.Helper()
		cp, err := store.TakeOver(t.Context(), task, "me")
		if err != nil {
			t.Fatal(err)
		}
		cp.Epoch, cp.Record = cp.Epoch+1, []byte("{}")
		if won, err := store.Claim(t.Context(), []*stream.Checkpoint{cp}); err != nil || !won[0] {
			t.Fatalf("won %v, error %v", won, err)
		}
	}
	for _, task := range []stream.TaskID{id("a", "old", 1), id("a", "old", 11), id("a.b", "x", 1), id("aa", "old", 1), id("a", "new", 1)} {
		claim(task)
	}
	rows, err := store.Predecessors(t.Context(), id("a", "new", 1))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{id("a", "old", 1).String()}; !slices.Equal(rows, want) {
		t.Errorf("rows %q, want %q", rows, want)
	}
}
