package main

import (
	"context"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"
)

// database is a connection to that of Tidewatch's alerts, which is kept, since it is asked four times a second.
func (t *trial) database(ctx context.Context) (*pgx.Conn, error) {
	if t.alerts != nil && !t.alerts.IsClosed() {
		return t.alerts, nil
	}
	conn, err := pgx.Connect(ctx, t.servers.Postgres.DSN(t.cluster.Name))
	if err != nil {
		return nil, fmt.Errorf("connect to the alerts: %w", err)
	}
	t.alerts = conn
	return conn, nil
}

func (t *trial) leaveDatabase(ctx context.Context) {
	if t.alerts != nil {
		_ = t.alerts.Close(ctx) // nothing was written
	}
}

// alertsSize changes when alerts do. Counting them would be work for the server.
func (t *trial) alertsSize(ctx context.Context) (string, error) {
	conn, err := t.database(ctx)
	if err != nil {
		return "", err
	}
	var size int64
	var told *int64
	err = conn.QueryRow(ctx, `SELECT coalesce(pg_relation_size(to_regclass('tidewatch.tidewatch_transitions')), 0),
		(SELECT last_value FROM pg_sequences WHERE schemaname = 'tidewatch' AND sequencename = 'tidewatch_outbox_seq_seq')`).Scan(&size, &told)
	if err != nil {
		return "", fmt.Errorf("ask for the size of the alerts: %w", err)
	}
	if told == nil {
		told = new(int64)
	}
	return fmt.Sprint(" ", size, " ", *told), nil
}

// collectTransitions writes every change of state of an alert.
func (t *trial) collectTransitions(ctx context.Context, out io.Writer) error {
	conn, err := t.database(ctx)
	if err != nil {
		return err
	}
	rows, err := conn.Query(ctx, `SELECT json_build_object('time', at / 1000000, 'rule', body->'alert'->>'name', 'host', body->'alert'->'labels'->>'host',
		'name', body->'alert'->'labels'->>'name', 'state', body->>'to')::text FROM tidewatch.tidewatch_transitions WHERE body->>'from' <> body->>'to'`)
	if err != nil {
		return fmt.Errorf("read transitions: %w", err)
	}
	var text string
	_, err = pgx.ForEachRow(rows, []any{&text}, func() error {
		_, err := fmt.Fprintln(out, text)
		return err
	})
	return err
}
