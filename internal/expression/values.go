package expression

import (
	"cmp"
	"math"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// This file is the meaning of the operators for single values. The VM calls it in place of expr's own operators, whose
// nulls are errors, and the loops over columns are tested against it.

// normal brings a number to int64 or float64; everything else stays.
func normal(v any) any {
	switch x := v.(type) {
	case int:
		return int64(x)
	case time.Duration:
		return int64(x)
	}
	return v
}

func isNull(args ...any) (any, error)  { return args[0] == nil, nil }
func notNull(args ...any) (any, error) { return args[0] != nil, nil }

// truth is a value as a condition.
func truth(args ...any) (any, error) {
	b, _ := args[0].(bool)
	return b, nil
}

// compareValues is the meaning of a comparison.
func compareValues(op comparison, a, b any) bool {
	a, b = normal(a), normal(b)
	if a == nil || b == nil {
		return false
	}
	switch x := a.(type) {
	case int64:
		if y, ok := b.(int64); ok {
			return op.holds(cmp.Compare(x, y))
		}
		if y, ok := b.(float64); ok {
			return compareFloats(op, float64(x), y)
		}
	case float64:
		if y, ok := asFloat(b); ok {
			return compareFloats(op, x, y)
		}
	case string:
		if y, ok := b.(string); ok {
			return op.holds(strings.Compare(x, y))
		}
	case time.Time:
		if y, ok := b.(time.Time); ok {
			return op.holds(x.Compare(y))
		}
	}
	return op == equal && sameValue(a, b) || op == notEqual && !sameValue(a, b)
}

func compareFloats(op comparison, x, y float64) bool {
	if x != x || y != y {
		return op == notEqual
	}
	return op.holds(cmp.Compare(x, y))
}

func asFloat(v any) (float64, bool) {
	switch x := v.(type) {
	case int64:
		return float64(x), true
	case float64:
		return x, true
	}
	return 0, false
}

// calculate is the meaning of an arithmetic operator; nil where there is no result.
func calculate(op string, a, b any) any {
	if v, ok := calculateTime(op, a, b); ok {
		return v
	}
	a, b = normal(a), normal(b)
	x, xInt := a.(int64)
	y, yInt := b.(int64)
	if xInt && yInt && op != "/" && op != "**" {
		return calculateInts(op, x, y)
	}
	if s, ok := a.(string); ok && op == "+" {
		if t, ok := b.(string); ok && len(s)+len(t) <= maxText {
			return s + t
		}
	}
	f, ok1 := asFloat(a)
	g, ok2 := asFloat(b)
	if !ok1 || !ok2 {
		return nil
	}
	return calculateFloats(op, f, g)
}

func calculateInts(op string, x, y int64) any {
	switch {
	case op == "+":
		return x + y
	case op == "-":
		return x - y
	case op == "*":
		return x * y
	case y == 0:
		return nil
	}
	return x % y
}

func calculateFloats(op string, x, y float64) any {
	switch op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	case "**":
		return math.Pow(x, y)
	case "/":
		if y != 0 {
			return x / y
		}
	}
	return nil
}

// calculateTime is for instants and spans of time. Any number of nanoseconds is a span to an instant: a span times two is
// such a number.
func calculateTime(op string, a, b any) (any, bool) {
	t, aTime := a.(time.Time)
	u, bTime := b.(time.Time)
	d, aSpan := a.(time.Duration)
	e, bSpan := b.(time.Duration)
	switch {
	case aTime && bTime && op == "-":
		return t.Sub(u), true
	case aTime && (op == "+" || op == "-"):
		return shifted(t, op, b), true
	case bTime && op == "+":
		return shifted(u, op, a), true
	case aSpan && bSpan && op == "+":
		return d + e, true
	case aSpan && bSpan && op == "-":
		return d - e, true
	}
	return nil, aTime || bTime
}

func shifted(t time.Time, op string, by any) any {
	d, ok := asSpan(by)
	switch {
	case !ok:
		return nil
	case op == "-":
		return t.Add(-d)
	}
	return t.Add(d)
}

// asSpan is a number as nanoseconds.
func asSpan(v any) (time.Duration, bool) {
	switch x := normal(v).(type) {
	case int64:
		return time.Duration(x), true
	case float64:
		return time.Duration(x), x > math.MinInt64 && x < math.MaxInt64
	}
	return 0, false
}

func negate(args ...any) (any, error) {
	switch x := normal(args[0]).(type) {
	case int64:
		return -x, nil
	case float64:
		return -x, nil
	}
	return nil, nil
}

// conform is a value as what it is after it has stood in a column of that kind: a whole number where one with a fraction
// is known to stand is one, and what does not fit is null. The VM conforms every part that the loops might put into a
// column, so that no later part can tell which of the two has computed it.
func conform(kind stream.Kind, v any) any {
	fits := false
	switch kind {
	case stream.Float:
		if n, ok := normal(v).(int64); ok {
			return float64(n)
		}
		_, fits = v.(float64)
	case stream.Int:
		_, fits = normal(v).(int64)
	case stream.String:
		_, fits = v.(string)
	case stream.Bool:
		_, fits = v.(bool)
	case stream.Timestamp:
		t, ok := v.(time.Time)
		fits = ok && inRange(t)
	}
	if !fits {
		return nil
	}
	return v
}

