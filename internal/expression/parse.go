package expression

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/types"

	"github.com/tidewatch/tidewatch/stream"
)

// Limits keep a pipeline file from exhausting the process that reads it.
const (
	maxSource  = 4096    // bytes of an expression
	maxNodes   = 1000    // parts of it
	vmBudget   = 100_000 // elements of lists that it may make in a row
	workBudget = 200_000 // calls that it may make in a row, and pieces of 64 bytes or elements that they go through
)

// parse reads the text. functions are callable beside the builtins.
func parse(src string, functions map[string]*builtin.Function) (*parser.Tree, error) {
	if len(src) > maxSource {
		return nil, errorAtByte(src, 0, fmt.Sprintf("the expression has %d bytes: at most %d", len(src), maxSource))
	}
	if strings.TrimSpace(src) == "" {
		return nil, errorAtByte(src, 0, "the expression is empty")
	}
	tree, err := parser.ParseWithConfig(src, newConfig(functions))
	if err != nil {
		return nil, translateError(src, err)
	}
	u := unsharer{seen: map[ast.Node]bool{}}
	if u.visit(&tree.Node); u.parts > maxNodes {
		return nil, errorAtByte(src, 0, fmt.Sprintf("the expression has more than %d parts, those that a chain a < b < c compares twice included", maxNodes))
	}
	return tree, nil
}

func newConfig(functions map[string]*builtin.Function) *conf.Config {
	c := conf.CreateNew()
	c.MaxNodes = maxNodes
	c.Functions = functions
	for name := range c.Builtins {
		if !slices.Contains(builtins, name) && !slices.Contains(loops, name) {
			c.Disabled[name] = true
			delete(c.Builtins, name)
		}
	}
	return c
}

// check infers the type of every part, given the columns.
func check(src string, tree *parser.Tree, schema *stream.Schema, functions map[string]*builtin.Function) error {
	c := newConfig(functions)
	env := types.Map{}
	for _, f := range schema.Fields {
		env[f.Name] = typeOf(f.Kind)
	}
	c.WithEnv(env)
	if _, err := checker.Check(tree, c); err != nil {
		return translateError(src, err)
	}
	return nil
}

// words are the names of types in a checker's message, and ours.
var words = strings.NewReplacer("float64", "float", "int64", "int", "time.Time", "timestamp", "time.Duration", "duration",
	"interface {}", "any", "map[string]any", "map",
	"unexpected token EOF", "the expression ends too early", `unexpected token Operator("=")`, "unexpected =, to compare write ==")

func translateError(src string, err error) error {
	var e *file.Error
	if !errors.As(err, &e) {
		return errorAtByte(src, 0, words.Replace(err.Error()))
	}
	return errorAt(src, e.From, "%s", words.Replace(e.Message))
}
