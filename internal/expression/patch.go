package expression

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"

	"github.com/tidewatch/tidewatch/stream"
)

// patcher rewrites a checked part of an expression for the VM: every operator and function becomes a call of ours, so that
// nulls mean what the package says and nothing fails. What it leaves as it is cannot fail: literals, conditionals, let,
// and the loops over lists, but for their budget.
type patcher struct {
	own       map[string]*builtin.Function // those that an expression may call beside expr's
	columns   []string
	meter     *meter                       // nil: not metered
	functions map[string]*builtin.Function // what is called, by name
	lets      int
}

// The names of our functions hold a character that no identifier has.
const prefix = "#"

func (p *patcher) call(name string, fn func(args ...any) (any, error), args ...ast.Node) ast.Node {
	name = prefix + name
	if p.meter != nil {
		fn = p.meter.metered(fn)
	}
	p.functions[name] = &builtin.Function{Name: name, Func: fn}
	return &ast.CallNode{Callee: &ast.IdentifierNode{Value: name}, Arguments: args}
}

func (p *patcher) patchAll(nodes []ast.Node) {
	for i := range nodes {
		p.patch(&nodes[i])
	}
}

// condition patches a part whose value decides something.
func (p *patcher) condition(at *ast.Node) {
	p.patch(at)
	ast.Patch(at, p.call("truth", truth, *at))
}

func (p *patcher) patch(at *ast.Node) {
	kind := kindOf(*at) // asked first: patched parts have no kind
	conforms := !isColumn(kind) || p.conforms(*at, kind)
	p.rewrite(at)
	if !conforms {
		ast.Patch(at, p.call("as "+kind.String(), func(args ...any) (any, error) { return conform(kind, args[0]), nil }, *at))
	}
}

// conforms reports whether a part that is known to be of the kind gives nothing else, if its parts conform. Types alone
// do not say so: the checker takes a list of lists for one of whatever the last of them holds, and a choice between numbers
// may give either.
func (p *patcher) conforms(n ast.Node, kind stream.Kind) bool {
	switch n := n.(type) {
	case *ast.UnaryNode:
		return kind == stream.Bool
	case *ast.BinaryNode:
		if n.Operator == "??" {
			return isEither(kind, n.Left, n.Right)
		}
		return kind != stream.Timestamp // which may leave the range of a column
	case *ast.ConditionalNode:
		return isEither(kind, n.Exp1, n.Exp2)
	case *ast.IdentifierNode:
		return slices.Contains(p.columns, n.Value)
	case *ast.BuiltinNode, *ast.CallNode, *ast.MemberNode, *ast.SliceNode:
		return false
	}
	return true
}

// isEither reports whether each of the parts is of the kind or nil.
func isEither(kind stream.Kind, parts ...ast.Node) bool {
	for _, n := range parts {
		if k := kindOf(n); k != kind && k != nilKind {
			return false
		}
	}
	return true
}

func (p *patcher) rewrite(at *ast.Node) {
	switch n := (*at).(type) {
	case *ast.UnaryNode:
		p.unary(at, n)
	case *ast.BinaryNode:
		p.binary(at, n)
	case *ast.ConditionalNode:
		p.condition(&n.Cond)
		p.patch(&n.Exp1)
		p.patch(&n.Exp2)
	case *ast.MemberNode:
		p.patch(&n.Node)
		p.patch(&n.Property)
		ast.Patch(at, p.call("member", member, n.Node, n.Property))
	case *ast.SliceNode:
		p.patch(&n.Node)
		ast.Patch(at, p.call("slice", slice, n.Node, p.bound(n.From), p.bound(n.To)))
	case *ast.CallNode:
		p.userCall(at, n)
	case *ast.BuiltinNode:
		p.builtin(at, n)
	case *ast.MapNode:
		p.table(at, n)
	default:
		p.parts(n)
	}
}

func (p *patcher) parts(n ast.Node) {
	for _, part := range children(n) {
		p.patch(part)
	}
}

// table keeps a key that is no string from failing.
func (p *patcher) table(at *ast.Node, n *ast.MapNode) {
	var args []ast.Node
	for _, part := range n.Pairs {
		pair := part.(*ast.PairNode)
		p.parts(pair)
		args = append(args, pair.Key, pair.Value)
	}
	ast.Patch(at, p.call("table", table, args...))
}

func (p *patcher) bound(n ast.Node) ast.Node {
	if n == nil {
		return &ast.ConstantNode{Value: open{}}
	}
	p.patch(&n)
	return n
}

func (p *patcher) unary(at *ast.Node, n *ast.UnaryNode) {
	switch n.Operator {
	case "!", "not":
		p.condition(&n.Node)
	case "-":
		p.patch(&n.Node)
		ast.Patch(at, p.call("-", negate, n.Node))
	default:
		p.patch(&n.Node)
		*at = n.Node
	}
}

func isNil(n ast.Node) bool {
	_, ok := n.(*ast.NilNode)
	return ok
}

