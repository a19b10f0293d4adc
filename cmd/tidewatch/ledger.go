package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/sinks/postgres"
	"github.com/tidewatch/tidewatch/stream"
)

// ledgerFlags are what the ledger command is told.
type ledgerFlags struct {
	pipeline, by string
	watch        bool
	every        time.Duration
}

func (a *app) ledgerCommand() *cobra.Command {
	var f ledgerFlags
	c := &cobra.Command{
		Use: "ledger", Short: "Show what became of every offset", Args: cobra.NoArgs,
		Long: "Shows the ledgers of all tasks as of their newest claims. Each offset that a task has passed is in one bucket; gaps are told\n" +
			"apart into markers of transactions, records of aborted ones, and what the log does not hold (absent), as the log was when\n" +
			"it was read first. The difference between the offsets passed and the sum of the buckets is 0; anything else is a defect, and\n" +
			"the exit status is 8. --by sums up; a sum of differences is that of their amounts, so that two never hide each other.\n\n" +
			"The stages of a pipeline count offsets of topics of their own, each as of its newest claim. With --by stage or pipeline,\n" +
			"standard error says where those stand at different event times: what lies between is on its way, so their sums are not of\n" +
			"the same events.\n\n" +
			"A row of a task holds its newest claim only. --watch looks at the rows again and again, and writes a line of JSON for what\n" +
			"each task has claimed since the look before: with --every below the distance of epochs, a line for each epoch.",
		Example: "  tidewatch ledger -o csv\n  tidewatch ledger --by stage --pipeline host-cpu\n  tidewatch ledger --watch --every 500ms > ledger.jsonl",
		RunE: func(c *cobra.Command, _ []string) error {
			if f.watch {
				return a.watchLedger(c.Context(), &f)
			}
			return a.ledger(c.Context(), &f)
		},
	}
	c.Flags().StringVar(&f.pipeline, "pipeline", "", "tasks of this pipeline only, all versions")
	c.Flags().StringVar(&f.by, "by", "task", "a line for each task, stage or pipeline; versions of a pipeline are apart")
	c.Flags().BoolVar(&f.watch, "watch", false, "write what is claimed from now on, a line of JSON each")
	c.Flags().DurationVar(&f.every, "every", time.Second, "between two looks of --watch")
	return c
}

// ledgerRow is one task, or the sum of some.
type ledgerRow struct {
	Task       string           `json:"task,omitempty"` // of one
	Instance   string           `json:"instance"`       // pipeline and version
	Stage      string           `json:"stage,omitempty"`
	Partitions int              `json:"partitions"`
	Epoch      int64            `json:"epoch,omitempty"` // of one
	First      int64            `json:"first"`
	Offset     int64            `json:"offset"`
	Ledger     map[string]int64 `json:"ledger"`
	Gaps       map[string]int64 `json:"gaps"`
	Difference int64            `json:"difference"`
	Watermark  *time.Time       `json:"watermark"` // of the claim, the lowest of some; null if one has none

	counts stream.Ledger
	gaps   stream.Gaps
	mark   stream.Time
}

// ledgerOfRow reads a task's row.
func ledgerOfRow(task string, epoch int64, record []byte) (*ledgerRow, error) {
	var rec stream.Record
	if err := json.Unmarshal(record, &rec); err != nil {
		return nil, fmt.Errorf("read the row of %s: %w", task, err)
	}
	instance, rest, _ := strings.Cut(task, "/")
	stage, _, _ := strings.Cut(rest, "/")
	row := &ledgerRow{
		Task: task, Instance: instance, Stage: stage, Partitions: 1, Epoch: epoch, First: rec.First, Offset: rec.At.Offset,
		Difference: rec.At.Offset - rec.First - rec.Ledger.Sum(), counts: rec.Ledger,
		mark: rec.Mark,
	}
	if rec.Gaps != nil {
		row.gaps = *rec.Gaps
	}
	return row.named(), nil
}

