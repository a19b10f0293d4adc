package pipelines

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text is a scalar of a file with its place.
type Text struct {
	Value string
	At    Pos
	form  byte // how it is written: 0 plain, ' or " quoted, | or > a block
}

// IsSet reports whether the file says it.
func (t Text) IsSet() bool { return t.At.Line > 0 }

// String is the value.
func (t Text) String() string { return t.Value }

// width is the number of characters that the value takes on its first line.
func (t Text) width() int {
	first, _, _ := strings.Cut(t.Value, "\n")
	n := utf8.RuneCountInString(first)
	if t.form == '\'' || t.form == '"' {
		n += 2
	}
	return n
}

// locate is the place in the file of the byte offset of the value.
func (t Text) locate(s *source, offset int) Pos {
	offset = max(min(offset, len(t.Value)), 0)
	if t.At.Line < 1 || t.At.Line > len(s.lines) {
		return t.At
	}
	switch t.form {
	case '|', '>':
		return t.inBlock(s, offset)
	case '\'', '"':
		return t.inQuotes(s, offset)
	}
	w := &walker{s: s, line: t.At.Line - 1, col: t.At.Column - 1}
	return w.walk(t.Value[:offset], 0)
}

// inBlock finds the offset below the | or >: the lines follow with their indentation.
func (t Text) inBlock(s *source, offset int) Pos {
	line := t.At.Line
	for line < len(s.lines) && strings.TrimSpace(s.lines[line]) == "" {
		line++
	}
	if line >= len(s.lines) {
		return t.At
	}
	col := len(s.lines[line]) - len(strings.TrimLeft(s.lines[line], " "))
	w := &walker{s: s, line: line, col: col}
	return w.walk(t.Value[:offset], 0)
}

func (t Text) inQuotes(s *source, offset int) Pos {
	w := &walker{s: s, line: t.At.Line - 1, col: t.At.Column}
	return w.walk(t.Value[:offset], t.form)
}

// walker moves through the text of a file along the value that was read from it.
type walker struct {
	s         *source
	line, col int // from 0
}

func (w *walker) walk(value string, quote byte) Pos {
	for _, r := range value {
		w.step(r, quote)
	}
	w.fold()
	return Pos{w.line + 1, w.col + 1}
}

func (w *walker) text() []rune {
	if w.line >= len(w.s.lines) {
		return nil
	}
	return []rune(w.s.lines[w.line])
}

// fold moves to the next line if this one has nothing more to say.
func (w *walker) fold() bool {
	text := w.text()
	rest := text[min(w.col, len(text)):]
	if w.line+1 >= len(w.s.lines) || strings.TrimSpace(string(rest)) != "" {
		return false
	}
	w.line++
	next := w.text()
	w.col = len(next) - len([]rune(strings.TrimLeft(string(next), " \t")))
	return true
}

// step passes one character of the value; a space or line end of it may be a line's end in the file.
func (w *walker) step(r rune, quote byte) {
	if unicode.IsSpace(r) && w.fold() {
		return
	}
	text := w.text()
	switch {
	case w.col >= len(text):
		w.fold()
		w.col++
	case quote == '\'' && text[w.col] == '\'':
		w.col += 2
	case quote == '"' && text[w.col] == '\\':
		w.col += escapeLength(text, w.col)
	default:
		w.col++
	}
}

// escapeLength is the number of characters of the escape that begins at col.
func escapeLength(text []rune, col int) int {
	if col+1 >= len(text) {
		return 1
	}
	switch text[col+1] {
	case 'x':
		return 4
	case 'u':
		return 6
	case 'U':
		return 10
	}
	return 2
}
