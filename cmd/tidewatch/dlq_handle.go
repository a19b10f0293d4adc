package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/tidewatch/tidewatch/internal/kafkaclient"
	sinkkafka "github.com/tidewatch/tidewatch/sinks/kafka"
)

// handleFlags are what retry and drop are told.
type handleFlags struct {
	filter      deadFilter
	ids         []string
	all, again  bool
	dryRun      bool
	by, note    string
	state, verb string // what becomes of the letters
}

// dlqHandle is retry or drop: they choose letters alike.
func (a *app) dlqHandle(state string) *cobra.Command {
	f := handleFlags{state: state, verb: "retry"}
	c := &cobra.Command{
		Use: "retry [ID …]", Short: "Send rejected and quarantined records to their topics again, and write parked rows",
		Long: "Sends open records to their topics again: the same bytes and key, to the same partition, with the header\n" +
			sinkkafka.HeaderRetryOf + ". A record is sent once, whichever of its letters chooses it and however many there are. Then all its\n" +
			"letters are marked as retried; should that fail, another retry would send the record twice. One that is rejected once more\n" +
			"is another record. A quarantined record is sent like any other, and takes its pipelines down once more unless they have\n" +
			"changed, or tidewatch has.\n\n" +
			"Parked rows are written to their outputs: a Kafka row to its topic, under the name that lets readers drop a repeat; a block\n" +
			"of rows to Redis, where a newer one stays. The cause is to be mended first: what is refused again stays open.\n\n" +
			"--dry-run looks at everything that a retry needs, and lists what would be sent where, and what could not.\n\n" + dlqID,
		Example: "  tidewatch dlq retry metrics/3/1042\n  tidewatch dlq retry --pipeline host-cpu --reason invalid_time --dry-run\n" +
			"  tidewatch dlq retry --kind parked --since now-1d\n  tidewatch dlq retry --all",
	}
	if state == sinkkafka.Dropped {
		f.verb = "drop"
		c.Use, c.Short = "drop [ID …]", "Mark dead letters as needed by nobody"
		c.Long = "Marks all letters of open records, and of open parked rows, as dropped.\nThey stay on their topic until its retention, and can be retried all the same.\n\n" + dlqID
		c.Example = "  tidewatch dlq drop metrics/3/1042 --note \"a test of the new agent\"\n  tidewatch dlq drop --topic logs --reason invalid_json --until now-1d --dry-run"
	}
	f.filter.flags(c)
	fl := c.Flags()
	fl.BoolVar(&f.all, "all", false, "all records")
	fl.BoolVar(&f.again, "again", false, "also records that were retried or dropped before")
	fl.BoolVar(&f.dryRun, "dry-run", false, "only show what would be done")
	fl.StringVar(&f.by, "by", "", "who does it; default the user's name")
	fl.StringVar(&f.note, "note", "", "a note for the others")
	c.RunE = func(c *cobra.Command, args []string) error {
		f.ids = args
		return a.handleDead(c.Context(), &f)
	}
	return c
}

// check refuses what does not say which letters.
func (f *handleFlags) check() error {
	filtered := !f.filter.empty()
	switch {
	case len(f.ids) == 0 && !filtered && !f.all:
		return fail(exitUsage, fmt.Errorf("%s what? name records, choose them by --kind, --pipeline, --topic, --reason, --since or --until, or say --all", f.verb))
	case len(f.ids) > 0 && f.all:
		return fail(exitUsage, errors.New("give ids or --all"))
	}
	return f.filter.check()
}

// deadRecord is what letters are about, and what became of it now.
type deadRecord struct {
	*sinkkafka.DeadRecord

	record *sinkkafka.Record // that a retry sends; nil of a block for Redis
	sentTo string            // where it lies now, or would
	err    error
}

func (a *app) handleDead(ctx context.Context, f *handleFlags) error {
	if err := errors.Join(a.checkOutput(), f.check()); err != nil {
		return err
	}
	c, err := a.load()
	if err != nil {
		return err
	}
	k := kafkaConfig(c.Kafka)
	chosen, err := f.choose(ctx, k)
	if err != nil {
		return deadError(err)
	}
	if f.state == sinkkafka.Retried && len(chosen) > 0 {
		a.warnOfQuarantined(chosen)
		if err := prepareRetry(ctx, k, chosen); err != nil {
			return deadError(err)
		}
	}
	if !f.dryRun && len(chosen) > 0 {
		if err := a.handleChosen(ctx, f, k, chosen); err != nil {
			return deadError(err)
		}
	}
	return a.tellHandled(f, chosen)
}

