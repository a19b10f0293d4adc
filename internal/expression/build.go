package expression

import (
	"bytes"
	"regexp"
	"slices"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"

	"github.com/tidewatch/tidewatch/stream"
)

// builder makes nodes of a checked expression. What it has no loop for goes to the VM.
type builder struct {
	schema    *stream.Schema
	functions map[string]*builtin.Function
	slow      bool  // everything goes to the VM, for tests
	metered   bool  // everything goes to the VM, which ends it where it costs too much
	err       error // the first; a broken invariant of ours, since the expression was checked
}

// root makes the node of the whole expression.
func (b *builder) root(n ast.Node) node {
	if b.metered && !b.slow && len(columnsOf(n)) > 0 {
		return b.fallback(n)
	}
	return b.build(n)
}

// build makes a node of kind kindOf(n).
func (b *builder) build(n ast.Node) node {
	if b.slow {
		return b.machine(n)
	}
	if len(columnsOf(n)) == 0 {
		return b.constant(n)
	}
	var made node
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return &columnNode{index: b.schema.Index(n.Value)}
	case *ast.UnaryNode:
		made = b.unary(n)
	case *ast.BinaryNode:
		made = b.binary(n)
	case *ast.ConditionalNode:
		made = b.conditional(n)
	}
	if made == nil {
		made = b.fallback(n)
	}
	return made
}

// buildAs is build with Int turned into Float if kind is Float, and nil into a null of that kind.
func (b *builder) buildAs(kind stream.Kind, n ast.Node) node {
	widen := kind == stream.Float && kindOf(n) == stream.Int // asked first: build may hand n to the VM, which rewrites it
	made := b.build(n)
	if c, ok := made.(*constNode); ok {
		value := c.value
		if i, ok := value.(int64); ok && kind == stream.Float {
			value = float64(i)
		}
		return &constNode{kind: kind, value: value}
	}
	if !widen {
		return made
	}
	return &castNode{of: made}
}

// constant evaluates a part without columns now.
func (b *builder) constant(n ast.Node) node {
	kind := kindOf(n)
	if !isColumn(kind) {
		return &constNode{}
	}
	c := stream.Column{Kind: kind}
	if kind == stream.String {
		c.Dict = stream.NewDict()
	}
	appendValue(&c, b.constantValue(n))
	return &constNode{kind: kind, value: c.Value(0)}
}

func (b *builder) constantValue(n ast.Node) any {
	if s, ok := n.(*ast.StringNode); ok {
		return s.Value
	}
	m := b.newMachine(n)
	if m == nil {
		return nil
	}
	return m.run()
}

func (b *builder) newMachine(n ast.Node) *machine {
	m, err := newMachine(n, b.schema, b.functions, b.metered)
	if err != nil && b.err == nil {
		b.err = err
	}
	return m
}

func (b *builder) machine(n ast.Node) node {
	kind := kindOf(n)
	if m := b.newMachine(n); m != nil {
		return newMachineNode(m, kind)
	}
	return &constNode{}
}

// fallback leaves the part to the VM: once per distinct string if it is a function of one string column.
func (b *builder) fallback(n ast.Node) node {
	kind, columns := kindOf(n), columnsOf(n)
	index := b.schema.Index(columns[0])
	if len(columns) > 1 || b.schema.Fields[index].Kind != stream.String {
		return b.machine(n)
	}
	m := b.newMachine(n)
	if m == nil {
		return &constNode{}
	}
	name := columns[0]
	call := func(s any, dst *stream.Column) {
		m.env[name] = s
		appendValue(dst, m.run())
	}
	return &stringNode{of: &columnNode{index: index}, make: func() results { return newStringValues(kind, call) }}
}

func (b *builder) unary(n *ast.UnaryNode) node {
	kind := kindOf(n.Node)
	switch {
	case (n.Operator == "!" || n.Operator == "not") && kind == stream.Bool:
		return &notNode{of: b.build(n.Node)}
	case n.Operator == "-" && isNumber(kind):
		return &negateNode{of: b.build(n.Node)}
	case n.Operator == "+" && isNumber(kind):
		return b.build(n.Node)
	}
	return nil
}

func (b *builder) binary(n *ast.BinaryNode) node {
	l, r := kindOf(n.Left), kindOf(n.Right)
	switch n.Operator {
	case "and", "&&", "or", "||":
		if l == stream.Bool && r == stream.Bool {
			return &logicNode{or: n.Operator == "or" || n.Operator == "||", left: b.build(n.Left), right: b.build(n.Right)}
		}
	case "==", "!=", "<", "<=", ">", ">=":
		return b.comparison(n, l, r)
	case "in":
		return b.in(n, l)
	case "contains", "startsWith", "endsWith", "matches":
		return b.textPredicate(n, l)
	case "+", "-", "*", "/", "%", "**", "^":
		return b.arithmetic(n, l, r)
	case "??":
		if kind := common(l, r); isColumn(kind) {
			return &chooseNode{kind: kind, yes: b.buildAs(kind, n.Left), no: b.buildAs(kind, n.Right)}
		}
	}
	return nil
}

