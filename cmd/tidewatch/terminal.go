package main

import (
	"os"
	"strconv"

	"github.com/charmbracelet/x/term"
)

// usualWidth and usualHeight are those of a terminal that nobody knows.
const (
	usualWidth  = 80
	usualHeight = 24
)

// terminalWidth is how many columns standard output has: those of the terminal, else of COLUMNS, else 80.
func (a *app) terminalWidth() int {
	width, _ := a.terminalSize()
	return width
}

// terminalSize is the size of the terminal that standard output is, else what COLUMNS and LINES say.
func (a *app) terminalSize() (width, height int) {
	if f, ok := a.out.(*os.File); ok {
		if w, h, err := term.GetSize(f.Fd()); err == nil && w > 0 && h > 0 {
			return w, h
		}
	}
	return positive(os.Getenv("COLUMNS"), usualWidth), positive(os.Getenv("LINES"), usualHeight)
}

func positive(text string, otherwise int) int {
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		return n
	}
	return otherwise
}

// interactive reports whether standard output is a terminal.
func (a *app) interactive() bool {
	f, ok := a.out.(*os.File)
	return ok && term.IsTerminal(f.Fd())
}

// colours reports whether output is coloured.
func (a *app) colours() bool { return !a.noColor && a.interactive() }
