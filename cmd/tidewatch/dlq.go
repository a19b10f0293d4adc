package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	sinkkafka "github.com/tidewatch/tidewatch/sinks/kafka"
)

// deadFilter chooses dead letters.
type deadFilter struct{ pipeline, topic, reason string }

func (f *deadFilter) passes(d *sinkkafka.DeadLetter) bool {
	return (f.pipeline == "" || f.pipeline == d.Pipeline) && (f.topic == "" || f.topic == d.Topic) && strings.Contains(d.Reason, f.reason)
}

func (a *app) dlqCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "dlq", Short: "List and show dead letters: records that did not decode or failed validation",
		Example: "  tidewatch dlq ls --topic metrics\n  tidewatch dlq show metrics/3/1042",
	}
	var f deadFilter
	ls := &cobra.Command{
		Use: "ls", Short: "List dead letters", Args: cobra.NoArgs,
		Example: "  tidewatch dlq ls --reason invalid_json -o jsonl",
		RunE:    func(c *cobra.Command, _ []string) error { return a.listDead(c.Context(), &f) },
	}
	ls.Flags().StringVar(&f.pipeline, "pipeline", "", "pipeline that rejected the record")
	ls.Flags().StringVar(&f.topic, "topic", "", "topic that the record came from")
	ls.Flags().StringVar(&f.reason, "reason", "", "a part of the reason")
	show := &cobra.Command{
		Use: "show TOPIC/PARTITION/OFFSET", Short: "Show a dead letter with its record", Args: cobra.ExactArgs(1),
		Example: "  tidewatch dlq show metrics/3/1042",
		RunE:    func(c *cobra.Command, args []string) error { return a.showDead(c.Context(), args[0]) },
	}
	c.AddCommand(ls, show)
	return c
}

func (a *app) listDead(ctx context.Context, f *deadFilter) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	c, err := a.load()
	if err != nil {
		return err
	}
	l := &listing{columns: []string{"record", "pipeline", "timestamp", "reason"}}
	err = sinkkafka.ReadDeadLetters(ctx, kafkaConfig(c.Kafka), func(d sinkkafka.DeadLetter) error {
		if f.passes(&d) {
			l.add(d, place(&d), d.Pipeline, d.Timestamp, d.Reason)
		}
		return nil
	})
	if err != nil {
		return fail(exitDependency, err)
	}
	return a.print(l)
}

func place(d *sinkkafka.DeadLetter) string {
	return d.Topic + "/" + strconv.Itoa(int(d.Partition)) + "/" + strconv.FormatInt(d.Offset, 10)
}

func (a *app) showDead(ctx context.Context, id string) error {
	c, err := a.load()
	if err != nil {
		return err
	}
	found := false
	err = sinkkafka.ReadDeadLetters(ctx, kafkaConfig(c.Kafka), func(d sinkkafka.DeadLetter) error {
		if place(&d) != id {
			return nil
		}
		raw := string(d.Raw)
		if !utf8.ValidString(raw) {
			raw = fmt.Sprintf("%q", raw)
		}
		if found { // the record is the same, another pipeline rejected it too
			_, err := fmt.Fprintf(a.out, "pipeline   %s: %s\n", d.Pipeline, d.Reason)
			return err
		}
		found = true
		_, err := fmt.Fprintf(a.out, "record     %s\ntimestamp  %s\nkey        %q\nvalue      %s\npipeline   %s: %s\n", id, d.Timestamp, d.Key, raw, d.Pipeline, d.Reason)
		return err
	})
	switch {
	case err != nil:
		return fail(exitDependency, err)
	case !found:
		return fail(exitNotFound, fmt.Errorf("there is no dead letter %s; see tidewatch dlq ls", id))
	}
	return nil
}
