package child

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func shell(script string) Spec {
	return Spec{Path: "/bin/sh", Args: []string{"-c", script}, Env: []string{"PATH=/usr/bin:/bin"}, OnParentDeath: syscall.SIGKILL}
}

func TestOutputComesInLines(t *testing.T) {
	long := strings.Repeat("x", longest)
	cases := []struct {
		name   string
		writes []string
		want   []string
	}{
		{"nothing", nil, nil},
		{"whole lines", []string{"a\nb\n"}, []string{"a", "b"}},
		{"in pieces", []string{"a", "b\r\nc", "\n"}, []string{"ab", "c"}},
		{"empty lines", []string{"\n\n"}, []string{"", ""}},
		{"no end", []string{"a\nb"}, []string{"a", "b"}},
		{"exactly the longest", []string{long + "\n"}, []string{long}},
		{"longer than the longest", []string{long + "yz\n"}, []string{long, "yz"}},
		{"longer, in pieces", []string{long, "yz\n"}, []string{long, "yz"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			o := &output{line: func(line string) { got = append(got, line) }}
			for _, w := range c.writes {
				if n, err := o.Write([]byte(w)); n != len(w) || err != nil {
					t.Fatalf("wrote %d of %d, %v", n, len(w), err)
				}
			}
			o.finish()
			if strings.Join(got, "|") != strings.Join(c.want, "|") {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestTailIsTheEnd(t *testing.T) {
	c, err := Start(shell("for i in $(seq 1 100); do echo $i; done; exit 3"))
	if err != nil {
		t.Fatal(err)
	}
	<-c.Done()
	lines := strings.Split(c.Tail(), "\n")
	if len(lines) != kept || lines[0] != "81" || lines[kept-1] != "100" {
		t.Errorf("tail %q", lines)
	}
	var exit *exec.ExitError
	if !errors.As(c.Err(), &exit) || exit.ExitCode() != 3 {
		t.Errorf("ended with %v, want code 3", c.Err())
	}
	if err := c.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("signal to a program that has ended: %v", err)
	}
}

func TestRun(t *testing.T) {
	if out, err := Run(t.Context(), shell("echo one; echo two >&2")); err != nil || out != "one\ntwo\n" {
		t.Errorf("got %q, %v", out, err)
	}
	if _, err := Run(t.Context(), shell("echo why; exit 1")); err == nil || !strings.Contains(err.Error(), "exit status 1: why") {
		t.Errorf("a failure: %v", err)
	}
	if _, err := Run(t.Context(), Spec{Path: "/nonexistent"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no program: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s := shell("echo up; exec sleep 100")
	go cancel()
	if _, err := Run(ctx, s); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled run: %v", err)
	}
}

func TestAGrandchildThatHoldsTheOutputDoesNotHoldUs(t *testing.T) {
	pid := make(chan string, 1)
	s := shell("sleep 100 & echo $!")
	s.Line = func(line string) { pid <- line }
	c, err := Start(s)
	if err != nil {
		t.Fatal(err)
	}
	var orphan int
	if _, err := fmt.Sscan(<-pid, &orphan); err != nil {
		t.Fatal(err)
	}
	<-c.Done()
	if err := syscall.Kill(orphan, syscall.SIGKILL); err != nil {
		t.Errorf("the grandchild is gone: %v", err)
	}
}

// holder is the variable that turns this test binary into a process that starts a child and waits to be killed.
const holder = "TIDEWATCH_CHILD_HOLDER"

func TestItDiesWithAKilledProcess(t *testing.T) {
	if os.Getenv(holder) != "" {
		s := shell("trap 'exit 0' INT; echo up; while :; do sleep 0.01; done")
		s.OnParentDeath = syscall.SIGINT
		up := make(chan string, 1)
		s.Line = func(line string) { up <- line }
		c, err := Start(s)
		if err != nil {
			t.Fatal(err)
		}
		<-up
		fmt.Println("CHILD", c.PID())
		select {}
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestItDiesWithAKilledProcess$", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), holder+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := 0
	for lines := bufio.NewScanner(out); pid == 0 && lines.Scan(); {
		_, _ = fmt.Sscanf(lines.Text(), "CHILD %d", &pid) // other lines are not ours
	}
	if pid == 0 {
		t.Fatal("the holder started nothing")
	}
	if group, err := syscall.Getpgid(pid); err != nil || group != pid {
		t.Errorf("process group %d, %v; want its own: an interrupt from the terminal would reach it", group, err)
	}
	if err := errors.Join(cmd.Process.Kill(), notNil(cmd.Wait())); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); running(pid); {
		if time.Now().After(deadline) {
			t.Fatalf("process %d outlived its parent", pid)
		}
	}
}

// notNil is an error if the process ended well.
func notNil(err error) error {
	if err == nil {
		return errors.New("the holder was not killed")
	}
	return nil
}

func running(pid int) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err == nil && !strings.Contains(string(text), ") Z ")
}

func TestAccounts(t *testing.T) {
	if _, err := Lookup("no-such-account", "nor-this"); err == nil || !strings.Contains(err.Error(), "nor-this") {
		t.Errorf("unknown accounts: %v", err)
	}
	a, err := Lookup("no-such-account", "nobody")
	if err != nil || a.Name != "nobody" || a.UID == 0 {
		t.Fatalf("got %v, %v", a, err)
	}
	me, err := Owner(t.TempDir())
	if err != nil || int(me.UID) != os.Getuid() {
		t.Errorf("owner %v, %v", me, err)
	}
	var ours *Account
	if err := ours.Own("/nonexistent"); err != nil {
		t.Errorf("our own account gave a file away: %v", err)
	}
	if blocked, err := ours.Blocked("/nonexistent"); blocked != "" || err != nil {
		t.Errorf("our own account is blocked by %q, %v", blocked, err)
	}
}

func TestBlocked(t *testing.T) {
	root := t.TempDir()
	deep := filepath.Join(root, "a/b/c")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	me, err := Owner(deep)
	if err != nil {
		t.Fatal(err)
	}
	stranger := &Account{Name: "stranger", UID: me.UID + 12345, GID: me.GID + 12345}
	colleague := &Account{Name: "colleague", UID: me.UID + 12345, GID: me.GID}
	chmod := func(path string, mode fs.FileMode) {
		t.Helper()
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	chmod(root, 0o711)
	above, err := stranger.Blocked(root) // a temporary folder of a test may lie below closed ones
	if err != nil {
		t.Fatal(err)
	}
	check := func(a *Account, want string) {
		t.Helper()
		if above != "" {
			want = above
		}
		if got, err := a.Blocked(deep); err != nil || got != want {
			t.Errorf("%s is blocked by %q, %v; want %q", a.Name, got, err, want)
		}
	}
	check(stranger, "")
	chmod(filepath.Join(root, "a"), 0o710)
	chmod(filepath.Join(root, "a/b"), 0o700)
	check(stranger, filepath.Join(root, "a"))
	check(colleague, filepath.Join(root, "a/b"))
	if os.Getuid() != 0 {
		check(me, "")
	}
	if _, err := stranger.Blocked(filepath.Join(deep, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a path that is not there: %v", err)
	}
}

func TestAccountIsTakenOn(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become another account")
	}
	nobody, err := Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	closed := t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(closed, "file"), []byte("within"), 0o600), nobody.Own(filepath.Join(closed, "file")),
		nobody.Own(closed), os.Chmod(closed, 0o700)); err != nil {
		t.Fatal(err)
	}
	handle, err := os.Open(closed)
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Close()
	s := shell("id -u; id -G; cat /proc/self/fd/3/file")
	s.Account, s.Files, s.Dir = nobody, []*os.File{handle}, "/"
	out, err := Run(t.Context(), s)
	if want := fmt.Sprintf("%d\n%d\nwithin\n", nobody.UID, nobody.GID); err != nil || out != want {
		t.Errorf("got %q, %v; want %q", out, err, want)
	}
}
