package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
)

// Mistake is one thing that cannot work, and the key that it is about.
type Mistake struct{ Key, Message string }

// Error implements error.
func (m Mistake) Error() string { return m.Message }

// Validate reports every mistake that shows without asking a server; each is a Mistake.
func (c *Config) Validate() error {
	var errs []error
	for _, m := range c.mistakes() {
		errs = append(errs, m)
	}
	return errors.Join(errs...)
}

// checker gathers mistakes.
type checker struct{ found []Mistake }

func (k *checker) add(key, format string, args ...any) {
	k.found = append(k.found, Mistake{key, fmt.Sprintf(format, args...)})
}

func (k *checker) need(key, value, example string) bool {
	if value == "" {
		k.add(key, "%s is empty: set it, for example to %s", key, example)
	}
	return value != ""
}

func (c *Config) mistakes() []Mistake {
	k := &checker{}
	c.checkKafka(k)
	k.need("redis.url", c.Redis.URL, "redis://127.0.0.1:6379/0")
	k.need("postgres.dsn", c.Postgres.DSN, "postgres://tidewatch@127.0.0.1:5432/tidewatch")
	k.scheme("redis.url", c.Redis.URL, "redis", "rediss", "unix")
	if strings.Contains(c.Postgres.DSN, "://") {
		k.scheme("postgres.dsn", c.Postgres.DSN, "postgres", "postgresql")
	}
	if f := c.Postgres.Failover; f != LosslessFailover && f != LossyFailover {
		k.add("postgres.failover", "postgres.failover %q is unknown: use lossless or lossy", f)
	}
	if k.need("objects.url", c.Objects.URL, "file:///var/lib/tidewatch or s3://bucket/prefix") {
		k.scheme("objects.url", c.Objects.URL, "file", "s3")
	}
	if (c.Objects.AccessKey == "") != (c.Objects.SecretKey == "") {
		k.add("objects.access_key", "objects.access_key and objects.secret_key belong together: give both or neither")
	}
	if c.Objects.CacheMiB < 0 {
		k.add("objects.cache_mib", "objects.cache_mib is %d: give the MiB that copies of snapshots may take, 1024 for a gibibyte", c.Objects.CacheMiB)
	}
	k.listenable("http.listen", c.HTTP.Listen, c.HTTP.Tokens)
	k.listenable("http.admin", c.HTTP.Admin, c.HTTP.Tokens)
	if _, port, err := net.SplitHostPort(c.HTTP.Listen); err == nil && c.HTTP.Listen == c.HTTP.Admin && port != "0" {
		k.add("http.admin", "http.admin: %s is the address of http.listen too; choose another port", c.HTTP.Admin)
	}
	if c.Tracing.Endpoint != "" {
		k.scheme("tracing.endpoint", c.Tracing.Endpoint, "http", "https")
	}
	slices.SortFunc(k.found, func(a, b Mistake) int { return strings.Compare(a.Message, b.Message) })
	return k.found
}

func (c *Config) checkKafka(k *checker) {
	if len(c.Kafka.Brokers) == 0 {
		k.add("kafka.brokers", "kafka.brokers is empty: name at least one host:port")
	}
	for _, b := range c.Kafka.Brokers {
		if _, port, err := net.SplitHostPort(b); err != nil || port == "" {
			k.add("kafka.brokers", "kafka.brokers: %q is not host:port", b)
		}
	}
	k.need("kafka.group", c.Kafka.Group, "tidewatch")
	if c.Kafka.InternalReplicas < 0 {
		k.add("kafka.internal_replicas", "kafka.internal_replicas: %d is negative; 0 leaves it to the broker", c.Kafka.InternalReplicas)
	}
	if t := c.Kafka.TLS; t != nil && (t.Cert == "") != (t.Key == "") {
		k.add("kafka.tls", "kafka.tls: cert and key belong together, give both or neither")
	}
	if s := c.Kafka.SASL; s != nil {
		k.need("kafka.sasl.user", s.User, "tidewatch")
		mechanisms := []string{"plain", "scram-sha-256", "scram-sha-512"}
		if !slices.Contains(mechanisms, s.Mechanism) {
			k.add("kafka.sasl.mechanism", "kafka.sasl.mechanism %q is unknown: use plain, scram-sha-256 or scram-sha-512", s.Mechanism)
		}
	}
}

// scheme refuses an address of another kind. The address itself is not repeated: it may hold a password.
func (k *checker) scheme(key, value string, schemes ...string) {
	if value == "" {
		return
	}
	u, err := url.Parse(value)
	switch {
	case err != nil:
		k.add(key, "%s is no URL", key)
	case !slices.Contains(schemes, u.Scheme):
		k.add(key, "%s: it begins with %q; use %s", key, u.Scheme+":", strings.Join(schemes, ":// or ")+"://")
	}
}

// listenable refuses an address that others could reach while nothing asks for a token.
func (k *checker) listenable(key, addr, tokens string) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		k.add(key, "%s: %q is not host:port", key, addr)
		return
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return
	}
	if key == "http.listen" && tokens == "" {
		k.add(key, "%s: %s is reachable from other machines, but http.tokens names no file of tokens: make one with `tidewatch token add`, or listen on 127.0.0.1", key, addr)
	}
}

// files reports files and folders that the configuration names and that are not there.
func (c *Config) files() (found []Mistake) {
	k := &checker{}
	look := func(key, file string) {
		if file == "" {
			return
		}
		if _, err := os.Stat(file); err != nil {
			k.add(key, "%s: %v", key, err)
		}
	}
	for _, s := range c.filed() {
		look(s.key+"_file", s.file)
	}
	if t := c.Kafka.TLS; t != nil {
		look("kafka.tls.ca", t.CA)
		look("kafka.tls.cert", t.Cert)
		look("kafka.tls.key", t.Key)
	}
	look("http.tokens", c.HTTP.Tokens)
	for _, p := range c.Pipelines {
		look("pipelines", p)
	}
	return k.found
}
