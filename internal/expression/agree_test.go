package expression

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/stream"
)

// edgeBatch has the rows of hostBatch, and those at the edges of what columns hold.
func edgeBatch() *stream.Batch {
	b := hostBatch()
	rows := b.Len()
	floats := []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 1 << 53, math.MaxFloat64, -0.5}
	ints := []int64{1<<53 + 1, math.MaxInt64, math.MinInt64, 0, -1, -(1<<53 + 1), 2}
	strings := []string{"", "a", "ünï", "12", "\xff", "web-7", "A-b"}
	times := []int64{math.MinInt64 + 1, math.MaxInt64 - 1, 0, -1, 1795392000000000000, 1, 1 << 53}
	for i := range floats {
		for c := range 7 {
			column, at := &b.Cols[c], (i+c)%7
			switch column.Kind {
			case stream.Float:
				column.AppendFloat(floats[at])
			case stream.Int:
				column.AppendInt(ints[at])
			case stream.String:
				column.AppendString(strings[at])
			case stream.Bool:
				column.AppendBool(at%2 == 0)
			case stream.Timestamp:
				column.AppendInt(times[at])
			}
			if i%3 == 2 && c == i {
				column.Null[rows+i] = true
			}
		}
	}
	b.SetLen(rows + len(floats))
	return b
}

// disagreement tells where the loops and the VM give different values, or "".
func disagreement(src string) string {
	b := edgeBatch()
	fast, err := compile(src, b.Schema, ownFunctions(), false)
	if err != nil {
		return "" // the caller knows why
	}
	slow, err := compile(src, b.Schema, ownFunctions(), true)
	if err != nil {
		return fmt.Sprintf("only the loops compile it: %v", err)
	}
	if fast.Kind() != slow.Kind() {
		return fmt.Sprintf("kinds %s and %s", fast.Kind(), slow.Kind())
	}
	x, y := valuesOf(fast, b), valuesOf(slow, b)
	for i := range b.Len() {
		if !sameBits(x.Value(i), y.Value(i)) {
			return fmt.Sprintf("row %d: the loops give %v, the VM %v", i, x.Value(i), y.Value(i))
		}
	}
	return ""
}

func valuesOf(p *Program, b *stream.Batch) *stream.Column {
	c := &stream.NewBatch(&stream.Schema{Fields: []stream.Field{field("x", p.Kind())}}).Cols[0]
	p.Column(b, c)
	return c
}

// sameBits is strict about the sign of zero, but not about which NaN it is.
func sameBits(a, b any) bool {
	x, ok1 := a.(float64)
	y, ok2 := b.(float64)
	if ok1 && ok2 {
		return math.Float64bits(x) == math.Float64bits(y) || x != x && y != y
	}
	return a == b
}

// onceDifferent are expressions for which the loops and the VM did not agree, that failed, or that took forever.
var onceDifferent = []string{
	`time > date("0001-01-01")`,
	`time < date("9999-12-31") == mfa`,
	`string(date("9999-12-31"))`,
	`[[1], ["a"]][0][0] != host`,
	`[[9007199254740993], [2.5]][0][samples - 3] > 9007199254740992`,
	`(mfa ? samples : 0.5) * 3 == 27021597764222979`,
	`-(samples + 1 % 0) + 1`,
	`-(value + 1 % 0) < value`,
	`1 < max(samples + 1, 2) < 5`,
	`1 < (mfa ? samples * 1 : 0.5) <= 9007199254740992`,
	`1 < len(host + name) < 50`,
	`not (count(1..200000, true) > samples)`,
	`count(1..60000, true) + count(1..60000, true) > samples or mfa`,
	`get({(host): 1}, "a") == nil or mfa`,
	`mean(samples, 4)`,
	`let x = max(samples, value); x + 1`,
	`abs(max(samples, value))`,
	`(duration("1h") * samples).Hours()`,
	`time + duration("1h") * 2`,
	`string(get([1, time][1], "Local"))`,
	`any(1..50000, repeat("a", 100000) == host)`,
	`all(1..99999, host matches repeat("a", 100000))`,
	`len(uniq(1..99999))`,
	`replace(repeat("a", 1000000), "a", repeat("a", 1000000))`,
	`let l = split(repeat("a", 100000), ""); all(l, all(l, all(l, true)))`,
	`len(1..get(fromJSON("[3]"), 0))`,
	strings.Repeat("1 < (", 40) + "samples" + strings.Repeat(" < 3 ? 1 : 2)", 40) + " < 3",
	doubled("host", "+", 40),
	doubled("[1]", ",", 40),
}

// doubled is a let whose value doubles with every step.
func doubled(of, op string, steps int) string {
	var src strings.Builder
	fmt.Fprintf(&src, "let v0 = %s; ", of)
	for i := range steps {
		pair := fmt.Sprintf("v%d %s v%d", i, op, i)
		if op == "," {
			pair = "[" + pair + "]"
		}
		fmt.Fprintf(&src, "let v%d = %s; ", i+1, pair)
	}
	fmt.Fprintf(&src, "v%d == v%d and len(toJSON(v%d)) > 1", steps, steps, steps)
	return src.String()
}

func TestWaysAgree(t *testing.T) {
	t.Parallel()
	for _, src := range onceDifferent {
		if _, err := Compile(src, hostSchema()); err != nil && !strings.Contains(err.Error(), "more than 1000 parts") {
			t.Errorf("%s: %v", src, err)
		}
		if d := disagreement(src); d != "" {
			t.Errorf("%s: %s", src, d)
		}
	}
}

// TestWaysAgreeOnWhateverCompiles draws more than the oracle knows: lists, loops, let, instants and spans of time, and all
// the functions.
func TestWaysAgreeOnWhateverCompiles(t *testing.T) {
	t.Parallel()
	drawn, compiled := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		g := grammar{t: t}
		src := g.part(g.oneOf("int", "float", "bool", "bool", "string", "time", "span"), rapid.IntRange(0, 4).Draw(t, "depth"))
		drawn++
		_, err := Compile(src, hostSchema())
		switch {
		case err == nil:
			compiled++
		case !strings.Contains(err.Error(), "the type of the result is not known") && !strings.Contains(err.Error(), "1000 parts"):
			t.Fatalf("%s: %v", src, err)
		}
		if d := disagreement(src); d != "" {
			t.Fatalf("%s: %s", src, d)
		}
	})
	if compiled < drawn*3/4 {
		t.Errorf("only %d of %d expressions compile", compiled, drawn)
	}
}
