package redis

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Config is the section `redis` of the configuration.
type Config struct {
	URL     string `yaml:"url"`      // redis://user:password@host:port/database, rediss:// with TLS
	URLFile string `yaml:"url_file"` // a file that holds it
	// Prefix begins every key.
	Prefix string `yaml:"prefix"`
	// Timeout bounds one call of a reader and one attempt of a writer.
	Timeout time.Duration `yaml:"timeout"`
	// ReportEvery is the least distance of two reports of complete_through by a task; 0 reports each. More spares calls.
	ReportEvery time.Duration `yaml:"report_every"`
}

// Default is a Redis on this machine.
func Default() Config {
	return Config{URL: "redis://127.0.0.1:6379/0", Prefix: "tidewatch", Timeout: 5 * time.Second}
}

// Validate reports every mistake that shows without asking the server.
func (c Config) Validate() error {
	var errs []error
	switch {
	case c.URL == "" && c.URLFile == "":
		errs = append(errs, errors.New("check redis.url: it is missing; use redis://host:6379/0, or redis.url_file for one with a password"))
	case c.URL != "" && c.URLFile != "":
		errs = append(errs, errors.New("check redis.url: redis.url_file is given too; keep one of them"))
	}
	if c.Prefix == "" || strings.ContainsAny(c.Prefix, "{}: \t\r\n") {
		errs = append(errs, fmt.Errorf("check redis.prefix: %q: use a word without spaces, colons and braces", c.Prefix))
	}
	if c.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("check redis.timeout: %v: use a positive duration such as 5s", c.Timeout))
	}
	if c.ReportEvery < 0 {
		errs = append(errs, fmt.Errorf("check redis.report_every: %v: use a positive duration such as 1s, or 0", c.ReportEvery))
	}
	return errors.Join(errs...)
}

func (c Config) options() (*goredis.Options, error) {
	raw := c.URL
	if c.URLFile != "" {
		b, err := os.ReadFile(c.URLFile)
		if err != nil {
			return nil, fmt.Errorf("read redis.url_file: %w", err)
		}
		raw = strings.TrimSpace(string(b))
	}
	o, err := goredis.ParseURL(raw)
	if err != nil {
		return nil, fmt.Errorf("check redis.url: %s", whyURL(raw, err))
	}
	o.ContextTimeoutEnabled = true
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = c.Timeout, c.Timeout, c.Timeout
	o.DisableIdentity = true
	o.DialerRetries = 1 // whoever calls tries again, and wants to know why
	// Notices of planned maintenance are a feature of one vendor; asking for them costs a round trip on each connection.
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return o, nil
}

// whyURL explains a URL that go-redis does not take, without repeating what may be a password.
func whyURL(raw string, err error) string {
	const form = "use redis://user:password@host:port/database (special characters of the password as %XX)"
	u, bad := url.Parse(raw)
	if bad != nil {
		return "it does not parse; " + form
	}
	if secret, ok := u.User.Password(); ok && secret != "" && strings.Contains(err.Error(), secret) {
		return "it does not parse; " + form
	}
	return err.Error()
}
