package console

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tidewatch/tidewatch/stream"
)

// title is what all rows of a table have in common.
type title struct {
	pipeline, output string
	phase            stream.Phase
}

// none stands for a value that is null.
const none = "-"

func (s *Sink) appendTable(buf []byte, b *stream.Batch) []byte {
	rows := make([][]string, 0, b.Len()+1)
	now := title{s.pipeline, s.output, b.Phase}
	if begin := s.p.mu.last != now; begin {
		if s.p.mu.last != (title{}) {
			buf = append(buf, '\n')
		}
		buf = fmt.Appendf(buf, "%s %s (%s)\n", printable(s.pipeline), printable(s.output), b.Phase)
		rows = append(rows, names(b))
		s.p.mu.last = now
	}
	for i := range b.Len() {
		rows = append(rows, cells(b, i))
	}
	return s.align(buf, rows)
}

// names heads the columns: the time, then those of the schema.
func names(b *stream.Batch) []string {
	first := "TIME"
	if hasWindow(b) {
		first = "WINDOW"
	}
	all := []string{first}
	for _, f := range b.Schema.Fields {
		all = append(all, strings.ToUpper(printable(f.Name)))
	}
	return all
}

func cells(b *stream.Batch, i int) []string {
	first := none
	switch {
	case hasWindow(b):
		first = b.Window.Start.String()
	case len(b.Time) > 0:
		first = b.Time[i].String()
	}
	all := []string{first}
	for c := range b.Cols {
		all = append(all, cell(b.Cols[c].Value(i)))
	}
	return all
}

func cell(value any) string {
	switch v := value.(type) {
	case nil:
		return none
	case float64:
		return strconv.FormatFloat(v, 'g', 6, 64)
	case string:
		return printable(v)
	}
	return fmt.Sprint(value)
}

// printable keeps control characters of events from the terminal.
func printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }) < 0 {
		return s
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

// align pads the cells to the widest of their column so far, two blanks apart.
func (s *Sink) align(buf []byte, rows [][]string) []byte {
	for _, row := range rows {
		for c, text := range row {
			if c == len(s.widths) {
				s.widths = append(s.widths, 0)
			}
			s.widths[c] = max(s.widths[c], utf8.RuneCountInString(text))
		}
	}
	for _, row := range rows {
		for c, text := range row {
			buf = append(buf, text...)
			if c < len(row)-1 {
				buf = append(buf, strings.Repeat(" ", s.widths[c]-utf8.RuneCountInString(text)+2)...)
			}
		}
		buf = append(buf, '\n')
	}
	return buf
}
