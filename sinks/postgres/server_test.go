package postgres

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

var databases atomic.Int64

// database returns the DSN of a fresh database.
func database(t testing.TB) string {
	t.Helper()
	base := "postgres://postgres@127.0.0.1:54999/"
	conn, err := pgx.Connect(context.Background(), base+"postgres?sslmode=disable")
	if err != nil {
		t.Skip(err)
	}
	defer conn.Close(context.Background())
	name := fmt.Sprintf("t%d_%d", os.Getpid(), databases.Add(1))
	if _, err := conn.Exec(context.Background(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return base + name + "?sslmode=disable"
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

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
