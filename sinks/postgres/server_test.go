package postgres

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testservers.Keep(m)) }

// database returns the DSN of a fresh database.
func database(t testing.TB) string {
	t.Helper()
	return testservers.Postgres(t)
}

// open returns a migrated DB; change may adapt its configuration.
func open(t testing.TB, dsn string, change ...func(*Config)) *DB {
	t.Helper()
	c := Default()
	c.DSN = dsn
	for _, f := range change {
		f(&c)
	}
	db, err := Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if err := db.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return db
}

// A server that ends a recovery begins a new timeline, as a standby does that is promoted. From then on the claims of
// former owners are lost, at once, before the first checkpoint.
func TestTimelineOfAPromotedServer(t *testing.T) {
	database(t) // skips where there is no PostgreSQL
	ctx := context.Background()
	server, err := testservers.StartPostgres(ctx, testservers.PostgresOptions{Settings: map[string]string{"restore_command": "false"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}()
	db := open(t, server.DSN("postgres"))
	s := db.Claims()
	cp := takeOver(t, s, task("x", 0), "a")
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Claim(ctx, []*stream.Checkpoint{next(cp, "one")}); stream.KindOfError(err) != stream.Retry {
		t.Fatal(err)
	}
	signal := filepath.Join(server.Folder(), "data", "recovery.signal")
	if err := os.WriteFile(signal, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := server.Start(ctx); err != nil {
		t.Fatal(err)
	}
	for stream.KindOfError(db.Ping(ctx)) == stream.Retry { // still a standby
	}
	if claim(t, s, next(cp, "one"))[0] {
		t.Fatal("a claim was won on another timeline")
	}
	after := takeOver(t, s, cp.Task, "b")
	if after.Timeline != cp.Timeline+1 || !claim(t, s, next(after, "one"))[0] {
		t.Fatalf("timelines %x and %x", cp.Timeline, after.Timeline)
	}
}
