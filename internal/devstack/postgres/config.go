package postgres

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"

	"github.com/tidewatch/tidewatch/stream"
)

// MavenCentral is the repository from which programs are fetched if the configuration names no other.
const MavenCentral = "https://repo1.maven.org/maven2"

// Environment variables that stand in for empty fields of Config.
const (
	EnvRepository = "TIDEWATCH_MAVEN_REPOSITORY"
	EnvCache      = "TIDEWATCH_CACHE"
)

// Config says how the server runs.
type Config struct {
	Dir string // of the server's data and password; created
	// Local lists patterns of folders that may hold initdb and postgres. Nil means PATH and the usual places; an empty list
	// means none.
	Local []string
	// Repository is the base address of a Maven repository; a user and password may be part of it. Empty:
	// TIDEWATCH_MAVEN_REPOSITORY, else Maven Central.
	Repository string
	// Cache is the folder of fetched files. Empty: TIDEWATCH_CACHE, else "tidewatch" in the user's cache folder.
	Cache string
	// Programs is where fetched programs are unpacked. Empty: Cache, or /var/cache/tidewatch if the server runs under
	// another account, to which Cache is closed.
	Programs string
	// Volatile does not wait for the disk: the folder is temporary. Commits still survive a kill of the server.
	Volatile bool

	Clock    stream.Clock
	Log      *slog.Logger
	Progress func(text string) // called with what is happening when it takes long; may be nil
}

// Validate reports what cannot work, all of it.
func (c Config) Validate() error {
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New("check PostgreSQL: the folder is missing"))
	}
	if c.Clock == nil || c.Log == nil {
		errs = append(errs, errors.New("check PostgreSQL: the clock or the log is missing"))
	}
	if u, err := url.Parse(c.Repository); c.Repository != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
		errs = append(errs, fmt.Errorf("check %s: want http://host/path or https://host/path", EnvRepository))
	}
	return errors.Join(errs...)
}

// filled replaces empty fields by what they mean.
func (c Config) filled() (Config, error) {
	if c.Progress == nil {
		c.Progress = func(string) {}
	}
	if c.Repository == "" {
		c.Repository = os.Getenv(EnvRepository)
	}
	if c.Repository == "" {
		c.Repository = MavenCentral
	}
	if c.Cache == "" {
		c.Cache = os.Getenv(EnvCache)
	}
	if c.Cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return c, fmt.Errorf("find the cache folder (set %s): %w", EnvCache, err)
		}
		c.Cache = filepath.Join(dir, "tidewatch")
	}
	for _, path := range []*string{&c.Dir, &c.Cache} {
		abs, err := filepath.Abs(*path)
		if err != nil {
			return c, fmt.Errorf("make a path absolute: %w", err)
		}
		*path = abs
	}
	return c, c.Validate()
}