// choose reads the records that are meant. An id that none has is an error.
func (f *handleFlags) choose(ctx context.Context, k kafkaclient.Config) (chosen []*deadRecord, err error) {
	all, err := sinkkafka.ReadDeadRecords(ctx, k)
	if err != nil {
		return nil, err
	}
	found := make([]bool, len(f.ids))
	for _, d := range all {
		meant := len(f.ids) == 0
		for i, id := range f.ids {
			if named(d, id) {
				meant, found[i] = true, true
			}
		}
		if meant && f.filter.passes(d) && (f.again || d.State() == sinkkafka.Unhandled) {
			chosen = append(chosen, &deadRecord{DeadRecord: d})
		}
	}
	if i := slices.Index(found, false); i >= 0 {
		return nil, fail(exitNotFound, fmt.Errorf("there is no dead letter %s; see tidewatch dlq ls --state all", f.ids[i]))
	}
	return chosen, nil
}

// handleChosen sends records again if that is asked for, and notes it beside the letters.
func (a *app) handleChosen(ctx context.Context, f *handleFlags, k kafkaclient.Config, chosen []*deadRecord) error {
	client, err := sinkkafka.Open(sinkkafka.Config{Client: k})
	if err != nil {
		return fail(exitUsage, err)
	}
	defer func() { _ = client.Close() }() // everything is acknowledged, or reported
	if f.state == sinkkafka.Retried {
		resend(ctx, client, chosen)
		if err := a.rewriteBlocks(ctx, chosen); err != nil {
			return err
		}
	}
	by := f.by
	if by == "" {
		by = whoami()
	}
	var notes []sinkkafka.Record
	var of []*deadRecord
	for _, d := range chosen {
		if d.err != nil {
			continue
		}
		for _, n := range sinkkafka.HandlingRecords(d.DeadRecord, sinkkafka.Handling{State: f.state, By: by, Note: f.note, SentTo: d.sentTo}) {
			notes, of = append(notes, n), append(of, d)
		}
	}
	_, errs := client.Send(ctx, notes)
	for i, err := range errs {
		if err != nil {
			of[i].err = fmt.Errorf("note that it is %s: %w", f.state, err)
		}
	}
	return nil
}

// tellHandled prints what became of each record.
func (a *app) tellHandled(f *handleFlags, chosen []*deadRecord) error {
	l := &listing{columns: []string{"record", "kind", "letters", "outcome", "sent_to"}}
	failed := 0
	for _, d := range chosen {
		outcome := f.state
		switch {
		case d.err != nil:
			outcome, failed = d.err.Error(), failed+1
		case f.dryRun:
			outcome = "would be " + f.state
		}
		row := map[string]any{
			"id": d.Rejections[0].ID, "record": d.Place(), "kind": kindsOf(d.DeadRecord), "letters": len(d.Rejections), "outcome": outcome, "sent_to": d.sentTo,
		}
		l.add(row, d.Place(), kindsOf(d.DeadRecord), strconv.Itoa(len(d.Rejections)), outcome, d.sentTo)
	}
	if err := a.print(l); err != nil {
		return err
	}
	switch {
	case a.quiet:
	case len(chosen) == 0:
		fmt.Fprintln(a.errs, "no open records are chosen")
	case f.dryRun:
		fmt.Fprintf(a.errs, "%d would be %s, %d could not; nothing was done\n", len(chosen)-failed, f.state, failed)
	default:
		fmt.Fprintf(a.errs, "%d %s, %d not\n", len(chosen)-failed, f.state, failed)
	}
	switch {
	case failed > 0 && failed == len(chosen):
		return fail(exitFailed, errors.New("no record was "+f.state))
	case failed > 0:
		return fail(exitPartial, fmt.Errorf("%d of %d records were not %s", failed, len(chosen), f.state))
	}
	return nil
}
