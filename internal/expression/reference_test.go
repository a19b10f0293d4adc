package expression

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// referenceColumns are those of a metric, which the examples of the reference use.
var referenceColumns = &stream.Schema{Fields: []stream.Field{
	{Name: "time", Kind: stream.Timestamp},
	{Name: "value", Kind: stream.Float},
	{Name: "host", Kind: stream.String},
	{Name: "attributes.region", Kind: stream.String},
	{Name: "attributes.a.b", Kind: stream.String},
}}

// section cuts a section with its subsections out of a document.
func section(t *testing.T, text, title string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, "\n## "+title+"\n")
	if !ok {
		t.Fatalf("the reference has no section %s", title)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	return rest
}

// tableExamples are the texts in backticks in the first cells of tables.
func tableExamples(text string) (examples []string) {
	row := regexp.MustCompile(`(?m)^\| (.*?) \| `)
	for _, m := range row.FindAllStringSubmatch(strings.ReplaceAll(text, `\|`, "\x00"), -1) {
		for _, quoted := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(m[1], -1) {
			examples = append(examples, strings.ReplaceAll(quoted[1], "\x00", "|"))
		}
	}
	return examples
}

// TestReferenceExpressions compiles every example of the reference, and demands one of each function.
func TestReferenceExpressions(t *testing.T) {
	data, err := os.ReadFile("../../docs/reference/pipelines.md")
	if err != nil {
		t.Fatal(err)
	}
	expressions, templates := tableExamples(section(t, string(data), "Expressions")), tableExamples(section(t, string(data), "Templates"))
	if len(expressions) < 80 || len(templates) < 4 {
		t.Fatalf("found %d expressions and %d of templates", len(expressions), len(templates))
	}
	for _, e := range expressions {
		if _, err := Compile(e, referenceColumns); err == nil {
			continue
		}
		// What fits into no column, such as a list, may still be a part of an expression.
		if _, err := Compile("type("+e+`) != ""`, referenceColumns); err != nil {
			t.Errorf("`%s`: %v", e, err)
		}
	}
	for _, e := range templates {
		if _, err := CompileTemplate("{{ "+e+" }}", referenceColumns); err != nil {
			t.Errorf("`%s` in a template: %v", e, err)
		}
	}
	for name := range ownFunctions() {
		if !strings.HasPrefix(name, prefix) && !shown(expressions, name) {
			t.Errorf("the reference has no example of %s", name)
		}
	}
	for _, name := range slices.Concat(builtins, loops, methodNames()) {
		if !shown(expressions, name) {
			t.Errorf("the reference has no example of %s", name)
		}
	}
	for name := range maps.Keys(templateFunctions()) {
		if _, everywhere := ownFunctions()[name]; !everywhere && !shown(templates, name) {
			t.Errorf("the reference has no example of %s in a template", name)
		}
	}
}

// shown reports whether an example calls the function.
func shown(examples []string, function string) bool {
	call := regexp.MustCompile(`\b` + function + `\(`)
	return slices.ContainsFunc(examples, call.MatchString)
}

func TestTableExamples(t *testing.T) {
	got := tableExamples("| a | b |\n|---|---|\n| `x(1)`, `a \\| b` | `not this` |\ntext `nor this`\n")
	if !slices.Equal(got, []string{"x(1)", "a | b"}) {
		t.Errorf("found %q", got)
	}
	if shown(got, "y") || !shown(got, "x") {
		t.Error("an example of x only is shown")
	}
}
