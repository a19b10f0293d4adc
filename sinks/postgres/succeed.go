package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tidewatch/tidewatch/stream"
)

var _ stream.Successions = (*ClaimStore)(nil)

const instanceRowsSQL = `
SELECT stage, topic, incarnation, partition, epoch, owner, timeline, record FROM tidewatch_tasks
WHERE instance = $1 ORDER BY task FOR NO KEY UPDATE`

const replaceRowsSQL = `
UPDATE tidewatch_tasks t SET epoch = c.epoch, owner = c.owner, timeline = tidewatch_timeline(), record = c.record, claimed_at = now()
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bytea[]) AS c(task, epoch, owner, record) WHERE t.task = c.task`

const freshRowSQL = `
INSERT INTO tidewatch_tasks (task, instance, stage, topic, incarnation, partition, epoch, owner, timeline, record, taken_at, claimed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, tidewatch_timeline(), $9, now(), now())
ON CONFLICT (task) DO NOTHING`

// Succeed implements stream.Successions.
func (s *ClaimStore) Succeed(ctx context.Context, instance string, turn func(rows []*stream.Checkpoint) (claims, fresh []*stream.Checkpoint, err error)) error {
	return s.succeed(ctx, instance, turn, func(context.Context, pgx.Tx) error { return nil })
}

// succeed is Succeed with something else in the same transaction.
func (s *ClaimStore) succeed(ctx context.Context, instance string, turn func(rows []*stream.Checkpoint) (claims, fresh []*stream.Checkpoint, err error),
	beside func(ctx context.Context, tx pgx.Tx) error,
) error {
	const what = "begin the next version"
	var refused error // by turn: said as it is
	err := pgx.BeginFunc(ctx, s.db.pool, func(tx pgx.Tx) error {
		found, err := tx.Query(ctx, instanceRowsSQL, instance)
		if err != nil {
			return err
		}
		rows, err := pgx.CollectRows(found, func(row pgx.CollectableRow) (*stream.Checkpoint, error) {
			cp := &stream.Checkpoint{Task: stream.TaskID{Instance: instance}}
			p := &cp.Task.Partition
			return cp, row.Scan(&cp.Task.Stage, &p.Topic, &p.Incarnation, &p.Number, &cp.Epoch, &cp.Owner, &cp.Timeline, &cp.Record)
		})
		if err != nil {
			return err
		}
		claims, fresh, err := turn(rows)
		if err != nil {
			refused = err
			return err
		}
		if err := replaceRows(ctx, tx, claims); err != nil {
			return err
		}
		for _, cp := range fresh {
			p := cp.Task.Partition
			done, err := tx.Exec(ctx, freshRowSQL, cp.Task.String(), cp.Task.Instance, cp.Task.Stage, p.Topic, p.Incarnation, p.Number,
				cp.Epoch, cp.Owner, cp.Record)
			if err == nil && done.RowsAffected() == 0 {
				refused = fmt.Errorf("task %s has a row already", cp.Task)
				err = refused
			}
			if err != nil {
				return err
			}
		}
		return beside(ctx, tx)
	})
	switch {
	case refused != nil:
		return fmt.Errorf("%s: %w", what, refused)
	case err != nil:
		return failure(what, err)
	}
	return nil
}

func replaceRows(ctx context.Context, tx pgx.Tx, claims []*stream.Checkpoint) error {
	c, err := columnsOf(claims)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, replaceRowsSQL, c.task, c.epoch, c.owner, c.record)
	return err
}
