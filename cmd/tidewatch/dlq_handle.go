package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

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
		Use: "retry [ID …]", Short: "Send rejected records to their topics again",
		Long: "Sends open records to their topics again: the same bytes and key, to the same partition, with the header\n" +
			sinkkafka.HeaderRetryOf + ". A record is sent once, whichever of its letters chooses it and however many there are. Then all its\n" +
			"letters are marked as retried; should that fail, another retry would send the record twice. One that is rejected once more\n" +
			"is another record.\n\n" + dlqID,
		Example: "  tidewatch dlq retry metrics/3/1042\n  tidewatch dlq retry --pipeline host-cpu --reason invalid_time --dry-run\n  tidewatch dlq retry --all",
	}
	if state == sinkkafka.Dropped {
		f.verb = "drop"
		c.Use, c.Short = "drop [ID …]", "Mark rejected records as needed by nobody"
		c.Long = "Marks all letters of open records as dropped. They stay on their topic until its retention, and can be retried all the same.\n\n" + dlqID
		c.Example = "  tidewatch dlq drop metrics/3/1042 --note \"a test of the new agent\"\n  tidewatch dlq drop --topic logs --reason invalid_json"
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
		return fail(exitUsage, fmt.Errorf("%s what? name records, choose them by --kind, --pipeline, --topic or --reason, or say --all", f.verb))
	case len(f.ids) > 0 && f.all:
		return fail(exitUsage, errors.New("give ids or --all"))
	}
	return f.filter.check()
}

// deadRecord is a rejected record, and what became of it now.
type deadRecord struct {
	*sinkkafka.DeadRecord

	sentTo string
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
	if !f.dryRun && len(chosen) > 0 {
		if err := f.handle(ctx, k, chosen); err != nil {
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

// handle sends records again if that is asked for, and notes it beside the letters.
func (f *handleFlags) handle(ctx context.Context, k kafkaclient.Config, chosen []*deadRecord) error {
	client, err := sinkkafka.Open(sinkkafka.Config{Client: k})
	if err != nil {
		return fail(exitUsage, err)
	}
	defer func() { _ = client.Close() }() // everything is acknowledged, or reported
	if f.state == sinkkafka.Retried {
		if err := resend(ctx, client, k, chosen); err != nil {
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

// resend sends the records to their topics. What cannot be sent as it was is left, with the reason.
func resend(ctx context.Context, client *sinkkafka.Client, k kafkaclient.Config, chosen []*deadRecord) error {
	topics, err := topicsOf(ctx, k)
	if err != nil {
		return err
	}
	var records []sinkkafka.Record
	var of []*deadRecord
	for _, d := range chosen {
		rec, err := retryOf(ctx, k, topics, d.DeadRecord)
		if err != nil {
			d.err = err
			continue
		}
		records, of = append(records, rec), append(of, d)
	}
	places, errs := client.Send(ctx, records)
	for i, d := range of {
		if d.err = errs[i]; d.err == nil {
			d.sentTo = places[i].Topic + "/" + strconv.Itoa(int(places[i].Partition)) + "/" + strconv.FormatInt(places[i].Offset, 10)
		}
	}
	return nil
}

func topicsOf(ctx context.Context, k kafkaclient.Config) (kadm.TopicDetails, error) {
	opts, err := k.Options(nil)
	if err != nil {
		return nil, err
	}
	c, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("open Kafka client: %w", err)
	}
	defer c.Close()
	topics, err := kadm.NewClient(c).ListTopics(ctx)
	if err != nil {
		return nil, kafkaclient.Mark(fmt.Errorf("list topics: %w", err))
	}
	return topics, nil
}

// retryOf is the record as it was, marked. A letter that holds a part of the record only is completed from the log.
func retryOf(ctx context.Context, k kafkaclient.Config, topics kadm.TopicDetails, d *sinkkafka.DeadRecord) (sinkkafka.Record, error) {
	if d.Topic == "" || d.Partition < 0 || d.Offset < 0 {
		return sinkkafka.Record{}, errors.New("the letter does not say where its record came from")
	}
	t, ok := topics[d.Topic]
	if !ok || int(d.Partition) >= len(t.Partitions) {
		return sinkkafka.Record{}, fmt.Errorf("partition %d of topic %s does not exist: create it, or drop the letter", d.Partition, d.Topic)
	}
	rec := sinkkafka.Record{
		Topic: d.Topic, Partition: d.Partition, Key: d.Key, Value: d.Raw,
		Headers: []kgo.RecordHeader{{Key: sinkkafka.HeaderRetryOf, Value: []byte(d.Place())}},
	}
	if d.Size > len(d.Raw) {
		r, err := sinkkafka.Find(ctx, k, d.Topic, d.Partition, d.Offset)
		if err != nil {
			return sinkkafka.Record{}, fmt.Errorf("the letter holds %d of %d bytes, and the record itself cannot be read: %w", len(d.Raw), d.Size, err)
		}
		rec.Key, rec.Value = r.Key, r.Value
	}
	return rec, nil
}

// tellHandled prints what became of each record.
func (a *app) tellHandled(f *handleFlags, chosen []*deadRecord) error {
	l := &listing{columns: []string{"record", "letters", "outcome", "sent_to"}}
	failed := 0
	for _, d := range chosen {
		outcome := f.state
		switch {
		case d.err != nil:
			outcome, failed = d.err.Error(), failed+1
		case f.dryRun:
			outcome = "would be " + f.state
		}
		row := map[string]any{"record": d.Place(), "letters": len(d.Rejections), "outcome": outcome, "sent_to": d.sentTo}
		l.add(row, d.Place(), strconv.Itoa(len(d.Rejections)), outcome, d.sentTo)
	}
	if len(chosen) == 0 && !a.quiet {
		fmt.Fprintln(a.errs, "no open records are chosen")
	}
	if err := a.print(l); err != nil {
		return err
	}
	switch {
	case failed > 0 && failed == len(chosen):
		return fail(exitFailed, errors.New("no record was "+f.state))
	case failed > 0:
		return fail(exitPartial, fmt.Errorf("%d of %d records were not %s", failed, len(chosen), f.state))
	}
	return nil
}
