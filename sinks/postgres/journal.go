package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/tidewatch/tidewatch/stream"
)

var _ stream.Journal = (*ClaimStore)(nil)

const releaseSQL = `
WITH released AS (
    UPDATE tidewatch_tasks SET attempts = 0 WHERE task = $1 AND owner = $2
)
DELETE FROM tidewatch_isolation WHERE task = $1 AND owner = $2`

// Release implements stream.Journal.
func (s *ClaimStore) Release(ctx context.Context, task stream.TaskID, owner string) error {
	_, err := query(ctx, s.db.statement("release task", releaseSQL), pgx.RowTo[int], task.String(), owner)
	return err
}

// The lock makes an entry wait for a take-over that is on its way, which then refuses it.
const ownSQL = `
WITH mine AS (
    SELECT task FROM tidewatch_tasks WHERE task = $1 AND owner = $2 FOR SHARE
), `

const noteSQL = ownSQL + `noted AS (
    INSERT INTO tidewatch_journal (task, entry, begun_at, beat_at) SELECT task, $3, now(), now() FROM mine
    ON CONFLICT (task) DO UPDATE SET entry = EXCLUDED.entry, begun_at = EXCLUDED.begun_at, beat_at = EXCLUDED.beat_at
)
SELECT EXISTS (SELECT FROM mine)`

const eraseSQL = ownSQL + `erased AS (
    DELETE FROM tidewatch_journal j USING mine WHERE j.task = mine.task
)
SELECT EXISTS (SELECT FROM mine)`

// Note implements stream.Journal.
func (s *ClaimStore) Note(ctx context.Context, task stream.TaskID, owner string, entry []byte) (bool, error) {
	sql, args := eraseSQL, []any{task.String(), owner}
	if entry != nil {
		sql, args = noteSQL, append(args, string(entry))
	}
	return one(query(ctx, s.db.statement("write journal", sql), pgx.RowTo[bool], args...))
}

const isolateSQL = `
WITH mine AS (
    SELECT task, owner FROM tidewatch_tasks WHERE task = $1 AND owner = $2
), alone AS (
    INSERT INTO tidewatch_isolation AS i (one, task, owner, until)
    SELECT true, task, owner, now() + make_interval(secs => $3) FROM mine
    ON CONFLICT (one) DO UPDATE SET task = EXCLUDED.task, owner = EXCLUDED.owner, until = EXCLUDED.until
    WHERE i.task = EXCLUDED.task AND i.owner = EXCLUDED.owner OR i.until < now()
       OR NOT EXISTS (SELECT FROM tidewatch_tasks t WHERE t.task = i.task AND t.owner = i.owner)
    RETURNING one
), beat AS (
    UPDATE tidewatch_journal SET beat_at = now() WHERE task = $1 AND EXISTS (SELECT FROM alone)
)
SELECT EXISTS (SELECT FROM alone), EXISTS (SELECT FROM mine)`

// Isolate implements stream.Journal.
func (s *ClaimStore) Isolate(ctx context.Context, task stream.TaskID, owner string) (alone, mine bool, err error) {
	type isolation struct{ Alone, Mine bool }
	found, err := one(query(ctx, s.db.statement("isolate task", isolateSQL), pgx.RowToStructByPos[isolation],
		task.String(), owner, stream.IsolationLapse.Seconds()))
	return found.Alone, found.Mine, err
}

// one is the only row of an answer.
func one[T any](rows []T, err error) (row T, _ error) {
	if err == nil && len(rows) != 1 {
		err = errors.New("the answer has not one row")
	}
	if err != nil {
		return row, err
	}
	return rows[0], nil
}
