package pipelines_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/pipelines"
)

// FuzzParse demands that no file makes Parse or Validate panic, that every problem has a place inside the file, and that
// a file without a problem compiles.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "mistakes_*.txt"))
	if err != nil {
		f.Fatal(err)
	}
	library, err := filepath.Glob(filepath.Join("library", "*.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range append(files, library...) {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for part := range strings.SplitSeq("\n"+string(data), "\n"+titleMark) {
			_, body, _ := strings.Cut(part, "\n")
			input, _, _ := strings.Cut(body, outputMark)
			f.Add(input)
		}
	}
	c := components()
	f.Fuzz(func(t *testing.T, text string) {
		specs, problems := pipelines.Parse("f.yaml", []byte(text))
		problems = append(problems, pipelines.Validate(specs, c)...)
		lines := strings.Count(text, "\n") + strings.Count(text, "\r") + 1
		for _, p := range problems {
			if p.Message == "" || p.Line < 0 || p.Line > lines || p.Line > 0 && p.Column < 1 {
				t.Fatalf("problem without a place in %d lines: %+v", lines, p)
			}
		}
		if len(problems) > 0 {
			return
		}
		for _, s := range specs {
			if _, err := pipelines.Compile(s, c); err != nil {
				t.Fatalf("no mistakes, but: %v", err)
			}
		}
	})
}
