package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/sinks/postgres"
)

func (a *app) alertCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "alert", Short: "List, show and acknowledge alerts",
		Example: "  tidewatch alert ls\n  tidewatch alert ack 0b5c… --note \"looking at it\"",
	}
	c.AddCommand(a.alertList(), a.alertShow(), a.alertAck())
	return c
}

func (a *app) alertList() *cobra.Command {
	var f alerts.Filter
	var states, severities []string
	var all bool
	c := &cobra.Command{
		Use: "ls", Short: "List alerts, newest first; pending and firing ones unless told otherwise", Args: cobra.NoArgs,
		Example: "  tidewatch alert ls --severity critical\n  tidewatch alert ls --all --label host=web-7 -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			for _, s := range states {
				f.States = append(f.States, alerts.State(s))
			}
			for _, s := range severities {
				f.Severity = append(f.Severity, alerts.Severity(s))
			}
			if all {
				f.States = alerts.States()
			}
			return a.listAlerts(c.Context(), f)
		},
	}
	fl := c.Flags()
	fl.StringSliceVar(&states, "state", nil, "states: inactive, pending, firing, resolved")
	fl.BoolVar(&all, "all", false, "alerts in every state")
	fl.StringSliceVar(&severities, "severity", nil, "severities: info, warning, critical")
	fl.StringVar(&f.Name, "name", "", "name of the rule")
	fl.StringVar(&f.Pipeline, "pipeline", "", "pipeline")
	fl.StringToStringVar(&f.Labels, "label", nil, "labels, name=value")
	fl.IntVar(&f.Limit, "limit", alerts.DefaultLimit, "rows at most")
	return c
}

// database opens Postgres as the configuration says.
func (a *app) database(ctx context.Context) (*postgres.DB, error) {
	c, err := a.load()
	if err != nil {
		return nil, err
	}
	p := postgres.Default()
	p.DSN = c.Postgres.DSN
	db, err := postgres.Open(ctx, p)
	return db, fail(exitDependency, err)
}

func (a *app) listAlerts(ctx context.Context, f alerts.Filter) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	if err := f.Validate(); err != nil {
		return fail(exitUsage, err)
	}
	db, err := a.database(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	page, err := db.Alerts().List(ctx, f)
	if err != nil {
		return fail(exitDependency, err)
	}
	l := &listing{columns: []string{"id", "state", "severity", "name", "labels", "started_at", "value", "acknowledged", "summary"}}
	for i := range page.Items {
		x := &page.Items[i]
		by := ""
		if x.Acknowledged != nil {
			by = x.Acknowledged.By
		}
		l.add(x, x.ID, string(x.State), string(x.Severity), x.Name, labelText(x.Labels), x.StartedAt.Format(time.RFC3339), number(x.Value), by, x.Summary)
	}
	if page.NextCursor != "" && !a.quiet {
		fmt.Fprintln(a.errs, "there are more; raise --limit or filter")
	}
	return a.print(l)
}

func labelText(labels map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, k+"="+labels[k])
	}
	return strings.Join(parts, ",")
}

func number(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.4g", *v)
}

func (a *app) alertShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show an alert with its evidence and history", Args: cobra.ExactArgs(1),
		Example: "  tidewatch alert show 0b5c91d2aa10ff0012345678",
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.checkOutput(); err != nil {
				return err
			}
			db, err := a.database(c.Context())
			if err != nil {
				return err
			}
			defer db.Close()
			d, err := db.Alerts().Get(c.Context(), args[0])
			switch {
			case errors.Is(err, alerts.ErrNotFound):
				return fail(exitNotFound, fmt.Errorf("there is no alert %s; see tidewatch alert ls --all", args[0]))
			case err != nil:
				return fail(exitDependency, err)
			}
			return a.showAlert(&d)
		},
	}
}

func (a *app) showAlert(d *alerts.Detail) error {
	if a.output != "table" {
		e := json.NewEncoder(a.out)
		e.SetIndent("", "  ")
		return e.Encode(d)
	}
	x := &d.Alert
	fmt.Fprintf(a.out, "%s  %s (%s)\n%s\n\n", x.Name, x.State, x.Severity, x.Summary)
	fmt.Fprintf(a.out, "id          %s\nlabels      %s\nstarted     %s\nvalue       %s\npipeline    %s, version %s\nrevised     %v\n",
		x.ID, labelText(x.Labels), x.StartedAt.Format(time.RFC3339), number(x.Value), x.Pipeline, x.Version, x.Revised)
	if k := x.Acknowledged; k != nil {
		fmt.Fprintf(a.out, "acknowledged by %s at %s %s\n", k.By, k.At.Format(time.RFC3339), k.Note)
	}
	for _, e := range x.Evidence {
		fmt.Fprintf(a.out, "evidence    %s/%d offset %d at %s\n", e.Topic, e.Partition, e.Offset, e.Time.Format(time.RFC3339Nano))
	}
	fmt.Fprintln(a.out)
	l := &listing{columns: []string{"at", "from", "to", "value", "provisional"}}
	for i := range d.History {
		t := &d.History[i]
		l.add(t, t.At.Format(time.RFC3339), string(t.From), string(t.To), number(t.Value), strconv.FormatBool(t.Provisional))
	}
	return a.print(l)
}

func (a *app) alertAck() *cobra.Command {
	var by, text string
	c := &cobra.Command{
		Use: "ack ID", Short: "Acknowledge an alert", Args: cobra.ExactArgs(1),
		Long:    "Acknowledges an alert by an event on the topic " + alerts.CommandsTopic + ", so that it replays like everything else.",
		Example: "  tidewatch alert ack 0b5c91d2aa10ff0012345678 --note \"restarting web-7\"",
		RunE: func(c *cobra.Command, args []string) error {
			if by == "" {
				by = whoami()
			}
			cmd := alerts.Command{Command: alerts.Acknowledge, Alert: args[0], By: by, Note: text, Time: clock.System{}.Now().UTC()}
			value, err := cmd.Encode()
			if err != nil {
				return fail(exitUsage, err)
			}
			return a.sendCommand(c.Context(), args[0], value)
		},
	}
	c.Flags().StringVar(&by, "by", "", "who acknowledges; default the user's name")
	c.Flags().StringVar(&text, "note", "", "a note for the others")
	return c
}

func whoami() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "uid-" + strconv.Itoa(os.Getuid())
}

// sendCommand returns when the broker has the command.
func (a *app) sendCommand(ctx context.Context, key string, value []byte) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(a.brokers()...), kgo.ClientID("tidewatch-cli"), kgo.DisableClientMetrics(),
		kgo.RecordDeliveryTimeout(15*time.Second))
	if err != nil {
		return fail(exitUsage, fmt.Errorf("open Kafka client: %w", err))
	}
	defer client.Close()
	rec := &kgo.Record{Topic: alerts.CommandsTopic, Key: []byte(key), Value: value}
	if err := client.ProduceSync(ctx, rec).FirstErr(); err != nil {
		return fail(exitDependency, fmt.Errorf("send command: %w; is a worker running, which creates the topic %s?", err, alerts.CommandsTopic))
	}
	if !a.quiet {
		fmt.Fprintf(a.errs, "acknowledgement sent; %s offset %d\n", alerts.CommandsTopic, rec.Offset)
	}
	return nil
}
