package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/tidewatch/tidewatch/sinks/postgres"
	"github.com/tidewatch/tidewatch/stream"
)

// stalledAfter is how long a task with records to read may go without a claim.
const stalledAfter = 2 * time.Minute

// taskRow is a row of Postgres beside the log.
type taskRow struct {
	task, instance, topic, incarnation string
	partition                          int32
	quiet                              time.Duration // since the last claim
	record                             stream.Record
}

func (e *examination) examineTasks(ctx context.Context, db *postgres.DB) {
	rows, err := readTasks(ctx, db)
	if err != nil {
		e.fail("tasks", "", "%v", oneLine(err))
		return
	}
	running := map[string]bool{"tidewatch.commands@1": true}
	for _, d := range e.described {
		running[d.Instance] = true
	}
	rows = slices.DeleteFunc(rows, func(r taskRow) bool { return !running[r.instance] })
	if len(rows) == 0 {
		e.warn("tasks", "start a worker: tidewatch serve", "none of these pipelines has run yet")
		return
	}
	bad := len(e.findings)
	var stalled, lost, anew, wrong []string
	for i := range rows {
		r := &rows[i]
		if r.record.At.Offset-r.record.First != r.record.Ledger.Sum() {
			wrong = append(wrong, r.task)
		}
		if e.ends.topics == nil {
			continue
		}
		t, ok := e.ends.topics[r.topic]
		first, ok1 := e.ends.first.Lookup(r.topic, r.partition)
		last, ok2 := e.ends.last.Lookup(r.topic, r.partition)
		switch {
		case !ok || !ok1 || !ok2 || r.incarnation != "" && hex.EncodeToString(t.ID[:]) != r.incarnation:
			anew = append(anew, r.task)
		case first.Offset > r.record.Snapshot.At.Offset && first.Offset > r.record.First:
			lost = append(lost, fmt.Sprintf("%s: the snapshot is at %d, the log begins at %d", r.task, r.record.Snapshot.At.Offset, first.Offset))
		case last.Offset > r.record.At.Offset && r.quiet > stalledAfter:
			stalled = append(stalled, fmt.Sprintf("%s: %d records behind, last claim %s ago", r.task, last.Offset-r.record.At.Offset, r.quiet.Round(time.Second)))
		}
	}
	e.each(lost, "raise the topic's retention; replay what is missing from the archive", "records that a recovery needs are deleted")
	e.each(stalled, "see the log of its worker, and tidewatch top; start one if there is none", "does not go on")
	e.each(wrong, "report it with the row: it is a defect", "the ledger does not add up")
	if len(anew) > 0 {
		e.warn("tasks", "a new instance of the pipeline starts at the new topic's beginning", "%d tasks are of topics that were deleted or made anew, %s first", len(anew), anew[0])
	}
	if len(e.findings) == bad {
		e.ok("tasks", "%d tasks of %d pipelines are alive", len(rows), len(running)-1)
	}
}

// each reports tasks with one trouble; beyond a few only how many.
func (e *examination) each(tasks []string, fix, what string) {
	const shown = 5
	for _, t := range tasks[:min(len(tasks), shown)] {
		e.fail("tasks", fix, "%s (%s)", what, t)
	}
	if n := len(tasks) - shown; n > 0 {
		e.fail("tasks", fix, "%s, of %d more tasks", what, n)
	}
}

func readTasks(ctx context.Context, db *postgres.DB) (all []taskRow, err error) {
	rows, err := db.Pool().Query(ctx, `SELECT task, instance, topic, incarnation, partition,
		extract(epoch FROM clock_timestamp() - coalesce(claimed_at, taken_at))::float8, record
		FROM tidewatch_tasks WHERE epoch > 0 ORDER BY task`)
	if err != nil {
		return nil, fmt.Errorf("read the tasks: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r taskRow
		var quiet float64
		var record []byte
		if err := rows.Scan(&r.task, &r.instance, &r.topic, &r.incarnation, &r.partition, &quiet, &record); err != nil {
			return nil, fmt.Errorf("read the tasks: %w", err)
		}
		if err := json.Unmarshal(record, &r.record); err != nil {
			return nil, fmt.Errorf("read the row of %s: %w", r.task, err)
		}
		r.quiet = time.Duration(quiet * float64(time.Second))
		all = append(all, r)
	}
	return all, rows.Err()
}
