package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/tidewatch/tidewatch/internal/devstack/child"
)

// oldest is the first major version that is known to work.
const oldest = 14

// programs is a folder with initdb and postgres.
type programs struct {
	bin     string
	version string // 15.18
	major   int
}

func (p programs) path(name string) string { return filepath.Join(p.bin, name) }

// places are where packages of PostgreSQL put their programs.
func places() []string {
	var dirs []string
	if path, err := exec.LookPath("initdb"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	return append(dirs,
		"/usr/lib/postgresql/*/bin",         // Debian
		"/usr/pgsql-*/bin",                  // PostgreSQL's own RPMs
		"/usr/libexec/postgresql*",          // Alpine
		"/opt/homebrew/opt/postgresql*/bin", // Homebrew
		"/usr/local/opt/postgresql*/bin",
		"/usr/local/pgsql/bin",
	)
}

// local lists the programs on this machine that the account may run, newest first; of equal versions the one whose pattern
// comes first.
func local(ctx context.Context, patterns []string, account *child.Account) ([]programs, error) {
	var found []programs
	var errs []error
	for _, pattern := range patterns {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("look for PostgreSQL in %q: %w", pattern, err)
		}
		for _, dir := range dirs {
			p, err := inspect(ctx, dir, account)
			switch {
			case err != nil:
				errs = append(errs, err)
			case p.major >= oldest:
				found = append(found, p)
			case p.major > 0:
				errs = append(errs, fmt.Errorf("%s has version %s, and %d is the oldest that works", dir, p.version, oldest))
			}
		}
	}
	slices.SortStableFunc(found, func(a, b programs) int { return cmp.Compare(b.major, a.major) })
	if len(found) > 0 {
		return found, nil
	}
	return nil, errors.Join(errs...)
}

// inspect asks the programs of a folder for their version. A folder without a server has version 0: packages of clients
// look like that.
func inspect(ctx context.Context, dir string, account *child.Account) (programs, error) {
	p := programs{bin: dir}
	if !runnable(p.path("initdb")) || !runnable(p.path("postgres")) {
		return p, nil
	}
	if err := open(dir, account); err != nil {
		return p, err
	}
	text, err := child.Run(ctx, child.Spec{Path: p.path("postgres"), Args: []string{"--version"}, Env: environment()})
	if err != nil {
		return p, err
	}
	p.version, p.major = parseVersion(text)
	if p.major == 0 {
		return p, fmt.Errorf("read the version of %s: %q is none", p.path("postgres"), strings.TrimSpace(text))
	}
	return p, nil
}

// open reports why the account may not run programs of a folder.
func open(dir string, account *child.Account) error {
	blocked, err := account.Blocked(dir)
	if err == nil && blocked != "" {
		err = fmt.Errorf("%s is closed to the account %s, under which PostgreSQL has to run", blocked, account.Name)
	}
	return err
}

func runnable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// parseVersion finds 15.18 in "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", and 19 in "… 19beta1". The major
// version is 0 if there is none.
func parseVersion(text string) (version string, major int) {
	found := regexp.MustCompile(`\(PostgreSQL\) ((\d+)[.\w]*)`).FindStringSubmatch(text)
	if found == nil {
		return "", 0
	}
	major, err := strconv.Atoi(found[2])
	if err != nil {
		return "", 0
	}
	return found[1], major
}

// environment is that of all programs: nothing of ours but PATH, so that a variable such as PGPORT changes nothing.
func environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
}
