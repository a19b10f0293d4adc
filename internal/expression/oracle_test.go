package expression

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/stream"
)

// The oracle: random expressions are drawn together with a closure that computes them for one row, written without any
// of the package's code. nil is null.

type row map[string]any

type drawn struct {
	src  string
	eval func(r row) any
}

func field(name string, kind stream.Kind) stream.Field { return stream.Field{Name: name, Kind: kind} }

func testSchema() *stream.Schema {
	return &stream.Schema{Fields: []stream.Field{
		field("s", stream.String), field("attributes.region", stream.String), field("f", stream.Float), field("g", stream.Float),
		field("i", stream.Int), field("j", stream.Int), field("p", stream.Bool), field("q", stream.Bool),
		field("at", stream.Timestamp), field("until", stream.Timestamp),
	}}
}

func pick[T any](t *rapid.T, options ...T) T { return rapid.SampledFrom(options).Draw(t, "pick") }

func column(name string) drawn { return drawn{name, func(r row) any { return r[name] }} }

var (
	someStrings = []string{"", "a", "cpu", "web-1", "Web-2", "ünï", "a-b-c", "zz"}
	someInts    = []int64{0, 1, -1, 2, 3, 7, 60, 1 << 53, 1<<53 + 1, math.MaxInt64, math.MinInt64}
	someFloats  = []float64{0, 1, -1, 0.5, 2.25, 7, 1e300, math.Inf(1), math.NaN(), 1 << 53}
)

func drawNumber(t *rapid.T, depth int) drawn {
	if pick(t, true, false) {
		return drawInt(t, depth)
	}
	return drawFloat(t, depth)
}

func drawInt(t *rapid.T, depth int) drawn {
	choice := rapid.IntRange(0, 9).Draw(t, "int")
	if depth <= 0 {
		choice %= 3
	}
	switch choice {
	case 0:
		return column("i")
	case 1:
		return column("j")
	case 2:
		n := pick(t, someInts[:len(someInts)-1]...)
		if n < 0 {
			return drawn{fmt.Sprintf("(%d)", n), func(row) any { return n }}
		}
		return drawn{strconv.FormatInt(n, 10), func(row) any { return n }}
	case 3, 4, 5:
		return drawIntArithmetic(t, depth)
	case 6:
		return drawChoice(t, depth, drawInt)
	case 7:
		return drawCoalesce(t, depth, drawInt)
	case 8:
		a := drawInt(t, depth-1)
		return drawn{"(-" + a.src + ")", func(r row) any {
			if x, ok := a.eval(r).(int64); ok {
				return -x
			}
			return nil
		}}
	}
	a := drawString(t, depth-1)
	return drawn{"len(" + a.src + ")", func(r row) any {
		if s, ok := a.eval(r).(string); ok {
			return int64(len([]rune(s)))
		}
		return nil
	}}
}

func drawIntArithmetic(t *rapid.T, depth int) drawn {
	a, b, op := drawInt(t, depth-1), drawInt(t, depth-1), pick(t, "+", "-", "*", "%")
	return drawn{"(" + a.src + op + b.src + ")", func(r row) any {
		x, ok1 := a.eval(r).(int64)
		y, ok2 := b.eval(r).(int64)
		switch {
		case !ok1 || !ok2 || op == "%" && y == 0:
			return nil
		case op == "+":
			return x + y
		case op == "-":
			return x - y
		case op == "*":
			return x * y
		}
		return x % y
	}}
}

func toFloat(v any) (float64, bool) {
	switch x := v.(type) {
	case int64:
		return float64(x), true
	case float64:
		return x, true
	}
	return 0, false
}

func drawFloat(t *rapid.T, depth int) drawn {
	choice := rapid.IntRange(0, 10).Draw(t, "float")
	if depth <= 0 {
		choice %= 3
	}
	switch choice {
	case 0:
		return column("f")
	case 1:
		return column("g")
	case 2:
		x := pick(t, 0.5, 2.0, 0.25, 1e10)
		return drawn{strconv.FormatFloat(x, 'e', -1, 64), func(row) any { return x }}
	case 3, 4:
		return drawFloatArithmetic(t, depth)
	case 5:
		return drawChoice(t, depth, drawFloat)
	case 6:
		return drawCoalesce(t, depth, drawFloat)
	case 7:
		a := drawFloat(t, depth-1)
		return drawn{"floor(" + a.src + ")", func(r row) any {
			if x, ok := a.eval(r).(float64); ok {
				return math.Floor(x)
			}
			return nil
		}}
	case 8, 9:
		return drawMixed(t, depth)
	}
	a, b := drawInt(t, depth-1), drawNumber(t, depth-1)
	return drawn{"(" + a.src + "/" + b.src + ")", func(r row) any { return divide(a.eval(r), b.eval(r)) }}
}

