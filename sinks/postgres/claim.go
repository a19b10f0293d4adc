package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidewatch/tidewatch/stream"
)

// ClaimStore is a stream.ClaimStore whose decisions are alert transitions, see the package alerts. Safe for concurrent
// use, by any number of processes.
type ClaimStore struct{ db *DB }

var _ stream.ClaimStore = (*ClaimStore)(nil)

// Claims returns the claim store of the database.
func (db *DB) Claims() *ClaimStore { return &ClaimStore{db} }

// A take-over that is repeated counts once.
const takeOverSQL = `
INSERT INTO tidewatch_tasks AS t (task, instance, stage, topic, incarnation, partition, epoch, owner, timeline, record, taken_at, attempts)
VALUES ($1, $2, $3, $4, $5, $6, 0, $7, tidewatch_timeline(), '', now(), 1)
ON CONFLICT (task) DO UPDATE SET owner = EXCLUDED.owner, timeline = EXCLUDED.timeline, taken_at = EXCLUDED.taken_at,
    attempts = t.attempts + (t.owner <> EXCLUDED.owner OR t.attempts = 0)::int
RETURNING t.epoch, t.timeline, t.record, t.attempts - 1,
    (SELECT j.entry FROM tidewatch_journal j WHERE j.task = t.task),
    coalesce((SELECT extract(epoch FROM j.beat_at - j.begun_at)::float8 FROM tidewatch_journal j WHERE j.task = t.task), 0),
    EXISTS (SELECT FROM tidewatch_isolation i WHERE i.until > now() - make_interval(secs => $8))`

// TakeOver implements stream.ClaimStore. It may be repeated.
func (s *ClaimStore) TakeOver(ctx context.Context, task stream.TaskID, owner string) (*stream.Checkpoint, error) {
	read := func(row pgx.CollectableRow) (*stream.Checkpoint, error) {
		cp := &stream.Checkpoint{Task: task, Owner: owner}
		var lasted float64
		err := row.Scan(&cp.Epoch, &cp.Timeline, &cp.Record, &cp.Ended.Deaths, &cp.Ended.Entry, &lasted, &cp.Ended.Isolation)
		cp.Ended.Lasted = time.Duration(lasted * float64(time.Second))
		return cp, err
	}
	p := task.Partition
	found, err := query(ctx, s.db.statement("take task over", takeOverSQL), read,
		task.String(), task.Instance, task.Stage, p.Topic, p.Incarnation, p.Number, owner, stream.IsolationSeen.Seconds())
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// The claims are locked in the order of their tasks: two calls that repeat the same claims would otherwise wait for each
// other. The timeline is that of the server that runs this statement, asked once.
const claimSQL = `
WITH claim AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bytea[])
    WITH ORDINALITY AS c(task, epoch, owner, timeline, record, i)
), locked AS (
    SELECT c.* FROM tidewatch_tasks t JOIN claim c USING (task)
    WHERE t.epoch = c.epoch - 1 AND t.owner = c.owner AND t.timeline = c.timeline
      AND t.timeline = (SELECT tidewatch_timeline())
    ORDER BY t.task FOR NO KEY UPDATE OF t
), won AS (
    UPDATE tidewatch_tasks t SET epoch = l.epoch, record = l.record, claimed_at = now(), attempts = 1 FROM locked l
    WHERE t.task = l.task AND t.epoch = l.epoch - 1 AND t.owner = l.owner AND t.timeline = l.timeline
    RETURNING l.i
)`

const claimOnlySQL = claimSQL + `
SELECT i::int FROM won`

// repeatedSQL finds the claims that an earlier copy has won. It is a statement of its own, because the claim may have
// waited for that copy's commit, which its snapshot does not show.
const repeatedSQL = `
SELECT c.i::int FROM unnest($1::text[], $2::bigint[], $3::bytea[]) WITH ORDINALITY AS c(task, epoch, record, i)
JOIN tidewatch_tasks t USING (task) WHERE t.epoch = c.epoch AND t.record = c.record`

// Claim implements stream.ClaimStore. Of the claims of one task in one call at most one may be a new epoch. A decision
// that is no alert transition is a Fatal error, and nothing is claimed.
func (s *ClaimStore) Claim(ctx context.Context, claims []*stream.Checkpoint) ([]bool, error) {
	won := make([]bool, len(claims))
	if len(claims) == 0 {
		return won, nil
	}
	c, err := columnsOf(claims)
	if err != nil {
		return nil, err
	}
	sql, args := claimOnlySQL, []any{c.task, c.epoch, c.owner, c.timeline, c.record}
	if len(c.decisions.id) > 0 {
		sql, args = claimAndDecideSQL, append(args, c.decisions.args()...)
	}
	if err := mark(ctx, won, s.db.statement("claim epochs", sql), args); err != nil {
		return nil, err
	}
	for _, w := range won {
		if !w {
			err := mark(ctx, won, s.db.statement("read lost claims", repeatedSQL), []any{c.task, c.epoch, c.record})
			if err != nil {
				return nil, err
			}
			break
		}
	}
	return won, nil
}

// mark runs a statement that returns the ordinals of claims, counted from one, and notes them as won.
func mark(ctx context.Context, won []bool, st statement, args []any) error {
	ordinals, err := query(ctx, st, pgx.RowTo[int], args...)
	for _, i := range ordinals {
		won[i-1] = true
	}
	return err
}

// Current implements stream.ClaimStore.
func (s *ClaimStore) Current(ctx context.Context, tasks []stream.TaskID) ([]stream.Row, error) {
	keys := make([]string, len(tasks))
	for i, t := range tasks {
		keys[i] = t.String()
	}
	const sql = `
SELECT coalesce(t.epoch, 0), coalesce(t.owner, ''), coalesce(t.timeline, 0)
FROM unnest($1::text[]) WITH ORDINALITY AS c(task, i) LEFT JOIN tidewatch_tasks t USING (task) ORDER BY c.i`
	return query(ctx, s.db.statement("read task rows", sql), pgx.RowToStructByPos[stream.Row], keys)
}

// columns are claims as arrays, which is how a statement takes any number of rows.
type columns struct {
	task, owner     []string
	epoch, timeline []int64
	record          [][]byte
	decisions       decisions
}

func columnsOf(claims []*stream.Checkpoint) (*columns, error) {
	c := &columns{}
	for i, cp := range claims {
		c.task, c.owner = append(c.task, cp.Task.String()), append(c.owner, cp.Owner)
		c.epoch, c.timeline = append(c.epoch, cp.Epoch), append(c.timeline, cp.Timeline)
		c.record = append(c.record, notNull(cp.Record))
		if err := c.decisions.add(i+1, cp.Decisions); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// notNull keeps pgx from sending nil as NULL.
func notNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
