package lint

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/internal/testservers"
)

// The addresses that the documents speak of; the tests have others.
const (
	pageAddress  = "127.0.0.1:8080"
	kafkaAddress = "127.0.0.1:9092"
)

// patience is how long what the server shows may take to be as the documents say: the planted attack ends, and is archived, after
// four minutes.
const patience = 8 * time.Minute

// follower does what documents tell their reader, in a folder that has a fresh build in bin and the pipelines.
type follower struct {
	dir     string
	listen  string // of the server that was started; "" before
	kafka   string
	alertID string // the last one that was printed; commands call it ID
}

func newFollower(t *testing.T) *follower {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{dir: t.TempDir()}
	output(t, root, "go", "build", "-o", filepath.Join(f.dir, "bin")+"/", "./cmd/tidewatch")
	if err := os.Symlink(filepath.Join(root, "pipelines"), filepath.Join(f.dir, "pipelines")); err != nil {
		t.Fatal(err)
	}
	return f
}

// manuals are the documents whose console blocks are run: in this order, since the alert of the tutorial is used in the others.
func manuals(t *testing.T) []string {
	t.Helper()
	users, err := filepath.Glob("../../docs/users/*.md")
	if err != nil || len(users) < 2 {
		t.Fatalf("found %d pages for users (%v)", len(users), err)
	}
	return append([]string{"../../README.md", "../../docs/tutorial.md"}, users...)
}

// commandsOf reads the commands of a document.
func commandsOf(t *testing.T, file string) []command {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return console(string(text))
}

// TestManualsWithoutServer runs the blocks "console" of each document in a folder of its own.
func TestManualsWithoutServer(t *testing.T) {
	built := newFollower(t)
	ran := 0
	for _, file := range manuals(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			f := &follower{dir: t.TempDir()}
			for _, name := range []string{"bin", "pipelines"} {
				if err := os.Symlink(filepath.Join(built.dir, name), filepath.Join(f.dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			for _, c := range commandsOf(t, file) {
				if !c.live {
					f.follow(t, &c)
					ran++
				}
			}
		})
	}
	if ran < 8 {
		t.Errorf("ran %d commands", ran)
	}
}

// TestManualsWithServer runs all blocks of all documents in one folder, with the server that the first `make run` starts.
func TestManualsWithServer(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the program and waits for its demo")
	}
	f := newFollower(t)
	live := 0
	for _, file := range manuals(t) {
		for _, c := range commandsOf(t, file) {
			if strings.HasPrefix(c.line, "duckdb ") {
				t.Run("duckdb of "+filepath.Base(file), func(t *testing.T) {
					f.duckdb(t)
					f.follow(t, &c)
				})
				continue
			}
			if f.follow(t, &c); c.live {
				live++
			}
		}
	}
	if live < 10 {
		t.Errorf("ran %d commands with the server", live)
	}
}

// duckdb puts a program of that name into bin: DuckDB for Python, which takes -c SQL and prints the same.
func (f *follower) duckdb(t *testing.T) {
	t.Helper()
	program := "#!/bin/sh\nexec " + testservers.Python(t) + ` -c 'import sys, duckdb; duckdb.sql(sys.argv[2]).show()' "$@"` + "\n"
	if err := os.WriteFile(filepath.Join(f.dir, "bin/duckdb"), []byte(program), 0o755); err != nil {
		t.Fatal(err)
	}
}

// follow does what the reader is told to. What the server shows may need a while.
func (f *follower) follow(t *testing.T, c *command) {
	t.Helper()
	if target, isMake := strings.CutPrefix(c.line, "make "); isMake {
		output(t, "../..", "make", "--dry-run", target)
		if target == "run" && f.listen == "" {
			f.said(t, c, f.up(t), nil)
		}
		return
	}
	if c.live && f.listen == "" {
		t.Fatalf("%q needs a server, but nothing has started one", c.line)
	}
	deadline := time.After(patience)
	for {
		out, err := f.run(t, c.line)
		if err == nil && alike(c.output, lines(out)) {
			return
		}
		if !c.live {
			f.said(t, c, out, err)
			return
		}
		select {
		case <-time.After(time.Second):
		case <-deadline:
			f.said(t, c, out, err)
			return
		}
	}
}

