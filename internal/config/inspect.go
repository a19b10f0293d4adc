package config

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Problem is one mistake in a file.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`   // from 1; 0 if the file as a whole, or no file is meant
	Column  int    `json:"column"` // from 1, in characters
	Message string `json:"message"`
	Excerpt string `json:"excerpt,omitempty"` // the line and a caret below the place
}

// String is the form for people: the place, the sentence, the line with a caret.
func (p Problem) String() string {
	text := p.Message
	switch {
	case p.Line > 0:
		text = fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, text)
	case p.File != "":
		text = p.File + ": " + text
	}
	if p.Excerpt != "" {
		text += "\n" + p.Excerpt
	}
	return text
}

// Problems are all mistakes of a configuration, by their places.
type Problems []Problem

// Error implements error.
func (ps Problems) Error() string {
	texts := make([]string, len(ps))
	for i, p := range ps {
		texts[i] = p.String()
	}
	return strings.Join(texts, "\n\n")
}

// place is where a key and its value stand.
type place struct{ key, value *token.Token }

// inspected is a file that was looked at: where its keys are, and what is wrong with its form.
type inspected struct {
	file     string
	lines    []string
	places   map[string]place
	problems Problems
	blank    bool // it says nothing
}

// inspect reads the form of a file: YAML, known keys, and values of the right kind.
func inspect(file string, data []byte) *inspected {
	in := &inspected{file: file, lines: strings.Split(string(data), "\n"), places: map[string]place{}}
	parsed, err := parser.ParseBytes(data, 0)
	if err != nil {
		in.broken(err)
		return in
	}
	bodies := slices.DeleteFunc(parsed.Docs, func(d *ast.DocumentNode) bool { return empty(d.Body) })
	in.blank = len(bodies) == 0
	if len(bodies) > 1 {
		in.add(bodies[1].Body.GetToken(), "a second document: only one is read")
	}
	if len(bodies) > 0 {
		in.mapping(bodies[0].Body, "", reflect.TypeFor[Config]())
	}
	if len(in.problems) == 0 && !in.blank { // what the checks above do not know, such as a key that stands twice
		var c Config
		if err := yaml.UnmarshalWithOptions(data, &c, yaml.Strict()); err != nil {
			in.broken(err)
		}
	}
	slices.SortStableFunc(in.problems, func(a, b Problem) int { return cmp.Or(a.Line-b.Line, a.Column-b.Column) })
	return in
}

// empty reports whether a document says nothing.
func empty(n ast.Node) bool {
	_, comment := n.(*ast.CommentGroupNode)
	return n == nil || comment || n.Type() == ast.NullType
}

// broken reports an error of the YAML library at its place.
func (in *inspected) broken(err error) {
	var y yaml.Error
	if !errors.As(err, &y) {
		in.add(nil, err.Error())
		return
	}
	in.add(y.GetToken(), y.GetMessage())
}

// add notes a problem at a token, nil for the file as a whole.
func (in *inspected) add(t *token.Token, message string) {
	p := Problem{File: in.file, Message: message}
	if t != nil && t.Position != nil && t.Position.Line >= 1 && t.Position.Line <= len(in.lines) {
		p.Line, p.Column = t.Position.Line, max(t.Position.Column, 1)
		line := strings.ReplaceAll(strings.TrimRight(in.lines[p.Line-1], "\r"), "\t", " ")
		width := max(min(utf8.RuneCountInString(strings.TrimSpace(t.Value)), utf8.RuneCountInString(line)-p.Column+1), 1)
		number := fmt.Sprintf("%4d | ", p.Line)
		p.Excerpt = number + line + "\n" + strings.Repeat(" ", len(number)+p.Column-1) + strings.Repeat("^", width)
	}
	in.problems = append(in.problems, p)
}

// mapping checks the keys of a section.
func (in *inspected) mapping(n ast.Node, prefix string, t reflect.Type) {
	m, ok := plain(n).(ast.MapNode)
	if !ok {
		in.add(n.GetToken(), fmt.Sprintf("%s holds keys: %s", cmp.Or(strings.TrimSuffix(prefix, "."), "the file"), strings.Join(keysOf(t), ", ")))
		return
	}
	for it := m.MapRange(); it.Next(); {
		key := it.Key().GetToken()
		if it.Key().Type() == ast.MergeKeyType {
			in.mapping(it.Value(), prefix, t)
			continue
		}
		f, ok := fieldNamed(t, key.Value)
		if !ok {
			in.add(key, "unknown key "+prefix+key.Value+suggestion(key.Value, keysOf(t)))
			continue
		}
		in.places[prefix+key.Value] = place{key, it.Value().GetToken()}
		in.value(it.Value(), prefix+key.Value, f.Type)
	}
}

// value checks that a value has the kind of its key. Null leaves a key as it is.
func (in *inspected) value(n ast.Node, key string, t reflect.Type) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	n = plain(n)
	if n.Type() == ast.NullType {
		return
	}
	_, scalar := n.(ast.ScalarNode)
	switch t.Kind() {
	case reflect.Struct:
		in.mapping(n, key+".", t)
	case reflect.Slice:
		list, ok := n.(*ast.SequenceNode)
		if !ok {
			in.add(n.GetToken(), fmt.Sprintf("%s is a list: write [%s]", key, n.GetToken().Value))
			return
		}
		for _, v := range list.Values {
			if _, ok := plain(v).(ast.ScalarNode); !ok {
				in.add(v.GetToken(), "an entry of "+key+" is a text")
			}
		}
	case reflect.Int16:
		if _, ok := n.(*ast.IntegerNode); !ok {
			in.add(n.GetToken(), key+" is a whole number")
		}
	default:
		if !scalar {
			in.add(n.GetToken(), key+" is a text")
		}
	}
}

// plain is what an anchor, a tag or an alias stands for.
func plain(n ast.Node) ast.Node {
	switch x := n.(type) {
	case *ast.AnchorNode:
		return plain(x.Value)
	case *ast.TagNode:
		return plain(x.Value)
	}
	return n
}

func fieldNamed(t reflect.Type, name string) (reflect.StructField, bool) {
	for f := range t.Fields() {
		if n, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); n == name {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

func keysOf(t reflect.Type) (all []string) {
	for f := range t.Fields() {
		n, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		all = append(all, n)
	}
	return all
}