func (b *builder) conditional(n *ast.ConditionalNode) node {
	kind := kindOf(n)
	if kindOf(n.Cond) != stream.Bool || !isColumn(kind) {
		return nil
	}
	return &chooseNode{kind: kind, cond: b.build(n.Cond), yes: b.buildAs(kind, n.Exp1), no: b.buildAs(kind, n.Exp2)}
}

func (b *builder) comparison(n *ast.BinaryNode, l, r stream.Kind) node {
	op, left, right := comparisons[n.Operator], n.Left, n.Right
	if isNil(left) {
		left, right, l, r = right, left, r, l
	}
	if isNil(right) && isColumn(l) && (op == equal || op == notEqual) {
		return &nullNode{of: b.build(left), want: op == equal}
	}
	kind := common(l, r)
	if !isColumn(kind) || !isColumn(l) || !isColumn(r) || kind == stream.Bool && op != equal && op != notEqual {
		return nil
	}
	x, y := b.buildAs(kind, left), b.buildAs(kind, right)
	if _, isConst := x.(*constNode); isConst {
		x, y, op = y, x, op.flipped()
	}
	c, isConst := y.(*constNode)
	switch {
	case isConst && c.value == nil:
		return &constNode{kind: stream.Bool, value: false}
	case isConst && kind == stream.String:
		value := []byte(c.value.(string))
		return stringPredicate(x, func(s []byte) bool { return op.holds(bytes.Compare(s, value)) })
	case isConst && kind != stream.Bool:
		return &compareConstNode{op: op, of: x, value: c.value}
	}
	return &compareNode{op: op, left: x, right: y}
}

func stringPredicate(of node, holds func(s []byte) bool) node {
	return &stringNode{of: of, make: func() results { return &verdicts{holds: holds} }}
}

func (b *builder) textPredicate(n *ast.BinaryNode, l stream.Kind) node {
	part, ok := n.Right.(*ast.StringNode)
	if !ok || l != stream.String {
		return nil
	}
	want := []byte(part.Value)
	switch n.Operator {
	case "contains":
		return stringPredicate(b.build(n.Left), func(s []byte) bool { return bytes.Contains(s, want) })
	case "startsWith":
		return stringPredicate(b.build(n.Left), func(s []byte) bool { return bytes.HasPrefix(s, want) })
	case "endsWith":
		return stringPredicate(b.build(n.Left), func(s []byte) bool { return bytes.HasSuffix(s, want) })
	}
	pattern, err := regexp.Compile(part.Value)
	if err != nil {
		return nil
	}
	return stringPredicate(b.build(n.Left), pattern.Match)
}

func (b *builder) in(n *ast.BinaryNode, l stream.Kind) node {
	array, ok := n.Right.(*ast.ArrayNode)
	if !ok {
		return nil
	}
	values := make([]any, len(array.Nodes))
	for i, element := range array.Nodes {
		if values[i] = literal(element); values[i] == nil {
			return nil
		}
	}
	switch {
	case l == stream.String:
		return b.inStrings(n.Left, values)
	case isNumber(l):
		return b.inNumbers(n.Left, l, values)
	}
	return nil
}

// literal is the value of a string or number as it is written, or nil.
func literal(n ast.Node) any {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value
	case *ast.IntegerNode:
		return int64(n.Value)
	case *ast.FloatNode:
		return n.Value
	case *ast.UnaryNode:
		if v := literal(n.Node); n.Operator == "-" && v != nil {
			negative, _ := negate(v)
			return negative
		}
	}
	return nil
}

func (b *builder) inStrings(of ast.Node, values []any) node {
	set := map[string]bool{}
	for _, v := range values {
		s, ok := v.(string)
		if !ok {
			return nil
		}
		set[s] = true
	}
	return stringPredicate(b.build(of), func(s []byte) bool { return set[string(s)] })
}

func (b *builder) inNumbers(of ast.Node, kind stream.Kind, values []any) node {
	n := &inNumbersNode{}
	for _, v := range values {
		f, isNumeric := asFloat(v)
		x, isInt := v.(int64)
		if !isNumeric || kind == stream.Int && !isInt {
			return nil
		}
		n.floats, n.ints = append(n.floats, f), append(n.ints, x)
	}
	n.of = b.build(of)
	return n
}

func (b *builder) arithmetic(n *ast.BinaryNode, l, r stream.Kind) node {
	if !isNumber(l) || !isNumber(r) {
		return nil
	}
	op, kind := arithmeticOperator(n.Operator), common(l, r)
	if slices.Contains([]string{"/", "**"}, op) {
		kind = stream.Float
	}
	if op == "%" && kind != stream.Int {
		return nil
	}
	x, y := b.buildAs(kind, n.Left), b.buildAs(kind, n.Right)
	for _, operand := range []node{x, y} {
		if c, ok := operand.(*constNode); ok && c.value == nil {
			return &constNode{kind: kind}
		}
	}
	return &arithmeticNode{op: op, left: x, right: y}
}
