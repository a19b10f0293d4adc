package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// prepare makes our role and database if they are not there. The role has no rights beyond its database, like the one that
// an administrator would make.
func (s *Server) prepare(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.dsn(superuser, superuser))
	if err != nil {
		return fmt.Errorf("connect to the new PostgreSQL: %w", err)
	}
	err = errors.Join(s.makeRole(ctx, conn), conn.Close(ctx))
	if err != nil {
		return fmt.Errorf("make role and database %s: %w", database, err)
	}
	return nil
}

func (s *Server) makeRole(ctx context.Context, conn *pgx.Conn) error {
	var haveRole, haveDatabase bool
	const query = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1), EXISTS (SELECT FROM pg_database WHERE datname = $2)"
	if err := conn.QueryRow(ctx, query, role, database).Scan(&haveRole, &haveDatabase); err != nil {
		return err
	}
	if !haveRole { // the statement takes no parameters; the password is hexadecimal
		if _, err := conn.Exec(ctx, "CREATE ROLE "+role+" LOGIN PASSWORD '"+s.cluster.access.Password+"'"); err != nil {
			return err
		}
	}
	if !haveDatabase {
		if _, err := conn.Exec(ctx, "CREATE DATABASE "+database+" OWNER "+role); err != nil {
			return err
		}
	}
	return nil
}
