// Package config reads tidewatch.yaml: where the servers are, what the product listens on, and which pipelines it runs.
// Environment variables (TIDEWATCH_KAFKA__BROKERS and so on) win over the file; flags win over both and are the business
// of cmd/tidewatch.
package config

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Config is the whole file. Unknown keys are refused. The tag about is what people read of a key, example is a value where
// there is no default, and secret marks what is never shown.
type Config struct {
	Kafka     Kafka    `yaml:"kafka" about:"The cluster."`
	Redis     Redis    `yaml:"redis" about:"Rollups for live dashboards. It may be lost: it is filled again from rollups and state."`
	Postgres  Postgres `yaml:"postgres" about:"The rows of the tasks, and the alerts."`
	Objects   Objects  `yaml:"objects" about:"The archive, rollups as files, and the tasks' snapshots. All workers need the same: a bucket, or a shared folder."`
	HTTP      HTTP     `yaml:"http" about:"What the product listens on."`
	Tracing   Tracing  `yaml:"tracing" about:"Traces of epochs, sent to an OpenTelemetry collector by HTTP."`
	Pipelines []string `yaml:"pipelines" about:"Files and folders of pipelines; tidewatch serve needs some. tidewatch pipeline validate checks them." example:"/etc/tidewatch/pipelines"`
}

// Kafka is the cluster.
type Kafka struct {
	Brokers []string `yaml:"brokers" about:"host:port; any of them tells the others."`
	Group   string   `yaml:"group" about:"Consumer group of the workers; offsets in it are for displays of lag only."`
	TLS     *TLS     `yaml:"tls" about:"Encryption; left out: plain text; {} uses the system's roots."`
	SASL    *SASL    `yaml:"sasl" about:"Login at the brokers; left out: none."`
	// InternalReplicas is the replication factor of the topics that tidewatch creates; 0 leaves it to the broker.
	InternalReplicas int16 `yaml:"internal_replicas" about:"Replicas of the topics that tidewatch creates; 0 leaves it to the broker." example:"3"`
}

// TLS names PEM files. All may be empty: then the system's roots are used.
type TLS struct {
	CA         string `yaml:"ca" about:"PEM file of the roots that may sign the brokers' certificates." example:"/etc/tidewatch/kafka-ca.pem"`
	Cert       string `yaml:"cert" about:"PEM file of the client's own certificate; with key." example:"/etc/tidewatch/kafka.pem"`
	Key        string `yaml:"key" about:"PEM file of the key of cert." example:"/etc/tidewatch/kafka.key"`
	ServerName string `yaml:"server_name" about:"Expected in the brokers' certificates instead of their host names." example:"kafka.internal"`
}

// SASL is the login at the brokers.
type SASL struct {
	Mechanism    string `yaml:"mechanism" about:"plain, scram-sha-256 or scram-sha-512." example:"scram-sha-512"`
	User         string `yaml:"user" about:"Name of the user." example:"tidewatch"`
	Password     string `yaml:"password" about:"Password of the user; better as a file." example:"…" secret:"all"`
	PasswordFile string `yaml:"password_file" about:"File that holds the password." example:"/etc/tidewatch/kafka.password"`
}

// Redis holds the rollups for live dashboards.
type Redis struct {
	URL     string `yaml:"url" about:"redis://user:password@host:port/database; rediss:// with TLS, unix:// for a socket." secret:"part"`
	URLFile string `yaml:"url_file" about:"File that holds the URL." example:"/etc/tidewatch/redis.url"`
}

// Postgres holds the tasks' rows and the alerts.
type Postgres struct {
	DSN     string `yaml:"dsn" about:"postgres://user:password@host:port/database, or key=value words." secret:"part"`
	DSNFile string `yaml:"dsn_file" about:"File that holds the DSN." example:"/etc/tidewatch/postgres.dsn"`
	// Failover is LosslessFailover or LossyFailover.
	Failover string `yaml:"failover" about:"lossless where no fail-over loses a commit: there is no standby, or a synchronous one. lossy also keeps control records in the object store; with both, nothing that left is contradicted." example:"lossless"`
}

// What a fail-over of PostgreSQL does to the last commits.
const (
	LosslessFailover = "lossless"
	LossyFailover    = "lossy"
)

// Objects is the object store: the archive, rollups as files, and the tasks' snapshots.
type Objects struct {
	URL           string `yaml:"url" about:"s3://bucket/prefix, or file:///folder; it must be set." example:"file:///var/lib/tidewatch/objects"`
	Endpoint      string `yaml:"endpoint" about:"Of an S3 server that is not Amazon's." example:"https://s3.internal:9000"`
	Region        string `yaml:"region" about:"Of the bucket." example:"eu-west-1"`
	AccessKey     string `yaml:"access_key" about:"Without keys the AWS_ variables, the shared credentials file and the machine's role are asked." example:"…" secret:"all"`
	AccessKeyFile string `yaml:"access_key_file" about:"File that holds the access key." example:"/etc/tidewatch/s3.access"`
	SecretKey     string `yaml:"secret_key" about:"Secret of the access key." example:"…" secret:"all"`
	SecretKeyFile string `yaml:"secret_key_file" about:"File that holds the secret key." example:"/etc/tidewatch/s3.secret"`
	Cache         string `yaml:"cache" about:"Folder on a disk of the worker for copies of snapshots, so that it recovers without fetching them; left out, or where url is a folder: none." example:"/var/cache/tidewatch"`
	CacheMiB      int64  `yaml:"cache_mib" about:"What the copies may take on the disk, in MiB; those that were not used for longest go first."`
}

