package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// check checks a file of this text, called tidewatch.yaml in what is said about it.
func check(t testing.TB, text string, environ []string, settings ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "tidewatch.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ps, err := Check(name, environ, settings...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(ps.Error(), name, "tidewatch.yaml")
}

func TestCheckPointsAtMistakes(t *testing.T) {
	const objects = "objects: {url: \"file:///x\"}\n"
	for _, tc := range []struct{ text, want string }{
		{objects, ""},
		{"", "tidewatch.yaml: objects.url is empty: set it, for example to file:///var/lib/tidewatch or s3://bucket/prefix"},
		{objects + "kafka:\n  brokrs: [\"a:1\"]\n", "" +
			"tidewatch.yaml:3:3: unknown key kafka.brokrs; did you mean brokers?\n" +
			"   3 |   brokrs: [\"a:1\"]\n" +
			"         ^^^^^^"},
		{objects + "kafka: {brokers: a}\n", "" +
			"tidewatch.yaml:2:18: kafka.brokers is a list: write [a]\n" +
			"   2 | kafka: {brokers: a}\n" +
			"                        ^"},
		{objects + "redis: {url: \"http://u:secret@h\"}\n", "" +
			"tidewatch.yaml:2:14: redis.url: it begins with \"http:\"; use redis:// or rediss:// or unix://\n" +
			"   2 | redis: {url: \"http://u:secret@h\"}\n" +
			"                    ^^^^^^^^^^^^^^^^^"},
		{objects + "kafka:\n  sasl: {user: ada, mechanism: plian}\n", "" +
			"tidewatch.yaml:3:32: kafka.sasl.mechanism \"plian\" is unknown: use plain, scram-sha-256 or scram-sha-512\n" +
			"   3 |   sasl: {user: ada, mechanism: plian}\n" +
			"                                      ^^^^^"},
		{objects + "kafka:\n  internal_replicas: three\n", "" +
			"tidewatch.yaml:3:22: kafka.internal_replicas is a whole number\n" +
			"   3 |   internal_replicas: three\n" +
			"                            ^^^^^"},
		{objects + "http:\n  listen: 0.0.0.0:80\n", "" +
			"tidewatch.yaml:3:11: http.listen: 0.0.0.0:80 is reachable from other machines, but http.tokens names no file of tokens: make one with `tidewatch token add`, or listen on 127.0.0.1\n" +
			"   3 |   listen: 0.0.0.0:80\n" +
			"                 ^^^^^^^^^^"},
		{objects + "postgres: {dsn_file: /nowhere/dsn}\n", "" +
			"tidewatch.yaml:2:22: postgres.dsn_file: stat /nowhere/dsn: no such file or directory\n" +
			"   2 | postgres: {dsn_file: /nowhere/dsn}\n" +
			"                            ^^^^^^^^^^^^"},
	} {
		if d := cmp.Diff(tc.want, check(t, tc.text, nil)); d != "" {
			t.Errorf("%q:\n%s", tc.text, d)
		}
	}
}

func TestEveryMistakeIsTold(t *testing.T) {
	got := check(t, "kafak: {}\nhttp: {lisen: x}\nredis: 7\n", nil)
	for _, want := range []string{"1:1: unknown key kafak; did you mean kafka?", "2:8: unknown key http.lisen; did you mean listen?", "3:8: redis holds keys: url, url_file"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nlacks %s", got, want)
		}
	}
	if got := check(t, "objects: {url: \"file:///x\"}\nobjects: {}\n", nil); !strings.Contains(got, "2:1") {
		t.Error("a key that stands twice:", got)
	}
	if got := check(t, "a: [\n", nil); !strings.Contains(got, "tidewatch.yaml:1") {
		t.Error("no YAML:", got)
	}
}

func TestMistakesOfTheEnvironmentAndOfFlags(t *testing.T) {
	const objects = "objects: {url: \"file:///x\"}\nhttp: {listen: \"127.0.0.1:1\"}\n"
	for _, tc := range []struct {
		environ, settings []string
		want              string
	}{
		{[]string{"TIDEWATCH_HTTP__LISTEN=here"}, nil, `http.listen: "here" is not host:port (from TIDEWATCH_HTTP__LISTEN)`},
		{[]string{"TIDEWATCH_HTTP__LISTEN=here"}, []string{"http.listen=127.0.0.1:2"}, ""},
		{nil, []string{"http.listen=there"}, `http.listen: "there" is not host:port (--set http.listen)`},
		{nil, []string{"http.lisen=x"}, "set configuration: there is no key http.lisen; did you mean http.listen?"},
		{[]string{"TIDEWATCH_KAFKA__BROKRS=x"}, nil, "TIDEWATCH_KAFKA__BROKRS sets the key kafka.brokrs, which does not exist; did you mean kafka.brokers?"},
		{nil, []string{"http.listen"}, `"http.listen" is not KEY=VALUE`},
	} {
		if got := check(t, objects, tc.environ, tc.settings...); !strings.Contains(got, tc.want) || tc.want == "" && got != "" {
			t.Errorf("%v %v: %s", tc.environ, tc.settings, got)
		}
	}
}

