package lint

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/internal/testservers"
)

// TestTutorial runs the console blocks of the README, one after the other, in an empty folder with a fresh build. A line "…"
// stands for any lines of output, "…" at the end of a line for its rest.
func TestTutorial(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and starts the program")
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
		switch c.line {
		case "make build":
			output(t, root, "make", "--dry-run", "build")
		case "make run":
			output(t, root, "make", "--dry-run", "run")
			up(t, dir)
		default:
			c.follow(t, dir)
		}
	}
}

// follow does what the reader is told to, and again for a while: what was just started may need a moment.
func (c *command) follow(t *testing.T, dir string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", c.line)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "NO_COLOR=1")
		out, err := cmd.CombinedOutput()
		if err == nil && alike(c.output, strings.Split(strings.TrimRight(string(out), "\n"), "\n")) {
			return
		}
		select {
		case <-time.After(time.Second):
		case <-deadline:
			t.Fatalf("%s (%v) prints\n%s\nbut the README says\n%s", c.line, err, out, strings.Join(c.output, "\n"))
		}
	}
}

// up starts the program as `make run` does, on free ports and with a PostgreSQL of ours, and waits until it says that it is
// up. In the end it is stopped like by Ctrl-C, which must be a clean end.
func up(t *testing.T, dir string) {
	t.Helper()
	postgres := testservers.Postgres(t)
	cmd := exec.Command(filepath.Join(dir, "bin/tidewatch"), "up", "--listen", free(t), "--kafka-listen", free(t), "--postgres", postgres)
	said := &transcript{text: "tidewatch is up", seen: make(chan struct{})}
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, said, said
	ended, err := testservers.Supervise(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("tidewatch up ended: %v\n%s", err, said.all())
			}
		case <-time.After(30 * time.Second):
			t.Errorf("tidewatch up does not stop: %v\n%s", cmd.Process.Kill(), said.all())
		}
	})
	select {
	case <-said.seen:
	case <-time.After(2 * time.Minute):
		t.Fatalf("tidewatch up is not up after two minutes:\n%s", said.all())
	}
}

// transcript keeps what a program writes, and tells when a text appears in it.
type transcript struct {
	text string
	seen chan struct{} // closed when the text has appeared
	mu   struct {
		sync.Mutex
		out  strings.Builder
		told bool
	}
}

// Write implements io.Writer.
func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.out.Write(p)
	if !s.mu.told && strings.Contains(s.mu.out.String(), s.text) {
		s.mu.told = true
		close(s.seen)
	}
	return len(p), nil
}

func (s *transcript) all() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.out.String()
}

// free is an address that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
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
	if len(got) == 0 {
		return false
	}
	prefix, open := strings.CutSuffix(want[0], "…")
	return (want[0] == got[0] || open && strings.HasPrefix(got[0], prefix)) && alike(want[1:], got[1:])
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
		{"a…", "abc", true},
		{"a…", "b", false},
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
