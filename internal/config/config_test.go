package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func load(t *testing.T, text string, environ ...string) (Config, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "tidewatch.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(name, environ)
}

func TestLoadFileAndEnvironment(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(secret, []byte("postgres://u:p@h/d\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := load(t, "kafka: {brokers: [\"a:1\"]}\nobjects: {url: \"file:///tmp/x\"}\npostgres: {dsn_file: "+secret+"}\n",
		"TIDEWATCH_KAFKA__BROKERS=b:2,c:3", "TIDEWATCH_REDIS__URL=redis://r:1/2", "TIDEWATCH_KAFKA__SASL__USER=123", "TIDEWATCH_KAFKA__SASL__MECHANISM=plain",
		"TIDEWATCH_TEST_REQUIRE=kafka", "PATH=/bin")
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Kafka.Brokers, want.Redis.URL, want.Objects.URL = []string{"b:2", "c:3"}, "redis://r:1/2", "file:///tmp/x"
	want.Postgres = Postgres{DSN: "postgres://u:p@h/d", DSNFile: secret, Failover: LossyFailover}
	want.Kafka.SASL = &SASL{User: "123", Mechanism: "plain"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"kafak: {}\nobjects: {url: \"file:///x\"}\n", "kafak"},
		{"objects: {url: \"file:///x\"}\nhttp: {listen: \"0.0.0.0:80\"}\n", "http.tokens names no file"},
		{"objects: {url: \"file:///x\"}\nhttp: {listen: here}\n", `http.listen: "here" is not host:port`},
		{"kafka: {brokers: []}\n", "kafka.brokers is empty"},
		{"kafka: {brokers: []}\n", "objects.url is empty"},
	} {
		if _, err := load(t, tc.text); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: error %v, want %q in it", tc.text, err, tc.want)
		}
	}
}
