package expression

import (
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/vm/runtime"
)

// This file keeps the functions of expr from making or going through more than a row may cost, and makes all of them total.

const (
	maxText    = 1 << 20 // bytes and elements that a function takes, and about as many that it makes
	maxUnique  = 2000    // elements of a list that uniq compares each with each
	maxPattern = 1000    // bytes of a regular expression that a row brings
)

// function is the function of expr by that name: nil where an argument is nil, or too big, or the function fails.
func function(name string) func(args ...any) (any, error) {
	switch name {
	case "int":
		return integer
	case "get":
		return member
	}
	f := total(builtin.Builtins[builtin.Index[name]])
	tooMuch := map[string]func(args []any) bool{"repeat": repeatsTooMuch, "replace": replacesTooMuch, "join": joinsTooMuch, "uniq": isTooLong}[name]
	if tooMuch == nil {
		return f
	}
	return func(args ...any) (any, error) {
		if slices.Contains(args, nil) || tooMuch(args) {
			return nil, nil
		}
		return f(args...)
	}
}

// total makes a builtin a function that gives nil where an argument is nil or the builtin fails.
func total(f *builtin.Function) func(args ...any) (any, error) {
	return func(args ...any) (result any, err error) {
		defer func() {
			if recover() != nil {
				result, err = nil, nil
			}
		}()
		if slices.Contains(args, nil) || tooBig(args...) {
			return nil, nil
		}
		switch {
		case f.Fast != nil:
			return f.Fast(args[0]), nil
		case f.Safe != nil:
			result, size, failed := f.Safe(args...)
			return valueOr(result, failed != nil || size > maxText), nil
		}
		result, failed := f.Func(args...)
		return valueOr(result, failed != nil), nil
	}
}

func valueOr(v any, failed bool) any {
	if failed {
		return nil
	}
	return v
}

func tooBig(args ...any) bool { return weightOf(args) > maxText }

func weightOf(args []any) int {
	w := 0
	for i := 0; i < len(args) && w <= maxText; i++ {
		w += weight(args[i], maxText-w)
	}
	return w
}

// weight is what it costs to go through a value: the bytes of its strings and the elements of its lists. Lists may hold one
// list many times over, so counting ends beyond the limit.
func weight(v any, limit int) int {
	switch x := v.(type) {
	case string:
		return 1 + len(x)
	case []int:
		return 1 + len(x)
	case []string:
		w := 1
		for _, s := range x {
			w += 1 + len(s)
		}
		return w
	case []any:
		w := 1
		for i := 0; i < len(x) && w <= limit; i++ {
			w += weight(x[i], limit-w)
		}
		return w
	case map[string]any:
		w := 1
		for key, element := range x { // the order decides only how far beyond the limit it counts
			if w > limit {
				break
			}
			w += len(key) + weight(element, limit-w)
		}
		return w
	}
	return 1
}

// repeatsTooMuch is asked because expr lets repeat grow far beyond its budget.
func repeatsTooMuch(args []any) bool {
	s, ok1 := args[0].(string)
	n, ok2 := normal(args[1]).(int64)
	return !ok1 || !ok2 || n > maxText || n*int64(len(s)) > maxText
}

func replacesTooMuch(args []any) bool {
	s, ok1 := args[0].(string)
	before, ok2 := args[1].(string)
	after, ok3 := args[2].(string)
	return !ok1 || !ok2 || !ok3 || len(s) > maxText || len(s)+strings.Count(s, before)*len(after) > maxText
}

func joinsTooMuch(args []any) bool {
	list := reflect.ValueOf(args[0])
	if list.Kind() != reflect.Slice {
		return true
	}
	glue, _ := first(args[1:]).(string)
	return list.Len() > maxText || list.Len()*len(glue) > maxText
}

func isTooLong(args []any) bool {
	list := reflect.ValueOf(args[0])
	return list.Kind() != reflect.Slice || list.Len() > maxUnique
}

// integer is int, whose result for a number out of range would depend on the machine.
func integer(args ...any) (any, error) {
	if f, ok := args[0].(float64); ok && !(f >= math.MinInt64 && f < math.MaxInt64) {
		return nil, nil
	}
	return total(builtin.Builtins[builtin.Index["int"]])(args...)
}

// pattern compiles a regular expression that a row brings; nil if it is none.
func pattern(text string) *regexp.Regexp {
	if len(text) > maxPattern {
		return nil
	}
	r, err := regexp.Compile(text)
	if err != nil {
		return nil
	}
	return r
}

// sameValue compares what has no order. What cannot be compared is not the same.
func sameValue(a, b any) (same bool) {
	defer func() {
		if recover() != nil {
			same = false
		}
	}()
	return !tooBig(a, b) && runtime.Equal(a, b)
}
