package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/serve"
	sinkkafka "github.com/tidewatch/tidewatch/sinks/kafka"
	"github.com/tidewatch/tidewatch/stream"
)

// deadFilter chooses what dead letters are about: by the topic, and by one letter that fits.
type deadFilter struct {
	kinds                   []string // none are all
	pipeline, topic, reason string
	since, until            string
	from, to                time.Time // what these say; set by check
}

func (f *deadFilter) passes(d *sinkkafka.DeadRecord) bool {
	return (f.topic == "" || f.topic == d.Topic) && slices.ContainsFunc(d.Rejections, func(r sinkkafka.Rejection) bool {
		return (len(f.kinds) == 0 || slices.Contains(f.kinds, r.Kind)) && f.covers(r.Written) && (f.pipeline == "" || f.pipeline == r.Pipeline) && strings.Contains(r.Reason, f.reason)
	})
}

// covers reports whether a letter was written in the time that is asked for.
func (f *deadFilter) covers(written time.Time) bool {
	return (f.from.IsZero() || !written.Before(f.from)) && (f.to.IsZero() || written.Before(f.to))
}

func (f *deadFilter) flags(c *cobra.Command) {
	c.Flags().StringSliceVar(&f.kinds, "kind", nil, "kinds: "+strings.Join(kindNames(), ", ")+"; default all")
	c.Flags().StringVar(&f.pipeline, "pipeline", "", "pipeline that rejected the record")
	c.Flags().StringVar(&f.topic, "topic", "", "topic that the record came from")
	c.Flags().StringVar(&f.reason, "reason", "", "a part of the reason")
	c.Flags().StringVar(&f.since, "since", "", "letters written from then on: RFC 3339, or now-1h")
	c.Flags().StringVar(&f.until, "until", "", "letters written before")
}

// check refuses unknown words, and reads the times.
func (f *deadFilter) check() error {
	now := clock.System{}.Now()
	for _, t := range []struct {
		flag, text string
		at         *time.Time
	}{{"since", f.since, &f.from}, {"until", f.until, &f.to}} {
		if t.text == "" {
			continue
		}
		at, err := serve.ParseTime(t.text, now)
		if err != nil {
			return fail(exitUsage, fmt.Errorf("--%s: %w", t.flag, err))
		}
		*t.at = at.Go()
	}
	for _, k := range f.kinds {
		if !slices.Contains(kindNames(), k) {
			return fail(exitUsage, fmt.Errorf("--kind %s: there are %s", k, strings.Join(kindNames(), ", ")))
		}
	}
	return nil
}

func (f *deadFilter) empty() bool {
	return len(f.kinds) == 0 && f.pipeline == "" && f.topic == "" && f.reason == "" && f.since == "" && f.until == ""
}

func kindNames() (names []string) {
	for _, k := range stream.LetterKinds() {
		names = append(names, k.String())
	}
	return names
}

// deadStates are the words of --state.
func deadStates() []string {
	return []string{sinkkafka.Unhandled, sinkkafka.Retried, sinkkafka.Dropped, "handled", "all"}
}

// inState reports whether one of the words means the state.
func inState(words []string, state string) bool {
	return slices.Contains(words, state) || slices.Contains(words, "all") || state != sinkkafka.Unhandled && slices.Contains(words, "handled")
}

// dlqID explains how what letters are about is named.
const dlqID = "A record is named by its place, TOPIC/PARTITION/OFFSET, or by that of a letter about it on the topic\n" +
	sinkkafka.DeadLetterTopic + ", PARTITION-OFFSET. A parked row is named by the first column of dlq ls, or by the second."

func (a *app) dlqCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "dlq", Short: "Dead letters, what was set aside instead of being processed: list, show, retry, drop",
		Long: "Dead letters tell what was set aside, on the topic " + sinkkafka.DeadLetterTopic + ", until its retention. There are three kinds:\n\n" +
			"  rejected     a record that does not decode or fails validation\n" +
			"  quarantined  a record that no step can process: it panics, or takes the process down\n" +
			"  parked       a row that the server of an output refuses for good\n\n" +
			"Each pipeline that sets a record aside writes a letter; here all letters about a record are one.\n\n" + dlqID,
		Example: "  tidewatch dlq ls --topic metrics\n  tidewatch dlq ls --kind parked,quarantined --since now-1d\n  tidewatch dlq show metrics/3/1042\n" +
			"  tidewatch dlq retry --pipeline host-cpu --dry-run",
	}
	c.AddCommand(a.dlqList(), a.dlqShow(), a.dlqHandle(sinkkafka.Retried), a.dlqHandle(sinkkafka.Dropped))
	return c
}

func (a *app) dlqList() *cobra.Command {
	var f deadFilter
	var states []string
	ls := &cobra.Command{
		Use: "ls", Short: "List what dead letters are about, oldest first", Args: cobra.NoArgs,
		Long: "Lists the records and rows that nothing was done about, each with the pipelines that set it aside and their reasons. --state lists\n" +
			"others: retried, dropped, handled (both) or all.",
		Example: "  tidewatch dlq ls --topic metrics\n" +
			"  tidewatch dlq ls --state handled\n" +
			"  tidewatch dlq ls --kind parked --since now-1h\n" +
			"  tidewatch dlq ls --reason invalid_json -o jsonl",
		RunE: func(c *cobra.Command, _ []string) error { return a.listDead(c.Context(), &f, states) },
	}
	f.flags(ls)
	ls.Flags().StringSliceVar(&states, "state", []string{sinkkafka.Unhandled}, "states: "+strings.Join(deadStates(), ", "))
	return ls
}

