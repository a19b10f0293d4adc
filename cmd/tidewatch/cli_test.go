package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/internal/testservers"
)

func TestMain(m *testing.M) {
	testscript.Main(testservers.Keep(m), map[string]func(){"tidewatch": main})
}

// TestCommands runs the scripts: what a person types, and what comes out.
func TestCommands(t *testing.T) {
	fake, brokers, parked := fakeServer(t), fakeKafka(t), fakeParked(t)
	folder := passableFolder(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("NO_COLOR", "1")
			e.Setenv("FAKE", fake)
			e.Setenv("BROKERS", brokers)
			e.Setenv("PARKED", parked)
			e.Setenv("UPDIR", folder)
			for _, name := range []string{"PORT1", "PORT2"} {
				e.Setenv(name, strconv.Itoa(freePortOfTest(t)))
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"records": recordsCommand, "until": untilCommand, "archive": archiveCommand},
		Condition: func(cond string) (bool, error) {
			if cond != "postgres" {
				return false, fmt.Errorf("there is no condition %s", cond)
			}
			cache, err := testservers.Cache()
			if err != nil {
				return false, err
			}
			_, err = testservers.FindPostgres(cache)
			return !testing.Short() && (err == nil || strings.Contains(os.Getenv(testservers.Require), "postgres")), nil
		},
		UpdateScripts: os.Getenv("TIDEWATCH_UPDATE_SCRIPTS") == "1",
	})
}

// passableFolder is a temporary folder that the unprivileged user of PostgreSQL can go through.
func passableFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tidewatch-scripts-") //nolint:usetesting // those of the test are for this user only
	if err == nil {
		err = os.Chmod(dir, 0o711)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func freePortOfTest(t *testing.T) int {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// untilCommand is `until SECONDS REGEXP COMMAND …` of scripts: the command runs until what it prints matches.
func untilCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: until SECONDS REGEXP COMMAND …")
	}
	patience, err := strconv.Atoi(args[0])
	ts.Check(err)
	want, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(patience)*time.Second)
	defer cancel()
	for {
		err := ts.Exec(args[2], args[3:]...)
		if out := ts.ReadFile("stdout"); err == nil && want.MatchString(out) {
			return
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("%s has not printed %s within %d s; it prints\n%s%s", strings.Join(args[2:], " "), args[1], patience, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
		case <-clock.System{}.After(300 * time.Millisecond):
		}
	}
}