// named fills what JSON shows from the counts.
func (r *ledgerRow) named() *ledgerRow {
	r.Ledger, r.Gaps = r.counts.Map(), r.gaps.Map(&r.counts)
	if r.Watermark = nil; r.mark != stream.NoTime {
		at := r.mark.Go()
		r.Watermark = &at
	}
	return r
}

// add sums up. First and Offset become sums too: their distance is the number of offsets passed.
func (r *ledgerRow) add(other *ledgerRow) {
	r.Partitions += other.Partitions
	r.First, r.Offset = r.First+other.First, r.Offset+other.Offset
	r.Difference = max(r.Difference, -r.Difference) + max(other.Difference, -other.Difference)
	r.counts.Add(&other.counts)
	r.gaps.Add(other.gaps)
	r.mark = min(r.mark, other.mark)
	r.named()
}

// ledgers reads the rows of the tasks that are asked for.
func (f *ledgerFlags) ledgers(ctx context.Context, db *postgres.DB) (rows []*ledgerRow, err error) {
	err = db.Claims().Each(ctx, func(task string, epoch int64, record []byte) error {
		if pipeline, _, _, _ := placeOf(task); epoch == 0 || f.pipeline != "" && pipeline != f.pipeline {
			return nil
		}
		row, err := ledgerOfRow(task, epoch, record)
		rows = append(rows, row)
		return err
	})
	return rows, fail(exitDependency, err)
}

// summed joins rows of one stage, or of one pipeline.
func (f *ledgerFlags) summed(rows []*ledgerRow) (sums []*ledgerRow) {
	if f.by == "task" {
		return rows
	}
	for _, r := range rows {
		r.Task, r.Epoch = "", 0
		if f.by == "pipeline" {
			r.Stage = ""
		}
		same := func(s *ledgerRow) bool { return s.Instance == r.Instance && s.Stage == r.Stage }
		if i := slices.IndexFunc(sums, same); i >= 0 {
			sums[i].add(r)
		} else {
			sums = append(sums, r)
		}
	}
	slices.SortFunc(sums, func(a, b *ledgerRow) int {
		return cmp.Or(cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Stage, b.Stage))
	})
	return sums
}

func (f *ledgerFlags) check() error {
	switch {
	case !slices.Contains([]string{"task", "stage", "pipeline"}, f.by):
		return fail(exitUsage, fmt.Errorf("--by %s: there are task, stage and pipeline", f.by))
	case f.watch && f.by != "task":
		return fail(exitUsage, errors.New("--watch shows tasks: leave --by out"))
	case f.every <= 0:
		return fail(exitUsage, fmt.Errorf("--every %s: use a duration above 0", f.every))
	}
	return nil
}

