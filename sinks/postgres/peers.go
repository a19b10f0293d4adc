package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/tidewatch/tidewatch/stream"
)

var _ stream.Peers = (*ClaimStore)(nil)

const peersSQL = ` FROM tidewatch_tasks t
WHERE t.instance = $1 AND t.stage = $2 AND t.topic = $3 AND t.incarnation = $4`

// PeerRecords implements stream.Peers.
func (s *ClaimStore) PeerRecords(ctx context.Context, task stream.TaskID) ([][]byte, error) {
	p := task.Partition
	rows := s.db.statement("read records of peers", `SELECT t.record`+peersSQL+` AND t.epoch > 0 ORDER BY t.task`)
	return query(ctx, rows, pgx.RowTo[[]byte], task.Instance, task.Stage, p.Topic, p.Incarnation)
}

// PeerKeys implements stream.Peers.
func (s *ClaimStore) PeerKeys(ctx context.Context, task stream.TaskID) (map[int32][]byte, error) {
	p, keys := task.Partition, map[int32][]byte{}
	read := func(row pgx.CollectableRow) (struct{}, error) {
		var partition int32
		var body []byte
		err := row.Scan(&partition, &body)
		keys[partition] = body
		return struct{}{}, err
	}
	rows := s.db.statement("read keys of peers", `SELECT t.partition, (SELECT k.keys FROM tidewatch_keys k WHERE k.task = t.task)`+
		peersSQL+` AND EXISTS (SELECT FROM tidewatch_keys k WHERE k.task = t.task)`)
	_, err := query(ctx, rows, read, task.Instance, task.Stage, p.Topic, p.Incarnation)
	return keys, err
}

// SaveKeys implements stream.Peers.
func (s *ClaimStore) SaveKeys(ctx context.Context, task stream.TaskID, keys []byte) error {
	row := s.db.statement("save keys", `
INSERT INTO tidewatch_keys AS k (task, keys) VALUES ($1, $2) ON CONFLICT (task) DO UPDATE SET keys = EXCLUDED.keys`)
	_, err := query(ctx, row, pgx.RowTo[int], task.String(), keys)
	return err
}