// drawMixed is a choice between a number with a fraction and one without: it always has one.
func drawMixed(t *rapid.T, depth int) drawn {
	a, b := drawInt(t, depth-1), drawFloat(t, depth-1)
	if pick(t, true, false) {
		a, b = b, a
	}
	asReal := func(v any) any {
		if f, ok := toFloat(v); ok {
			return f
		}
		return nil
	}
	switch pick(t, "?:", "??", "max") {
	case "??":
		return drawn{"(" + a.src + " ?? " + b.src + ")", func(r row) any {
			if v := a.eval(r); v != nil {
				return asReal(v)
			}
			return asReal(b.eval(r))
		}}
	case "max":
		return drawn{"max(" + a.src + ", " + b.src + ")", func(r row) any {
			x, ok1 := toFloat(a.eval(r))
			y, ok2 := toFloat(b.eval(r))
			if !ok1 || !ok2 {
				return nil
			}
			if x < y {
				return y
			}
			return x
		}}
	}
	c := drawBool(t, depth-1)
	return drawn{"(" + c.src + " ? " + a.src + " : " + b.src + ")", func(r row) any {
		if c.eval(r) == true {
			return asReal(a.eval(r))
		}
		return asReal(b.eval(r))
	}}
}

func divide(a, b any) any {
	x, ok1 := toFloat(a)
	y, ok2 := toFloat(b)
	if !ok1 || !ok2 || y == 0 {
		return nil
	}
	return x / y
}

func drawFloatArithmetic(t *rapid.T, depth int) drawn {
	a, b, op := drawFloat(t, depth-1), drawNumber(t, depth-1), pick(t, "+", "-", "*", "/", "**")
	if pick(t, true, false) {
		a, b = b, a
	}
	return drawn{"(" + a.src + op + b.src + ")", func(r row) any {
		x, ok1 := toFloat(a.eval(r))
		y, ok2 := toFloat(b.eval(r))
		switch {
		case !ok1 || !ok2 || op == "/" && y == 0:
			return nil
		case op == "+":
			return x + y
		case op == "-":
			return x - y
		case op == "*":
			return x * y
		case op == "/":
			return x / y
		}
		return math.Pow(x, y)
	}}
}

func drawChoice(t *rapid.T, depth int, draw func(*rapid.T, int) drawn) drawn {
	c, a, b := drawBool(t, depth-1), draw(t, depth-1), draw(t, depth-1)
	if pick(t, true, false, false) {
		b = drawn{"nil", func(row) any { return nil }}
	}
	return drawn{"(" + c.src + " ? " + a.src + " : " + b.src + ")", func(r row) any {
		if c.eval(r) == true {
			return a.eval(r)
		}
		return b.eval(r)
	}}
}

func drawCoalesce(t *rapid.T, depth int, draw func(*rapid.T, int) drawn) drawn {
	a, b := draw(t, depth-1), draw(t, depth-1)
	return drawn{"(" + a.src + " ?? " + b.src + ")", func(r row) any {
		if v := a.eval(r); v != nil {
			return v
		}
		return b.eval(r)
	}}
}

func drawString(t *rapid.T, depth int) drawn {
	choice := rapid.IntRange(0, 6).Draw(t, "string")
	if depth <= 0 {
		choice %= 3
	}
	switch choice {
	case 0:
		return column("s")
	case 1:
		return drawn{pick(t, "attributes.region", `attributes["region"]`, "attributes?.region"), func(r row) any { return r["attributes.region"] }}
	case 2:
		s := pick(t, someStrings...)
		return drawn{strconv.Quote(s), func(row) any { return s }}
	case 3:
		return drawChoice(t, depth, drawString)
	case 4:
		return drawCoalesce(t, depth, drawString)
	case 5:
		a := drawString(t, depth-1)
		return drawn{"lower(" + a.src + ")", func(r row) any {
			if s, ok := a.eval(r).(string); ok {
				return strings.ToLower(s)
			}
			return nil
		}}
	}
	a, b := drawString(t, depth-1), drawString(t, depth-1)
	return drawn{"(" + a.src + "+" + b.src + ")", func(r row) any {
		x, ok1 := a.eval(r).(string)
		y, ok2 := b.eval(r).(string)
		if !ok1 || !ok2 {
			return nil
		}
		return x + y
	}}
}