func TestSampleIsValidWithAndWithoutItsExamples(t *testing.T) {
	sample := Sample("file:///data")
	if got := check(t, sample, nil); got != "" {
		t.Errorf("%s\n%s", got, sample)
	}
	c, err := load(t, sample)
	want := Default()
	want.Objects.URL = "file:///data"
	if d := cmp.Diff(want, c); d != "" || err != nil {
		t.Error(err, d)
	}
	all := regexp.MustCompile(`(?m)^(\s*)# (\s*[a-z_]+:( |$))`).ReplaceAllString(sample, "$1$2")
	all = regexp.MustCompile(`(?m)^\s*\w+_file: .*$`).ReplaceAllString(all, "") // these files are not here
	if _, err := load(t, all); err != nil {
		t.Errorf("%v\n%s", err, all)
	}
	for _, f := range Fields() {
		if f.About == "" || !f.Section && f.Default == "" && f.Example == "" {
			t.Errorf("%s has no about, or neither default nor example", f.Key)
		}
		if !strings.Contains(all, f.Name()+":") && !strings.HasSuffix(f.Key, "_file") {
			t.Errorf("the sample lacks %s", f.Key)
		}
	}
}

func TestEffectiveTellsOriginsAndNoSecrets(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "tidewatch.yaml")
	text := "kafka:\n  brokers: [\"a:1\"]\n  sasl: {mechanism: plain, user: ada, password_file: " + secret + "}\nobjects: {url: \"file:///x\", secret_key: hunter2, access_key: hunter2}\n"
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := Effective(name, []string{"TIDEWATCH_REDIS__URL=redis://:hunter2@r:1/2"}, "postgres.dsn=host=h password=hunter2 user=u", "kafka.group=g")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, v := range all {
		got[v.Key] = v.Value + " " + v.Origin + " " + filepath.Base(v.Where)
		if strings.Contains(v.Value, "hunter2") {
			t.Errorf("%s shows its secret: %s", v.Key, v.Value)
		}
	}
	for key, want := range map[string]string{
		"kafka.brokers":       `["a:1"] file tidewatch.yaml:2`,
		"kafka.group":         `"g" flag --set kafka.group`,
		"kafka.sasl.password": `(hidden) file password`,
		"redis.url":           `"redis://:***@r:1/2" env TIDEWATCH_REDIS__URL`,
		"postgres.dsn":        `"host=h password=*** user=u" flag --set postgres.dsn`,
		"objects.secret_key":  `(hidden) file tidewatch.yaml:4`,
		"http.listen":         `"127.0.0.1:8080" default .`,
	} {
		if got[key] != want {
			t.Errorf("%s: %q, want %q", key, got[key], want)
		}
	}
}

// TestDistanceIsAMetricOfSlips compares with the definition on small words.
func TestDistanceIsAMetricOfSlips(t *testing.T) {
	word := rapid.StringMatching(`[ab]{0,5}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		d := distance(a, b)
		if d != distance(b, a) || (d == 0) != (a == b) || d > max(len(a), len(b)) {
			t.Fatalf("distance(%q, %q) = %d", a, b, d)
		}
	})
	for _, tc := range []struct {
		a, b string
		want int
	}{{"kafak", "kafka", 1}, {"brokrs", "brokers", 1}, {"", "abc", 3}, {"lisen", "listen", 1}} {
		if got := distance(tc.a, tc.b); got != tc.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}

// FuzzInspect looks at any file: it never panics, and what passes can be loaded or is a Mistake.
func FuzzInspect(f *testing.F) {
	for _, s := range []string{Sample("file:///x"), "", "a: &b {c: *b}", "kafka: !!str x", "<<: {redis: {url: 1}}", "- a", "kafka: {brokers: [a, {b: c}]}", "---\n---\na: 1", "? a\n: b", "\t", "~"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		in := inspect("f", []byte(text))
		for _, p := range in.problems {
			if p.Message == "" {
				t.Fatalf("%q: a problem without words", text)
			}
		}
		if in.blank { // it is not decoded
			return
		}
		c := Default()
		if err := decode("f", []byte(text), &c); err == nil && len(in.problems) > 0 && !strings.Contains(in.problems.Error(), "second document") {
			t.Logf("stricter than the decoder: %v", in.problems)
		} else if err != nil && len(in.problems) == 0 {
			t.Fatalf("%q passes, but: %v", text, err)
		}
	})
}
