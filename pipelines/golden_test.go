package pipelines_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "accept what the text cases give now")

// textCase is one case of a file in testdata: `# title`, input, `----`, output, an empty line.
type textCase struct{ title, input, want string }

// runTextCases runs the cases of the files and compares the outputs; with -rewrite it accepts them.
func runTextCases(t *testing.T, pattern string, run func(t *testing.T, input string) string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files %s in testdata (%v)", pattern, err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		cases := readTextCases(t, string(data))
		for i := range cases {
			c := &cases[i]
			t.Run(strings.TrimSuffix(filepath.Base(f), ".txt")+"/"+c.title, func(t *testing.T) {
				got := strings.TrimRight(run(t, c.input), "\n") + "\n"
				if got != c.want && !*rewrite {
					t.Errorf("got\n%s\nwant\n%s", got, c.want)
				}
				c.want = got
			})
		}
		if *rewrite {
			writeTextCases(t, f, cases)
		}
	}
}

const (
	titleMark  = "=== "
	outputMark = "----\n"
)

func readTextCases(t *testing.T, text string) (cases []textCase) {
	t.Helper()
	for _, part := range strings.Split("\n"+text, "\n"+titleMark)[1:] {
		title, rest, _ := strings.Cut(part, "\n")
		input, want, ok := strings.Cut(rest, outputMark)
		if !ok {
			want = ""
		}
		cases = append(cases, textCase{title, input, strings.TrimRight(want, "\n") + "\n"})
	}
	if len(cases) == 0 {
		t.Fatal("the file has no cases")
	}
	return cases
}

func writeTextCases(t *testing.T, file string, cases []textCase) {
	t.Helper()
	var b strings.Builder
	for i, c := range cases {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(titleMark + c.title + "\n" + c.input + outputMark + c.want)
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
