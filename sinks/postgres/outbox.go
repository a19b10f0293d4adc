package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidewatch/tidewatch/alerts"
)

// Outbox holds the notifications that claims have written: one for each transition that somebody has to be told about.
// Delivery is at least once; the id of the transition lets a receiver drop a repeat. Safe for concurrent use.
type Outbox struct{ db *DB }

// Outbox returns the outbox of the database.
func (db *DB) Outbox() *Outbox { return &Outbox{db} }

// Notification is a row of the outbox.
type Notification struct {
	Transition alerts.Transition // Transition.ID goes out with the notification
	CreatedAt  time.Time         // wall clock of the claim
}

// Pending returns up to limit notifications that were not sent, oldest first. Two callers get the same ones.
func (o *Outbox) Pending(ctx context.Context, limit int) ([]Notification, error) {
	const sql = `
SELECT t.body::text, o.created_at FROM tidewatch_outbox o JOIN tidewatch_transitions t USING (id)
WHERE o.sent_at IS NULL ORDER BY o.seq LIMIT $1`
	read := func(row pgx.CollectableRow) (n Notification, err error) {
		var body string
		if err := row.Scan(&body, &n.CreatedAt); err != nil {
			return n, err
		}
		n.CreatedAt = n.CreatedAt.UTC()
		n.Transition, err = alerts.Decode([]byte(body))
		return n, err
	}
	return query(ctx, o.db.statement("read outbox", sql), read, limit)
}

// Sent notes that the notifications with these ids were delivered. A repeat changes nothing; unknown ids are ignored.
func (o *Outbox) Sent(ctx context.Context, ids []string) error {
	ctx, cancel := context.WithTimeout(ctx, o.db.timeout)
	defer cancel()
	const sql = `UPDATE tidewatch_outbox SET sent_at = now() WHERE id = ANY($1) AND sent_at IS NULL`
	if _, err := o.db.pool.Exec(ctx, sql, ids); err != nil {
		return failure("note sent notifications", err)
	}
	return nil
}
