package engine

import (
	"context"
	"fmt"
	"maps"

	"github.com/tidewatch/tidewatch/stream"
)

// park is what sinks of the task call as TaskContext.Park. The dead letters are flushed behind all other outputs, before the
// epoch is claimed. After a restart the replay parks the same rows once more: a letter says which row it is about, so readers
// drop the repeat.
func (t *task) park(ctx context.Context, row *stream.Rejected) error {
	letter := *row
	letter.Kind = stream.LetterParked
	if err := t.dead.Write(ctx, []stream.Rejected{letter}); err != nil {
		return fmt.Errorf("park a row of %s: %w", row.Row.Output, err)
	}
	s := &t.status
	s.mu.Lock()
	parked := maps.Clone(s.mu.now.Parked)
	if parked == nil {
		parked = map[string]int64{}
	}
	parked[row.Row.Output]++
	first := parked[row.Row.Output] == 1
	s.mu.now.Parked = parked
	s.mu.Unlock()
	if first { // the metric counts the others
		t.log.Warn("output refuses a row; it is parked as a dead letter, see tidewatch dlq ls --kind parked",
			"output", row.Row.Output, "row", row.Row.Name, "reason", row.Reason)
	}
	return nil
}
