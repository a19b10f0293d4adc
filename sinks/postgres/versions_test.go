package postgres

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/stream"
)

// TestVersionsFollowEachOther: both versions are noted with the rows, or neither is.
func TestVersionsFollowEachOther(t *testing.T) {
	db, ctx := open(t, database(t)), context.Background()
	old := &Version{Instance: "x@1", Pipeline: "x", Take: 1, File: "x.yaml", Body: "pipeline: x", Since: stream.NoTime, AppliedBy: "ada"}
	next := &Version{Instance: "x@2", Pipeline: "x", Take: 1, File: "x.yaml", Body: "pipeline: x # 2", AppliedBy: "ada"}
	if !claim(t, db.Claims(), next1(t, db))[0] {
		t.Fatal("the claim is lost")
	}
	s := &Successor{DB: db, Old: old, Next: func() *Version { return next }}
	refused := errors.New("not ready")
	turn := func(err error) func(rows []*stream.Checkpoint) (claims, fresh []*stream.Checkpoint, _ error) {
		return func(rows []*stream.Checkpoint) (claims, fresh []*stream.Checkpoint, _ error) {
			next.Since = 42
			id := rows[0].Task
			id.Instance = "x@2"
			return nil, []*stream.Checkpoint{{Task: id, Epoch: 1, Owner: "cut", Record: []byte("fresh")}}, err
		}
	}
	if err := s.Succeed(ctx, "x@1", turn(refused)); !errors.Is(err, refused) {
		t.Fatal(err)
	}
	if all, err := db.Versions().List(ctx); err != nil || len(all) > 0 {
		t.Errorf("a succession that was refused has left %v, %v", all, err)
	}
	if err := s.Succeed(ctx, "x@1", turn(nil)); err != nil {
		t.Fatal(err)
	}
	if err := db.Versions().Add(ctx, &Version{Instance: "a@1", Pipeline: "a", Take: 1, Since: stream.NoTime}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := db.Versions().End(ctx, "x@1"); err != nil {
			t.Fatal(err)
		}
	}
	all, err := db.Versions().List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := []Version{{Instance: "a@1", Pipeline: "a", Take: 1, Since: stream.NoTime}, *old, *next}
	if diff := cmp.Diff(want, all, cmpopts.IgnoreFields(Version{}, "AppliedAt", "EndedAt")); diff != "" {
		t.Error(diff)
	}
	if all[1].EndedAt.IsZero() || !all[2].EndedAt.IsZero() || time.Since(all[1].AppliedAt) > time.Hour {
		t.Errorf("applied and ended: %+v", all)
	}
}

func next1(t *testing.T, db *DB) *stream.Checkpoint {
	t.Helper()
	id := task("x", 0)
	id.Instance = "x@1"
	return next(takeOver(t, db.Claims(), id, "a"), "one")
}

// TestSupersededAlerts: what the version before had open ends at the cut; what the next one has taken on goes on.
func TestSupersededAlerts(t *testing.T) {
	db, ctx := open(t, database(t)), context.Background()
	pending, firing, taken := episode("web-1", 0), episode("web-2", 0), episode("web-3", 0)
	decide(t, db, "x", pending[0], firing[0], firing[1], taken[0], taken[1])
	taken = append(taken, taken[1])
	taken[2].from, taken[2].at, taken[2].version = alerts.Firing, taken[1].at+time.Second, "2"
	decide(t, db, "x", taken[2])
	version := firing[0].transition().Alert.Version
	cut := stream.TimeOf(firing[1].transition().At).Add(time.Minute)
	n, err := db.Alerts().Supersede(ctx, firing[0].transition().Alert.Pipeline, version, cut)
	if err != nil || n != 2 {
		t.Fatalf("%d alerts were superseded, %v", n, err)
	}
	if n, err = db.Alerts().Supersede(ctx, firing[0].transition().Alert.Pipeline, version, cut); err != nil || n != 0 {
		t.Errorf("%d alerts were superseded again, %v", n, err)
	}
	for id, want := range map[string]alerts.State{pending[0].alertID(): alerts.Inactive, firing[0].alertID(): alerts.Resolved, taken[0].alertID(): alerts.Firing} {
		got, err := db.Alerts().Get(ctx, id)
		if err != nil || got.State != want || got.UpdatedAt.Equal(cut.Go()) != want.Terminal() {
			t.Errorf("%+v, %v: want %s at %v", got, err, want, cut)
		}
	}
}
