package pipelines

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Limits of a file. They keep a file that nobody wrote by hand from exhausting the parser.
const (
	maxFileBytes = 1 << 20
	maxNesting   = 64
)

// Parse reads the pipelines of a file: one in each YAML document. It looks at the file alone; what needs the components is
// found by [Validate]. Specs are returned as far as they could be read, together with everything that could not.
func Parse(file string, data []byte) ([]*Spec, Problems) {
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data))
	r := &reader{src: newSource(file, text)}
	docs := r.documents(text)
	var specs []*Spec
	for _, d := range docs {
		if d.Body == nil {
			continue
		}
		specs = append(specs, r.spec(d.Body))
	}
	if len(specs) == 0 && len(r.problems) == 0 {
		r.report(Pos{}, 0, "there is no pipeline in the file: it begins with `pipeline: NAME`")
	}
	return specs, r.problems
}

// documents parses the YAML; a mistake there hides the rest of the file.
func (r *reader) documents(text string) []*ast.DocumentNode {
	if len(text) > maxFileBytes {
		r.report(Pos{}, 0, "the file has %d bytes, at most %d make sense: split it", len(text), maxFileBytes)
		return nil
	}
	if strings.ContainsRune(text, 0) {
		r.report(Pos{}, 0, "the file is no text: it has a zero byte")
		return nil
	}
	tokens := lexer.Tokenize(text)
	if at, deep := tooDeep(tokens); deep {
		r.report(at, 1, "nested more than %d deep", maxNesting)
		return nil
	}
	f, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.syntax(err)
		return nil
	}
	return f.Docs
}

// tooDeep finds brackets and indicators that nest too deep; the parser's stack grows with them.
func tooDeep(tokens token.Tokens) (Pos, bool) {
	depth, line, onLine := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			line, onLine = t.Position.Line, 0
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			depth++
		case token.MappingEndType, token.SequenceEndType:
			depth--
		case token.SequenceEntryType, token.MappingKeyType, token.TagType, token.AnchorType:
			onLine++
		default: // nests nothing
		}
		if depth > maxNesting || onLine > maxNesting || t.Position.Column > maxFileBytes {
			return Pos{t.Position.Line, t.Position.Column}, true
		}
	}
	return Pos{}, false
}

// syntax reports what the YAML parser found, with the reason that is the usual one.
func (r *reader) syntax(err error) {
	var e *yaml.SyntaxError
	if !errors.As(err, &e) || e.Token == nil {
		r.report(Pos{}, 0, "this is no YAML: %v", err)
		return
	}
	at := Pos{e.Token.Position.Line, e.Token.Position.Column}
	message := "this is no YAML: " + e.Message
	if at.Line >= 1 && at.Line <= len(r.src.lines) {
		message += yamlHint(r.src.lines[at.Line-1])
	}
	r.report(at, 1, "%s", message)
}

func yamlHint(line string) string {
	_, value, _ := strings.Cut(line, ":")
	value = strings.TrimSpace(value)
	switch {
	case strings.HasPrefix(value, "{{"), strings.HasPrefix(value, "`"), strings.HasPrefix(value, "@"), strings.HasPrefix(value, "%"):
		return fmt.Sprintf("; a text that begins with `%c` needs quotes", value[0])
	case strings.HasPrefix(strings.TrimLeft(line, " "), "\t"):
		return "; indent with spaces"
	case strings.Contains(value, ": "):
		return "; a text with `: ` in it needs quotes"
	}
	return ""
}

// spec reads one document.
func (r *reader) spec(body ast.Node) *Spec {
	s := &Spec{File: r.src.file, src: r.src}
	m := r.mapping(body, "the pipeline")
	s.at = m.at
	if n := m.need("pipeline", "its name"); n != nil {
		s.Name = r.filled(n, "the name of the pipeline")
	}
	s.About = r.text(m.get("about"), "`about`", false)
	if n := m.need("source", "where the events come from"); n != nil {
		s.Source = r.source(n)
	}
	if n := m.get("time"); n != nil {
		s.Time = r.time(n)
	}
	if n := m.get("interval"); n != nil {
		s.Interval = r.interval(n)
	}
	for _, n := range r.list(m.get("steps"), "`steps`") {
		if step, ok := r.step(n); ok {
			s.Steps = append(s.Steps, step)
		}
	}
	nameSteps(s.Steps)
	if n := m.get("sinks"); n != nil {
		s.Sinks = r.sinks(n)
	}
	for _, n := range r.list(m.get("cases"), "`cases`") {
		s.Cases = append(s.Cases, r.testCase(n))
	}
	m.done()
	return s
}

func (r *reader) source(n ast.Node) Source {
	m := r.mapping(n, "the source")
	s := Source{At: m.at}
	if k := m.need("kafka", "the topics to read"); k != nil {
		km := r.mapping(k, "the kafka source")
		if t := km.need("topics", "the topics to read"); t != nil {
			s.Topics = r.texts(t, "`topics`")
		}
		s.Format = r.text(km.get("format"), "`format`", false)
		s.Schema = r.text(km.get("schema"), "`schema`", false)
		if by := km.get("keyed_by"); by != nil {
			s.KeyedBy = r.texts(by, "`keyed_by`")
		}
		km.done()
	}
	m.done()
	return s
}

func (r *reader) time(n ast.Node) Time {
	m := r.mapping(n, "the time")
	t := Time{
		At:              m.at,
		OutOfOrder:      r.duration(m.get("out_of_order"), "`out_of_order`"),
		AllowedLateness: r.duration(m.get("allowed_lateness"), "`allowed_lateness`"),
		MaxJump:         r.duration(m.get("max_jump"), "`max_jump`"),
		IdleAfter:       r.duration(m.get("idle_after"), "`idle_after`"),
	}
	m.done()
	return t
}

func (r *reader) interval(n ast.Node) Interval {
	m := r.mapping(n, "the interval")
	i := Interval{
		At:       m.at,
		Epoch:    r.duration(m.get("epoch"), "`epoch`"),
		Snapshot: r.duration(m.get("snapshot"), "`snapshot`"),
		Publish:  r.duration(m.get("publish"), "`publish`"),
	}
	m.done()
	return i
}
