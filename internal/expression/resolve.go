package expression

import (
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"

	"github.com/tidewatch/tidewatch/stream"
)

// resolver finds the columns that an expression names, and turns a.b and a["b"] into the one name "a.b".
type resolver struct {
	src       string
	schema    *stream.Schema // nil: every name is taken
	functions map[string]*builtin.Function
	lenient   bool     // the expression was resolved before: no function is unknown
	locals    []string // of let
	names     []string // columns in order of first use
	err       *Error   // the first
}

func (r *resolver) fail(n ast.Node, format string, args ...any) {
	r.failNear(n, "", format, args...)
}

// failNear also suggests a name.
func (r *resolver) failNear(n ast.Node, suggestion, format string, args ...any) {
	if r.err == nil {
		r.err = errorAt(r.src, n.Location().From, format, args...)
		r.err.Suggestion = suggestion
	}
}

func (r *resolver) visitAll(nodes []ast.Node) {
	for i := range nodes {
		r.visit(&nodes[i])
	}
}

func (r *resolver) visit(at *ast.Node) {
	switch n := (*at).(type) {
	case *ast.IdentifierNode:
		if !slices.Contains(r.locals, n.Value) {
			r.column(n, n.Value)
		}
	case *ast.MemberNode:
		r.member(at, n)
	case *ast.ChainNode:
		*at = n.Node
		r.visit(at)
	case *ast.CallNode:
		r.call(n)
		r.plain(at, n)
	case *ast.BuiltinNode:
		r.builtin(at, n)
	case *ast.VariableDeclaratorNode:
		r.visit(&n.Value)
		r.locals = append(r.locals, n.Name)
		r.visit(&n.Expr)
		r.locals = r.locals[:len(r.locals)-1]
	default:
		r.visitParts(n)
	}
}

// visitParts visits the parts of a node that binds nothing.
func (r *resolver) visitParts(n ast.Node) {
	if _, ok := n.(*ast.BytesNode); ok {
		r.fail(n, "bytes are not supported: use a string")
	}
	for _, part := range children(n) {
		r.visit(part)
	}
}

// builtin checks that the function is one of ours, and calls our own where expr does not know the type of the result.
func (r *resolver) builtin(at *ast.Node, n *ast.BuiltinNode) {
	if !slices.Contains(builtins, n.Name) && !slices.Contains(loops, n.Name) {
		r.unknownFunction(n, n.Name)
		return
	}
	if slices.Contains(aggregates, n.Name) {
		callee := &ast.IdentifierNode{Value: prefix + n.Name}
		callee.SetLocation(n.Location())
		ast.Patch(at, &ast.CallNode{Callee: callee, Arguments: n.Arguments})
	}
	r.visitAll(n.Arguments)
}

func (r *resolver) member(at *ast.Node, n *ast.MemberNode) {
	if name, root, ok := r.chain(n); ok {
		r.column(root, name)
		ident := &ast.IdentifierNode{Value: name}
		ident.SetLocation(root.Location())
		*at = ident
		return
	}
	r.visit(&n.Node)
	r.visit(&n.Property)
}

// chain joins names and constant properties with dots.
func (r *resolver) chain(n ast.Node) (name string, root ast.Node, ok bool) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return n.Value, n, !slices.Contains(r.locals, n.Value) && n.Value != "$env"
	case *ast.ChainNode:
		return r.chain(n.Node)
	case *ast.MemberNode:
		property, isName := n.Property.(*ast.StringNode)
		if !isName {
			return "", nil, false
		}
		name, root, ok = r.chain(n.Node)
		return name + "." + property.Value, root, ok
	}
	return "", nil, false
}

func (r *resolver) column(n ast.Node, name string) {
	if name == "$env" {
		r.fail(n, "$env is not supported: name the column")
		return
	}
	if r.schema != nil && r.schema.Index(name) < 0 {
		r.failNear(n, Nearest(name, r.schema.Names()), "unknown name %q", name)
		return
	}
	if !slices.Contains(r.names, name) {
		r.names = append(r.names, name)
	}
}

func (r *resolver) call(n *ast.CallNode) {
	switch callee := n.Callee.(type) {
	case *ast.IdentifierNode:
		if r.functions[callee.Value] == nil && !r.lenient {
			r.unknownFunction(n, callee.Value)
			return
		}
	case *ast.MemberNode:
		name, _ := callee.Property.(*ast.StringNode)
		if name == nil || methods[name.Value] == nil {
			r.fail(n, "only the methods of a timestamp can be called: %s", strings.Join(methodNames(), ", "))
			return
		}
		r.visit(&callee.Node)
	default:
		r.fail(n, "this cannot be called")
		return
	}
	r.visitAll(n.Arguments)
}

// plain makes a month and a day of the week whole numbers: Go's own types can be compared with none.
func (r *resolver) plain(at *ast.Node, n *ast.CallNode) {
	callee, ok := n.Callee.(*ast.MemberNode)
	if !ok || r.lenient || r.err != nil {
		return
	}
	if name := callee.Property.(*ast.StringNode).Value; name == "Month" || name == "Weekday" {
		ast.Patch(at, &ast.BuiltinNode{Name: "int", Arguments: []ast.Node{n}})
	}
}

func (r *resolver) unknownFunction(n ast.Node, name string) {
	if slices.Contains(builtin.Names, name) {
		r.fail(n, "%s is not available: a result must depend on the row alone", name)
		return
	}
	candidates := slices.Concat(builtins, loops)
	for f := range r.functions {
		if !strings.HasPrefix(f, prefix) {
			candidates = append(candidates, f)
		}
	}
	slices.Sort(candidates)
	r.failNear(n, Nearest(name, candidates), "unknown function %q", name)
}
