package expression

import (
	"reflect"
	"slices"

	"github.com/expr-lang/expr/ast"
)

// children lists where the parts of a node stand, in the order of the text.
func children(n ast.Node) []*ast.Node {
	switch n := n.(type) {
	case *ast.UnaryNode:
		return []*ast.Node{&n.Node}
	case *ast.BinaryNode:
		return []*ast.Node{&n.Left, &n.Right}
	case *ast.ChainNode:
		return []*ast.Node{&n.Node}
	case *ast.MemberNode:
		return []*ast.Node{&n.Node, &n.Property}
	case *ast.SliceNode:
		return slices.DeleteFunc([]*ast.Node{&n.Node, &n.From, &n.To}, func(at *ast.Node) bool { return *at == nil })
	case *ast.CallNode:
		return append([]*ast.Node{&n.Callee}, places(n.Arguments)...)
	case *ast.PredicateNode:
		return []*ast.Node{&n.Node}
	case *ast.ConditionalNode:
		return []*ast.Node{&n.Cond, &n.Exp1, &n.Exp2}
	case *ast.VariableDeclaratorNode:
		return []*ast.Node{&n.Value, &n.Expr}
	case *ast.PairNode:
		return []*ast.Node{&n.Key, &n.Value}
	}
	return places(elements(n))
}

// elements are the parts of a node that has any number of them and nothing else.
func elements(n ast.Node) []ast.Node {
	switch n := n.(type) {
	case *ast.BuiltinNode:
		return n.Arguments
	case *ast.SequenceNode:
		return n.Nodes
	case *ast.ArrayNode:
		return n.Nodes
	case *ast.MapNode:
		return n.Pairs
	}
	return nil
}

func places(nodes []ast.Node) []*ast.Node {
	at := make([]*ast.Node, len(nodes))
	for i := range nodes {
		at[i] = &nodes[i]
	}
	return at
}

// unsharer makes a tree of what the parser gave: in a < b < c it puts the one b into both comparisons. Whoever rewrites the
// first would rewrite the second too, and with chains inside of chains every visit would take exponential time.
type unsharer struct {
	seen  map[ast.Node]bool
	parts int
}

// visit copies what was seen before. It gives up beyond maxNodes parts.
func (u *unsharer) visit(at *ast.Node) {
	if u.parts++; u.parts > maxNodes {
		return
	}
	if u.seen[*at] {
		*at = copyOf(*at)
	}
	u.seen[*at] = true
	for _, part := range children(*at) {
		u.visit(part)
	}
}

// copyOf is a node of its own with the same parts.
func copyOf(n ast.Node) ast.Node {
	c := reflect.New(reflect.TypeOf(n).Elem())
	c.Elem().Set(reflect.ValueOf(n).Elem())
	switch n := c.Interface().(type) {
	case *ast.CallNode:
		n.Arguments = slices.Clone(n.Arguments)
	case *ast.BuiltinNode:
		n.Arguments = slices.Clone(n.Arguments)
	case *ast.SequenceNode:
		n.Nodes = slices.Clone(n.Nodes)
	case *ast.ArrayNode:
		n.Nodes = slices.Clone(n.Nodes)
	case *ast.MapNode:
		n.Pairs = slices.Clone(n.Pairs)
	}
	return c.Interface().(ast.Node)
}

// unbounded reports whether the work for a row is not bounded by the length of the expression: where it loops over a list
// that is not written out, or in a loop. Such an expression may exceed its budget and is then null as a whole, so it must be
// evaluated as a whole.
func unbounded(n ast.Node, inLoop bool) bool {
	body := inLoop
	switch n := n.(type) {
	case *ast.BinaryNode:
		if n.Operator == ".." && (inLoop || !writtenOut(n)) {
			return true
		}
	case *ast.BuiltinNode:
		if !slices.Contains(loops, n.Name) {
			break
		}
		if inLoop || !writtenOut(n.Arguments[0]) {
			return true
		}
		body = true
	}
	for i, part := range children(n) {
		if unbounded(*part, body && i > 0 || inLoop) {
			return true
		}
	}
	return false
}

// writtenOut reports whether a part is a list no longer than an expression may be.
func writtenOut(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.ArrayNode:
		return true
	case *ast.BinaryNode:
		from, ok1 := n.Left.(*ast.IntegerNode)
		to, ok2 := n.Right.(*ast.IntegerNode)
		return n.Operator == ".." && ok1 && ok2 && to.Value-from.Value < maxNodes
	}
	return false
}
