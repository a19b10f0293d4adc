package expression

import (
	"github.com/expr-lang/expr/ast"
)

// Equalities lists what a condition demands of string columns: from `name == "a" and value > 1` it reads that name is "a".
// Alternatives demand nothing. An expression that cannot be read demands nothing either; Compile says why.
func Equalities(src string) map[string]string {
	demanded := map[string]string{}
	_, n, err := resolve(src, nil, ownFunctions())
	if err == nil {
		equalities(n, demanded)
	}
	return demanded
}

func equalities(n ast.Node, demanded map[string]string) {
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
			demanded[column] = text
		} else if column, text, ok := columnAndText(b.Right, b.Left); ok {
			demanded[column] = text
		}
	}
}

func columnAndText(left, right ast.Node) (column, text string, ok bool) {
	c, isColumn := left.(*ast.IdentifierNode)
	s, isText := right.(*ast.StringNode)
	if !isColumn || !isText {
		return "", "", false
	}
	return c.Value, s.Value, true
}
