// Package golden runs text cases, so that a reviewer reads behaviour instead of Go. A file holds cases in this form, with
// an empty line between them:
//
//	# a comment belongs to the case below it
//	command argument argument
//	input, any number of lines
//	----
//	output
//
// Output with empty lines stands between two doubled separators. File compares a whole file. `go test ./pkg -rewrite` writes
// the present output into the files; read the difference before you commit it. Only tests import this package.
package golden

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// rewrite is set by the test binary's command line.
var rewrite = flag.Bool("rewrite", false, "write the present output into golden files")

const separator = "----"

// Case is one case of a file.
type Case struct {
	Line    int // of the command
	Command string
	Args    []string
	Input   string // without the final newline
	want    string
	head    []string // the lines up to the separator, as they stand in the file
}

// Run reads the file and fails t for every case whose output is not what run returns. run is called in the order of the
// file, from t's goroutine.
func Run(t *testing.T, path string, run func(t *testing.T, c Case) string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("read golden file: %v", err)
	}
	var out strings.Builder
	for i, c := range parse(string(data)) {
		got := strings.TrimRight(run(t, c), "\n")
		if got != c.want && !*rewrite {
			t.Errorf("%s:%d: %s %s\n%s\ngot:\n%s\nwant:\n%s", path, c.Line, c.Command, strings.Join(c.Args, " "), c.Input, got, c.want)
		}
		if i > 0 {
			out.WriteString("\n")
		}
		out.WriteString(strings.Join(c.head, "\n") + "\n" + block(got))
	}
	if *rewrite {
		if err := os.WriteFile(path, []byte(out.String()), 0o600); err != nil {
			t.Fatalf("write golden file: %v", err)
		}
	}
}

func block(output string) string {
	switch {
	case output == "":
		return separator + "\n"
	case strings.Contains("\n"+output, "\n\n"):
		twice := separator + "\n" + separator + "\n"
		return twice + output + "\n" + twice
	}
	return separator + "\n" + output + "\n"
}

func parse(text string) []Case {
	var cases []Case
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for at := 0; at < len(lines); at++ {
		if lines[at] == "" {
			continue
		}
		var c Case
		c, at = parseCase(lines, at)
		cases = append(cases, c)
	}
	return cases
}

// parseCase reads the case that begins at line `at` and returns it with the line behind it.
func parseCase(lines []string, at int) (Case, int) {
	var c Case
	var input []string
	for ; at < len(lines) && lines[at] != separator; at++ {
		c.head = append(c.head, lines[at])
		switch {
		case c.Command != "":
			input = append(input, lines[at])
		case lines[at] != "" && !strings.HasPrefix(lines[at], "#"):
			words := strings.Fields(lines[at])
			c.Line, c.Command, c.Args = at+1, words[0], words[1:]
		}
	}
	c.Input = strings.Join(input, "\n")
	end := []string{""}
	if at++; at < len(lines) && lines[at] == separator {
		end = []string{separator, separator}
		at++
	}
	from := at
	for at < len(lines) && !endsAt(lines, at, end) {
		at++
	}
	c.want = strings.Join(lines[min(from, len(lines)):at], "\n")
	return c, at + len(end) - 1
}

func endsAt(lines []string, at int, end []string) bool {
	for i, line := range end {
		if at+i >= len(lines) || lines[at+i] != line {
			return false
		}
	}
	return true
}

// File fails t if the file does not hold the text: a document that is made from the code. With -rewrite it is written.
func File(t *testing.T, path, text string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatalf("write golden file: %v", err)
		}
		return
	}
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("read golden file: %v", err)
	}
	if string(old) != text {
		t.Errorf("%s is not what the code says; `make golden` writes it anew. It should be:\n%s", path, text)
	}
}
