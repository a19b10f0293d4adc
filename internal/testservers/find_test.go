package testservers

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// place makes an executable file.
func place(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestFindLooksIntoTheCache(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("PATH", t.TempDir())
	if _, err := FindRedis(cache); !IsMissing(err) || !strings.Contains(err.Error(), "fetch redis") {
		t.Fatalf("redis in an empty cache: %v", err)
	}
	place(t, filepath.Join(cache, "redis/usr/bin/redis-server"))
	if err := os.MkdirAll(filepath.Join(cache, "redis/usr/lib/x86_64-linux-gnu"), 0o755); err != nil {
		t.Fatal(err)
	}
	found, err := FindRedis(cache)
	if err != nil || len(found.Libraries) != 1 || !strings.HasPrefix(found.Path, cache) {
		t.Errorf("redis: %v, %v", found, err)
	}
	if _, err := FindS3(cache); !IsMissing(err) {
		t.Errorf("s3 in an empty cache: %v", err)
	}
	place(t, filepath.Join(Place(cache, NameS3), "versitygw"))
	if found, err := FindS3(cache); err != nil || len(found.Libraries) != 0 {
		t.Errorf("s3: %v, %v", found, err)
	}
}

func TestTheNewestPostgresIsTaken(t *testing.T) {
	root := t.TempDir()
	for _, version := range []string{"9.6", "15", "17", "18"} {
		place(t, filepath.Join(root, "usr/lib/postgresql", version, "bin/postgres"))
		if version != "18" { // a client only
			place(t, filepath.Join(root, "usr/lib/postgresql", version, "bin/initdb"))
		}
	}
	if got, want := newestPostgres(root), filepath.Join(root, "usr/lib/postgresql/17/bin"); got != want {
		t.Errorf("found %q, want %q", got, want)
	}
}

func TestJavaAndKafka(t *testing.T) {
	cache, home := t.TempDir(), t.TempDir()
	t.Setenv("PATH", "")
	t.Setenv("JAVA_HOME", home)
	if _, err := FindJava(); !IsMissing(err) || !strings.Contains(err.Error(), "default-jre-headless") {
		t.Errorf("java: %v", err)
	}
	place(t, filepath.Join(home, "bin/java"))
	if path, err := FindJava(); err != nil || path != filepath.Join(home, "bin/java") {
		t.Errorf("java: %s, %v", path, err)
	}
	if _, err := FindKafka(cache); !IsMissing(err) {
		t.Errorf("kafka in an empty cache: %v", err)
	}
	place(t, filepath.Join(Place(cache, NameKafka), "kafka_2.13-"+KafkaVersion+".jar"))
	if _, err := FindKafka(cache); err != nil {
		t.Errorf("kafka: %v", err)
	}
	if !strings.Contains(string(KafkaPOM), "<version>"+KafkaVersion+"</version>") {
		t.Errorf("the pom has another version than %s", KafkaVersion)
	}
}

func TestAnIncompletePythonIsNotTaken(t *testing.T) {
	cache := t.TempDir()
	place(t, filepath.Join(cache, "python/bin/python"))
	if _, err := FindPython(cache); !IsMissing(err) {
		t.Errorf("without its list: %v", err)
	}
	if err := os.WriteFile(filepath.Join(cache, "python/requirements.txt"), Requirements, 0o600); err != nil {
		t.Fatal(err)
	}
	if path, err := FindPython(cache); err != nil || path != filepath.Join(cache, "python/bin/python") {
		t.Errorf("python: %s, %v", path, err)
	}
}

func TestCacheFolder(t *testing.T) {
	t.Setenv("TIDEWATCH_CACHE", "here")
	if dir, err := Cache(); err != nil || !filepath.IsAbs(dir) || filepath.Base(dir) != "here" {
		t.Errorf("cache %q, %v", dir, err)
	}
	t.Setenv("TIDEWATCH_CACHE", "")
	t.Setenv("XDG_CACHE_HOME", "/somewhere")
	if dir, err := Cache(); err != nil || filepath.Base(dir) != "tidewatch" {
		t.Errorf("cache %q, %v", dir, err)
	}
}

// outcome runs a test's body on a fake test and tells how it ended.
func outcome(t *testing.T, body func(testing.TB)) (skipped, failed string) {
	t.Helper()
	fake := &fakeTest{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }() // a fake test ends by a panic
		body(fake)
	}()
	<-done
	return fake.skipped, fake.failed
}

