package expression

import (
	"reflect"
	"time"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/types"

	"github.com/tidewatch/tidewatch/stream"
)

// Beside the kinds of columns, a part of an expression may be nil, or something that fits into no column.
const (
	nilKind   stream.Kind = 0
	otherKind stream.Kind = 255
)

func typeOf(k stream.Kind) types.Type {
	switch k {
	case stream.Int:
		return types.Int
	case stream.Float:
		return types.Float64
	case stream.Bool:
		return types.Bool
	case stream.String:
		return types.String
	case stream.Timestamp:
	}
	return types.TypeOf(time.Time{})
}

var timeType = reflect.TypeFor[time.Time]()

// kindOf is the kind of a checked part. It knows more than the checker where kinds mix.
func kindOf(n ast.Node) stream.Kind {
	switch n := n.(type) {
	case *ast.NilNode:
		return nilKind
	case *ast.ConditionalNode:
		return common(kindOf(n.Exp1), kindOf(n.Exp2))
	case *ast.VariableDeclaratorNode:
		return kindOf(n.Expr)
	case *ast.SequenceNode:
		return kindOf(n.Nodes[len(n.Nodes)-1])
	case *ast.UnaryNode:
		if k := kindOf(n.Node); isNumber(k) {
			return k
		}
	case *ast.BinaryNode:
		if n.Operator == "??" {
			return common(kindOf(n.Left), kindOf(n.Right))
		}
		if k, ok := kindOfArithmetic(n); ok {
			return k
		}
	case *ast.BuiltinNode:
		if k, ok := kindOfNumbers(n.Arguments); n.Name == "sum" && ok {
			return k
		}
	case *ast.CallNode:
		if k, ok := kindOfNumbers(n.Arguments); isExtreme(n.Callee) && ok {
			return k
		}
	}
	return kindOfType(n)
}

func kindOfArithmetic(n *ast.BinaryNode) (stream.Kind, bool) {
	switch n.Operator {
	case "+", "-", "*":
		l, r := kindOf(n.Left), kindOf(n.Right)
		return common(l, r), isNumber(l) && isNumber(r)
	}
	return 0, false
}

// kindOfNumbers is the kind that the arguments, or the elements of the only one, have in common if they are numbers. The
// checker knows only that they may be anything where kinds mix.
func kindOfNumbers(args []ast.Node) (stream.Kind, bool) {
	if len(args) == 1 {
		array, ok := args[0].(*ast.ArrayNode)
		if !ok {
			return 0, false
		}
		args = array.Nodes
	}
	k := kindOfAll(args)
	return k, isNumber(k)
}

func isExtreme(callee ast.Node) bool {
	name, ok := callee.(*ast.IdentifierNode)
	return ok && (name.Value == prefix+"min" || name.Value == prefix+"max")
}

func kindOfAll(nodes []ast.Node) stream.Kind {
	k := nilKind
	for _, n := range nodes {
		k = common(k, kindOf(n))
	}
	return k
}

func kindOfType(n ast.Node) stream.Kind {
	t := n.Nature().Type
	switch t {
	case nil:
		return otherKind
	case timeType:
		return stream.Timestamp
	}
	switch t.Kind() { //nolint:exhaustive // the others fit into no column
	case reflect.Bool:
		return stream.Bool
	case reflect.Int, reflect.Int64: // time.Duration too
		return stream.Int
	case reflect.Float64:
		return stream.Float
	case reflect.String:
		return stream.String
	}
	return otherKind
}

// common is the kind of a choice between two.
func common(a, b stream.Kind) stream.Kind {
	switch {
	case a == b, b == nilKind:
		return a
	case a == nilKind:
		return b
	case isNumber(a) && isNumber(b):
		return stream.Float
	}
	return otherKind
}

func isNumber(k stream.Kind) bool { return k == stream.Int || k == stream.Float }

func isColumn(k stream.Kind) bool { return k != nilKind && k != otherKind }