func (p *patcher) binary(at *ast.Node, n *ast.BinaryNode) {
	switch n.Operator {
	case "and", "&&", "or", "||":
		p.condition(&n.Left)
		p.condition(&n.Right)
		return
	}
	p.patch(&n.Left)
	p.patch(&n.Right)
	switch n.Operator {
	case "??":
	case "..":
		p.span(at, n)
	case "==", "!=", "<", "<=", ">", ">=":
		p.comparison(at, n)
	case "in":
		ast.Patch(at, p.call("in", in, n.Left, n.Right))
	case "matches":
		p.matches(at, n)
	case "contains":
		ast.Patch(at, p.call("contains", textTest(strings.Contains), n.Left, n.Right))
	case "startsWith":
		ast.Patch(at, p.call("startsWith", textTest(strings.HasPrefix), n.Left, n.Right))
	case "endsWith":
		ast.Patch(at, p.call("endsWith", textTest(strings.HasSuffix), n.Left, n.Right))
	default:
		op := arithmeticOperator(n.Operator)
		ast.Patch(at, p.call("calculate"+op, func(args ...any) (any, error) { return calculate(op, args[0], args[1]), nil }, n.Left, n.Right))
	}
}

// arithmeticOperator maps the two ways to write a power to one.
func arithmeticOperator(op string) string {
	if op == "^" {
		return "**"
	}
	return op
}

func (p *patcher) comparison(at *ast.Node, n *ast.BinaryNode) {
	if n.Operator == "==" || n.Operator == "!=" {
		asked := n.Left
		if isNil(n.Left) {
			asked = n.Right
		}
		if isNil(n.Left) || isNil(n.Right) {
			if n.Operator == "==" {
				ast.Patch(at, p.call("null", isNull, asked))
			} else {
				ast.Patch(at, p.call("notnull", notNull, asked))
			}
			return
		}
	}
	op := comparisons[n.Operator]
	ast.Patch(at, p.call("compare"+n.Operator, func(args ...any) (any, error) { return compareValues(op, args[0], args[1]), nil }, n.Left, n.Right))
}

func (p *patcher) matches(at *ast.Node, n *ast.BinaryNode) {
	if s, ok := n.Right.(*ast.StringNode); ok {
		if r, err := regexp.Compile(s.Value); err == nil {
			n.Right = &ast.ConstantNode{Value: r}
		}
	}
	ast.Patch(at, p.call("matches", matches, n.Left, n.Right))
}

// span makes a .. b null where a bound is no whole number. The VM itself counts the elements against its budget.
func (p *patcher) span(at *ast.Node, n *ast.BinaryNode) {
	ast.Patch(at, p.guarded([]ast.Node{n.Left, n.Right}, func(args []ast.Node) ast.Node {
		return &ast.BinaryNode{Operator: "..", Left: args[0], Right: args[1]}
	}))
}

// guarded evaluates the arguments once, and gives nil where they are no bounds.
func (p *patcher) guarded(args []ast.Node, build func(args []ast.Node) ast.Node) ast.Node {
	names := make([]string, len(args))
	vars := make([]ast.Node, len(args))
	for i := range args {
		p.lets++
		names[i] = fmt.Sprintf("%s%d", prefix, p.lets)
		vars[i] = &ast.IdentifierNode{Value: names[i]}
	}
	var result ast.Node = &ast.ConditionalNode{Cond: p.call("nospan", noSpan, vars...), Exp1: &ast.NilNode{}, Exp2: build(slices.Clone(vars))}
	for i, arg := range slices.Backward(args) {
		result = &ast.VariableDeclaratorNode{Name: names[i], Value: arg, Expr: result}
	}
	return result
}

func (p *patcher) userCall(at *ast.Node, n *ast.CallNode) {
	p.patchAll(n.Arguments)
	callee, ok := n.Callee.(*ast.MemberNode)
	if !ok {
		name := n.Callee.(*ast.IdentifierNode).Value
		ast.Patch(at, p.call("own"+name, p.own[name].Func, n.Arguments...))
		return
	}
	p.patch(&callee.Node)
	name := callee.Property.(*ast.StringNode).Value
	method := methods[name]
	args := append([]ast.Node{callee.Node}, n.Arguments...)
	ast.Patch(at, p.call("method"+name, func(args ...any) (any, error) { return method(args[0], args[1:]), nil }, args...))
}

func (p *patcher) builtin(at *ast.Node, n *ast.BuiltinNode) {
	if slices.Contains(loops, n.Name) {
		p.loop(n)
		return
	}
	p.patchAll(n.Arguments)
	ast.Patch(at, p.call("function"+n.Name, function(n.Name), n.Arguments...))
}

// loop leaves the loop to the VM and sees to it that it gets a list, and from its predicate what it can use.
func (p *patcher) loop(n *ast.BuiltinNode) {
	p.patch(&n.Arguments[0])
	n.Arguments[0] = p.call("list", list, n.Arguments[0])
	if n.Name == "sum" {
		p.sum(n)
		return
	}
	if len(n.Arguments) == 1 { // count of a list of conditions
		n.Arguments = append(n.Arguments, &ast.PredicateNode{Node: &ast.PointerNode{}})
	}
	body := n.Arguments[1].(*ast.PredicateNode)
	if n.Name == "map" {
		p.patch(&body.Node)
		return
	}
	p.condition(&body.Node)
}

// sum adds what is a number.
func (p *patcher) sum(n *ast.BuiltinNode) {
	if len(n.Arguments) == 1 {
		n.Arguments = append(n.Arguments, &ast.PredicateNode{Node: &ast.PointerNode{}})
	}
	body := n.Arguments[1].(*ast.PredicateNode)
	p.patch(&body.Node)
	ast.Patch(&body.Node, p.call("number", number, body.Node))
}