func lines(out string) []string { return strings.Split(strings.TrimRight(out, "\n"), "\n") }

// said fails if the output is not what the document says.
func (f *follower) said(t *testing.T, c *command, out string, err error) {
	t.Helper()
	if err != nil || !alike(c.output, lines(out)) {
		t.Fatalf("%s (%v) prints\n%s\nbut the document says\n%s", c.line, err, out, strings.Join(c.output, "\n"))
	}
}

var anAlertID = regexp.MustCompile(`\b[0-9a-f]{24}\b`)

// run runs a line of a shell; the server's addresses are those of the documents, to the command and in its output.
func (f *follower) run(t *testing.T, line string) (string, error) {
	t.Helper()
	if f.listen != "" {
		line = strings.NewReplacer(pageAddress, f.listen, kafkaAddress, f.kafka).Replace(line)
	}
	if f.alertID != "" {
		line = regexp.MustCompile(`\bID\b`).ReplaceAllString(line, f.alertID)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", line)
	cmd.Dir = f.dir
	cmd.Env = append(os.Environ(), "NO_COLOR=1", "LC_ALL=C.UTF-8", fmt.Sprintf("PATH=%s:%s", filepath.Join(f.dir, "bin"), os.Getenv("PATH")))
	out, err := cmd.CombinedOutput()
	if ids := anAlertID.FindAllString(string(out), -1); len(ids) > 0 {
		f.alertID = ids[len(ids)-1]
	}
	return f.documented(string(out)), err
}

// documented is an output with the addresses of the documents.
func (f *follower) documented(out string) string {
	if f.listen == "" {
		return out
	}
	return strings.NewReplacer(f.listen, pageAddress, f.kafka, kafkaAddress).Replace(out)
}

// up starts the program as `make run` does, on free ports and with a PostgreSQL of ours, waits until it says that it is up, and
// answers what it has said. In the end it is stopped like by Ctrl-C, which must be a clean end.
func (f *follower) up(t *testing.T) string {
	t.Helper()
	postgres := testservers.Postgres(t)
	f.listen, f.kafka = free(t), free(t)
	cmd := exec.Command(filepath.Join(f.dir, "bin/tidewatch"), "up", "--listen", f.listen, "--kafka-listen", f.kafka, "--postgres", postgres)
	said := &transcript{text: "try next", seen: make(chan struct{})}
	cmd.Dir, cmd.Stdout, cmd.Stderr = f.dir, said, said
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
	return f.documented(said.all())
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
	live   bool // it needs a running server
	output []string
}

// console finds the commands in the blocks "console" and "console up" of a document; the latter need a server.
func console(text string) []command {
	var commands []command
	inside, live := false, false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch prompt, isCommand := strings.CutPrefix(line, "$ "); {
		case strings.HasPrefix(line, "```"):
			live = line == "```console up"
			inside = live || line == "```console"
		case inside && isCommand:
			commands = append(commands, command{line: prompt, live: live})
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
	return lineAlike(want[0], got[0]) && alike(want[1:], got[1:])
}

// lineAlike compares a line; "…" stands for any text in it.
func lineAlike(want, got string) bool {
	parts := strings.Split(want, "…")
	last := len(parts) - 1
	if last == 0 {
		return want == got
	}
	got, ok := strings.CutPrefix(got, parts[0])
	for _, part := range parts[1:last] {
		if !ok {
			return false
		}
		_, got, ok = strings.Cut(got, part)
	}
	return ok && strings.HasSuffix(got, parts[last])
}

func TestConsoleAndAlike(t *testing.T) {
	got := console("text\n```console\n$ a b\nx\n…\n$ c\n```\n$ no\n```sh\n$ no\n```\n```console up\n$ d\n```\n")
	if len(got) != 3 || got[0].line != "a b" || len(got[0].output) != 2 || got[1].line != "c" || got[1].output != nil || got[1].live || !got[2].live {
		t.Errorf("found %+v", got)
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
		{"a…c", "abbc", true},
		{"a…c", "abb", false},
		{"a…b…d", "a1b2d", true},
		{"a…b…d", "a1d", false},
		{"…b", "ab", true},
		{"ab…bc", "abc", false},
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
