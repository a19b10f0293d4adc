package expression

import (
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr/builtin"

	"github.com/tidewatch/tidewatch/stream"
)

// Template is a text with {{ expressions }} in it, such as the summary of a rule: "{{ host }} at {{ percent(avg) }}". Beside
// the functions of every expression it has some that make numbers readable:
//
//	percent(0.953)    95.3%      a share, one decimal
//	bytes(1610612736) 1.5 GiB    powers of 1024
//	duration(90)      1m30s      seconds, or a span of time
//	round(3.14159, 2) 3.14       half away from zero; without digits to a whole number
//
// What is null is written as "-". A Template belongs to one task.
type Template struct {
	parts []part
}

// part is a text, followed by the value of an expression unless expr is nil.
type part struct {
	text string
	expr *machine
}

// span is where an expression stands in a template.
type span struct{ from, to int }

// TemplateNames lists the columns that the template names, in order of first use. A mistake is an *Error.
func TemplateNames(text string) ([]string, error) {
	spans, err := findSpans(text)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, s := range spans {
		r, _, err := resolve(text[s.from:s.to], nil, templateFunctions())
		if err != nil {
			return nil, insideTemplate(text, s, err)
		}
		for _, n := range r.names {
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	return names, nil
}

// CompileTemplate checks the template against the schema. A mistake is an *Error with its place in the whole text.
func CompileTemplate(text string, schema *stream.Schema) (*Template, error) {
	spans, err := findSpans(text)
	if err != nil {
		return nil, err
	}
	t, at, functions := &Template{}, 0, templateFunctions()
	for _, s := range spans {
		_, n, err := checked(text[s.from:s.to], schema, functions)
		if err != nil {
			return nil, insideTemplate(text, s, err)
		}
		m, err := newMachine(n, schema, functions, true)
		if err != nil {
			return nil, errorAtByte(text, s.from, err.Error())
		}
		t.parts = append(t.parts, part{text: text[at : s.from-len(opening)], expr: m})
		at = s.to + len(closing)
	}
	t.parts = append(t.parts, part{text: text[at:]})
	return t, nil
}

func insideTemplate(text string, s span, err error) error {
	if e := Mistake(err); e != nil {
		return e.inside(text, s.from)
	}
	return err
}

const opening, closing = "{{", "}}"

// findSpans finds the expressions. A closing brace in quotes does not end one.
func findSpans(text string) ([]span, error) {
	var spans []span
	for at := 0; ; {
		i := strings.Index(text[at:], opening)
		if i < 0 {
			return spans, nil
		}
		from := at + i + len(opening)
		n := lengthToClosing(text[from:])
		if n < 0 {
			return nil, errorAtByte(text, from-len(opening), "{{ without }}")
		}
		spans = append(spans, span{from, from + n})
		at = from + n + len(closing)
	}
}

func lengthToClosing(s string) int {
	var quote byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0 && c == '\\' && quote != '`':
			i++
		case c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\'' || c == '`'):
			quote = c
		case quote == 0 && strings.HasPrefix(s[i:], closing):
			return i
		}
	}
	return -1
}

// Render writes the template for row i of a batch of the schema that it was compiled for.
func (t *Template) Render(b *stream.Batch, i int) string {
	var out strings.Builder
	for _, p := range t.parts {
		out.WriteString(p.text)
		if p.expr != nil {
			out.WriteString(Text(p.expr.row(b, i)))
		}
	}
	return out.String()
}

func templateFunctions() map[string]*builtin.Function {
	f := ownFunctions()
	maps.Copy(f, map[string]*builtin.Function{
		"percent":  typed("percent", percent, new(func(any) string)),
		"bytes":    typed("bytes", byteSize, new(func(any) string)),
		"duration": typed("duration", spanOf, new(func(any) string)),
		"round":    typed("round", round, new(func(any) float64), new(func(any, int) float64)),
	})
	return f
}
