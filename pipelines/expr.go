package pipelines

import (
	"errors"
	"strings"

	"github.com/tidewatch/tidewatch/internal/expression"
	"github.com/tidewatch/tidewatch/stream"
)

// namesIn lists the columns that an expression names; none if it cannot be read, which is reported where it is checked.
func namesIn(expr string) []string {
	names, err := expression.Names(expr)
	if err != nil {
		return nil
	}
	return names
}

// expressionOf checks an expression against the columns; what is wrong is shown at its place inside the expression.
func (k *checker) expressionOf(t Text, in *stream.Schema) bool {
	_, err := expression.Compile(t.Value, in)
	k.expressionError(t, in, err)
	return err == nil
}

// condition checks an expression that is true or false.
func (k *checker) condition(t Text, in *stream.Schema) bool {
	p, err := expression.Compile(t.Value, in)
	if err != nil {
		k.expressionError(t, in, err)
		return false
	}
	if p.Kind() != stream.Bool {
		k.complain(t, "a condition is true or false, but this is %s: compare it with something", article(p.Kind()))
		return false
	}
	return true
}

func article(kind stream.Kind) string {
	if kind == stream.Int {
		return "an int"
	}
	return "a " + kind.String()
}

func (k *checker) expressionError(t Text, in *stream.Schema, err error) {
	if err == nil {
		return
	}
	var e *expression.Error
	if !errors.As(err, &e) {
		k.complain(t, "%v", err)
		return
	}
	word := wordAt(t.Value, e.Offset)
	message := strings.ReplaceAll(e.Message, `"`, "`")
	switch {
	case e.Suggestion != "":
		message += ", did you mean `" + e.Suggestion + "`?"
	case strings.HasPrefix(message, "unknown name"):
		message += suggestion(word, in.Names())
	}
	if strings.HasPrefix(message, "unknown name") && in == k.l.columns {
		message += attributeHint(word)
	}
	k.report(t.locate(k.src, e.Offset), len([]rune(word)), "%s", message)
}

// wordAt is the name or number at the offset, or else the character.
func wordAt(s string, offset int) string {
	if offset < 0 || offset >= len(s) {
		return " "
	}
	n := strings.IndexFunc(s[offset:], func(r rune) bool {
		return r != '_' && r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
	if n < 0 {
		n = len(s) - offset
	}
	return s[offset : offset+max(n, 1)]
}

// template checks a text with {{ expressions }}.
func (k *checker) template(t Text, in *stream.Schema) bool {
	if !t.IsSet() {
		return true
	}
	_, err := expression.CompileTemplate(t.Value, in)
	k.expressionError(t, in, err)
	return err == nil
}
