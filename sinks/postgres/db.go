package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidewatch/tidewatch/stream"
)

// DB is a pool of connections to the database that keeps our tables. Safe for concurrent use.
type DB struct {
	pool    *pgxpool.Pool
	schema  string
	timeout time.Duration
}

// Open checks the configuration and returns a DB. It does not wait for the server, which may be away: [DB.Ping] tells.
// Between us and the server there may be a proxy that pools sessions, but none that pools transactions: settings and
// prepared statements belong to the session.
func Open(ctx context.Context, c Config) (*DB, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	p, err := c.pool()
	if err != nil {
		return nil, err
	}
	p.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error { return setUp(ctx, conn, c.Schema) }
	pool, err := pgxpool.NewWithConfig(ctx, p)
	if err != nil {
		return nil, failure("open pool", err)
	}
	return &DB{pool: pool, schema: c.Schema, timeout: c.Timeout}, nil
}

// setUp prepares a new connection. With synchronous_commit off the server forgets its last commits in a crash without a
// new timeline, and an epoch that was answered would be gone; every other setting is the administrator's choice.
func setUp(ctx context.Context, conn *pgx.Conn, schema string) error {
	_, err := conn.Exec(ctx, `
		SELECT set_config('search_path', $1, false),
		       CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END`, schema)
	return err
}

// Close closes all connections and waits for those in use.
func (db *DB) Close() { db.pool.Close() }

// Pool is for tests and for packages that bring tables of their own. Its connections have our schema as search path.
func (db *DB) Pool() *pgxpool.Pool { return db.pool }

// Ping reports whether the server answers and takes writes. A standby does not: its error is Retry, because it may be
// promoted.
func (db *DB) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, db.timeout)
	defer cancel()
	var standby bool
	if err := db.pool.QueryRow(ctx, `SELECT pg_is_in_recovery()`).Scan(&standby); err != nil {
		return failure("ping", err)
	}
	if standby {
		return stream.Mark(stream.Retry, fmt.Errorf("ping: the server is a standby: let postgres.dsn name the primary (target_session_attrs=primary with several hosts)"))
	}
	return nil
}

// statement is SQL with the name of the call in errors.
type statement struct {
	db        *DB
	what, sql string
}

func (db *DB) statement(what, sql string) statement { return statement{db, what, sql} }

// query runs a statement and collects its rows, within the timeout.
func query[T any](ctx context.Context, s statement, row pgx.RowToFunc[T], args ...any) ([]T, error) {
	ctx, cancel := context.WithTimeout(ctx, s.db.timeout)
	defer cancel()
	rows, err := s.db.pool.Query(ctx, s.sql, args...)
	if err != nil {
		return nil, failure(s.what, err)
	}
	found, err := pgx.CollectRows(rows, row)
	if err != nil {
		return nil, failure(s.what, err)
	}
	return found, nil
}
