package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/tidewatch/tidewatch/stream"
)

func (a *app) ledgerCommand() *cobra.Command {
	return &cobra.Command{
		Use: "ledger", Short: "Show what became of every offset, by task", Args: cobra.NoArgs,
		Long: "Shows the ledgers of all tasks as of their newest claims. The difference between the offsets passed and the sum of the\n" +
			"buckets is 0; anything else is a defect, and the exit status is 8.",
		Example: "  tidewatch ledger -o csv",
		RunE:    func(c *cobra.Command, _ []string) error { return a.ledger(c.Context()) },
	}
}

// ledgerRow is one task.
type ledgerRow struct {
	Task       string           `json:"task"`
	First      int64            `json:"first"`
	Offset     int64            `json:"offset"`
	Ledger     map[string]int64 `json:"ledger"`
	Difference int64            `json:"difference"`
}

func (a *app) ledger(ctx context.Context) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	db, err := a.database(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	l := &listing{columns: []string{"task", "first", "offset"}}
	for b := range stream.Buckets {
		l.columns = append(l.columns, b.String())
	}
	l.columns = append(l.columns, "difference")
	wrong := 0
	err = db.Claims().Each(ctx, func(task string, epoch int64, record []byte) error {
		if epoch == 0 {
			return nil
		}
		var rec stream.Record
		if err := json.Unmarshal(record, &rec); err != nil {
			return fmt.Errorf("read the row of %s: %w", task, err)
		}
		row := ledgerRow{Task: task, First: rec.First, Offset: rec.At.Offset, Ledger: rec.Ledger.Map(), Difference: rec.At.Offset - rec.First - rec.Ledger.Sum()}
		if row.Difference != 0 {
			wrong++
		}
		cells := []string{task, strconv.FormatInt(rec.First, 10), strconv.FormatInt(rec.At.Offset, 10)}
		for _, n := range rec.Ledger {
			cells = append(cells, strconv.FormatInt(n, 10))
		}
		l.add(row, append(cells, strconv.FormatInt(row.Difference, 10))...)
		return nil
	})
	if err != nil {
		return fail(exitDependency, err)
	}
	if err := a.print(l); err != nil {
		return err
	}
	if wrong > 0 {
		return fail(exitCheck, fmt.Errorf("the ledger of %d tasks does not add up", wrong))
	}
	return nil
}
