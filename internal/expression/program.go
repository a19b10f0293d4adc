package expression

import (
	"errors"
	"maps"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"

	"github.com/tidewatch/tidewatch/stream"
)

// Program is a compiled expression. It keeps buffers from batch to batch, so it belongs to one task; compile again for
// another one.
type Program struct {
	root    node
	kind    stream.Kind
	columns []string
	strings translation // for Column
}

// Names lists the columns that the expression names, in order of first use, without knowing a schema: a source needs to
// decode no others. A mistake is an *Error; unknown names are not known to be one.
func Names(src string) ([]string, error) {
	r, _, err := resolve(src, nil, ownFunctions())
	if err != nil {
		return nil, err
	}
	return r.names, nil
}

// Compile checks the expression against the schema and makes a program for batches of that very schema. A mistake is an
// *Error.
func Compile(src string, schema *stream.Schema) (*Program, error) {
	return compile(src, schema, ownFunctions(), false)
}

func compile(src string, schema *stream.Schema, functions map[string]*builtin.Function, slow bool) (*Program, error) {
	r, n, err := checked(src, schema, functions)
	if err != nil {
		return nil, err
	}
	kind := kindOf(n)
	if !isColumn(kind) {
		return nil, errorAt(src, n.Location().From, "the type of the result is not known: wrap it in int(), float() or string()")
	}
	b := &builder{schema: schema, functions: functions, slow: slow, metered: unbounded(n, false)}
	p := &Program{kind: kind, columns: r.names, root: b.root(n)}
	if b.err != nil {
		return nil, errorAt(src, 0, "%s", b.err)
	}
	return p, nil
}

// resolve parses the expression and finds its columns.
func resolve(src string, schema *stream.Schema, functions map[string]*builtin.Function) (*resolver, ast.Node, error) {
	tree, err := parse(src, maps.Clone(functions))
	if err != nil {
		return nil, nil, err
	}
	r := &resolver{src: src, schema: schema, functions: functions}
	r.visit(&tree.Node)
	if r.err != nil {
		return nil, nil, r.err
	}
	return r, tree.Node, nil
}

// checked resolves the expression and infers the types of its parts.
func checked(src string, schema *stream.Schema, functions map[string]*builtin.Function) (*resolver, ast.Node, error) {
	r, n, err := resolve(src, schema, functions)
	if err != nil {
		return nil, nil, err
	}
	tree := &parser.Tree{Node: n, Source: file.NewSource(src)}
	if err := check(src, tree, schema, maps.Clone(functions)); err != nil {
		return nil, nil, err
	}
	return r, tree.Node, nil
}

// Kind is the kind of the result.
func (p *Program) Kind() stream.Kind { return p.kind }

// Columns lists the names that the expression uses, in order of first use.
func (p *Program) Columns() []string { return p.columns }

// Bool evaluates a condition for every row, into dst, which grows as needed; null is false. The program must be of kind
// Bool.
func (p *Program) Bool(b *stream.Batch, dst []bool) []bool {
	if p.kind != stream.Bool {
		panic("expression: Bool of an expression of kind " + p.kind.String())
	}
	v := p.root.eval(b)
	return append(dst[:0], v.bools[:b.Len()]...)
}

// Column evaluates the expression for every row and appends the values to dst, which must be of the program's kind.
func (p *Program) Column(b *stream.Batch, dst *stream.Column) {
	if dst.Kind != p.kind {
		panic("expression: " + p.kind.String() + " values for a column of kind " + dst.Kind.String())
	}
	rows, v := b.Len(), p.root.eval(b)
	appendNulls(dst, v.null, rows)
	switch p.kind {
	case stream.Float:
		dst.Floats = appendOrZero(dst.Floats, v.floats, v.null, rows)
	case stream.Bool:
		for i := range rows {
			dst.Ints = append(dst.Ints, asInt(i < len(v.bools) && v.bools[i]))
		}
	case stream.String:
		p.appendStrings(dst, v, rows)
	default:
		dst.Ints = appendOrZero(dst.Ints, v.ints, v.null, rows)
	}
}

func asInt(x bool) int64 {
	if x {
		return 1
	}
	return 0
}

// appendNulls appends to the null mask of dst, before its values are.
func appendNulls(dst *stream.Column, null []bool, rows int) {
	if len(null) == 0 && len(dst.Null) == 0 {
		return
	}
	for len(dst.Null) < dst.Len() {
		dst.Null = append(dst.Null, false)
	}
	dst.Null = append(dst.Null, null...)
	for len(dst.Null) < dst.Len()+rows {
		dst.Null = append(dst.Null, false)
	}
}

// appendOrZero appends the values, with a zero where they are null.
func appendOrZero[T int64 | float64](dst, values []T, null []bool, rows int) []T {
	from := len(dst)
	dst = append(dst, values[:min(rows, len(values))]...)
	for len(dst) < from+rows {
		dst = append(dst, 0)
	}
	for i, isNull := range null {
		if isNull {
			dst[from+i] = 0
		}
	}
	return dst
}

func (p *Program) appendStrings(dst *stream.Column, v vec, rows int) {
	p.strings.between(v.dict, dst.Dict)
	for i := range rows {
		switch {
		case v.dict == nil || len(v.null) > 0 && v.null[i]:
			dst.IDs = append(dst.IDs, dst.Dict.ID(nil))
		case v.dict == dst.Dict:
			dst.IDs = append(dst.IDs, v.ids[i])
		default:
			dst.IDs = append(dst.IDs, p.strings.id(v.ids[i]))
		}
	}
}

// Mistake is the *Error in err's chain, or nil.
func Mistake(err error) *Error {
	e, _ := errors.AsType[*Error](err)
	return e
}
