package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewatch/tidewatch/stream"
)

// failure wraps an error of pgx once, with its kind and what to do next. Texts of pgx name host, user and database, never
// the password.
func failure(what string, err error) error {
	kind, next := judge(err)
	if next != "" {
		next = ": " + next
	}
	return stream.Mark(kind, fmt.Errorf("%s: %w%s", what, oneLine{err}, next))
}

// oneLine keeps the chain of an error and prints it on one line: pgx lists the hosts that it tried on lines of their own.
type oneLine struct{ err error }

func (o oneLine) Error() string {
	lines := strings.FieldsFunc(o.err.Error(), func(r rune) bool { return r == '\n' || r == '\r' })
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, " ")
}

func (o oneLine) Unwrap() error { return o.err }

// judge tells whether trying again can help, and what a person should look at. Without an answer of the server the outcome
// is unknown, and trying again is the way to learn it.
func judge(err error) (kind stream.ErrorKind, next string) {
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) {
		return judgeState(pg.Code)
	}
	var dns *net.DNSError
	switch {
	case errors.Is(err, context.Canceled):
		return stream.Retry, ""
	case errors.As(err, &dns):
		return stream.Retry, "check the host name in postgres.dsn"
	case errors.As(err, new(*pgconn.ConnectError)):
		return stream.Retry, "check that PostgreSQL runs there and that postgres.dsn names it"
	case errors.Is(err, context.DeadlineExceeded), pgconn.Timeout(err):
		return stream.Retry, "PostgreSQL is slow or cannot be reached; postgres.timeout is the limit"
	case errors.As(err, new(net.Error)), errors.Is(err, pgconn.ErrConnClosed), isCut(err):
		return stream.Retry, "the connection broke"
	}
	return stream.Fatal, ""
}

// isCut recognises what a closed connection looks like on the way through pgx.
func isCut(err error) bool {
	text := err.Error()
	return strings.Contains(text, "unexpected EOF") || strings.Contains(text, "conn closed") || strings.HasSuffix(text, "EOF")
}

// judgeState reads an SQLSTATE (PostgreSQL documentation, appendix A); its first two characters are the class.
func judgeState(code string) (kind stream.ErrorKind, next string) {
	switch code {
	case "25006", "55000":
		return stream.Retry, "the server is a standby or was demoted: let postgres.dsn name the primary"
	case "42P01", "42883", "42703", "3F000":
		return stream.Fatal, "the tables are missing or of another version: run the migrations (tidewatch serve does so at its start)"
	case "42501":
		return stream.Fatal, "the user of postgres.dsn must own our schema"
	case "3D000":
		return stream.Fatal, "create the database that postgres.dsn names"
	case "53100":
		return stream.Retry, "the disk of PostgreSQL is full"
	case "53300":
		return stream.Retry, "PostgreSQL has no connection left: raise its max_connections or lower postgres.max_conns"
	}
	switch code[:min(2, len(code))] {
	case "08", "40", "53", "55", "57", "58":
		return stream.Retry, ""
	case "28":
		return stream.Fatal, "check user and password in postgres.dsn and the server's pg_hba.conf"
	}
	return stream.Fatal, ""
}
