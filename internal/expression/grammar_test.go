package expression

import (
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// grammar draws expressions over the columns of hostSchema by their types: int, float, bool, string, time, span.
type grammar struct {
	t       *rapid.T
	lets    []string // types of v0, v1, …
	element string   // the type of # in a loop
}

func (g *grammar) oneOf(options ...string) string { return rapid.SampledFrom(options).Draw(g.t, "of") }

// leaves are columns and literals, those at the edges in particular.
var leaves = map[string][]string{
	"int": {"samples", "samples", "0", "1", "3", "(-1)", "9007199254740993", "9223372036854775807", "(-9223372036854775807)"},
	"float": {
		"value", "value", "0.5", "0.0", "(-0.0)", "9007199254740992.0", "1e300", "(1e308 * 10)", `float("NaN")`, `float("-Inf")`, `float("x")`,
	},
	"bool":   {"mfa", "mfa", "true", "false", "(1 % 0 == nil)"},
	"string": {"name", "host", "attributes.region", `attributes["region"]`, `""`, `"a"`, `"ünï-1"`, `"12"`, `split("a", "b")[3]`},
	"time":   {"time", "time", `date("2026-11-23")`, `date("0001-01-01")`, `date("9999-12-31")`, `date("x")`},
	"span":   {`duration("20m")`, `duration("2000000h")`, `duration("-1ns")`, `duration("x")`},
}

// forms are what a type may be made of: $int and so on stand for a part of that type, $number for an int or a float, $same
// for another of the type itself, $list for a list of ints, $eachbool for what a loop over ints asks of each, and $let for a
// variable.
var forms = map[string][]string{
	"int": {
		"($int + $int)", "($int - $int)", "($int * $int)", "($int % $int)", "(-$int)", "(+$int)", "(1 % 0 + $int)", "len($string)", "len($list)",
		"int($number)", "int($string)", "abs($int)", "max($int, $int)", "min($int, $int, $int)", "count($list, $eachbool)", "sum($list)",
		"sum($list, $eachint)", "findIndex($list, $eachbool)", "find($list, $eachbool)", "indexOf($string, $string)", "bitand($int, $int)",
		"bitshl($int, 3)", "$time.Year()", "$time.Unix()", "$time.Weekday()", "$time.Month()", "sum(1..5, #)", "len($int..$int)", "first(map($list, $eachint))",
		"[[$float], [$int]][$int][0]", "count([$bool, $bool])",
	},
	"float": {
		"($float + $number)", "($number - $float)", "($float * $number)", "($number / $number)", "($number ** $number)", "($int ^ $int)", "(-$float)",
		"floor($number)", "ceil($float)", "round($number)", "float($number)", "float($string)", "abs($float)", "max($float, $int)", "min($int, $float)",
		"mean($int, $int)", "mean($list)", "median($number, $float)", "max([$int, $float])", "sum([$float, $int])", "($bool ? $int : $float)",
		"($float ?? $int)", "($int ?? $float)", "$span.Hours()", "[[$int], [$float]][$int][0]", "find([[$int], [$float]][0], true)", "(1 % 0 * $float)",
		"sum($list, $eachfloat)",
	},
	"bool": {
		"($number == $number)", "($number != $number)", "($number < $number)", "($number <= $number)", "($number > $number)", "($number >= $number)",
		"($number < $number <= $number)", "($string > $string <= $string)", "($string == $string)", "($string != $string)", "($string < $string)",
		"($bool == $bool)", "($bool != $bool)", "($time == $time)", "($time < $time)", "($time >= $time)", "($span > $span)", "($span == $span)",
		"($bool and $bool)", "($bool or $bool)", "($bool && $bool)", "($bool || $bool)", "(not $bool)", "(!$bool)", "($number == nil)", "(nil != $string)",
		"($time == nil)", "($bool != nil)", "($float in [1, 2.5, 9007199254740993])", "($int not in [1, 3, 9007199254740993])", "($int in [$int, $int])",
		"($int in 1..3)", "($string in [\"a\", \"\"])", "($string in [$string, host])", "($string in {\"a\": 1, (host): 2})", "($bool in [true, $bool])",
		"($string contains $string)", "($string startsWith \"a\")", "($string endsWith $string)", "($string matches \"^[a-z]\")", "($string matches $string)",
		"($string not contains \"a\")", "any($list, $eachbool)", "all($list, $eachbool)", "none($list, $eachbool)", "one($list, $eachbool)",
		"any([$bool, $bool], #)", "hasPrefix($string, $string)", "([$int] == [$int])", "(get({($string): 1, \"a\": 2}, $string) == 1)",
		"(get(fromJSON(\"{\\\"a\\\": 1}\"), $string) == $number)", "([[1], [\"a\"]][0][0] != $string)", "([[true], [1]][0][0] == $number)",
		"(count(1..$int, # > 1) > $int)", "(type($number) == \"int\")",
	},
	"string": {
		"($string + $string)", "lower($string)", "upper($string)", "trim($string)", "replace($string, $string, $string)", "repeat($string, $int)",
		"split($string, \"-\")[$int]", "join([$string, $string], $string)", "string($number)", "string($bool)", "string($time)", "string($span)",
		"toJSON([$number, $string])", "$string[1:$int]", "$string[:-1]", "type($number)", "$time.Format(\"2006\")", "toBase64($string)", "trimPrefix($string, $string)",
		"first(split($string, \"\"))", "string([$number, $string])", "[[$int], [$string]][0][0]",
	},
	"time": {"($time + $span)", "($span + $time)", "($time - $span)", "date(string($int))"},
	"span": {"($time - $time)", "($span + $span)", "($span - $span)", "($span * $int)", "($int * $span)", "max($span, $span)"},
}

// anyForm is for every type.
var anyForms = []string{
	"($bool ? $same : $same)", "($bool ? $same : nil)", "(nil ?? $same)", "($same ?? $same)", "[$same, $same][$int]", "last([$same, $same])",
	"get([$same], $int)", "(if $bool { $same } else { $same })", "$let", "$let", "($string; $same)",
}

func (g *grammar) part(kind string, depth int) string {
	if kind == "number" {
		kind = g.oneOf("int", "float")
	}
	if depth <= 0 {
		return g.leaf(kind)
	}
	form := g.oneOf(append(slices.Clip(forms[kind]), anyForms...)...)
	if form == "$let" {
		return g.let(kind, depth)
	}
	return g.fill(form, kind, depth-1)
}

func (g *grammar) leaf(kind string) string {
	options := leaves[kind]
	if g.element == kind {
		options = append(slices.Clip(options), "#", "#")
	}
	for i, of := range g.lets {
		if of == kind {
			options = append(slices.Clip(options), fmt.Sprintf("v%d", i))
		}
	}
	return g.oneOf(options...)
}

func (g *grammar) let(kind string, depth int) string {
	of := g.oneOf("int", "float", "bool", "string", "time", "span")
	value := g.part(of, depth-1)
	name := fmt.Sprintf("v%d", len(g.lets))
	g.lets = append(g.lets, of)
	expr := g.part(kind, depth-1)
	g.lets = g.lets[:len(g.lets)-1]
	return "(let " + name + " = " + value + "; " + expr + ")"
}

// fill replaces what stands for parts.
func (g *grammar) fill(form, kind string, depth int) string {
	var src strings.Builder
	for {
		before, after, found := strings.Cut(form, "$")
		src.WriteString(before)
		if !found {
			return src.String()
		}
		end := strings.IndexFunc(after+" ", func(r rune) bool { return r < 'a' || r > 'z' })
		form = after[end:]
		src.WriteString(g.placeholder(after[:end], kind, depth))
	}
}

func (g *grammar) placeholder(what, kind string, depth int) string {
	each, isBody := strings.CutPrefix(what, "each")
	switch {
	case isBody:
		return g.body(each, depth)
	case what == "list":
		return g.list(depth)
	case what == "same":
		return g.part(kind, depth)
	}
	return g.part(what, depth)
}

// list is a list of ints.
func (g *grammar) list(depth int) string {
	form := g.oneOf("[$int]", "[$int, $int]", "[1, 2, 3]", "(1..5)", "(1..samples)", "[]", "filter([$int, 2], # > 1)", "map([$int], # + 1)")
	if form == "[]" {
		form = "filter([1], false)"
	}
	return g.fill(form, "int", depth)
}

func (g *grammar) body(kind string, depth int) string {
	outer := g.element
	g.element = "int"
	src := g.part(kind, depth)
	g.element = outer
	return src
}