// inRange reports whether t fits into a stream.Time, which keeps its lowest and highest value for itself.
func inRange(t time.Time) bool {
	return t.After(time.Unix(0, math.MinInt64)) && t.Before(time.Unix(0, math.MaxInt64))
}

// in is the meaning of `in`: one of a list, or a key of a map.
func in(args ...any) (any, error) {
	x := normal(args[0])
	list := reflect.ValueOf(args[1])
	if x == nil || tooBig(args...) {
		return false, nil
	}
	switch list.Kind() { //nolint:exhaustive // nothing else has elements
	case reflect.Slice:
		for i := range list.Len() {
			if compareValues(equal, x, list.Index(i).Interface()) {
				return true, nil
			}
		}
	case reflect.Map:
		key := reflect.ValueOf(args[0])
		return key.Type().AssignableTo(list.Type().Key()) && key.Comparable() && list.MapIndex(key).IsValid(), nil
	}
	return false, nil
}

// textTest makes the meaning of contains, startsWith and endsWith.
func textTest(test func(s, part string) bool) func(args ...any) (any, error) {
	return func(args ...any) (any, error) {
		s, ok1 := args[0].(string)
		part, ok2 := args[1].(string)
		return ok1 && ok2 && test(s, part), nil
	}
}

// matches is the meaning of `matches`; a constant pattern is compiled already.
func matches(args ...any) (any, error) {
	s, ok := args[0].(string)
	if !ok {
		return false, nil
	}
	switch p := args[1].(type) {
	case *regexp.Regexp:
		return p.MatchString(s), nil
	case string:
		r := pattern(p)
		return r != nil && r.MatchString(s), nil
	}
	return false, nil
}

// member is an element of a list or a map, nil if there is none. Negative indexes count from the end.
func member(args ...any) (any, error) {
	of := reflect.ValueOf(args[0])
	switch of.Kind() { //nolint:exhaustive // nothing else has elements
	case reflect.Slice:
		i, ok := position(args[1])
		if n := int64(of.Len()); ok && i < 0 {
			i += n
		}
		if !ok || i < 0 || i >= int64(of.Len()) {
			return nil, nil
		}
		return of.Index(int(i)).Interface(), nil
	case reflect.Map:
		key := reflect.ValueOf(args[1])
		if !key.IsValid() || !key.Type().AssignableTo(of.Type().Key()) || !key.Comparable() {
			return nil, nil
		}
		if v := of.MapIndex(key); v.IsValid() {
			return v.Interface(), nil
		}
	}
	return nil, nil
}

// position is a whole number, which what was read from JSON keeps as one with a fraction.
func position(v any) (int64, bool) {
	switch x := normal(v).(type) {
	case int64:
		return x, true
	case float64:
		return int64(x), x == math.Trunc(x) && math.Abs(x) < 1<<53
	}
	return 0, false
}

// slice is a part of a list or string, cut to what is there. Negative indexes count from the end.
func slice(args ...any) (any, error) {
	of := reflect.ValueOf(args[0])
	if of.Kind() != reflect.Slice && of.Kind() != reflect.String {
		return nil, nil
	}
	n := int64(of.Len())
	from, ok1 := bound(args[1], 0, n)
	to, ok2 := bound(args[2], n, n)
	if !ok1 || !ok2 {
		return nil, nil
	}
	return of.Slice(int(min(from, to)), int(to)).Interface(), nil
}

// open stands for a missing bound of a slice.
type open struct{}

func bound(v any, missing, n int64) (int64, bool) {
	if _, isOpen := v.(open); isOpen {
		return missing, true
	}
	i, ok := normal(v).(int64)
	if i < 0 {
		i += n
	}
	return min(max(i, 0), n), ok
}

// table makes a map of keys and values in turn; nil if a key is no string.
func table(args ...any) (any, error) {
	m := map[string]any{}
	for i := 0; i < len(args); i += 2 {
		key, ok := args[i].(string)
		if !ok {
			return nil, nil
		}
		m[key] = args[i+1]
	}
	return m, nil
}

// noSpan reports whether a .. b has no meaning: a bound is no whole number.
func noSpan(args ...any) (any, error) {
	_, ok1 := position(args[0])
	_, ok2 := position(args[1])
	return !ok1 || !ok2, nil
}

// list is a value as a collection to loop over: empty if it is none.
func list(args ...any) (any, error) {
	if reflect.ValueOf(args[0]).Kind() == reflect.Slice {
		return args[0], nil
	}
	return []any{}, nil
}

// number is a value as a summand.
func number(args ...any) (any, error) {
	switch x := normal(args[0]).(type) {
	case int64:
		return int(x), nil
	case float64:
		return x, nil
	}
	return 0, nil
}
