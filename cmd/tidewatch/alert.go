package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
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
	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/serve"
	"github.com/tidewatch/tidewatch/sinks/postgres"
)

func (a *app) alertCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "alert", Short: "List, show and acknowledge alerts",
		Long: "Reads alerts from the server of --server, else from the configured Postgres. An alert is one firing episode of one rule\n" +
			"and one group; its id stays the same.",
		Example: "  tidewatch alert ls\n  tidewatch alert ack 0b5c… --note \"looking at it\"",
	}
	c.AddCommand(a.alertList(), a.alertShow(), a.alertAck())
	return c
}

func (a *app) alertList() *cobra.Command {
	var f alerts.Filter
	var states, severities []string
	var all, open bool
	var last, from, to string
	c := &cobra.Command{
		Use: "ls", Short: "List alerts, newest first; pending and firing ones unless told otherwise", Args: cobra.NoArgs,
		Long: "Lists alerts, newest first: pending and firing ones, unless --state or --all says otherwise. All filters must hold; of\n" +
			"states and severities any. Times are those at which alerts started, in event time.",
		Example: "  tidewatch alert ls --severity critical --unacknowledged\n  tidewatch alert ls --all --label host=web-7 -o json\n" +
			"  tidewatch alert ls --state resolved --last 1d --server http://127.0.0.1:8080",
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if f.From, f.To, err = startedBetween(last, from, to); err != nil {
				return fail(exitUsage, err)
			}
			for _, s := range states {
				f.States = append(f.States, alerts.State(s))
			}
			for _, s := range severities {
				f.Severity = append(f.Severity, alerts.Severity(s))
			}
			if all {
				f.States = alerts.States()
			}
			return a.listAlerts(c.Context(), f, open)
		},
	}
	fl := c.Flags()
	fl.StringVar(&last, "last", "", "started within this span, such as 1h or 7d")
	fl.StringVar(&from, "from", "", "started at or after: RFC 3339, epoch seconds or milliseconds, or now-15m")
	fl.StringVar(&to, "to", "", "started before")
	fl.BoolVar(&open, "unacknowledged", false, "only those that nobody has acknowledged")
	fl.StringVar(&f.Cursor, "cursor", "", "go on behind the page before")
	fl.StringSliceVar(&states, "state", nil, "states: inactive, pending, firing, resolved")
	fl.BoolVar(&all, "all", false, "alerts in every state")
	fl.StringSliceVar(&severities, "severity", nil, "severities: info, warning, critical")
	fl.StringVar(&f.Name, "name", "", "name of the rule")
	fl.StringVar(&f.Pipeline, "pipeline", "", "pipeline")
	fl.StringToStringVar(&f.Labels, "label", nil, "labels, name=value")
	fl.IntVar(&f.Limit, "limit", alerts.DefaultLimit, "rows at most")
	c.MarkFlagsMutuallyExclusive("last", "from")
	c.MarkFlagsMutuallyExclusive("last", "to")
	c.MarkFlagsMutuallyExclusive("all", "state")
	return c
}

// startedBetween reads a span of time; what is left out is open.
func startedBetween(last, from, to string) (lo, hi time.Time, err error) {
	now := clock.System{}.Now()
	if last != "" {
		d, err := pipelines.ParseDuration(last)
		if err != nil {
			return lo, hi, fmt.Errorf("--last: %w", err)
		}
		return now.Add(-d), hi, nil
	}
	for _, x := range []struct {
		flag, text string
		into       *time.Time
	}{{"from", from, &lo}, {"to", to, &hi}} {
		if x.text == "" {
			continue
		}
		t, err := serve.ParseTime(x.text, now)
		if err != nil {
			return lo, hi, fmt.Errorf("--%s: %w", x.flag, err)
		}
		*x.into = t.Go()
	}
	return lo, hi, nil
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

func (a *app) listAlerts(ctx context.Context, f alerts.Filter, open bool) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	if err := f.Validate(); err != nil {
		return fail(exitUsage, err)
	}
	store, done, err := a.alertStore(ctx)
	if err != nil {
		return err
	}
	defer done()
	page, err := store.List(ctx, f)
	if err != nil {
		return deadError(err)
	}
	if open {
		page.Items = slices.DeleteFunc(page.Items, func(x alerts.Alert) bool { return x.Acknowledged != nil })
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
		fmt.Fprintf(a.errs, "there are more: raise --limit, filter, or go on with --cursor %s\n", page.NextCursor)
	}
	if a.output == "table" && a.interactive() {
		return a.alertTable(page.Items)
	}
	return a.print(l)
}

// alertTable fits the terminal; ids stay, they are what the other commands take.
func (a *app) alertTable(all []alerts.Alert) error {
	m := &topModel{colours: a.colours()}
	m.state.alerts = all
	g := m.alertGrid()
	g.columns = append([]gridColumn{{title: "ID"}}, g.columns...)
	for i := range g.rows {
		g.rows[i].cells = append([]string{all[i].ID}, g.rows[i].cells...)
	}
	width := a.terminalWidth()
	chosen, widths := g.layout(width)
	titles := make([]string, len(g.columns))
	for i, c := range g.columns {
		titles[i] = c.title
	}
	fmt.Fprintln(a.out, m.paint("1", g.line(titles, chosen, widths, width)))
	for _, r := range g.rows {
		fmt.Fprintln(a.out, m.paint(r.colour, g.line(r.cells, chosen, widths, width)))
	}
	return nil
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
		Long:    "Shows an alert: what it says, the records that are its evidence, and every change of its state.",
		Example: "  tidewatch alert show 0b5c91d2aa10ff0012345678",
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.checkOutput(); err != nil {
				return err
			}
			store, done, err := a.alertStore(c.Context())
			if err != nil {
				return err
			}
			defer done()
			d, err := store.Get(c.Context(), args[0])
			switch {
			case errors.Is(err, alerts.ErrNotFound):
				return fail(exitNotFound, fmt.Errorf("there is no alert %s; see tidewatch alert ls --all", args[0]))
			case err != nil:
				return deadError(err)
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
			if a.server != "" {
				return a.acknowledgeAt(c.Context(), &cmd)
			}
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

// acknowledgeAt lets a server send the command. Where it asks for tokens, the token's name is who acknowledges.
func (a *app) acknowledgeAt(ctx context.Context, cmd *alerts.Command) error {
	c, err := a.dial()
	if err != nil {
		return err
	}
	defer c.stop()
	body := serve.AcknowledgeRequest{Note: cmd.Note, By: cmd.By}
	if c.token != "" {
		body.By = ""
	}
	var receipt serve.AcknowledgeReceipt
	if err := c.post(ctx, "/metrics/alerts/"+url.PathEscape(cmd.Alert)+"/acknowledge", body, &receipt); err != nil {
		return err
	}
	a.say(fmt.Sprintf("acknowledgement sent; %s offset %d", receipt.Command.Topic, receipt.Command.Offset))
	return nil
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
