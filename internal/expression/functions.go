package expression

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/expr-lang/expr/builtin"
)

// builtins are the functions of expr that depend on their arguments alone, besides those with a predicate.
var builtins = []string{
	"len", "type", "abs", "ceil", "floor", "round", "int", "float", "string", "trim", "trimPrefix", "trimSuffix", "upper",
	"lower", "split", "splitAfter", "replace", "repeat", "join", "indexOf", "lastIndexOf", "hasPrefix", "hasSuffix", "max",
	"min", "mean", "median", "toJSON", "fromJSON", "toBase64", "fromBase64", "duration", "first", "last", "get", "take",
	"reverse", "uniq", "concat", "flatten", "sort", "bitand", "bitor", "bitxor", "bitnand", "bitnot", "bitshl", "bitshr",
	"bitushr",
}

// loops are the functions with a predicate. Those whose result follows the order of a map, or that fail on mixed values,
// are left out.
var loops = []string{"all", "none", "any", "one", "filter", "map", "find", "findIndex", "findLast", "findLastIndex", "count", "sum"}

// methods are the methods of timestamps and spans that depend on nothing else (a time zone in particular).
var methods = map[string]func(v any, args []any) any{
	"Year":    ofTime(func(t time.Time) any { return t.Year() }),
	"Month":   ofTime(func(t time.Time) any { return int(t.Month()) }),
	"Day":     ofTime(func(t time.Time) any { return t.Day() }),
	"Hour":    ofTime(func(t time.Time) any { return t.Hour() }),
	"Minute":  ofTime(func(t time.Time) any { return t.Minute() }),
	"Second":  ofTime(func(t time.Time) any { return t.Second() }),
	"Weekday": ofTime(func(t time.Time) any { return int(t.Weekday()) }),
	"YearDay": ofTime(func(t time.Time) any { return t.YearDay() }),
	"Unix":    ofTime(func(t time.Time) any { return t.Unix() }),
	"Format": func(v any, args []any) any {
		t, ok1 := v.(time.Time)
		layout, ok2 := first(args).(string)
		if !ok1 || !ok2 {
			return nil
		}
		return t.Format(layout)
	},
	"Hours":   ofSpan(time.Duration.Hours),
	"Minutes": ofSpan(time.Duration.Minutes),
	"Seconds": ofSpan(time.Duration.Seconds),
}

func methodNames() []string { return slices.Sorted(maps.Keys(methods)) }

func ofTime(f func(time.Time) any) func(any, []any) any {
	return func(v any, _ []any) any {
		if t, ok := v.(time.Time); ok {
			return f(t)
		}
		return nil
	}
}

func ofSpan(f func(time.Duration) float64) func(any, []any) any {
	return func(v any, _ []any) any {
		if d, ok := asSpan(v); ok {
			return f(d)
		}
		return nil
	}
}

func first(args []any) any {
	if len(args) == 0 {
		return nil
	}
	return args[0]
}

// date is the date of expr without time zones other than those written as an offset.
func date(args ...any) (any, error) {
	text, ok := first(args).(string)
	if !ok {
		return nil, nil
	}
	layouts := []string{time.DateOnly, time.DateTime, time.RFC3339}
	if len(args) > 1 {
		layout, _ := args[1].(string)
		layouts = []string{layout}
	}
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, text, time.UTC); err == nil {
			return t.UTC(), nil
		}
	}
	return nil, nil
}

// ownFunctions are callable in every expression, beside builtins and loops.
func ownFunctions() map[string]*builtin.Function {
	f := map[string]*builtin.Function{
		"date": typed("date", date, new(func(string) time.Time), new(func(string, string) time.Time)),
	}
	for _, name := range aggregates {
		f[prefix+name] = aggregate(name)
	}
	return f
}

// typed declares a function with its signatures, given as pointers to functions.
func typed(name string, fn func(args ...any) (any, error), signatures ...any) *builtin.Function {
	f := &builtin.Function{Name: name, Func: fn}
	for _, s := range signatures {
		f.Types = append(f.Types, reflect.TypeOf(s).Elem())
	}
	return f
}
