package postgres

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tidewatch/tidewatch/stream"
)

var _ stream.Predecessors = (*ClaimStore)(nil)

// Predecessors implements stream.Predecessors: names of rows that differ from the task's in the incarnation only.
func (s *ClaimStore) Predecessors(ctx context.Context, task stream.TaskID) ([]string, error) {
	other := task
	other.Partition.Incarnation = "\x00"
	before, after, _ := strings.Cut(other.String(), "\x00")
	rows := s.db.statement("look for rows of an earlier topic", `
SELECT task FROM tidewatch_tasks
WHERE epoch > 0 AND task <> $1 AND starts_with(task, $2) AND right(task, length($3)) = $3
  AND substr(task, length($2) + 1, length(task) - length($2) - length($3)) !~ '[./]'
ORDER BY task`)
	return query(ctx, rows, pgx.RowTo[string], task.String(), before, after)
}
