package main

import (
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"pgregory.net/rapid"
)

func newTop(t testing.TB, tab int) *topModel {
	t.Helper()
	a := &app{server: fakeServer(t)}
	c, err := a.dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.stop)
	m := &topModel{ctx: t.Context(), client: c, tab: tab, width: 100, height: 12, colours: true, by: "ada"}
	m.Update(m.fetch())
	return m
}

// press types keys and carries out what follows from them, but for the clock.
func press(m *topModel, keys ...string) (quit bool) {
	for _, k := range keys {
		msg := tea.KeyPressMsg{Text: k, Code: []rune(k)[0]}
		if code, ok := map[string]rune{"enter": tea.KeyEnter, "esc": tea.KeyEscape, "tab": tea.KeyTab, "down": tea.KeyDown, "up": tea.KeyUp, "pgdown": tea.KeyPgDown}[k]; ok {
			msg = tea.KeyPressMsg{Code: code}
		}
		_, cmd := m.Update(msg)
		if cmd == nil {
			continue
		}
		next := cmd()
		if _, quit = next.(tea.QuitMsg); quit {
			return true
		}
		m.Update(next)
	}
	return false
}

func screen(m *topModel) string { return ansi.Strip(m.View().Content) }

func TestTopKeys(t *testing.T) {
	m := newTop(t, 0)
	if s := screen(m); !strings.Contains(s, "web-7") || !strings.Contains(s, "[1 hosts]") {
		t.Fatal(s)
	}
	press(m, "tab")
	if s := screen(m); !strings.Contains(s, "failed") || !strings.Contains(s, "the topic was made") {
		t.Fatal(s)
	}
	press(m, "3", "/", "c", "p", "u", "enter")
	if s := screen(m); strings.Contains(s, "BruteForce") || !strings.Contains(s, "HostCPUHigh") || !strings.Contains(s, "filter cpu") {
		t.Fatal(s)
	}
	press(m, "esc", "p")
	if s := screen(m); !strings.Contains(s, "BruteForce") || !strings.Contains(s, "PAUSED") {
		t.Fatal(s)
	}
	press(m, "down", "a")
	if s := screen(m); !strings.Contains(s, "acknowledge ") || !strings.Contains(s, "? y or n") {
		t.Fatal(s)
	}
	press(m, "n")
	if s := screen(m); strings.Contains(s, "? y or n") {
		t.Fatal(s)
	}
	if !press(m, "q") {
		t.Fatal("q does not quit")
	}
}

func TestTopKeepsWhatItHadWhileTheServerIsAway(t *testing.T) {
	m := newTop(t, 0)
	m.client.base = "http://127.0.0.1:1"
	m.Update(m.fetch())
	if s := screen(m); !strings.Contains(s, "web-7") || !strings.Contains(s, "not fresh: ask http://127.0.0.1:1") {
		t.Fatal(s)
	}
}

// TestTopFitsEveryTerminal: whatever the size, the tab and the keys, no line is wider and no screen higher than the terminal,
// and the chosen row is on it.
func TestTopFitsEveryTerminal(t *testing.T) {
	m := newTop(t, 0)
	rapid.Check(t, func(t *rapid.T) {
		m.Update(tea.WindowSizeMsg{Width: rapid.IntRange(1, 200).Draw(t, "width"), Height: rapid.IntRange(topFrame+1, 40).Draw(t, "height")})
		keys := rapid.SliceOfN(rapid.SampledFrom([]string{"1", "2", "3", "tab", "down", "up", "pgdown", "g", "G", "/", "w", "enter", "esc", "a"}), 0, 8).Draw(t, "keys")
		press(m, keys...)
		lines := strings.Split(screen(m), "\n")
		if len(lines) > m.height {
			t.Fatalf("%d lines on a terminal of %d", len(lines), m.height)
		}
		for _, l := range lines {
			if w := ansi.StringWidth(l); w > m.width {
				t.Fatalf("a line of %d on a terminal of %d: %q", w, m.width, l)
			}
		}
		if m.selected < m.first || m.selected < 0 {
			t.Fatalf("row %d is chosen, the first shown is %d", m.selected, m.first)
		}
	})
}
