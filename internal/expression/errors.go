package expression

import (
	"fmt"
	"unicode/utf8"
)

// Error is a mistake in an expression or a template, with its place, so that a validator can put a caret under it.
type Error struct {
	Offset     int // bytes before the place
	Line       int // from 1
	Column     int // from 1, in characters
	Message    string
	Suggestion string // "" or what was probably meant: a name
}

// Error implements error: message, suggestion and place on one line.
func (e *Error) Error() string {
	s := e.Message
	if e.Suggestion != "" {
		s += fmt.Sprintf(", did you mean %q?", e.Suggestion)
	}
	return fmt.Sprintf("%s (line %d, column %d)", s, e.Line, e.Column)
}

// errorAt makes an Error at a place counted in characters, as the parser counts.
func errorAt(src string, chars int, format string, args ...any) *Error {
	offset := 0
	for ; chars > 0 && offset < len(src); chars-- {
		_, size := utf8.DecodeRuneInString(src[offset:])
		offset += size
	}
	return errorAtByte(src, offset, fmt.Sprintf(format, args...))
}

func errorAtByte(src string, offset int, message string) *Error {
	e := &Error{Offset: offset, Line: 1, Column: 1, Message: message}
	for _, r := range src[:offset] {
		e.Column++
		if r == '\n' {
			e.Line, e.Column = e.Line+1, 1
		}
	}
	return e
}

// inside moves the error of a part that begins at offset of src to its place in src.
func (e *Error) inside(src string, offset int) *Error {
	moved := errorAtByte(src, offset+e.Offset, e.Message)
	moved.Suggestion = e.Suggestion
	return moved
}

// Nearest returns the candidate that name was probably meant to be, or "". Names differ by edits (insert, delete,
// replace, swap of neighbours: the restricted Damerau-Levenshtein distance), at most a third of the name's length.
func Nearest(name string, candidates []string) string {
	best, bestDistance := "", max(1, len(name)/3)+1
	for _, c := range candidates {
		if d := distance(name, c); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			change := 1
			if a[i] == b[j] {
				change = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+change)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