func drawBool(t *rapid.T, depth int) drawn {
	choice := rapid.IntRange(0, 12).Draw(t, "bool")
	if depth <= 0 {
		choice %= 2
	}
	switch choice {
	case 0:
		return column("p")
	case 1:
		return column("q")
	case 2, 3:
		return drawComparison(t, drawNumber(t, depth-1), drawNumber(t, depth-1))
	case 4:
		return drawComparison(t, drawString(t, depth-1), drawString(t, depth-1))
	case 5:
		return drawComparison(t, column("at"), pick(t, column("until"), drawn{`date("2026-11-23")`, func(row) any { return stream.Time(1795392000000000000) }}))
	case 6, 7:
		return drawLogic(t, depth)
	case 8:
		return drawNullCheck(t, depth)
	case 9:
		return drawIn(t, depth)
	case 10:
		return drawTextTest(t, depth)
	case 11:
		return pick(t, drawChoice, drawCoalesce)(t, depth, drawBool)
	}
	a, b := drawBool(t, depth-1), drawBool(t, depth-1)
	return drawn{"any([" + a.src + ", " + b.src + "], #)", func(r row) any { return a.eval(r) == true || b.eval(r) == true }}
}

func drawComparison(t *rapid.T, a, b drawn) drawn {
	op := pick(t, "==", "!=", "<", "<=", ">", ">=")
	return drawn{"(" + a.src + " " + op + " " + b.src + ")", func(r row) any { return oracleCompare(op, a.eval(r), b.eval(r)) }}
}

func oracleCompare(op string, a, b any) bool {
	if a == nil || b == nil {
		return false
	}
	var lt, eq bool
	switch x := a.(type) {
	case string:
		lt, eq = x < b.(string), x == b.(string)
	case stream.Time:
		lt, eq = x < b.(stream.Time), x == b.(stream.Time)
	default:
		xi, ok1 := a.(int64)
		yi, ok2 := b.(int64)
		if ok1 && ok2 {
			lt, eq = xi < yi, xi == yi
			break
		}
		f, _ := toFloat(a)
		g, _ := toFloat(b)
		if f != f || g != g {
			return op == "!="
		}
		lt, eq = f < g, f == g
	}
	return map[string]bool{"==": eq, "!=": !eq, "<": lt, "<=": lt || eq, ">": !lt && !eq, ">=": !lt}[op]
}

func drawLogic(t *rapid.T, depth int) drawn {
	a, b, op := drawBool(t, depth-1), drawBool(t, depth-1), pick(t, "and", "&&", "or", "||", "not", "!")
	switch op {
	case "not", "!":
		return drawn{"(" + op + " " + a.src + ")", func(r row) any { return a.eval(r) != true }}
	case "and", "&&":
		return drawn{"(" + a.src + " " + op + " " + b.src + ")", func(r row) any { return a.eval(r) == true && b.eval(r) == true }}
	}
	return drawn{"(" + a.src + " " + op + " " + b.src + ")", func(r row) any { return a.eval(r) == true || b.eval(r) == true }}
}

func drawNullCheck(t *rapid.T, depth int) drawn {
	a := pick(t, drawString, drawNumber, drawBool)(t, depth-1)
	if pick(t, true, false) {
		return drawn{"(" + a.src + " == nil)", func(r row) any { return a.eval(r) == nil }}
	}
	return drawn{"(nil != " + a.src + ")", func(r row) any { return a.eval(r) != nil }}
}

func drawIn(t *rapid.T, depth int) drawn {
	not := pick(t, "", "not ")
	var a drawn
	var list []any
	var texts []string
	switch pick(t, 0, 1, 2) {
	case 0:
		a = drawString(t, depth-1)
		for _, s := range rapid.SliceOfN(rapid.SampledFrom(someStrings), 1, 4).Draw(t, "list") {
			list, texts = append(list, s), append(texts, strconv.Quote(s))
		}
	case 1:
		a = drawNumber(t, depth-1)
		for _, n := range rapid.SliceOfN(rapid.SampledFrom(someInts[:10]), 1, 4).Draw(t, "list") {
			list, texts = append(list, n), append(texts, strconv.FormatInt(n, 10))
		}
	default:
		a, list, texts = drawNumber(t, depth-1), []any{0.5, int64(7)}, []string{"0.5", "7"}
	}
	return drawn{"(" + a.src + " " + not + "in [" + strings.Join(texts, ", ") + "])", func(r row) any {
		found := false
		for _, x := range list {
			found = found || oracleCompare("==", a.eval(r), x)
		}
		return found != (not != "")
	}}
}

