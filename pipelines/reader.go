package pipelines

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/tidewatch/tidewatch/internal/expression"
	"github.com/tidewatch/tidewatch/schemas"
)

// reader turns the nodes of a file into values and notes what does not fit. It always goes on, so that one run finds
// every mistake; what was wrong stays zero.
type reader struct {
	src      *source
	problems Problems
}

func (r *reader) report(at Pos, width int, format string, args ...any) {
	r.problems = append(r.problems, r.src.problem(at, width, fmt.Sprintf(format, args...)))
}

// posOf is where the node begins.
func posOf(n ast.Node) Pos {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return posOf(n.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return posOf(n.Key)
	case nil:
		return Pos{}
	}
	t := n.GetToken()
	if t == nil || t.Position == nil {
		return Pos{1, 1}
	}
	return Pos{t.Position.Line, t.Position.Column}
}

// kindOf names what a node is, for messages.
func kindOf(n ast.Node) string {
	switch n := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "names with values"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	case *ast.BoolNode:
		return fmt.Sprintf("`%t`", n.Value)
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "the number `" + n.GetToken().Value + "`"
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		return "an anchor, alias or tag"
	}
	return "text"
}

// mapping is a node with named values that is being read.
type mapping struct {
	r       *reader
	what    string // in messages: "the window"
	at      Pos
	entries []*ast.MappingValueNode
	asked   []string
	taken   map[string]bool
	missing [][2]string // name, why
	wrong   bool        // the node is no mapping, which was reported
}

// mapping begins to read names with values.
func (r *reader) mapping(n ast.Node, what string) *mapping {
	m := &mapping{r: r, what: what, at: posOf(n), taken: map[string]bool{}}
	switch n := n.(type) {
	case *ast.MappingNode:
		m.entries = n.Values
	case *ast.MappingValueNode:
		m.entries = []*ast.MappingValueNode{n}
	case *ast.NullNode:
		r.report(m.at, 1, "%s is empty", what)
		m.wrong = true
	default:
		r.report(m.at, 1, "%s is made of names with values, not %s", what, kindOf(n))
		m.wrong = true
	}
	seen := map[string]bool{}
	for _, e := range m.entries {
		name := keyOf(e)
		if seen[name] {
			r.report(posOf(e.Key), len(name), "`%s` is said twice in %s", name, what)
		}
		seen[name] = true
	}
	return m
}

func keyOf(e *ast.MappingValueNode) string {
	if e.Key == nil || e.Key.GetToken() == nil {
		return ""
	}
	return e.Key.GetToken().Value
}

// get is the value of the name, nil if it is not there. Asking makes the name known.
func (m *mapping) get(name string) ast.Node {
	m.asked = append(m.asked, name)
	for _, e := range m.entries {
		if keyOf(e) == name {
			m.taken[name] = true
			return e.Value
		}
	}
	return nil
}

// need is get for a name that must be there.
func (m *mapping) need(name, why string) ast.Node {
	n := m.get(name)
	if n == nil && !m.wrong {
		m.missing = append(m.missing, [2]string{name, why})
	}
	return n
}

// rest lists the entries that nobody asked for.
func (m *mapping) rest() (entries []*ast.MappingValueNode) {
	for _, e := range m.entries {
		if !m.taken[keyOf(e)] {
			entries = append(entries, e)
		}
	}
	return entries
}

// done reports the names that nobody asked for, and the needed ones that are missing, unless one of the former was meant.
func (m *mapping) done() {
	meant := map[string]bool{}
	for _, e := range m.rest() {
		name := keyOf(e)
		meant[nearest(name, m.asked)] = true
		m.r.report(posOf(e.Key), len([]rune(name)), "unknown word `%s` in %s%s", name, m.what, suggestion(name, m.asked))
	}
	var missing []string
	for _, miss := range m.missing {
		if !meant[miss[0]] {
			missing = append(missing, fmt.Sprintf("`%s`: %s", miss[0], miss[1]))
		}
	}
	if len(missing) > 0 {
		m.r.report(m.at, 1, "%s needs %s", m.what, strings.Join(missing, "; and "))
	}
}

// nearest is the name that was meant, or "". A slip of the finger is looked for first, then a half-known word such as
// averge for avg; nobody means a name of one or two letters by a longer one.
func nearest(name string, among []string) string {
	if near := expression.Nearest(name, among); near != "" {
		return near
	}
	long := slices.DeleteFunc(slices.Clone(among), func(s string) bool { return len(s) < 3 })
	return schemas.Nearest(name, long)
}

// suggestion ends a message about an unknown name.
func suggestion(name string, among []string) string {
	among = slices.DeleteFunc(slices.Clone(among), func(s string) bool { return strings.HasPrefix(s, "_") }) // ours
	switch near := nearest(name, among); {
	case near != "":
		return ", did you mean `" + near + "`?"
	case len(among) > 0:
		return ": there is " + quoted(among)
	}
	return ""
}

