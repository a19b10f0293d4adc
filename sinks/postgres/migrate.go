package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrationLock is the key of the advisory lock that all processes take before they look at the schema: the letters
// "tidewatc".
const migrationLock = 0x7469646577617463

// Migrate creates the schema and brings its tables to the version of this binary. Any number of processes may call it at
// the same time: one works, the others wait. A database of a newer version is refused, because this binary does not know
// what its tables mean.
func (db *DB) Migrate(ctx context.Context) error {
	// Connections of its own: a pool whose last connection waits for the lock could not serve the one that holds it.
	own := stdlib.OpenDB(*db.pool.Config().ConnConfig, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		return setUp(ctx, conn, db.schema)
	}))
	defer func() { _ = own.Close() }()
	session, err := own.Conn(ctx)
	if err != nil {
		return failure("migrate", err)
	}
	defer func() { _ = session.Close() }() // own.Close ends the session, and the lock with it
	if err := db.prepare(ctx, session); err != nil {
		return err
	}
	return up(ctx, own)
}

// prepare takes the lock and creates the schema, which needs the lock too: two sessions that create it at once collide.
func (db *DB) prepare(ctx context.Context, session *sql.Conn) error {
	if _, err := session.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, int64(migrationLock)); err != nil {
		return failure("lock schema", err)
	}
	var encoding string
	if err := session.QueryRowContext(ctx, `SELECT current_setting('server_encoding')`).Scan(&encoding); err != nil {
		return failure("read encoding", err)
	}
	if encoding != "UTF8" {
		return fmt.Errorf("migrate: the database has the encoding %s: create it with ENCODING 'UTF8' TEMPLATE template0", encoding)
	}
	// IF NOT EXISTS needs the right to create schemas even where there is nothing to create.
	var there bool
	if err := session.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)`, db.schema).Scan(&there); err != nil {
		return failure("find schema", err)
	}
	if there {
		return nil
	}
	if _, err := session.ExecContext(ctx, `CREATE SCHEMA `+pgx.Identifier{db.schema}.Sanitize()); err != nil {
		return failure("create schema", err)
	}
	return nil
}

func up(ctx context.Context, own *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	g, err := goose.NewProvider(goose.DialectPostgres, own, files, goose.WithTableName("tidewatch_migrations"), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	have, newest, err := g.GetVersions(ctx)
	if err != nil {
		return failure("read schema version", err)
	}
	if have > newest {
		return fmt.Errorf("migrate: the schema has version %d and this binary knows %d: use the newer tidewatch", have, newest)
	}
	if _, err := g.Up(ctx); err != nil {
		// A partial error says which file failed; the file is ours, so only its cause can be helped.
		if partial := (*goose.PartialError)(nil); errors.As(err, &partial) {
			return failure("migrate to version "+strconv.FormatInt(partial.Failed.Source.Version, 10), partial.Err)
		}
		return failure("migrate", err)
	}
	return nil
}
