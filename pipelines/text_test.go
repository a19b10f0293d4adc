package pipelines

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Whatever way a text is written, each of its characters that is no space is found where the file has it.
func TestLocate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.StringMatching(`[a-zäß€]{1,6}`), 1, 8).Draw(t, "words")
		form := rapid.SampledFrom([]string{"plain", "single", "double", "literal", "folded", "plain lines", "quoted lines"}).Draw(t, "form")
		spec, problems := Parse("f.yaml", []byte(write(form, words)))
		about := spec[0].About
		if len(problems) != 1 || !about.IsSet() { // the source is missing
			t.Fatalf("%v, %v", about, problems)
		}
		for i, r := range about.Value {
			if r == ' ' || r == '\n' || r == '\'' || r == '"' {
				continue
			}
			at := about.locate(spec[0].src, i)
			line := []rune(spec[0].src.lines[at.Line-1])
			if at.Column > len(line) || line[at.Column-1] != r {
				t.Fatalf("%q: %q at byte %d is not at %d:%d of\n%s", about.Value, r, i, at.Line, at.Column, strings.Join(spec[0].src.lines, "\n"))
			}
		}
	})
}

// write puts the words into a file in one of the forms of YAML.
func write(form string, words []string) string {
	value := strings.Join(words, " ")
	switch form {
	case "single":
		value = "'" + strings.Join(words, " '' ") + "'"
	case "double":
		value = `"` + strings.Join(words, ` \" \u0022 `) + `"`
	case "literal":
		value = "|\n    " + strings.Join(words, "\n    ")
	case "folded":
		value = ">\n    " + strings.Join(words, "\n    ")
	case "plain lines":
		value = strings.Join(words, "\n    ")
	case "quoted lines":
		value = `"` + strings.Join(words, "\n    ") + `"`
	}
	return fmt.Sprintf("pipeline: a\nabout: %s\n", value)
}

func TestHostileFiles(t *testing.T) {
	for name, text := range map[string]string{
		"brackets": "a: " + strings.Repeat("[", 100_000), "braces": strings.Repeat("{a: ", 50_000), "entries": strings.Repeat("- ", 50_000),
		"keys": strings.Repeat("? ", 50_000), "tags": "a: " + strings.Repeat("!x ", 50_000), "size": strings.Repeat("#", maxFileBytes+1),
		"zero": "a: \x00", "anchors": "a: " + strings.Repeat("&x ", 50_000), "deep": deep(500), "colons": strings.Repeat("a: ", 50_000),
	} {
		if specs, problems := Parse("f.yaml", []byte(text)); len(problems) == 0 {
			t.Errorf("%s: no problem, %d specs", name, len(specs))
		}
	}
}

// deep nests mappings by indentation.
func deep(levels int) string {
	var b strings.Builder
	for i := range levels {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}
