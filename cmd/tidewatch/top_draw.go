package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/tidewatch/tidewatch/alerts"
)

// topFrame is the number of lines around the rows: tabs, summary, heading, keys.
const topFrame = 4

// grid is a table for a terminal. Where it is too narrow the columns with the highest drop go first.
type grid struct {
	columns []gridColumn
	rows    []gridRow
	empty   string // said where there are no rows
}

type gridColumn struct {
	title string
	right bool
	drop  int // 0 always stays
}

// gridRow is a line; colour is an SGR number, "" for none.
type gridRow struct {
	cells  []string
	colour string
	alert  *alerts.Alert
}

const columnGap = 2

// layout chooses the columns that fit, and their widths. The last one takes what is left.
func (g *grid) layout(width int) (chosen, widths []int) {
	for limit := 9; limit >= 0; limit-- {
		chosen, widths = nil, nil
		sum := 0
		for i, c := range g.columns {
			if c.drop > limit {
				continue
			}
			w := ansi.StringWidth(c.title)
			for _, r := range g.rows {
				w = max(w, ansi.StringWidth(r.cells[i]))
			}
			chosen, widths = append(chosen, i), append(widths, w)
			sum += w + columnGap
		}
		over := sum - columnGap - width
		if over <= 0 || limit == 0 {
			last := len(widths) - 1
			widths[last] = max(widths[last]-max(over, 0), 1)
			return chosen, widths
		}
		const least = 16 // of the last column, which may be cut
		if last := len(widths) - 1; widths[last]-over >= least {
			widths[last] -= over
			return chosen, widths
		}
	}
	return chosen, widths
}

// line writes cells in their columns.
func (g *grid) line(cells []string, chosen, widths []int, width int) string {
	var b strings.Builder
	for k, i := range chosen {
		text := ansi.Truncate(cells[i], widths[k], "…")
		pad := strings.Repeat(" ", max(widths[k]-ansi.StringWidth(text), 0))
		if k > 0 {
			b.WriteString(strings.Repeat(" ", columnGap))
		}
		if g.columns[i].right {
			b.WriteString(pad + text)
		} else {
			b.WriteString(text + pad)
		}
	}
	return ansi.Truncate(strings.TrimRight(b.String(), " "), width, "…")
}

// grid is the tab that is shown.
func (m *topModel) grid() *grid {
	switch tabNames()[m.tab] {
	case "pipelines":
		return m.pipelineGrid()
	case "alerts":
		return m.alertGrid()
	}
	return m.hostGrid()
}

func (m *topModel) hostGrid() *grid {
	hosts, columns := hostsOf(&m.state.hosts)
	g := &grid{empty: "no host has reported within five minutes", columns: []gridColumn{{title: "HOST"}}}
	for i, c := range columns {
		g.columns = append(g.columns, gridColumn{title: c.title, right: true, drop: min(i, 5)})
	}
	g.columns = append(g.columns, gridColumn{title: "AGE", right: true, drop: 6}, gridColumn{title: "RECENT", drop: 8})
	now := m.state.hosts.To
	for _, h := range hosts {
		r := gridRow{cells: []string{h.name}}
		for i, c := range columns {
			v, ok := h.values[c.title]
			cell := "-"
			if ok {
				cell = formatValue(v, c.unit)
			}
			if i == 0 && c.unit == "1" && v > 0.9 {
				r.colour = "31"
			}
			r.cells = append(r.cells, cell)
		}
		age := max(now.Sub(h.newest), 0)
		if age > time.Minute {
			r.colour = "2"
		}
		r.cells = append(r.cells, age.Round(time.Second).String(), sparkline(h.recent))
		g.rows = append(g.rows, r)
	}
	return g
}

// sparkline draws values from 0 to 1, or to the highest if that is more.
func sparkline(values []float64) string {
	const most = 30
	values = values[max(len(values)-most, 0):]
	top := 1.0
	for _, v := range values {
		top = max(top, v)
	}
	levels := []rune("▁▂▃▄▅▆▇█")
	var b strings.Builder
	for _, v := range values {
		b.WriteRune(levels[min(int(math.Max(v, 0)/top*float64(len(levels))), len(levels)-1)])
	}
	return b.String()
}