type fakeTest struct {
	testing.TB

	skipped, failed string
}

func (f *fakeTest) Helper()                   {}
func (f *fakeTest) Skip(args ...any)          { f.skipped = sprint(args); panic("skip") }
func (f *fakeTest) Fatal(args ...any)         { f.failed = sprint(args); panic("fatal") }
func (f *fakeTest) Fatalf(s string, a ...any) { f.failed = s + sprint(a); panic("fatal") }

func sprint(args []any) string {
	var text strings.Builder
	for _, a := range args {
		if err, ok := a.(error); ok {
			text.WriteString(err.Error())
		} else if s, ok := a.(string); ok {
			text.WriteString(s)
		}
	}
	return text.String()
}

func TestAMissingServerSkipsUnlessRequired(t *testing.T) {
	absent := missing(NameRedis, "nowhere")
	body := func(t testing.TB) { t.Helper(); check(t, NameRedis, absent) }
	t.Setenv(Require, "")
	if skipped, failed := outcome(t, body); !strings.Contains(skipped, "nowhere") || failed != "" {
		t.Errorf("not required: skipped %q, failed %q", skipped, failed)
	}
	t.Setenv(Require, "kafka,redis")
	if skipped, failed := outcome(t, body); skipped != "" || !strings.Contains(failed, "nowhere") {
		t.Errorf("required: skipped %q, failed %q", skipped, failed)
	}
	t.Setenv(Require, "kafka,reddis")
	if _, failed := outcome(t, body); !strings.Contains(failed, "reddis") {
		t.Errorf("unknown name: failed %q", failed)
	}
	t.Setenv(Require, "")
	broken := func(t testing.TB) { t.Helper(); check(t, NameRedis, errors.New("does not start")) }
	if skipped, failed := outcome(t, broken); skipped != "" || failed != "does not start" {
		t.Errorf("broken: skipped %q, failed %q", skipped, failed)
	}
}

// dummy is a server for testing who shares it.
type dummy struct{ running, closed bool }

func (d *dummy) Running() bool { return d.running }
func (d *dummy) Close() error  { d.closed, d.running = true, false; return nil }

func TestSharing(t *testing.T) {
	var s slot[*dummy]
	start := func(context.Context) (*dummy, error) { return &dummy{running: true}, nil }
	borrow := func() *dummy {
		d, err := s.borrow(t.Context(), start)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	giveBack := func() {
		if err := s.giveBack(); err != nil {
			t.Fatal(err)
		}
	}
	first, second := borrow(), borrow()
	if first != second {
		t.Error("two servers at the same time")
	}
	giveBack()
	if first.closed {
		t.Error("closed under its user")
	}
	giveBack()
	if !first.closed {
		t.Error("kept without a user")
	}
	if err := s.keep(true); err != nil {
		t.Fatal(err)
	}
	third := borrow()
	giveBack()
	if third.closed || third != borrow() {
		t.Error("not kept although asked to")
	}
	third.running = false
	if borrow() == third {
		t.Error("a crashed server was lent")
	}
	giveBack()
	giveBack()
	if err := s.keep(false); err != nil || s.mu.there {
		t.Errorf("still there, %v", err)
	}
}

func TestFoldersAndPortsInUseAreKept(t *testing.T) {
	f, err := openFolder("test")
	if err != nil {
		t.Fatal(err)
	}
	p, err := drawPort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	base, err := baseFolder()
	if err != nil {
		t.Fatal(err)
	}
	sweep(base)
	if _, err := os.Stat(f.path); err != nil {
		t.Errorf("a folder in use was swept: %v", err)
	}
	if again, err := lockFile(p.lock.Name()); err == nil {
		t.Error("a port was given twice", again.Close())
	}
	if err := errors.Join(p.release(), f.remove()); err != nil {
		t.Fatal(err)
	}
	again, err := lockFile(p.lock.Name())
	if err != nil {
		t.Fatal("a port was not given back:", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}
