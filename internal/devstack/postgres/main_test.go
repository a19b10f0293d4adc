package postgres

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/internal/testservers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// config is a server in a temporary folder, with what the machine has.
func config(t *testing.T) Config {
	t.Helper()
	return Config{
		Volatile: true,
		Dir:      filepath.Join(t.TempDir(), "postgres"), Repository: "http://127.0.0.1:1/nothing", Cache: filepath.Join(t.TempDir(), "cache"),
		Clock: clock.System{}, Log: slog.New(slog.DiscardHandler), Progress: func(text string) { t.Log(text) },
	}
}

// needLocal skips the test if the machine has no PostgreSQL, unless the environment demands it.
func needLocal(t *testing.T) {
	t.Helper()
	found, err := local(t.Context(), places(), nil)
	switch {
	case err == nil && len(found) > 0 && !testing.Short():
	case required():
		t.Logf("%s demands PostgreSQL; on this machine: %v", testservers.Require, err)
	default:
		t.Skipf("no PostgreSQL on this machine, or short mode: %v", err)
	}
}

// passable is a temporary folder through which every account may walk, if that is so of the folder of temporary files.
func passable(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o711), os.Chmod(dir, 0o711)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func required() bool {
	names := strings.FieldsFunc(os.Getenv(testservers.Require), func(r rune) bool { return r == ',' || r == ' ' })
	return slices.Contains(names, testservers.NamePostgres)
}

// soon is how long a test waits for what must happen.
const soon = 30 * time.Second
