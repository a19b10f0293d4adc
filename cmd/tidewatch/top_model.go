package main

import (
	"context"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/serve"
)

// topModel is the screen of top. It implements tea.Model. The context is kept since the library calls back without one.
type topModel struct {
	ctx     context.Context //nolint:containedctx // see above
	client  *client
	every   time.Duration
	by      string // who acknowledges
	colours bool
	still   bool // one frame, without a cursor and keys

	width, height   int
	tab             int
	selected, first int // rows
	filter          string
	typing          bool          // a filter
	asking          *alerts.Alert // whether it shall be acknowledged; nil if that is not asked
	paused          bool
	note            string // what happened last
	state           topState
}

// Messages of the screen.
type (
	topTick  struct{}
	topNote  string
	newState topState
)

// Init implements tea.Model.
func (m *topModel) Init() tea.Cmd { return m.fetch }

func (m *topModel) fetch() tea.Msg { return newState(fetchTop(m.ctx, m.client)) }

// Update implements tea.Model.
func (m *topModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case newState:
		m.take(topState(msg))
		return m, tea.Tick(m.every, func(time.Time) tea.Msg { return topTick{} })
	case topTick:
		if m.paused {
			return m, tea.Tick(m.every, func(time.Time) tea.Msg { return topTick{} })
		}
		return m, m.fetch
	case topNote:
		m.note = string(msg)
	case tea.KeyPressMsg:
		return m, m.key(msg)
	}
	return m, nil
}

// take shows what the server said. If it does not answer, what it said last stays, and the footer tells.
func (m *topModel) take(s topState) {
	if s.err == nil {
		if strings.HasPrefix(m.note, serverAway) {
			m.note = ""
		}
		m.state = s
		return
	}
	m.note = serverAway + firstLine(s.err)
}

const serverAway = "not fresh: "

// View implements tea.Model.
func (m *topModel) View() tea.View {
	v := tea.NewView(m.draw())
	v.AltScreen = true
	return v
}

func (m *topModel) key(k tea.KeyPressMsg) tea.Cmd {
	switch {
	case m.typing:
		m.typed(k)
		return nil
	case m.asking != nil:
		asked := m.asking
		m.asking = nil
		if k.String() == "y" {
			return m.acknowledge(asked)
		}
		return nil
	}
	switch name := k.String(); name {
	case "q", "ctrl+c":
		return tea.Quit
	case "1", "2", "3":
		m.show(int(name[0] - '1'))
	case "tab", "right", "l":
		m.show((m.tab + 1) % len(tabNames()))
	case "shift+tab", "left", "h":
		m.show((m.tab + len(tabNames()) - 1) % len(tabNames()))
	case "/":
		m.typing, m.filter = true, ""
	case "esc":
		m.filter, m.note = "", ""
	case "p":
		m.paused = !m.paused
	case "a":
		m.asking = m.chosen()
	default:
		m.move(name)
	}
	return nil
}

func (m *topModel) show(tab int) { m.tab, m.selected, m.first, m.filter = tab, 0, 0, "" }

// move changes the chosen row; draw keeps it among those that there are.
func (m *topModel) move(key string) {
	page := max(m.height-topFrame, 1)
	switch key {
	case "up", "k":
		m.selected--
	case "down", "j":
		m.selected++
	case "pgup", "ctrl+u":
		m.selected -= page
	case "pgdown", "ctrl+d", "space":
		m.selected += page
	case "home", "g":
		m.selected = 0
	case "end", "G":
		m.selected = 1 << 30
	}
}

// typed takes a key of the filter.
func (m *topModel) typed(k tea.KeyPressMsg) {
	switch k.String() {
	case "enter":
		m.typing = false
	case "esc", "ctrl+c":
		m.typing, m.filter = false, ""
	case "backspace":
		if r := []rune(m.filter); len(r) > 0 {
			m.filter = string(r[:len(r)-1])
		}
	default:
		m.filter += k.Text
	}
	m.selected = 0
}

// filtered are the rows that hold the text of the filter.
func (m *topModel) filtered(rows []gridRow) []gridRow {
	if m.filter == "" {
		return rows
	}
	var out []gridRow
	for _, r := range rows {
		if strings.Contains(strings.ToLower(strings.Join(r.cells, " ")), strings.ToLower(m.filter)) {
			out = append(out, r)
		}
	}
	return out
}

// chosen is the alert under the cursor, nil if there is none.
func (m *topModel) chosen() *alerts.Alert {
	rows := m.filtered(m.grid().rows)
	if len(rows) == 0 {
		return nil
	}
	return rows[max(min(m.selected, len(rows)-1), 0)].alert
}

func (m *topModel) acknowledge(x *alerts.Alert) tea.Cmd {
	id, name := x.ID, x.Name
	return func() tea.Msg {
		var receipt serve.AcknowledgeReceipt
		body := serve.AcknowledgeRequest{By: m.by}
		if m.client.token != "" {
			body.By = "" // it is the token's name
		}
		if err := m.client.post(m.ctx, "/metrics/alerts/"+id+"/acknowledge", body, &receipt); err != nil {
			return topNote(name + ": " + firstLine(err))
		}
		return topNote(name + " is acknowledged")
	}
}

func (m *topModel) footer() string {
	switch {
	case m.typing:
		return "filter: " + m.filter + "▏  Enter keeps it, Esc clears it"
	case m.asking != nil:
		return "acknowledge " + m.asking.Name + " of " + labelText(m.asking.Labels) + "? y or n"
	case m.note != "":
		return m.note
	}
	text := "1 2 3 Tab: tabs  ↑↓: move  /: filter  a: acknowledge  p: pause  q: quit"
	if m.filter != "" {
		text = "filter " + m.filter + " (Esc clears)  " + text
	}
	if m.paused {
		text = "PAUSED  " + text
	}
	return text
}
