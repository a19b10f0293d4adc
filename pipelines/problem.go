package pipelines

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Problem is one mistake in a file.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`   // from 1; 0 if the file as a whole is meant
	Column  int    `json:"column"` // from 1, in characters
	Message string `json:"message"`
	Excerpt string `json:"excerpt,omitempty"` // the line and a caret below the place
}

// String is the form for people: the place, the sentence, the line with a caret.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": " + p.Message)
	if p.Excerpt != "" {
		b.WriteString("\n" + p.Excerpt)
	}
	return b.String()
}

// Problems are all mistakes of one or many files. A caller that gets an error from [Load] finds them with errors.As.
type Problems []Problem

// Error implements error: all problems in the order of their places, with an empty line between two.
func (ps Problems) Error() string {
	ps = ps.sorted()
	texts := make([]string, len(ps))
	for i, p := range ps {
		texts[i] = p.String()
	}
	return strings.Join(texts, "\n\n")
}

// sorted orders by place and keeps the first problem of each place: what follows from a mistake is noise.
func (ps Problems) sorted() Problems {
	out := slices.Clone(ps)
	slices.SortStableFunc(out, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line, a.Column-b.Column)
	})
	return slices.CompactFunc(out, func(a, b Problem) bool {
		return a.File == b.File && a.Line == b.Line && a.Column == b.Column && a.Line > 0
	})
}

// err is nil if there are none.
func (ps Problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps.sorted()
}

// Pos is a place in a file. The zero Pos is the file as a whole.
type Pos struct{ Line, Column int }

// source is the text of a file, for excerpts.
type source struct {
	file  string
	lines []string
}

func newSource(file, text string) *source { return &source{file, strings.Split(text, "\n")} }

// problem describes a mistake at a place; width is the number of characters to underline.
func (s *source) problem(at Pos, width int, message string) Problem {
	p := Problem{File: s.file, Line: at.Line, Column: at.Column, Message: message}
	if at.Line >= 1 && at.Line <= len(s.lines) {
		p.Excerpt = excerpt(s.lines[at.Line-1], at, width)
	}
	return p
}

// excerptWidth is how much of a long line is shown.
const excerptWidth = 110

func excerpt(line string, at Pos, width int) string {
	text := []rune(strings.ReplaceAll(line, "\t", " "))
	from, col := 0, min(max(at.Column-1, 0), len(text))
	if len(text) > excerptWidth && col > excerptWidth/2 {
		from = min(col-excerptWidth/2, len(text)-excerptWidth)
	}
	shown := strings.TrimRight(string(text[from:min(len(text), from+excerptWidth)]), " ")
	width = max(min(width, utf8.RuneCountInString(shown)-(col-from)), 1)
	return fmt.Sprintf("%5d | %s\n%5s | %s%s", at.Line, shown, "", strings.Repeat(" ", col-from), strings.Repeat("^", width))
}

// quoted puts names into back quotes with commas between.
func quoted(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = "`" + n + "`"
	}
	return strings.Join(out, ", ")
}