// text reads a scalar as text. Numbers and yes or no are taken as they are written, if plain says so (expressions).
func (r *reader) text(n ast.Node, what string, plain bool) Text {
	switch n := n.(type) {
	case nil:
		return Text{}
	case *ast.StringNode:
		t := Text{Value: n.Value, At: posOf(n)}
		if q := strings.TrimSpace(n.GetToken().Origin); q != "" && (q[0] == '"' || q[0] == '\'') {
			t.form = q[0]
		}
		return t
	case *ast.LiteralNode:
		t := Text{Value: strings.TrimRight(n.Value.Value, "\n"), At: posOf(n), form: '|'}
		if strings.HasPrefix(strings.TrimSpace(n.GetToken().Origin), ">") {
			t.form = '>'
		}
		return t
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		value := n.GetToken().Value
		if plain {
			return Text{Value: value, At: posOf(n)}
		}
		r.report(posOf(n), len(value), "%s is a text, not %s: put it into quotes", what, kindOf(n))
		return Text{}
	case *ast.NullNode:
		r.report(posOf(n), 1, "%s is empty", what)
		return Text{}
	}
	r.report(posOf(n), 1, "%s is a text, not %s", what, kindOf(n))
	return Text{}
}

// filled reads a text that is not empty.
func (r *reader) filled(n ast.Node, what string) Text {
	t := r.text(n, what, false)
	if t.IsSet() && strings.TrimSpace(t.Value) == "" {
		r.report(t.At, t.width(), "%s is empty", what)
		return Text{}
	}
	return t
}

// expression reads an expression; numbers are expressions too.
func (r *reader) expression(n ast.Node, what string) Text {
	t := r.text(n, what, true)
	if t.IsSet() && strings.TrimSpace(t.Value) == "" {
		r.report(t.At, t.width(), "%s is empty", what)
		return Text{}
	}
	return t
}

// texts reads one text or a list of them.
func (r *reader) texts(n ast.Node, what string) (list []Text) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		if t := r.filled(n, what); t.IsSet() {
			return []Text{t}
		}
		return nil
	}
	if len(seq.Values) == 0 {
		r.report(posOf(n), 1, "%s is empty", what)
	}
	for _, v := range seq.Values {
		t := r.filled(v, what)
		if !t.IsSet() {
			continue
		}
		if hasText(list, t.Value) {
			r.report(t.At, t.width(), "`%s` is said twice in %s", t.Value, what)
			continue
		}
		list = append(list, t)
	}
	return list
}

func hasText(list []Text, value string) bool {
	for _, t := range list {
		if t.Value == value {
			return true
		}
	}
	return false
}

// list reads a list of things.
func (r *reader) list(n ast.Node, what string) []ast.Node {
	switch n := n.(type) {
	case nil:
		return nil
	case *ast.SequenceNode:
		return n.Values
	case *ast.NullNode:
		r.report(posOf(n), 1, "%s is empty", what)
		return nil
	}
	r.report(posOf(n), 1, "%s is a list, not %s", what, kindOf(n))
	return nil
}

// duration reads a length of time.
func (r *reader) duration(n ast.Node, what string) Duration {
	t := r.text(n, what, true)
	if !t.IsSet() {
		return Duration{}
	}
	d, err := ParseDuration(t.Value)
	if err != nil {
		r.report(t.At, t.width(), "%s: %v", what, err)
		return Duration{}
	}
	return Duration{d, t.At}
}

// number reads a whole number from low on.
func (r *reader) number(n ast.Node, what string, low, high int64) Number {
	if n == nil {
		return Number{}
	}
	i, ok := n.(*ast.IntegerNode)
	if !ok {
		r.report(posOf(n), 1, "%s is a whole number, not %s", what, kindOf(n))
		return Number{}
	}
	v, ok := wholeNumber(i.Value)
	if !ok || v < low || v > high {
		r.report(posOf(n), len(i.GetToken().Value), "%s is from %d to %d", what, low, high)
		return Number{}
	}
	return Number{v, posOf(n)}
}

// size reads bytes: a whole number of KiB, MiB or GiB.
func (r *reader) size(n ast.Node, what string) Number {
	t := r.text(n, what, true)
	if !t.IsSet() {
		return Number{}
	}
	for i, unit := range []string{"KiB", "MiB", "GiB"} {
		digits, ok := strings.CutSuffix(t.Value, unit)
		if !ok {
			continue
		}
		if v, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 32); err == nil && v > 0 {
			return Number{v << (10 * (i + 1)), t.At}
		}
	}
	r.report(t.At, t.width(), "%s is a whole number of KiB, MiB or GiB, such as 256MiB", what)
	return Number{}
}

func wholeNumber(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case uint64:
		return int64(v), v < 1<<63
	}
	return 0, false
}

// flag reads true or false.
func (r *reader) flag(n ast.Node, what string) Flag {
	if n == nil {
		return Flag{}
	}
	b, ok := n.(*ast.BoolNode)
	if !ok {
		r.report(posOf(n), 1, "%s is true or false, not %s", what, kindOf(n))
		return Flag{}
	}
	return Flag{b.Value, posOf(n)}
}
