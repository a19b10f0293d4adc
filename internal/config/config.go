// Package config reads tidewatch.yaml: where the servers are, what the product listens on, and which pipelines it runs.
// Environment variables (TIDEWATCH_KAFKA__BROKERS and so on) win over the file; flags win over both and are the business
// of cmd/tidewatch.
package config

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Config is the whole file. Unknown keys are refused.
type Config struct {
	Kafka     Kafka    `yaml:"kafka"`
	Redis     Redis    `yaml:"redis"`
	Postgres  Postgres `yaml:"postgres"`
	Objects   Objects  `yaml:"objects"`
	HTTP      HTTP     `yaml:"http"`
	Tracing   Tracing  `yaml:"tracing"`
	Pipelines []string `yaml:"pipelines"` // files and folders
}

// Kafka is the cluster.
type Kafka struct {
	Brokers []string `yaml:"brokers"`
	Group   string   `yaml:"group"` // consumer group of the workers
	TLS     *TLS     `yaml:"tls"`
	SASL    *SASL    `yaml:"sasl"`
	// InternalReplicas is the replication factor of the topics that tidewatch creates; 0 leaves it to the broker.
	InternalReplicas int16 `yaml:"internal_replicas"`
}

// TLS names PEM files. All may be empty: then the system's roots are used.
type TLS struct {
	CA         string `yaml:"ca"`
	Cert       string `yaml:"cert"`
	Key        string `yaml:"key"`
	ServerName string `yaml:"server_name"`
}

// SASL is the login at the brokers.
type SASL struct {
	Mechanism    string `yaml:"mechanism"` // plain, scram-sha-256, scram-sha-512
	User         string `yaml:"user"`
	Password     string `yaml:"password"`
	PasswordFile string `yaml:"password_file"`
}

// Redis holds the rollups for live dashboards.
type Redis struct {
	URL     string `yaml:"url"`
	URLFile string `yaml:"url_file"`
}

// Postgres holds the tasks' rows and the alerts.
type Postgres struct {
	DSN     string `yaml:"dsn"`
	DSNFile string `yaml:"dsn_file"`
}

// Objects is the object store: the archive, rollups as files, and the tasks' snapshots.
type Objects struct {
	URL           string `yaml:"url"`
	Endpoint      string `yaml:"endpoint"`
	Region        string `yaml:"region"`
	AccessKey     string `yaml:"access_key"`
	AccessKeyFile string `yaml:"access_key_file"`
	SecretKey     string `yaml:"secret_key"`
	SecretKeyFile string `yaml:"secret_key_file"`
}

// HTTP is what the product listens on.
type HTTP struct {
	Listen string `yaml:"listen"` // API
	Admin  string `yaml:"admin"`  // /metrics and /debug/pprof
	Tokens string `yaml:"tokens"` // file of tokens; needed on any address but loopback
}

// Tracing sends traces of epochs to an OpenTelemetry collector.
type Tracing struct {
	Endpoint string `yaml:"endpoint"` // http://host:4318; empty: no traces
}

// Default is the configuration of a machine on which everything runs.
func Default() Config {
	return Config{
		Kafka:    Kafka{Brokers: []string{"127.0.0.1:9092"}, Group: "tidewatch"},
		Redis:    Redis{URL: "redis://127.0.0.1:6379/0"},
		Postgres: Postgres{DSN: "postgres://tidewatch@127.0.0.1:5432/tidewatch"},
		HTTP:     HTTP{Listen: "127.0.0.1:8080", Admin: "127.0.0.1:9090"},
	}
}

// Load reads the file, or only defaults and environment if name is empty, reads secrets from their files, and validates.
func Load(name string, environ []string) (Config, error) {
	c := Default()
	if name != "" {
		data, err := os.ReadFile(name)
		if err != nil {
			return c, fmt.Errorf("read configuration: %w", err)
		}
		if err := decode(name, data, &c); err != nil {
			return c, err
		}
	}
	if err := overlay(&c, environ); err != nil {
		return c, err
	}
	if err := c.secrets(); err != nil {
		return c, err
	}
	return c, c.Validate()
}

// decode reads YAML strictly; errors show the line.
func decode(name string, data []byte, c *Config) error {
	if err := yaml.UnmarshalWithOptions(data, c, yaml.Strict()); err != nil {
		return fmt.Errorf("read configuration %s: %s", name, strings.TrimSpace(yaml.FormatError(err, false, true)))
	}
	return nil
}