func (m *topModel) pipelineGrid() *grid {
	g := &grid{empty: "no pipeline is configured", columns: []gridColumn{
		{title: "PIPELINE"},
		{title: "STATE"},
		{title: "LAG", right: true, drop: 1},
		{title: "BEHIND", right: true, drop: 5},
		{title: "EVENTS", right: true, drop: 4},
		{title: "REJECTED", right: true, drop: 6},
		{title: "LATE", right: true, drop: 7},
		{title: "TASKS", right: true, drop: 8},
		{title: "COMPLETE THROUGH", drop: 3},
		{title: "PROBLEM", drop: 2},
	}}
	for i := range m.state.pipelines {
		p := &m.state.pipelines[i]
		events, lag, through := int64(0), "-", "-"
		for _, n := range p.Ledger {
			events += n
		}
		if p.Lag != nil {
			lag = strconv.FormatInt(*p.Lag, 10)
		}
		if p.CompleteThrough != nil {
			through = p.CompleteThrough.Format(time.TimeOnly)
		}
		r := gridRow{cells: []string{
			p.Name, p.State, lag, fmt.Sprintf("%.1fs", p.LagSeconds), strconv.FormatInt(events, 10), strconv.FormatInt(p.Ledger["rejected"], 10),
			strconv.FormatInt(p.Ledger["late"], 10), strconv.Itoa(p.Partitions), through, p.Problem,
		}}
		switch {
		case p.State == "failed" || p.LedgerDiff != 0:
			r.colour = "31"
		case p.State != "running":
			r.colour = "33"
		}
		g.rows = append(g.rows, r)
	}
	return g
}

func (m *topModel) alertGrid() *grid {
	g := &grid{empty: "nothing is wrong: no alert is pending or firing", columns: []gridColumn{
		{title: "SEVERITY"}, {title: "ALERT"}, {title: "STATE", drop: 3}, {title: "SINCE", drop: 2}, {title: "ACK", drop: 4}, {title: "LABELS", drop: 5}, {title: "SUMMARY", drop: 1},
	}}
	for i := range m.state.alerts {
		x := &m.state.alerts[i]
		by := "-"
		if x.Acknowledged != nil {
			by = x.Acknowledged.By
		}
		r := gridRow{alert: x, cells: []string{string(x.Severity), x.Name, string(x.State), x.StartedAt.Format(time.TimeOnly), by, labelText(x.Labels), x.Summary}}
		switch {
		case x.Severity == alerts.Critical && x.Acknowledged == nil:
			r.colour = "31"
		case x.Severity == alerts.Warning && x.Acknowledged == nil:
			r.colour = "33"
		}
		g.rows = append(g.rows, r)
	}
	return g
}

// draw is the whole screen.
func (m *topModel) draw() string {
	g := m.grid()
	g.rows = m.filtered(g.rows)
	room := max(m.height-topFrame, 1)
	m.selected = max(min(m.selected, len(g.rows)-1), 0)
	first := max(min(m.first, m.selected), m.selected-room+1, 0)
	m.first = first
	chosen, widths := g.layout(m.width)
	titles := make([]string, len(g.columns))
	for i, c := range g.columns {
		titles[i] = c.title
	}
	lines := []string{m.tabLine(), m.summary(), m.paint("1", g.line(titles, chosen, widths, m.width))}
	for i := first; i < min(len(g.rows), first+room); i++ {
		text, colour := g.line(g.rows[i].cells, chosen, widths, m.width), g.rows[i].colour
		if i == m.selected && !m.still {
			colour = strings.TrimPrefix(colour+";7", ";")
			text += strings.Repeat(" ", max(m.width-ansi.StringWidth(text), 0))
		}
		lines = append(lines, m.paint(colour, text))
	}
	if len(g.rows) == 0 {
		lines = append(lines, ansi.Truncate(g.empty, m.width, "…"))
	}
	if !m.still {
		for len(lines) < m.height-1 {
			lines = append(lines, "")
		}
		lines = append(lines, ansi.Truncate(m.footer(), m.width, "…"))
	}
	return strings.Join(lines, "\n")
}

func (m *topModel) paint(colour, text string) string {
	if colour == "" || text == "" || !m.colours {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

func (m *topModel) tabLine() string {
	var parts []string
	for i, name := range tabNames() {
		text := fmt.Sprintf(" %d %s ", i+1, name)
		if i == m.tab {
			text = m.paint("7", "["+strings.TrimSpace(text)+"]")
		}
		parts = append(parts, text)
	}
	return ansi.Truncate(strings.TrimRight("tidewatch "+strings.Join(parts, ""), " "), m.width, "…")
}

// summary says what matters whichever tab is shown.
func (m *topModel) summary() string {
	c := &m.state.counts
	text := fmt.Sprintf("%d critical, %d warning, %d info firing; %d acknowledged", c.Firing.Critical, c.Firing.Warning, c.Firing.Info, c.Acknowledged)
	if t := m.state.hosts.CompleteThrough; t != nil {
		text += "; complete through " + t.Format(time.TimeOnly)
	}
	if n := len(m.state.hosts.Series); n < m.state.total {
		text += fmt.Sprintf("; the %d busiest of %d series", n, m.state.total)
	}
	return ansi.Truncate(text, m.width, "…")
}