func (a *app) ledger(ctx context.Context, f *ledgerFlags) error {
	if err := errors.Join(a.checkOutput(), f.check()); err != nil {
		return err
	}
	db, err := a.database(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	rows, err := f.ledgers(ctx, db)
	if err != nil {
		return err
	}
	if !a.quiet && f.by != "task" {
		for _, apart := range stagesApart(rows) {
			fmt.Fprintln(a.errs, apart)
		}
	}
	sums := f.summed(rows)
	if err := a.print(ledgerListing(f.by, sums)); err != nil {
		return err
	}
	wrong := 0
	for _, r := range sums {
		if r.Difference != 0 {
			wrong++
		}
	}
	if wrong > 0 {
		return fail(exitCheck, fmt.Errorf("%d of %d ledgers do not add up", wrong, len(sums)))
	}
	return nil
}

// stagesApart says which stages of one instance stand at different event times.
func stagesApart(rows []*ledgerRow) (said []string) {
	type stage struct{ instance, name string }
	marks := map[stage]stream.Time{}
	byInstance := map[string][]string{}
	for _, r := range rows {
		s := stage{r.Instance, r.Stage}
		mark, known := marks[s]
		if !known {
			mark = stream.MaxTime
			byInstance[r.Instance] = append(byInstance[r.Instance], r.Stage)
		}
		marks[s] = min(mark, r.mark)
	}
	for _, instance := range sortedKeys(byInstance) {
		var each []string
		same := true
		for _, name := range byInstance[instance] {
			mark := marks[stage{instance, name}]
			same = same && mark == marks[stage{instance, byInstance[instance][0]}]
			through := "none yet"
			if mark != stream.NoTime {
				through = mark.String()
			}
			each = append(each, name+" "+through)
		}
		if !same {
			said = append(said, fmt.Sprintf("%s: the watermarks of the stages are %s; what lies between is on its way", instance, strings.Join(each, ", ")))
		}
	}
	return said
}

func ledgerListing(by string, rows []*ledgerRow) *listing {
	l := &listing{columns: map[string][]string{
		"task": {"task"}, "stage": {"instance", "stage", "partitions"}, "pipeline": {"instance", "partitions"},
	}[by]}
	l.columns = append(l.columns, "first", "offset")
	for b := range stream.Buckets {
		l.columns = append(l.columns, b.String())
	}
	for _, k := range stream.GapKinds() {
		l.columns = append(l.columns, k.String())
	}
	l.columns = append(l.columns, "difference")
	for _, r := range rows {
		cells := map[string][]string{
			"task": {r.Task}, "stage": {r.Instance, r.Stage, strconv.Itoa(r.Partitions)}, "pipeline": {r.Instance, strconv.Itoa(r.Partitions)},
		}[by]
		cells = append(cells, strconv.FormatInt(r.First, 10), strconv.FormatInt(r.Offset, 10))
		for _, n := range r.counts {
			cells = append(cells, strconv.FormatInt(n, 10))
		}
		for _, k := range stream.GapKinds() {
			cells = append(cells, strconv.FormatInt(r.Gaps[k.String()], 10))
		}
		l.add(r, append(cells, strconv.FormatInt(r.Difference, 10))...)
	}
	return l
}

// ledgerStep is what a task has claimed between two looks.
type ledgerStep struct {
	Task       string           `json:"task"`
	Epochs     [2]int64         `json:"epochs"`  // the first and the last of them
	Offsets    [2]int64         `json:"offsets"` // the first, and the next after the last
	Ledger     map[string]int64 `json:"ledger"`  // what was counted, without zeros
	Gaps       map[string]int64 `json:"gaps,omitempty"`
	Difference int64            `json:"difference"` // of this step
}

// stepOf is what has changed; nil if nothing was claimed, or if the task was not known before.
func stepOf(before, now *ledgerRow) *ledgerStep {
	if before == nil || now.Epoch == before.Epoch {
		return nil
	}
	s := &ledgerStep{
		Task: now.Task, Epochs: [2]int64{before.Epoch + 1, now.Epoch}, Offsets: [2]int64{before.Offset, now.Offset},
		Ledger: map[string]int64{}, Gaps: map[string]int64{}, Difference: now.Difference - before.Difference,
	}
	for _, m := range []struct{ into, from, less map[string]int64 }{{s.Ledger, now.Ledger, before.Ledger}, {s.Gaps, now.Gaps, before.Gaps}} {
		for k, n := range m.from {
			if n != m.less[k] {
				m.into[k] = n - m.less[k]
			}
		}
	}
	return s
}

// watchLedger writes steps until ctx is done. A task that is new begins with its next claim.
func (a *app) watchLedger(ctx context.Context, f *ledgerFlags) error {
	if err := errors.Join(a.checkOutput(), f.check()); err != nil {
		return err
	}
	db, err := a.database(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	before := map[string]*ledgerRow{}
	lines := json.NewEncoder(a.out)
	for {
		rows, err := f.ledgers(ctx, db)
		if err != nil {
			return err
		}
		for _, r := range rows {
			s := stepOf(before[r.Task], r)
			before[r.Task] = r
			if s == nil {
				continue
			}
			if err := lines.Encode(s); err != nil {
				return fmt.Errorf("write ledger: %w", err)
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-clock.System{}.After(f.every):
		}
	}
}
