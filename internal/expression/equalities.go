package expression

import (
	"github.com/expr-lang/expr/ast"
)

// Equalities lists what a condition demands of string columns, the values that each may have: from `name == "a" and
// value > 1` it reads that name is "a", from `name in ["a", "b"]` that it is one of these. Other alternatives demand nothing. An expression that cannot be read demands nothing either; Compile says why.
func Equalities(src string) map[string][]string {
	demanded := map[string][]string{}
	_, n, err := resolve(src, nil, ownFunctions())
	if err == nil {
		equalities(n, demanded)
	}
	return demanded
}

func equalities(n ast.Node, demanded map[string][]string) {
	b, ok := n.(*ast.BinaryNode)
	if !ok {
		return
	}
	switch b.Operator {
	case "and", "&&":
		equalities(b.Left, demanded)
		equalities(b.Right, demanded)
	case "==":
		if column, text, ok := columnAndText(b.Left, b.Right); ok {
			demanded[column] = []string{text}
		} else if column, text, ok := columnAndText(b.Right, b.Left); ok {
			demanded[column] = []string{text}
		}
	case "in":
		if c, ok := b.Left.(*ast.IdentifierNode); ok {
			if texts := textsIn(b.Right); len(texts) > 0 {
				demanded[c.Value] = texts
			}
		}
	}
}

// textsIn are the elements of a list of texts; none if something else is in it.
func textsIn(n ast.Node) (texts []string) {
	list, ok := n.(*ast.ArrayNode)
	if !ok {
		return nil
	}
	for _, e := range list.Nodes {
		s, ok := e.(*ast.StringNode)
		if !ok {
			return nil
		}
		texts = append(texts, s.Value)
	}
	return texts
}

func columnAndText(left, right ast.Node) (column, text string, ok bool) {
	c, isColumn := left.(*ast.IdentifierNode)
	s, isText := right.(*ast.StringNode)
	if !isColumn || !isText {
		return "", "", false
	}
	return c.Value, s.Value, true
}
