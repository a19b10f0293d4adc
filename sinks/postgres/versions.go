package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/stream"
)

// Version is a version of a pipeline that runs, or has run.
type Version struct {
	Instance string
	Pipeline string
	Take     int    // how often its text has been applied
	File     string // where the text was read, for people
	Body     string // the text of the file
	// Since is the cut with which it followed the version before; NoTime if it followed none.
	Since     stream.Time
	AppliedBy string
	AppliedAt time.Time
	EndedAt   time.Time // zero while it runs
}

// Versions keeps which versions of pipelines run. Safe for concurrent use, by any number of processes.
type Versions struct{ db *DB }

// Versions returns the table of versions.
func (db *DB) Versions() *Versions { return &Versions{db} }

// List returns all versions, those of a pipeline in the order in which they followed each other.
func (v *Versions) List(ctx context.Context) ([]Version, error) {
	const sql = `
SELECT instance, pipeline, take, file, body, since, applied_by, applied_at, ended_at FROM tidewatch_versions ORDER BY pipeline, seq`
	return query(ctx, v.db.statement("read versions of pipelines", sql), func(row pgx.CollectableRow) (Version, error) {
		var one Version
		var since *int64
		var ended *time.Time
		err := row.Scan(&one.Instance, &one.Pipeline, &one.Take, &one.File, &one.Body, &since, &one.AppliedBy, &one.AppliedAt, &ended)
		if one.Since = stream.NoTime; since != nil {
			one.Since = stream.Time(*since)
		}
		if ended != nil {
			one.EndedAt = *ended
		}
		return one, err
	})
}

const addVersionSQL = `
INSERT INTO tidewatch_versions (instance, pipeline, take, file, body, since, applied_by, applied_at) VALUES ($1, $2, $3, $4, $5, $6, $7, now())
ON CONFLICT (instance) DO NOTHING`

func (v *Version) args() []any {
	var since *int64
	if v.Since != stream.NoTime {
		n := int64(v.Since)
		since = &n
	}
	return []any{v.Instance, v.Pipeline, v.Take, v.File, v.Body, since, v.AppliedBy}
}

// Add notes a version that follows none.
func (v *Versions) Add(ctx context.Context, one *Version) error {
	_, err := query(ctx, v.db.statement("add version of pipeline", addVersionSQL+" RETURNING 1"), pgx.RowTo[int], one.args()...)
	return err
}

// End notes that all windows of a version are final. It may be called again.
func (v *Versions) End(ctx context.Context, instance string) error {
	const sql = `UPDATE tidewatch_versions SET ended_at = now() WHERE instance = $1 AND ended_at IS NULL RETURNING 1`
	_, err := query(ctx, v.db.statement("end version of pipeline", sql), pgx.RowTo[int], instance)
	return err
}

// Successor is a stream.Successions that notes both versions in the transaction in which one follows the other. Next is
// asked once the cut is known.
type Successor struct {
	DB   *DB
	Old  *Version
	Next func() *Version
}

// Succeed implements stream.Successions.
func (s *Successor) Succeed(ctx context.Context, instance string, turn func(rows []*stream.Checkpoint) (claims, fresh []*stream.Checkpoint, err error)) error {
	return s.DB.Claims().succeed(ctx, instance, turn, func(ctx context.Context, tx pgx.Tx) error {
		for _, v := range []*Version{s.Old, s.Next()} {
			if _, err := tx.Exec(ctx, addVersionSQL, v.args()...); err != nil {
				return err
			}
		}
		return nil
	})
}

// Records are the claimed records of all tasks of an instance.
func (s *ClaimStore) Records(ctx context.Context, instance string) (stages []string, records [][]byte, err error) {
	type row struct {
		Stage  string
		Record []byte
	}
	const sql = `SELECT stage, record FROM tidewatch_tasks WHERE instance = $1 ORDER BY task`
	rows, err := query(ctx, s.db.statement("read tasks of instance", sql), pgx.RowToStructByPos[row], instance)
	for _, r := range rows {
		stages, records = append(stages, r.Stage), append(records, r.Record)
	}
	return stages, records, err
}

// Supersede ends the alerts that still belong to a version of a pipeline after another has followed it at the cut, and
// returns how many. It may be called again.
func (s *AlertStore) Supersede(ctx context.Context, pipeline, version string, cut stream.Time) (int, error) {
	const sql = `SELECT t.body::text FROM tidewatch_alerts a JOIN tidewatch_transitions t ON t.id = a.transition
WHERE a.pipeline = $1 AND a.state IN ('pending', 'firing') ORDER BY a.id`
	open, err := query(ctx, s.db.statement("find open alerts of the pipeline", sql), scanTransition, pipeline)
	open = slices.DeleteFunc(open, func(t alerts.Transition) bool { return t.Alert.Version != version })
	if err != nil || len(open) == 0 {
		return 0, err
	}
	var d decisions
	for i := range open {
		t, err := alerts.Superseded(&open[i], cut)
		if err != nil {
			return 0, err
		}
		one, err := t.Decision()
		if err != nil {
			return 0, err
		}
		if err := d.add(1, []stream.Decision{one}); err != nil {
			return 0, err
		}
	}
	_, err = query(ctx, s.db.statement("end alerts of the version before", decideOnlySQL), pgx.RowTo[int], d.args()...)
	return len(open), err
}
