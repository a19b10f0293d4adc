package postgres

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Config is the section `postgres` of the configuration.
type Config struct {
	DSN     string `yaml:"dsn"`      // postgres://user:password@host:port/database or key=value pairs
	DSNFile string `yaml:"dsn_file"` // a file that holds it
	// Schema holds all tables. It is created by Migrate.
	Schema   string `yaml:"schema"`
	MaxConns int32  `yaml:"max_conns"`
	// Timeout bounds every call. A call that runs into it has an unknown outcome, like one whose connection broke.
	Timeout time.Duration `yaml:"timeout"`
}

// Default is a configuration that lacks only the DSN.
func Default() Config {
	return Config{Schema: "tidewatch", MaxConns: 8, Timeout: 10 * time.Second}
}

var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// Validate reports every mistake that shows without asking the server.
func (c Config) Validate() error {
	var errs []error
	switch {
	case c.DSN == "" && c.DSNFile == "":
		errs = append(errs, errors.New("check postgres.dsn: it is missing; use postgres://user@host:5432/database, or postgres.dsn_file for one with a password"))
	case c.DSN != "" && c.DSNFile != "":
		errs = append(errs, errors.New("check postgres.dsn: postgres.dsn_file is given too; keep one of them"))
	}
	if !schemaName.MatchString(c.Schema) {
		errs = append(errs, fmt.Errorf("check postgres.schema: %q is not a plain name of lower-case letters, digits and _", c.Schema))
	}
	if c.MaxConns < 2 {
		errs = append(errs, fmt.Errorf("check postgres.max_conns: %d: use 2 or more", c.MaxConns))
	}
	if c.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("check postgres.timeout: %v: use a positive duration such as 10s", c.Timeout))
	}
	return errors.Join(errs...)
}

// pool translates the configuration for pgx.
func (c Config) pool() (*pgxpool.Config, error) {
	dsn := c.DSN
	if c.DSNFile != "" {
		raw, err := os.ReadFile(c.DSNFile)
		if err != nil {
			return nil, fmt.Errorf("read postgres.dsn_file: %w", err)
		}
		dsn = strings.TrimSpace(string(raw))
	}
	p, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("check postgres.dsn: %s", whyDSN(dsn, err))
	}
	p.MaxConns = c.MaxConns
	p.ConnConfig.RuntimeParams["application_name"] = "tidewatch"
	return p, nil
}

// whyDSN explains a DSN that pgx does not take, without repeating it: a typo may have put the password anywhere. pgx prints
// the DSN between backquotes, masked as far as it can, and the reason behind them. A URL that does not parse is repeated by
// the reason too, so that one is left out.
func whyDSN(dsn string, err error) string {
	const form = "use postgres://user:password@host:port/database (special characters of the password as %XX)"
	isURL := strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://")
	u, bad := url.Parse(dsn)
	if !isURL || bad != nil {
		return "it does not parse; " + form
	}
	why := err.Error()
	if i := strings.LastIndex(why, "`: "); i >= 0 {
		why = why[i+len("`: "):]
	}
	if secret, ok := u.User.Password(); ok && secret != "" && strings.Contains(why, secret) {
		return "it does not parse; " + form
	}
	return why
}
