package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/tidewatch/tidewatch/internal/kafkaclient"
	sinkkafka "github.com/tidewatch/tidewatch/sinks/kafka"
	"github.com/tidewatch/tidewatch/stream"
)

// deadFilter chooses dead letters.
type deadFilter struct{ pipeline, topic, reason string }

func (f *deadFilter) passes(d *sinkkafka.DeadLetter) bool {
	return (f.pipeline == "" || f.pipeline == d.Pipeline) && (f.topic == "" || f.topic == d.Topic) && strings.Contains(d.Reason, f.reason)
}

func (f *deadFilter) flags(c *cobra.Command) {
	c.Flags().StringVar(&f.pipeline, "pipeline", "", "pipeline that rejected the record")
	c.Flags().StringVar(&f.topic, "topic", "", "topic that the record came from")
	c.Flags().StringVar(&f.reason, "reason", "", "a part of the reason")
}

// openState is the state of a letter that nobody has done anything about.
const openState = "open"

// dlqID explains how letters are named.
const dlqID = "A letter is named by the place of its record, TOPIC/PARTITION/OFFSET, or by its own on the topic\n" +
	sinkkafka.DeadLetterTopic + ", PARTITION-OFFSET."

func (a *app) dlqCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "dlq", Short: "Dead letters, records that did not decode or failed validation: list, show, retry, drop",
		Long: "Dead letters are records that did not decode or failed validation. They wait on the topic " + sinkkafka.DeadLetterTopic + "\n" +
			"until its retention.\n\n" + dlqID,
		Example: "  tidewatch dlq ls --topic metrics\n  tidewatch dlq show metrics/3/1042\n  tidewatch dlq retry --pipeline host-cpu --dry-run",
	}
	c.AddCommand(a.dlqList(), a.dlqShow(), a.dlqHandle(sinkkafka.Retried), a.dlqHandle(sinkkafka.Dropped))
	return c
}

func (a *app) dlqList() *cobra.Command {
	var f deadFilter
	var states []string
	ls := &cobra.Command{
		Use: "ls", Short: "List dead letters, oldest first", Args: cobra.NoArgs,
		Long: "Lists dead letters, and what was done about each: open, retried or dropped.",
		Example: "  tidewatch dlq ls --state open\n" +
			"  tidewatch dlq ls --reason invalid_json -o jsonl",
		RunE: func(c *cobra.Command, _ []string) error { return a.listDead(c.Context(), &f, states) },
	}
	f.flags(ls)
	ls.Flags().StringSliceVar(&states, "state", nil, "states: open, retried, dropped; default all")
	return ls
}

func (a *app) dlqShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a dead letter with its record", Args: cobra.ExactArgs(1), Long: "Shows a dead letter with its record.\n\n" + dlqID,
		Example: "  tidewatch dlq show metrics/3/1042\n  tidewatch dlq show 0-17 -o json",
		RunE:    func(c *cobra.Command, args []string) error { return a.showDead(c.Context(), args[0]) },
	}
}

// deadRow is a letter with what was done about it.
type deadRow struct {
	ID string `json:"id"`
	sinkkafka.DeadLetter
	State   string              `json:"state"`
	Handled *sinkkafka.Handling `json:"handled,omitempty"`

	placed sinkkafka.PlacedLetter
}

// dead calls f with all letters, oldest first in each partition.
func dead(ctx context.Context, c kafkaclient.Config, f func(*deadRow) error) error {
	handled, err := sinkkafka.ReadHandled(ctx, c)
	if err != nil {
		return err
	}
	return sinkkafka.ReadPlacedLetters(ctx, c, func(l sinkkafka.PlacedLetter) error {
		row := deadRow{ID: fmt.Sprintf("%d-%d", l.AtPartition, l.AtOffset), DeadLetter: l.DeadLetter, State: openState, placed: l}
		if row.Handled = handled.Of(&l.DeadLetter); row.Handled != nil {
			row.State = row.Handled.State
		}
		return f(&row)
	})
}

// is reports whether the letter is named so.
func (r *deadRow) is(id string) bool { return r.ID == id || place(&r.DeadLetter) == id }

func place(d *sinkkafka.DeadLetter) string {
	return d.Topic + "/" + strconv.Itoa(int(d.Partition)) + "/" + strconv.FormatInt(d.Offset, 10)
}

func (a *app) listDead(ctx context.Context, f *deadFilter, states []string) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	all := []string{openState, sinkkafka.Retried, sinkkafka.Dropped}
	for _, s := range states {
		if !slices.Contains(all, s) {
			return fail(exitUsage, fmt.Errorf("--state %s: there are %s", s, strings.Join(all, ", ")))
		}
	}
	c, err := a.load()
	if err != nil {
		return err
	}
	l := &listing{columns: []string{"id", "record", "pipeline", "timestamp", "state", "reason"}}
	err = dead(ctx, kafkaConfig(c.Kafka), func(r *deadRow) error {
		if f.passes(&r.DeadLetter) && (len(states) == 0 || slices.Contains(states, r.State)) {
			l.add(r, r.ID, place(&r.DeadLetter), r.Pipeline, r.Timestamp, r.State, r.Reason)
		}
		return nil
	})
	if err != nil {
		return deadError(err)
	}
	return a.print(l)
}

// deadError gives an error about Kafka its exit code; one that has a code keeps it.
func deadError(err error) error {
	if _, ok := errors.AsType[coded](err); ok {
		return err
	}
	if stream.KindOfError(err) == stream.Retry {
		return fail(exitDependency, err)
	}
	return fail(exitFailed, err)
}

func (a *app) showDead(ctx context.Context, id string) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	c, err := a.load()
	if err != nil {
		return err
	}
	var rows []*deadRow
	err = dead(ctx, kafkaConfig(c.Kafka), func(r *deadRow) error {
		if r.is(id) {
			rows = append(rows, r)
		}
		return nil
	})
	switch {
	case err != nil:
		return deadError(err)
	case len(rows) == 0:
		return fail(exitNotFound, fmt.Errorf("there is no dead letter %s; see tidewatch dlq ls", id))
	case a.output != "table":
		e := json.NewEncoder(a.out)
		e.SetIndent("", "  ")
		return e.Encode(rows)
	}
	d := &rows[0].DeadLetter
	raw := string(d.Raw)
	if !utf8.ValidString(raw) {
		raw = fmt.Sprintf("%q", raw)
	}
	fmt.Fprintf(a.out, "record     %s\ntimestamp  %s\nkey        %q\nvalue      %s\n", place(d), d.Timestamp, d.Key, raw)
	if d.Size > len(d.Raw) {
		fmt.Fprintf(a.out, "           the first %d of %d bytes\n", len(d.Raw), d.Size)
	}
	for _, r := range rows { // the record is the same, but several pipelines may have rejected it
		fmt.Fprintf(a.out, "pipeline   %s: %s (%s)\n", r.Pipeline, r.Reason, r.ID)
		if h := r.Handled; h != nil {
			fmt.Fprintf(a.out, "%-10s by %s at %s %s\n", h.State, h.By, h.At.Format("2006-01-02T15:04:05Z07:00"), strings.TrimSpace(h.SentTo+" "+h.Note))
		}
	}
	return nil
}
