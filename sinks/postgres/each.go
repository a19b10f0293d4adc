package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Each calls f with every task's row in the order of the names, for people: the ledger, and what a worker would take over.
// A row that was never claimed has epoch 0 and no record.
func (s *ClaimStore) Each(ctx context.Context, f func(task string, epoch int64, record []byte) error) error {
	type row struct {
		Task   string
		Epoch  int64
		Record []byte
	}
	all := s.db.statement("read task rows", "SELECT task, epoch, record FROM tidewatch_tasks ORDER BY task")
	rows, err := query(ctx, all, pgx.RowToStructByPos[row])
	if err != nil {
		return err
	}
	for _, r := range rows {
		if err := f(r.Task, r.Epoch, r.Record); err != nil {
			return err
		}
	}
	return nil
}
