package pipelines_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/pipelines"
)

const referenceFile = "../docs/reference/pipelines.md"

func readReference(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// yamlBlock is an example of the reference.
type yamlBlock struct {
	line int
	text string
}

func yamlBlocks(text string) (blocks []yamlBlock) {
	inside := false
	number := 0
	for line := range strings.Lines(text) {
		number++
		switch fence := strings.TrimRight(line, "\n"); {
		case fence == "```yaml":
			inside = true
			blocks = append(blocks, yamlBlock{line: number})
		case strings.HasPrefix(fence, "```"):
			inside = false
		case inside:
			blocks[len(blocks)-1].text += line
		}
	}
	return blocks
}

// topKeys cuts a pipeline into its top-level keys.
func topKeys(text string) (keys []string, parts map[string]string) {
	parts = map[string]string{}
	key := regexp.MustCompile(`^([a-z]+):`)
	for line := range strings.Lines(text) {
		if m := key.FindStringSubmatch(line); m != nil {
			keys = append(keys, m[1])
		}
		if len(keys) > 0 {
			parts[keys[len(keys)-1]] += line
		}
	}
	return keys, parts
}

// whole puts a part of a pipeline into the place of the same part of base, as the reference says.
func whole(base, block string) string {
	keys, parts := topKeys(block)
	if slices.Contains(keys, "pipeline") {
		return block
	}
	baseKeys, baseParts := topKeys(base)
	var b strings.Builder
	for _, key := range baseKeys {
		if slices.Contains(keys, key) || slices.Contains(keys, "steps") && (key == "sinks" || key == "cases") {
			continue
		}
		b.WriteString(baseParts[key])
	}
	for _, key := range keys {
		b.WriteString(parts[key])
	}
	return b.String()
}

// TestReferenceExamples holds every example of the reference to what it promises: it is valid, and its cases pass.
func TestReferenceExamples(t *testing.T) {
	blocks := yamlBlocks(readReference(t))
	if len(blocks) < 15 {
		t.Fatalf("the reference has %d examples", len(blocks))
	}
	c := components()
	cases := 0
	for _, block := range blocks {
		t.Run(fmt.Sprintf("line %d", block.line), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "example.yaml")
			writeFile(t, file, whole(blocks[0].text, block.text))
			specs, err := pipelines.Load(c, file)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range specs {
				results, err := pipelines.RunCases(t.Context(), s, c)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range results {
					cases++
					if !r.OK {
						t.Error(r)
					}
				}
			}
		})
	}
	if cases < 3 {
		t.Errorf("only %d cases were run", cases)
	}
}

func TestAPartOfAPipelineTakesItsPlace(t *testing.T) {
	const base = "pipeline: a\ntime: 1\nsteps:\n  - x\nsinks: s\ncases:\n  - c\n"
	for block, want := range map[string]string{
		"pipeline: b\nsteps: 2\n": "pipeline: b\nsteps: 2\n",
		"time: 2\n":               "pipeline: a\nsteps:\n  - x\nsinks: s\ncases:\n  - c\ntime: 2\n",
		"steps:\n  - y\n":         "pipeline: a\ntime: 1\nsteps:\n  - y\n",
	} {
		if got := whole(base, block); got != want {
			t.Errorf("%q becomes %q, want %q", block, got, want)
		}
	}
}

// keysOfParser finds every key that the parser asks a mapping for: the literals in calls of get and need.
func keysOfParser(t *testing.T) (keys []string) {
	t.Helper()
	files, err := filepath.Glob("parse*.go")
	if err != nil || len(files) < 4 {
		t.Fatalf("found %d files of the parser (%v)", len(files), err)
	}
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			if f, ok := call.Fun.(*ast.SelectorExpr); !ok || f.Sel.Name != "get" && f.Sel.Name != "need" {
				return true
			}
			if literal, ok := call.Args[0].(*ast.BasicLit); ok {
				key, err := strconv.Unquote(literal.Value)
				if err != nil {
					t.Fatal(err)
				}
				keys = append(keys, key)
			}
			return true
		})
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// missingWords are those that no text in backticks of the prose has as a word.
func missingWords(text string, words []string) (missing []string) {
	prose := regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(text, "")
	quoted := strings.Join(regexp.MustCompile("`[^`\n]+`").FindAllString(prose, -1), "\n")
	for _, w := range words {
		if !regexp.MustCompile(`(^|[^a-z_])` + regexp.QuoteMeta(w) + `([^a-z_]|$)`).MatchString(quoted) {
			missing = append(missing, w)
		}
	}
	return missing
}

// TestReferenceIsComplete demands that the prose of the reference names every key, word and aggregate of the language.
func TestReferenceIsComplete(t *testing.T) {
	text, c := readReference(t), components()
	keys := keysOfParser(t)
	if len(keys) < 50 {
		t.Fatalf("found %d keys in the parser: %q", len(keys), keys)
	}
	var types []string
	for _, d := range c.Catalog.Definitions() {
		types = append(types, d.Name)
	}
	for what, words := range map[string][]string{
		"keys": keys, "words": pipelines.Words(), "aggregates": c.Aggregates, "formats": c.Formats, "event types": types,
	} {
		if missing := missingWords(text, words); len(missing) > 0 {
			t.Errorf("%s of the language that the reference does not explain: %q", what, missing)
		}
	}
	if got := missingWords("`a` bc\n```\n`d`\n```\n`e_f`, `g(x)`\n", []string{"a", "bc", "d", "e", "e_f", "g"}); len(got) != 3 {
		t.Errorf("missing words: %q", got)
	}
}

// TestReferenceDefaults compares the last cell of a key's row with the default in the code.
func TestReferenceDefaults(t *testing.T) {
	text := readReference(t)
	for key, want := range map[string]time.Duration{
		"out_of_order": pipelines.DefaultOutOfOrder, "allowed_lateness": pipelines.DefaultAllowedLateness, "max_jump": pipelines.DefaultMaxJump,
		"idle_after": pipelines.DefaultIdleAfter, "epoch": pipelines.DefaultEpoch, "snapshot": pipelines.DefaultSnapshot,
		"publish": pipelines.DefaultPublish, "keep": pipelines.DefaultKeep,
	} {
		row := regexp.MustCompile("(?m)^\\| `" + key + "` \\|.*`([0-9a-z]+)` \\|$").FindStringSubmatch(text)
		if row == nil {
			t.Errorf("no row of the reference begins with `%s` and ends with its default", key)
			continue
		}
		if got, err := pipelines.ParseDuration(row[1]); err != nil || got != want {
			t.Errorf("the reference says that the default of %s is %s, it is %s (%v)", key, row[1], want, err)
		}
	}
	if !strings.Contains(text, "| `"+pipelines.DefaultSeverity+"` |") {
		t.Errorf("the reference does not say that the default severity is %s", pipelines.DefaultSeverity)
	}
}
