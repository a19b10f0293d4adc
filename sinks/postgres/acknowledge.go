package postgres

import (
	"context"
	"time"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/stream"
)

// acknowledgeSQL keeps the newest command of each alert by alerts.Logged.Newer. A statement must not touch a row twice, so
// the newest of the call is chosen first; the order by key keeps two calls from waiting for each other.
const acknowledgeSQL = `
INSERT INTO tidewatch_acknowledgements AS k (alert, at, log_offset, by, note)
SELECT DISTINCT ON (alert) alert, at, log_offset, by, note
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[]) AS c(alert, at, log_offset, by, note)
ORDER BY alert, at DESC, log_offset DESC
ON CONFLICT (alert) DO UPDATE SET at = EXCLUDED.at, log_offset = EXCLUDED.log_offset, by = EXCLUDED.by, note = EXCLUDED.note
WHERE (EXCLUDED.at, EXCLUDED.log_offset) > (k.at, k.log_offset)`

// Acknowledge folds commands of the topic alerts.CommandsTopic in. They may be repeated and come in any order: the newest
// of an alert wins. The alert itself need not be known yet. Commands must have passed alerts.Command.Validate.
func (s *AlertStore) Acknowledge(ctx context.Context, commands []alerts.Logged) error {
	var alert, by, note []string
	var at, offset []int64
	for i := range commands {
		c := &commands[i]
		if c.Command.Command != alerts.Acknowledge {
			continue
		}
		alert, by, note = append(alert, c.Alert), append(by, withoutNUL(c.By)), append(note, withoutNUL(c.Note))
		at, offset = append(at, c.Time.UnixNano()), append(offset, c.Offset)
	}
	if len(alert) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.db.timeout)
	defer cancel()
	if _, err := s.db.pool.Exec(ctx, acknowledgeSQL, alert, at, offset, by, note); err != nil {
		return failure("acknowledge alerts", err)
	}
	return nil
}

func instant(ns int64) time.Time { return stream.Time(ns).Go() }
