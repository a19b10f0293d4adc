package expression

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"

	"github.com/tidewatch/tidewatch/stream"
)

// machine runs a part of an expression in the VM of expr, for one row at a time. It belongs to one task.
type machine struct {
	program *vm.Program
	vm      vm.VM
	meter   meter // of what is metered
	names   []string
	columns []int // of the batch, parallel to names
	env     map[string]any
}

// newMachine patches the part and compiles it. The part must not be used for anything else afterwards. A part that is
// unbounded is metered; every other one cannot exceed a budget.
func newMachine(n ast.Node, schema *stream.Schema, functions map[string]*builtin.Function, metered bool) (*machine, error) {
	m := &machine{env: map[string]any{}, vm: vm.VM{MemoryBudget: math.MaxUint}}
	m.names = columnsOf(n)
	env := types.Map{}
	for _, name := range m.names {
		m.columns = append(m.columns, schema.Index(name))
		env[name] = types.Any
	}
	p := patcher{own: functions, columns: m.names, functions: map[string]*builtin.Function{}}
	if metered {
		m.vm.MemoryBudget, p.meter = vmBudget, &m.meter
	}
	p.patch(&n)
	c := conf.CreateNew()
	c.Functions = p.functions
	c.WithEnv(env)
	tree := &parser.Tree{Node: n, Source: file.NewSource("")}
	if _, err := checker.Check(tree, c); err != nil {
		return nil, fmt.Errorf("check expression for the machine: %w", err)
	}
	program, err := compiler.Compile(tree, c)
	if err != nil {
		return nil, fmt.Errorf("compile expression for the machine: %w", err)
	}
	m.program = program
	return m, nil
}

// meter counts the work of a run against workBudget.
type meter struct{ spent int }

var errTooMuch = errors.New("an expression may not do that much in a row")

// metered charges a function with each of its calls.
func (m *meter) metered(fn func(args ...any) (any, error)) func(args ...any) (any, error) {
	return func(args ...any) (any, error) {
		m.spent += 1 + weightOf(args)/64
		if m.spent > workBudget {
			return nil, errTooMuch
		}
		return fn(args...)
	}
}

// columnsOf lists the columns that a resolved part names, in order of first use.
func columnsOf(n ast.Node) []string {
	r := resolver{lenient: true}
	r.visit(&n)
	return r.names
}

// row evaluates row i; nil is null.
func (m *machine) row(b *stream.Batch, i int) any {
	for k, name := range m.names {
		m.env[name] = machineValue(&b.Cols[m.columns[k]], i)
	}
	return m.run()
}

// run evaluates with the names as they are set. A part that exceeds the budget is null.
func (m *machine) run() any {
	m.meter.spent = 0
	v, err := m.vm.Run(m.program, m.env)
	if err != nil {
		return nil
	}
	return v
}

// machineValue is a column's value as expr and its functions know it.
func machineValue(c *stream.Column, i int) any {
	switch v := c.Value(i).(type) {
	case int64:
		return int(v)
	case stream.Time:
		return v.Go()
	default:
		return v
	}
}

// appendValue appends what the VM gave to a column; what does not fit its kind is null.
func appendValue(dst *stream.Column, v any) {
	switch x := normal(conform(dst.Kind, v)).(type) {
	case nil:
		dst.AppendNull()
	case float64:
		dst.AppendFloat(x)
	case string:
		dst.AppendString(x)
	case bool:
		dst.AppendBool(x)
	case time.Time:
		dst.AppendInt(x.UnixNano())
	case int64:
		dst.AppendInt(x)
	}
}

// machineNode evaluates a part row by row.
type machineNode struct {
	m     *machine
	rows  stream.Column
	bools []bool
}

func newMachineNode(m *machine, kind stream.Kind) *machineNode {
	n := &machineNode{m: m, rows: stream.Column{Kind: kind}}
	if kind == stream.String {
		n.rows.Dict = stream.NewDict()
	}
	return n
}

func (n *machineNode) eval(b *stream.Batch) vec {
	n.rows.Reset()
	if d := n.rows.Dict; d != nil && d.Len() > maxOwnStrings {
		d.Reset()
	}
	for i := range b.Len() {
		appendValue(&n.rows, n.m.row(b, i))
	}
	v := vec{kind: n.rows.Kind, ints: n.rows.Ints, floats: n.rows.Floats, ids: n.rows.IDs, dict: n.rows.Dict, null: n.rows.Null}
	if v.kind == stream.Bool {
		n.bools = resize(n.bools, len(v.ints))
		for i, x := range v.ints {
			n.bools[i] = x != 0
		}
		v.bools, v.ints = n.bools, nil
	}
	return v
}
