package pipelines

import (
	"encoding/json"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// value reads anything as JSON: the fields of an event, or what a row has to be equal to.
func (r *reader) value(n ast.Node) []byte {
	return r.appendValue(nil, n)
}

func (r *reader) appendValue(dst []byte, n ast.Node) []byte {
	switch n := n.(type) {
	case *ast.NullNode:
		return append(dst, "null"...)
	case *ast.BoolNode:
		return appendJSON(dst, n.Value)
	case *ast.IntegerNode:
		return appendJSON(dst, n.Value)
	case *ast.FloatNode:
		return r.appendFloat(dst, n)
	case *ast.StringNode, *ast.LiteralNode:
		return appendJSON(dst, r.text(n, "the value", false).Value)
	case *ast.SequenceNode:
		dst = append(dst, '[')
		for i, v := range n.Values {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = r.appendValue(dst, v)
		}
		return append(dst, ']')
	case *ast.MappingNode, *ast.MappingValueNode:
		dst = append(dst, '{')
		for i, e := range r.mapping(n, "the value").entries {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendJSON(dst, keyOf(e)), ':')
			dst = r.appendValue(dst, e.Value)
		}
		return append(dst, '}')
	}
	r.report(posOf(n), 1, "JSON has no form for %s", kindOf(n))
	return append(dst, "null"...)
}

// appendFloat keeps the digits of the file where JSON has the same form.
func (r *reader) appendFloat(dst []byte, n *ast.FloatNode) []byte {
	if text := n.GetToken().Value; json.Valid([]byte(text)) {
		return append(dst, text...)
	}
	return appendJSON(dst, n.Value)
}

// appendJSON encodes a value that always has a form.
func appendJSON(dst []byte, v any) []byte {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return append(dst, "null"...)
	}
	return append(dst, strings.TrimRight(b.String(), "\n")...)
}
