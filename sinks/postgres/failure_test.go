package postgres

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/stream"
)

func TestLostReplyIsRetriedWithTheSameBytes(t *testing.T) {
	dsn := database(t)
	direct := open(t, dsn).Claims()
	proxy, through := throughProxy(t, dsn)
	s := open(t, through).Claims()
	cp := takeOver(t, s, task("lost", 0), "a")
	n := next(cp, "one", change{rule: "R", host: "h", from: alerts.Inactive, to: alerts.Firing}.decision(t))
	claim(t, s, withEpoch(n, 7)) // prepares the statements

	proxy.armed.Store(true)
	won, err := s.Claim(context.Background(), []*stream.Checkpoint{n})
	if err == nil || stream.KindOfError(err) != stream.Retry {
		t.Fatalf("the reply was lost: %v, %v", won, err)
	}
	if got := takeOver(t, direct, cp.Task, "a"); got.Epoch != 1 {
		t.Fatal("the test is none: the claim was not carried out")
	}
	if !claim(t, s, n)[0] || claim(t, s, next(cp, "two"))[0] {
		t.Fatal("the claim that was carried out is not won, or another one is")
	}
}

func TestServerAwayIsRetry(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	c := Default()
	c.DSN = "postgres://ada:s3cr%2Ft@" + address + "/alerts"
	db, err := Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = db.Claims().TakeOver(context.Background(), task("away", 0), "a")
	for what, err := range map[string]error{"take over": err, "ping": db.Ping(context.Background()), "migrate": db.Migrate(context.Background())} {
		if stream.KindOfError(err) != stream.Retry || !strings.Contains(err.Error(), address) ||
			!strings.Contains(err.Error(), "check that PostgreSQL runs") || strings.Contains(err.Error(), "s3cr") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A server that accepts and never answers must not hold a task for ever.
func TestSilentServerIsRetry(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := Default()
	c.DSN, c.Timeout = "postgres://ada@"+l.Addr().String()+"/alerts?sslmode=disable", 50*time.Millisecond
	db, err := Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Ping(context.Background()); stream.KindOfError(err) != stream.Retry {
		t.Fatal(err)
	}
}

func TestMissingTablesAndDatabaseAreFatal(t *testing.T) {
	c := Default()
	c.DSN = database(t)
	for dsn, want := range map[string]string{
		c.DSN: "run the migrations",
		strings.Replace(c.DSN, "/t", "/no_such_", 1): "create the database",
	} {
		c.DSN = dsn
		db, err := Open(context.Background(), c)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		_, err = db.Claims().TakeOver(context.Background(), task("x", 0), "a")
		if err == nil || stream.KindOfError(err) != stream.Fatal || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}

func TestKindsOfServerErrors(t *testing.T) {
	for code, want := range map[string]stream.ErrorKind{
		"40P01": stream.Retry, "40001": stream.Retry, "57P01": stream.Retry, "57014": stream.Retry, "53100": stream.Retry,
		"53300": stream.Retry, "25006": stream.Retry, "55000": stream.Retry, "08006": stream.Retry, "58030": stream.Retry,
		"28P01": stream.Fatal, "42601": stream.Fatal, "22021": stream.Fatal, "XX001": stream.Fatal, "": stream.Fatal,
	} {
		if got := stream.KindOfError(failure("x", &pgconn.PgError{Code: code})); got != want {
			t.Errorf("%s: %v", code, got)
		}
	}
	if err := failure("x", errors.New("something else")); stream.KindOfError(err) != stream.Fatal {
		t.Error(err)
	}
}

func TestConfigMistakesAreAllNamed(t *testing.T) {
	err := Config{Schema: "Tide watch", MaxConns: 1}.Validate()
	for _, want := range []string{"postgres.dsn", "postgres.schema", "postgres.max_conns", "postgres.timeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %s", err, want)
		}
	}
	c := Default()
	c.DSN = "postgres://localhost/x"
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	c.DSNFile = "x"
	if err := c.Validate(); err == nil {
		t.Error("two DSNs are accepted")
	}
}

// Nothing of a DSN that does not parse may reach a log, wherever the password stands.
func TestBadDSNIsNotRepeated(t *testing.T) {
	for _, dsn := range []string{
		"postgres://ada:hunter2%zz@h/db", "postgres://ada:hunter2@h:port/db", "ada:hunter2@h/db", "host=h password='hunter2",
		"postgres://ada:hunter2@h/db?sslmode=hunter2", "host=h password=hunter2 sslmode=maybe",
	} {
		file := filepath.Join(t.TempDir(), "dsn")
		if err := os.WriteFile(file, []byte(dsn+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c := Default()
		c.DSNFile = file
		if _, err := Open(context.Background(), c); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
	c := Default()
	c.DSN = "postgres://ada@h/db?sslmode=maybe"
	if _, err := Open(context.Background(), c); err == nil || !strings.Contains(err.Error(), "sslmode") {
		t.Errorf("%v does not say what is wrong", err)
	}
	c.DSN, c.DSNFile = "", "/no/such/file"
	if _, err := Open(context.Background(), c); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestUnsafeCommitsAreMadeSafe(t *testing.T) {
	dsn := database(t)
	db := open(t, dsn)
	const off = `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$`
	if _, err := db.Pool().Exec(context.Background(), off); err != nil {
		t.Fatal(err)
	}
	var setting string
	if err := open(t, dsn).Pool().QueryRow(context.Background(), `SHOW synchronous_commit`).Scan(&setting); err != nil || setting != "on" {
		t.Fatal(setting, err)
	}
}
