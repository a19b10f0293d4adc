package lint

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTutorial runs the console blocks of the README, one after the other, in an empty folder with a fresh build. A line "…"
// stands for any lines of output.
func TestTutorial(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := console(string(text))
	if len(commands) < 4 {
		t.Fatalf("found %d commands in the README", len(commands))
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	output(t, root, "go", "build", "-o", filepath.Join(dir, "bin")+"/", "./cmd/tidewatch")
	if err := os.Symlink(filepath.Join(root, "pipelines"), filepath.Join(dir, "pipelines")); err != nil {
		t.Fatal(err)
	}
	for _, c := range commands {
		line := strings.ReplaceAll(c.line, "make build", "make -C "+root+" --dry-run build > dry-run")
		cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", line)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "NO_COLOR=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", c.line, err, out)
		}
		if got := strings.Split(strings.TrimRight(string(out), "\n"), "\n"); !alike(c.output, got) {
			t.Errorf("%s\nprints\n%s\nbut the README says\n%s", c.line, out, strings.Join(c.output, "\n"))
		}
	}
}

// command is one line after a prompt, and the output that follows it.
type command struct {
	line   string
	output []string
}

// console finds the commands in the console blocks of a document.
func console(text string) []command {
	var commands []command
	inside := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch prompt, isCommand := strings.CutPrefix(line, "$ "); {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
		case inside && isCommand:
			commands = append(commands, command{line: prompt})
		case inside && len(commands) > 0:
			last := &commands[len(commands)-1]
			last.output = append(last.output, line)
		}
	}
	return commands
}

// alike compares lines; "…" stands for any number of them.
func alike(want, got []string) bool {
	switch {
	case len(want) == 0:
		return len(got) == 0 || len(got) == 1 && got[0] == ""
	case want[0] == "…":
		for skip := range len(got) + 1 {
			if alike(want[1:], got[skip:]) {
				return true
			}
		}
		return false
	}
	return len(got) > 0 && want[0] == got[0] && alike(want[1:], got[1:])
}

func TestConsoleAndAlike(t *testing.T) {
	got := console("text\n```console\n$ a b\nx\n…\n$ c\n```\n$ no\n```sh\n$ no\n```\n")
	if len(got) != 2 || got[0].line != "a b" || len(got[0].output) != 2 || got[1].line != "c" || got[1].output != nil {
		t.Errorf("found %q", got)
	}
	cases := []struct {
		want, got string
		alike     bool
	}{
		{"", "", true},
		{"", "x", false},
		{"x", "x", true},
		{"x", "y", false},
		{"…", "", true},
		{"…", "a/b", true},
		{"…/b", "a/b", true},
		{"a/…/c", "a/b/b/c", true},
		{"a/…/c", "a/b", false},
		{"a", "a/b", false},
	}
	split := func(s string) []string {
		if s == "" {
			return nil
		}
		return strings.Split(s, "/")
	}
	for _, c := range cases {
		if alike(split(c.want), split(c.got)) != c.alike {
			t.Errorf("%q and %q: want alike %v", c.want, c.got, c.alike)
		}
	}
}
