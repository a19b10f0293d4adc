package postgres

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/internal/devstack/child"
)

// start starts a server and stops it after the test.
func start(t *testing.T, c Config) *Server {
	t.Helper()
	s, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// query runs a statement and answers the one value of its first row, if it has any.
func query(t *testing.T, dsn, statement string) string {
	t.Helper()
	got, err := ask(t.Context(), dsn, statement)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func ask(ctx context.Context, dsn, statement string) (string, error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return "", err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, statement)
	if err != nil {
		return "", err
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return strings.Join(all, " "), err
}

func TestDataSurvivesARestart(t *testing.T) {
	t.Parallel()
	needLocal(t)
	c := config(t)
	c.Volatile = false
	s := start(t, c)
	first := s.DSN()
	query(t, first, "CREATE TABLE kept AS SELECT 'text' AS word")
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t.Context(), first, "SELECT 1"); err == nil {
		t.Fatal("a closed server answers")
	}
	again := start(t, c)
	if again.DSN() != first {
		t.Errorf("the address has changed from %s to %s", first, again.DSN())
	}
	if got := query(t, again.DSN(), "SELECT word FROM kept"); got != "text" {
		t.Errorf("read %q", got)
	}
}

func TestSettingsRightsAndSecrets(t *testing.T) {
	t.Parallel()
	needLocal(t)
	c := config(t)
	c.Volatile = false
	var lines strings.Builder // written by one goroutine, read after Close
	c.Log = slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := start(t, c)
	admin := s.dsn(superuser, superuser)
	for name, want := range map[string]string{
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "shared_buffers": "32MB", "max_connections": "30",
		"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "password_encryption": "scram-sha-256", "data_checksums": "on",
	} {
		if got := query(t, admin, "SELECT current_setting('"+name+"')"); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	const whoami = "SELECT current_user || ' ' || current_database() || ' ' || rolsuper || ' ' || rolcreatedb FROM pg_roles WHERE rolname = current_user"
	if got := query(t, s.DSN(), whoami); got != "tidewatch tidewatch false false" {
		t.Errorf("we are %s", got)
	}
	query(t, s.DSN(), "CREATE TABLE ours (n int)")
	// What the claims of tasks need: the identity of the server and its timeline.
	if got := query(t, s.DSN(), "SELECT system_identifier::text || pg_walfile_name(pg_current_wal_lsn()) FROM pg_control_system()"); got == "" {
		t.Error("our role may not ask which server this is")
	}
	for _, without := range []string{"", "wrong"} {
		dsn := strings.Replace(s.DSN(), s.cluster.access.Password, without, 1)
		if _, err := ask(t.Context(), dsn, "SELECT 1"); err == nil {
			t.Errorf("the password %q is accepted", without)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(lines.String(), s.cluster.access.Password) {
		t.Error("the password is in the log")
	}
	for name, want := range map[string]os.FileMode{"": 0o700, "data": 0o700, "access.json": 0o600} {
		if info, err := os.Stat(filepath.Join(c.Dir, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%q: %v, %v; want %v", name, info, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(c.Dir, "password")); err == nil {
		t.Error("the password of the start is left behind")
	}
}

func postmaster(t *testing.T, s *Server) int {
	t.Helper()
	pid := s.cluster.oldPID()
	if pid == 0 {
		t.Fatal("no server runs")
	}
	return pid
}

func TestAKilledServerIsStartedAgain(t *testing.T) {
	t.Parallel()
	needLocal(t)
	s := start(t, config(t))
	query(t, s.DSN(), "CREATE TABLE kept AS SELECT 'text' AS word")
	before := postmaster(t, s)
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(soon); ; {
		got, err := ask(t.Context(), s.DSN(), "SELECT word FROM kept")
		if err == nil && got == "text" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("read %q, %v", got, err)
		}
	}
	if now := postmaster(t, s); now == before {
		t.Errorf("process %d was not killed", before)
	}
	select {
	case <-s.Done():
		t.Errorf("it counts as dead: %v", s.Err())
	default:
	}
}

// hasty is a clock on which nobody waits long.
type hasty struct{ clock.System }

func (h hasty) After(d time.Duration) <-chan time.Time { return h.System.After(d / 20) }

func TestAServerThatCannotLiveIsReported(t *testing.T) {
	t.Parallel()
	needLocal(t)
	c := config(t)
	c.Clock = hasty{}
	s, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	pid := postmaster(t, s)
	if err := os.Rename(filepath.Join(c.Dir, "data"), filepath.Join(c.Dir, "lost")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Done():
	case <-time.After(soon):
		t.Fatal("it is still tried")
	}
	for _, err := range []error{s.Err(), s.Close()} {
		if err == nil || !strings.Contains(err.Error(), "died 4 times") || !strings.Contains(err.Error(), "data") {
			t.Errorf("reported: %v", err)
		}
	}
}

func TestCloseDuringARestart(t *testing.T) {
	t.Parallel()
	needLocal(t)
	s := start(t, config(t))
	if err := syscall.Kill(postmaster(t, s), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestAnotherMajorVersionIsRefused(t *testing.T) {
	c := config(t)
	if err := os.MkdirAll(filepath.Join(c.Dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.Dir, "data/PG_VERSION"), []byte("11\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "was made by version 11") || !strings.Contains(err.Error(), "another folder") {
		t.Errorf("got %v", err)
	}
}

func TestAnInterruptedInitdbIsRepeated(t *testing.T) {
	t.Parallel()
	needLocal(t)
	c := config(t)
	fresh := filepath.Join(c.Dir, "data.new")
	if err := errors.Join(os.MkdirAll(fresh, 0o755), os.WriteFile(filepath.Join(fresh, "PG_VERSION"), []byte("15\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	s := start(t, c)
	if got := query(t, s.DSN(), "SELECT current_setting('fsync')"); got != "off" {
		t.Errorf("fsync of a temporary folder is %s", got)
	}
	if _, err := os.Stat(fresh); err == nil {
		t.Error("the interrupted cluster is still there")
	}
}

// stray starts a program whose number stands in the cluster's postmaster.pid.
func stray(t *testing.T, k *cluster, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sleep", "1000")
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(k.path("data/postmaster.pid"), []byte(strconv.Itoa(cmd.Process.Pid)+"\nmore\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func TestOldServers(t *testing.T) {
	k := &cluster{dir: t.TempDir()}
	if err := os.Mkdir(k.path("data"), 0o700); err != nil {
		t.Fatal(err)
	}
	wait := func() error { return k.waitOld(t.Context(), hasty{}, func(text string) { t.Log(text) }) }
	if err := wait(); err != nil {
		t.Errorf("no old server: %v", err)
	}
	other := stray(t, k, t.TempDir())
	if err := wait(); err != nil {
		t.Errorf("a number that somebody else has by now: %v", err)
	}
	if err := other.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("it was stopped: %v", err)
	}
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait() // killed
	ours := stray(t, k, k.path("data"))
	if err := wait(); err != nil { // it was told to end
		t.Errorf("an orphan: %v", err)
	}
	_ = ours.Wait() // interrupted
	for _, text := range []string{"", "0\n", "1\n", "nonsense\n", "-5\n"} {
		if err := os.WriteFile(k.path("data/postmaster.pid"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if pid := k.oldPID(); pid != 0 {
			t.Errorf("%q: process %d", text, pid)
		}
	}
}

func TestFolders(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root has to run PostgreSQL under another account")
	}
	open := func(t *testing.T) string { t.Helper(); return filepath.Join(passable(t), "postgres") }
	nobody, err := child.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name  string
		dir   func(t *testing.T) string
		seen  func(dir string) string
		owner *child.Account // of the folder beforehand
	}{
		{"open to the account", open, func(dir string) string { return dir + "/data" }, nil},
		{"below a closed one", func(t *testing.T) string {
			t.Helper()
			dir := open(t)
			if err := os.Chmod(filepath.Dir(dir), 0o700); err != nil {
				t.Fatal(err)
			}
			return dir
		}, func(string) string { return "/proc/self/fd/3/data" }, nil},
		{"of another account", open, func(dir string) string { return dir + "/data" }, nobody},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			needLocal(t)
			c := config(t)
			c.Dir = test.dir(t)
			above, err := os.Stat(filepath.Dir(c.Dir))
			if err != nil {
				t.Fatal(err)
			}
			if test.owner != nil {
				if err := errors.Join(os.Mkdir(c.Dir, 0o700), test.owner.Own(c.Dir)); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				s := start(t, c)
				if got, want := query(t, s.dsn(superuser, superuser), "SELECT current_setting('data_directory')"), test.seen(c.Dir); got != want {
					t.Errorf("the data is in %s, want %s", got, want)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			after, err := os.Stat(filepath.Dir(c.Dir))
			if err != nil || after.Mode() != above.Mode() {
				t.Errorf("the mode of the folder above is %v, %v; want %v", after.Mode(), err, above.Mode())
			}
			owner, err := child.Owner(filepath.Join(c.Dir, "data/PG_VERSION"))
			if err != nil || owner.UID == 0 || test.owner != nil && owner.UID != test.owner.UID {
				t.Errorf("the data belongs to %v, %v", owner, err)
			}
		})
	}
}