// HTTP is what the product listens on.
type HTTP struct {
	Listen string `yaml:"listen" about:"Page and API; on another address than loopback it needs tokens."`
	Admin  string `yaml:"admin" about:"/metrics and /debug/pprof, without a password: loopback, or behind a firewall."`
	Tokens string `yaml:"tokens" about:"File of tokens; needed on any address but loopback." example:"/etc/tidewatch/tokens.yaml"`
}

// Tracing sends traces of epochs to an OpenTelemetry collector.
type Tracing struct {
	Endpoint string `yaml:"endpoint" about:"Of the collector, http:// or https://; empty: no traces." example:"http://127.0.0.1:4318"`
}

// Default is the configuration of a machine on which everything runs.
func Default() Config {
	return Config{
		Kafka:    Kafka{Brokers: []string{"127.0.0.1:9092"}, Group: "tidewatch"},
		Redis:    Redis{URL: "redis://127.0.0.1:6379/0"},
		Postgres: Postgres{DSN: "postgres://tidewatch@127.0.0.1:5432/tidewatch", Failover: LossyFailover},
		Objects:  Objects{CacheMiB: 1024},
		HTTP:     HTTP{Listen: "127.0.0.1:8080", Admin: "127.0.0.1:9090"},
	}
}

// Load reads the file, or only defaults and environment if name is empty, applies settings, reads secrets from their files,
// and validates. Settings are KEY=VALUE, such as kafka.brokers=a:9092,b:9092; they win over the environment, which wins over
// the file. Mistakes in the file are Problems.
func Load(name string, environ []string, settings ...string) (Config, error) {
	c := Default()
	if name != "" {
		data, err := os.ReadFile(name)
		if err != nil {
			return c, fmt.Errorf("read configuration: %w", err)
		}
		in := inspect(name, data)
		if len(in.problems) > 0 {
			return c, in.problems
		}
		if !in.blank { // the decoder would set everything to nothing
			if err := decode(name, data, &c); err != nil {
				return c, err
			}
		}
	}
	if err := overlay(&c, environ); err != nil {
		return c, err
	}
	for _, kv := range settings {
		if err := set(&c, kv); err != nil {
			return c, err
		}
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

// set applies one setting.
func set(c *Config, kv string) error {
	key, value, ok := strings.Cut(kv, "=")
	if !ok {
		return fmt.Errorf("set configuration: %q is not KEY=VALUE", kv)
	}
	if f, ok := find(key); !ok || f.Section {
		return fmt.Errorf("set configuration: there is no key %s%s", key, suggestion(key, names(Fields())))
	}
	return decode("from --set "+key, document(strings.Split(key, "."), value), c)
}

const prefix = "TIDEWATCH_"

// overlay applies variables such as TIDEWATCH_KAFKA__BROKERS=a:9092,b:9092: two underscores stand for a dot.
func overlay(c *Config, environ []string) error {
	for _, kv := range slices.Sorted(slices.Values(environ)) {
		variable, value, _ := strings.Cut(kv, "=")
		key := keyOf(variable)
		if key == "" {
			continue
		}
		if f, ok := find(key); !ok || f.Section {
			return fmt.Errorf("read the environment: %s sets the key %s, which does not exist%s", variable, key, suggestion(key, names(Fields())))
		}
		if err := decode("from the environment, "+variable, document(strings.Split(key, "."), value), c); err != nil {
			return err
		}
	}
	return nil
}

// keyOf is the key that a variable of the environment sets, "" if it is none of ours.
func keyOf(variable string) string {
	path, ours := strings.CutPrefix(variable, prefix)
	if !ours || !strings.Contains(path, "__") && path != "PIPELINES" {
		return ""
	}
	return strings.ToLower(strings.ReplaceAll(path, "__", "."))
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

// secret is a value that may be given as a file.
type secret struct {
	key, file string
	value     *string
}

func (c *Config) filed() []secret {
	all := []secret{
		{"redis.url", c.Redis.URLFile, &c.Redis.URL},
		{"postgres.dsn", c.Postgres.DSNFile, &c.Postgres.DSN},
		{"objects.access_key", c.Objects.AccessKeyFile, &c.Objects.AccessKey},
		{"objects.secret_key", c.Objects.SecretKeyFile, &c.Objects.SecretKey},
	}
	if c.Kafka.SASL != nil {
		all = append(all, secret{"kafka.sasl.password", c.Kafka.SASL.PasswordFile, &c.Kafka.SASL.Password})
	}
	return all
}

// secrets reads the values that are given as files.
func (c *Config) secrets() error {
	for _, s := range c.filed() {
		if s.file == "" {
			continue
		}
		data, err := os.ReadFile(s.file)
		if err != nil {
			return Mistake{s.key + "_file", fmt.Sprintf("read %s_file: %v", s.key, err)}
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