func drawTextTest(t *rapid.T, depth int) drawn {
	op, a := pick(t, "contains", "startsWith", "endsWith", "matches"), drawString(t, depth-1)
	b := drawn{strconv.Quote("-"), func(row) any { return "-" }}
	if pick(t, true, false) {
		s := pick(t, someStrings...)
		b = drawn{strconv.Quote(s), func(row) any { return s }}
	}
	if op != "matches" && pick(t, true, false, false) {
		b = drawString(t, depth-1)
	}
	return drawn{"(" + a.src + " " + op + " " + b.src + ")", func(r row) any {
		s, ok1 := a.eval(r).(string)
		part, ok2 := b.eval(r).(string)
		if !ok1 || !ok2 {
			return false
		}
		switch op {
		case "contains":
			return strings.Contains(s, part)
		case "startsWith":
			return strings.HasPrefix(s, part)
		case "endsWith":
			return strings.HasSuffix(s, part)
		}
		return regexp.MustCompile(part).MatchString(s)
	}}
}

func drawRows(t *rapid.T, b *stream.Batch) []row {
	var rows []row
	for range rapid.IntRange(0, 8).Draw(t, "rows") {
		r := row{}
		for i, f := range b.Schema.Fields {
			c := &b.Cols[i]
			if pick(t, false, false, false, true) {
				c.AppendNull()
				r[f.Name] = nil
				continue
			}
			switch f.Kind {
			case stream.String:
				c.AppendString(pick(t, someStrings...))
			case stream.Float:
				c.AppendFloat(pick(t, someFloats...))
			case stream.Bool:
				c.AppendBool(pick(t, true, false))
			case stream.Timestamp:
				c.AppendInt(pick(t, int64(1795392000000000000), 1795392000000000001, -5))
			default:
				c.AppendInt(pick(t, someInts...))
			}
			r[f.Name] = c.Value(c.Len() - 1)
		}
		rows = append(rows, r)
	}
	b.SetLen(len(rows))
	return rows
}

func sameResult(a, b any) bool {
	x, ok1 := a.(float64)
	y, ok2 := b.(float64)
	if ok1 && ok2 && x != x && y != y {
		return true
	}
	return a == b
}

// wanted brings the oracle's value to the kind of the program: a choice between Int and Float is a Float.
func wanted(p *Program, v any) any {
	if n, ok := v.(int64); ok && p.Kind() == stream.Float {
		return float64(n)
	}
	return v
}

func TestFastAndSlowEqualTheOracle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := pick(t, drawBool, drawBool, drawNumber, drawString)(t, rapid.IntRange(0, 4).Draw(t, "depth"))
		schema := testSchema()
		fast, err := Compile(d.src, schema)
		if err != nil {
			t.Fatalf("compile %s: %v", d.src, err)
		}
		slow, err := compile(d.src, schema, ownFunctions(), true)
		if err != nil {
			t.Fatalf("compile %s for the machine: %v", d.src, err)
		}
		batches := []*stream.Batch{stream.NewBatch(schema), stream.NewBatch(schema)}
		for k := range 4 {
			b := batches[k%2]
			b.Reset()
			if pick(t, true, false) {
				for i := range b.Cols {
					if b.Cols[i].Dict != nil {
						b.Cols[i].Dict.Reset()
					}
				}
			}
			rows := drawRows(t, b)
			var view stream.Batch
			lo := rapid.IntRange(0, len(rows)).Draw(t, "lo")
			b.View(&view, lo, len(rows))
			checkProgram(t, d, fast, &view, rows[lo:])
			checkProgram(t, d, slow, &view, rows[lo:])
		}
	})
}

func checkProgram(t *rapid.T, d drawn, p *Program, b *stream.Batch, rows []row) {
	c := stream.Column{Kind: p.Kind()}
	if c.Kind == stream.String {
		c.Dict = stream.NewDict()
	}
	before := rapid.IntRange(0, 1).Draw(t, "before")
	for range before {
		c.AppendNull()
	}
	p.Column(b, &c)
	if c.Len() != before+len(rows) || len(c.Null) > 0 && len(c.Null) != c.Len() {
		t.Fatalf("%s: %d values, %d nulls for %d rows", d.src, c.Len(), len(c.Null), len(rows))
	}
	for i, r := range rows {
		if got, want := c.Value(before+i), wanted(p, d.eval(r)); !sameResult(got, want) {
			t.Fatalf("%s with %v (%T): %v, want %v", d.src, r, p.root, got, want)
		}
	}
	if p.Kind() != stream.Bool {
		return
	}
	for i, got := range p.Bool(b, nil) {
		if want := d.eval(rows[i]) == true; got != want {
			t.Fatalf("%s with %v: condition %t, want %t", d.src, rows[i], got, want)
		}
	}
}
