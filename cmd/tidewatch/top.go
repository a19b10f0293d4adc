package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"
)

// tabs of top, in their order.
func tabNames() []string { return []string{"hosts", "pipelines", "alerts"} }

// topFlags are what top is told.
type topFlags struct {
	tab      string
	once     bool
	interval time.Duration
}

func (a *app) topCommand() *cobra.Command {
	var f topFlags
	c := &cobra.Command{
		Use: "top", Short: "Watch hosts, pipelines and alerts in the terminal", Args: cobra.NoArgs,
		Long: "Shows the state of a running server, of --server or else of the configured address, and refreshes it every second.\n\n" +
			"Keys: 1 2 3 or Tab choose hosts, pipelines, alerts; arrows, j, k and the page keys move; / filters, Esc clears the\n" +
			"filter; a acknowledges the chosen alert; p pauses; q quits.",
		Example: "  tidewatch top\n  tidewatch top --server http://127.0.0.1:8080 --tab alerts\n  tidewatch top --once --tab pipelines -o csv",
		RunE:    func(c *cobra.Command, _ []string) error { return a.top(c.Context(), &f) },
	}
	fl := c.Flags()
	fl.StringVar(&f.tab, "tab", tabNames()[0], "what is shown first: "+strings.Join(tabNames(), ", "))
	fl.BoolVar(&f.once, "once", false, "print it once, for scripts; also with -o")
	fl.DurationVar(&f.interval, "interval", time.Second, "distance of refreshes")
	return c
}

func (a *app) top(ctx context.Context, f *topFlags) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	tab := slices.Index(tabNames(), f.tab)
	switch {
	case tab < 0:
		return fail(exitUsage, fmt.Errorf("--tab %s: there are %s", f.tab, strings.Join(tabNames(), ", ")))
	case f.interval < 100*time.Millisecond:
		return fail(exitUsage, errors.New("--interval: at least 100ms"))
	case !f.once && !a.interactive():
		return fail(exitUsage, errors.New("standard output is no terminal: use --once"))
	}
	c, err := a.dialConfigured()
	if err != nil {
		return err
	}
	defer c.stop()
	m := &topModel{ctx: ctx, client: c, tab: tab, every: f.interval, colours: a.colours(), by: whoami()}
	if f.once {
		return a.topOnce(ctx, m)
	}
	m.width, m.height = a.terminalSize()
	_, err = tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(a.in), tea.WithOutput(a.out)).Run()
	if errors.Is(err, tea.ErrProgramKilled) || errors.Is(err, tea.ErrInterrupted) {
		return context.Canceled
	}
	return err
}

// dialConfigured is a client of --server, or of the address in the configuration.
func (a *app) dialConfigured() (*client, error) {
	if a.server == "" {
		c, err := a.load()
		if c.HTTP.Listen == "" {
			return nil, err
		}
		a.server = "http://" + c.HTTP.Listen
	}
	return a.dial()
}

func (a *app) topOnce(ctx context.Context, m *topModel) error {
	s := fetchTop(ctx, m.client)
	if s.err != nil {
		return s.err
	}
	m.state = s
	g := m.grid()
	if a.output != "table" {
		l := &listing{}
		for _, c := range g.columns {
			l.columns = append(l.columns, strings.ToLower(c.title))
		}
		for _, r := range g.rows {
			value := map[string]string{}
			for i, cell := range r.cells {
				value[l.columns[i]] = cell
			}
			l.add(value, r.cells...)
		}
		return a.print(l)
	}
	m.width, m.height = a.terminalWidth(), len(g.rows)+topFrame
	m.still = true
	_, err := fmt.Fprintln(a.out, m.draw())
	return err
}