const prefix = "TIDEWATCH_"

// overlay applies variables such as TIDEWATCH_KAFKA__BROKERS=a:9092,b:9092: two underscores stand for a dot.
func overlay(c *Config, environ []string) error {
	for _, kv := range slices.Sorted(slices.Values(environ)) {
		key, value, ok := strings.Cut(kv, "=")
		path, ours := strings.CutPrefix(key, prefix)
		if !ok || !ours || !strings.Contains(path, "__") && path != "PIPELINES" {
			continue
		}
		if err := decode("from the environment, "+key, document(strings.Split(strings.ToLower(path), "__"), value), c); err != nil {
			return err
		}
	}
	return nil
}

// document is the YAML that sets one value; lists are written with commas.
func document(path []string, value string) []byte {
	var b strings.Builder
	for i, p := range path {
		fmt.Fprintf(&b, "%s%s:", strings.Repeat("  ", i), p)
		if i < len(path)-1 {
			b.WriteByte('\n')
		}
	}
	if last := path[len(path)-1]; last == "brokers" || last == "pipelines" {
		quoted, _ := yaml.MarshalWithOptions(strings.Split(value, ","), yaml.Flow(true))
		return append([]byte(b.String()+" "), quoted...)
	}
	return append([]byte(b.String()+" "), scalar(value)...)
}

// scalar quotes a value that YAML would read as something else than text or a number.
func scalar(v string) string {
	if f, err := parser.ParseBytes([]byte(v), 0); err == nil && len(f.Docs) == 1 {
		if _, number := f.Docs[0].Body.(*ast.IntegerNode); number {
			return v
		}
	}
	return fmt.Sprintf("%q", v)
}

// secrets reads the values that are given as files.
func (c *Config) secrets() error {
	type secret struct {
		key, file string
		value     *string
	}
	all := []secret{
		{"redis.url", c.Redis.URLFile, &c.Redis.URL},
		{"postgres.dsn", c.Postgres.DSNFile, &c.Postgres.DSN},
		{"objects.access_key", c.Objects.AccessKeyFile, &c.Objects.AccessKey},
		{"objects.secret_key", c.Objects.SecretKeyFile, &c.Objects.SecretKey},
	}
	if c.Kafka.SASL != nil {
		all = append(all, secret{"kafka.sasl.password", c.Kafka.SASL.PasswordFile, &c.Kafka.SASL.Password})
	}
	for _, s := range all {
		if s.file == "" {
			continue
		}
		data, err := os.ReadFile(s.file)
		if err != nil {
			return fmt.Errorf("read %s_file: %w", s.key, err)
		}
		*s.value = strings.TrimSpace(string(data))
	}
	return nil
}

// Write writes the configuration to a file that only this user can read, since it may hold passwords.
func Write(name string, c *Config) error {
	data, err := yaml.MarshalWithOptions(c, yaml.OmitEmpty())
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

// Validate reports every mistake that shows without asking a server.
func (c *Config) Validate() error {
	var errs []error
	need := func(key, value, example string) {
		if value == "" {
			errs = append(errs, fmt.Errorf("%s is empty: set it, for example to %s", key, example))
		}
	}
	if len(c.Kafka.Brokers) == 0 {
		errs = append(errs, errors.New("kafka.brokers is empty: name at least one host:port"))
	}
	need("kafka.group", c.Kafka.Group, "tidewatch")
	need("redis.url", c.Redis.URL, "redis://127.0.0.1:6379/0")
	need("postgres.dsn", c.Postgres.DSN, "postgres://tidewatch@127.0.0.1:5432/tidewatch")
	need("objects.url", c.Objects.URL, "file:///var/lib/tidewatch or s3://bucket/prefix")
	for key, addr := range map[string]string{"http.listen": c.HTTP.Listen, "http.admin": c.HTTP.Admin} {
		if err := listenable(key, addr, c.HTTP.Tokens); err != nil {
			errs = append(errs, err)
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// listenable refuses an address that others could reach while nothing asks for a token.
func listenable(key, addr, tokens string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%s: %q is not host:port", key, addr)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	if key == "http.listen" && tokens == "" {
		return fmt.Errorf("%s: %s is reachable from other machines, but http.tokens names no file of tokens; give one, or listen on 127.0.0.1", key, addr)
	}
	return nil
}
