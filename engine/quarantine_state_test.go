package engine

import (
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// TestSnapshotKeepsTheRecordAside: a snapshot between a quarantine and its record is all that the next owner has of it, since
// the row names control records behind the snapshot only.
func TestSnapshotKeepsTheRecordAside(t *testing.T) {
	for _, c := range []struct {
		name string
		at   stream.Version
		want bool
	}{
		{"behind the quarantine", stream.Version{Offset: 7, Step: 2}, true},
		{"before it has taken effect", stream.Version{Offset: 7, Step: 1}, false},
		{"at another record", stream.Version{Offset: 8}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := &lane{at: c.at, aside: map[int64]*stream.Control{}}
			before.setAside(&stream.Control{Kind: controlQuarantine, At: stream.Version{Offset: 7, Step: 2}, Reason: "panic: x", Detail: "a stack"})
			w := stream.NewStateWriter()
			w.Scope("engine/")
			before.snapshotAside(w)
			r, err := stream.NewStateReader(w.Finish())
			if err != nil {
				t.Fatal(err)
			}
			r.Scope("engine/")
			after := &lane{at: c.at, aside: map[int64]*stream.Control{}}
			after.restoreAside(r)
			k := after.aside[7]
			switch {
			case (k != nil) != c.want || len(after.aside) > 1:
				t.Fatalf("the next owner knows of %v", after.aside)
			case c.want && (k.Kind != controlQuarantine || k.At != before.aside[7].At || k.Reason != "panic: x" || k.Detail != "a stack"):
				t.Fatalf("the next owner knows of %+v", k)
			}
		})
	}
}