func (a *app) dlqShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a record or row that was set aside, why it was, and what was done", Args: cobra.ExactArgs(1),
		Long: "Shows a record or row, who set it aside and why, and what was done about it. The stack of a panic and the answer of a\n" +
			"server are there in full.\n\n" + dlqID,
		Example: "  tidewatch dlq show metrics/3/1042\n  tidewatch dlq show 0-17 -o json",
		RunE:    func(c *cobra.Command, args []string) error { return a.showDead(c.Context(), args[0]) },
	}
}

// deadRow is a rejected record as json and jsonl show it. Its id is that of its first letter.
type deadRow struct {
	ID sinkkafka.LetterID `json:"id"`
	*sinkkafka.DeadRecord

	State   string              `json:"state"`
	Handled *sinkkafka.Handling `json:"handled,omitempty"`
}

func deadRowOf(d *sinkkafka.DeadRecord) deadRow {
	return deadRow{d.Rejections[0].ID, d, d.State(), d.Handled()}
}

// named reports whether the record is meant by id.
func named(d *sinkkafka.DeadRecord, id string) bool { return d.Place() == id || d.Has(id) }

// kindsOf are the kinds of a record's letters: two pipelines may find different faults with it.
func kindsOf(d *sinkkafka.DeadRecord) string {
	var kinds []string
	for _, r := range d.Rejections {
		kinds = append(kinds, r.Kind)
	}
	slices.Sort(kinds)
	return strings.Join(slices.Compact(kinds), ",")
}

// deadCells are the pipelines that rejected the record, and why: a reason that all have is said once.
func deadCells(d *sinkkafka.DeadRecord) (pipelines, reasons string) {
	var names, all []string
	same := true
	for _, r := range d.Rejections {
		names, all = append(names, r.Pipeline), append(all, r.Pipeline+": "+r.Reason)
		same = same && r.Reason == d.Rejections[0].Reason
	}
	if same {
		all = []string{d.Rejections[0].Reason}
	}
	return strings.Join(names, ","), strings.Join(all, "; ")
}

func (a *app) listDead(ctx context.Context, f *deadFilter, states []string) error {
	if err := errors.Join(a.checkOutput(), f.check()); err != nil {
		return err
	}
	for _, s := range states {
		if !slices.Contains(deadStates(), s) {
			return fail(exitUsage, fmt.Errorf("--state %s: there are %s", s, strings.Join(deadStates(), ", ")))
		}
	}
	c, err := a.load()
	if err != nil {
		return err
	}
	all, err := sinkkafka.ReadDeadRecords(ctx, kafkaConfig(c.Kafka))
	if err != nil {
		return deadError(err)
	}
	l := &listing{columns: []string{"id", "record", "kind", "pipelines", "timestamp", "state", "reason"}}
	for _, d := range all {
		if row := deadRowOf(d); f.passes(d) && inState(states, row.State) {
			pipelines, reasons := deadCells(d)
			l.add(row, row.ID.String(), d.Place(), kindsOf(d), pipelines, d.Timestamp, row.State, reasons)
		}
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
	all, err := sinkkafka.ReadDeadRecords(ctx, kafkaConfig(c.Kafka))
	if err != nil {
		return deadError(err)
	}
	// A place names several records where the topic was made anew.
	all = slices.DeleteFunc(all, func(d *sinkkafka.DeadRecord) bool { return !named(d, id) })
	if len(all) == 0 {
		return fail(exitNotFound, fmt.Errorf("there is no dead letter %s; see tidewatch dlq ls --state all", id))
	}
	if a.output != "table" {
		rows := make([]deadRow, len(all))
		for i, d := range all {
			rows[i] = deadRowOf(d)
		}
		e := json.NewEncoder(a.out)
		e.SetIndent("", "  ")
		return e.Encode(rows)
	}
	for _, d := range all {
		a.tellDead(d)
	}
	return nil
}

func (a *app) tellDead(d *sinkkafka.DeadRecord) {
	raw := string(d.Raw)
	if !utf8.ValidString(raw) {
		raw = fmt.Sprintf("%q", raw)
	}
	fmt.Fprintf(a.out, "record     %s\ntimestamp  %s\nkey        %q\nvalue      %s\n", d.Place(), d.Timestamp, d.Key, raw)
	if d.Size > len(d.Raw) {
		fmt.Fprintf(a.out, "           the first %d of %d bytes\n", len(d.Raw), d.Size)
	}
	if d.Row != nil {
		fmt.Fprintf(a.out, "output     %s\ntask       %s\n", d.Row.Output, d.Row.Task)
	}
	fmt.Fprintf(a.out, "state      %s\n", d.State())
	for _, r := range d.Rejections {
		fmt.Fprintf(a.out, "pipeline   %s: %s: %s (%s)\n", r.Pipeline, r.Kind, r.Reason, r.ID)
		for line := range strings.Lines(r.Detail) {
			fmt.Fprintf(a.out, "           %s\n", strings.TrimRight(line, "\r\n"))
		}
		if h := r.Handled; h != nil {
			fmt.Fprintf(a.out, "%-10s by %s at %s %s\n", h.State, h.By, h.At.Format(time.RFC3339), strings.TrimSpace(h.SentTo+" "+h.Note))
		}
	}
}
