package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidewatch/tidewatch/internal/clock"
)

// fake is an item that is a file in the cache.
func fake(name string, get func(context.Context, *fetcher) error) item {
	return item{
		name: name,
		find: func(cache string) (string, error) {
			path := filepath.Join(cache, name, "program")
			_, err := os.Stat(path)
			return path, err
		},
		get: get,
	}
}

func newFetcher(t *testing.T, cache string) (*fetcher, *strings.Builder) {
	t.Helper()
	var out strings.Builder
	return &fetcher{cache: cache, out: &out, clock: clock.System{}}, &out
}

func TestManyProcessesFetchOnce(t *testing.T) {
	cache := t.TempDir()
	var gets atomic.Int64
	program := fake("x", func(_ context.Context, f *fetcher) error {
		gets.Add(1)
		return f.build(filepath.Join(f.cache, "x"), func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "program"), []byte("whole"), 0o600)
		})
	})
	var all sync.WaitGroup
	for range 8 {
		f, out := newFetcher(t, cache) // the file lock belongs to the open file, so this is as good as eight processes
		all.Go(func() {
			if code := f.all(t.Context(), []item{program}, []string{"x"}); code != 0 {
				t.Errorf("code %d: %s", code, out)
			}
		})
	}
	all.Wait()
	if gets.Load() != 1 {
		t.Errorf("fetched %d times", gets.Load())
	}
	wantFiles(t, cache, ".x.lock", "x")
}

func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, e := range entries {
		have = append(have, e.Name())
	}
	if !slices.Equal(have, want) {
		t.Errorf("the cache holds %q, want %q", have, want)
	}
}

func TestAFailureCountsOnlyIfRequired(t *testing.T) {
	cache := t.TempDir()
	broken := fake("x", func(_ context.Context, f *fetcher) error {
		return f.build(filepath.Join(f.cache, "x"), func(dir string) error {
			return errors.Join(os.WriteFile(filepath.Join(dir, "half"), nil, 0o600), errors.New("the line is cut"))
		})
	})
	f, out := newFetcher(t, cache)
	if code := f.all(t.Context(), []item{broken}, []string{"y"}); code != 0 {
		t.Errorf("not required: code %d", code)
	}
	if code := f.all(t.Context(), []item{broken}, []string{"x"}); code != 1 {
		t.Errorf("required: code %d", code)
	}
	if !strings.Contains(out.String(), "x: not to be had: the line is cut") {
		t.Errorf("said %q", out)
	}
	wantFiles(t, cache, ".x.lock")
}

func TestAWaitingProcessCanBeInterrupted(t *testing.T) {
	cache := t.TempDir()
	holder, _ := newFetcher(t, cache)
	unlock, err := holder.lock(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f, out := newFetcher(t, cache)
	if _, err := f.lock(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("lock: %v", err)
	}
	if !strings.Contains(out.String(), "another process is fetching it") {
		t.Errorf("said %q", out)
	}
}

func TestLongWorkIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, out := newFetcher(t, "")
		stop := f.reassure("s3: building", f.clock.Now())
		<-f.clock.After(25 * time.Second)
		stop()
		if want := "fetch: s3: building: 10s so far\nfetch: s3: building: 20s so far\n"; out.String() != want {
			t.Errorf("said %q, want %q", out, want)
		}
	})
}

func TestAFailingCommandSaysWhy(t *testing.T) {
	f, _ := newFetcher(t, t.TempDir())
	_, err := f.run(t.Context(), command{what: "x: trying", args: []string{"sh", "-c", "echo on the way; echo no disk >&2; exit 3"}})
	if err == nil || !strings.Contains(err.Error(), "exit status 3\non the way\nno disk") {
		t.Errorf("run: %v", err)
	}
	out, err := f.run(t.Context(), command{what: "x: trying", env: []string{"GREETING=hello"}, args: []string{"sh", "-c", "echo $GREETING"}})
	if err != nil || out != "hello\n" {
		t.Errorf("run: %q, %v", out, err)
	}
}

func TestSimulationIsRead(t *testing.T) {
	const simulation = `NOTE: This is only a simulation!
The following NEW packages will be installed:
  libllvm14 libpq5 perl postgresql-15
Inst libpq5 (15.8-0+deb12u1 Debian:12.7/stable [amd64])
Inst perl (5.36.0-7 Debian:12.7/stable [amd64]) []
Inst libllvm14 (1:14.0.6-12 Debian:12.7/stable [amd64])
Inst postgresql-15 [15.1] (15.8-0+deb12u1 Debian:12.7/stable [amd64])
Conf libpq5 (15.8-0+deb12u1 Debian:12.7/stable [amd64])
`
	if got, want := parseSimulation(simulation), []string{"libpq5", "postgresql-15"}; !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
	if got := parseSimulation("redis-server is already the newest version"); got != nil {
		t.Errorf("read %q from nothing", got)
	}
}

func TestUnknownNameIsRefused(t *testing.T) {
	if _, err := choose(everything(), []string{"kafka", "mongo"}); err == nil || !strings.Contains(err.Error(), `"mongo"`) {
		t.Errorf("choose: %v", err)
	}
	some, err := choose(everything(), []string{"s3", "redis"})
	if err != nil || !slices.Equal(names(some), []string{"redis", "s3"}) {
		t.Errorf("chose %q, %v", names(some), err)
	}
	if all, err := choose(everything(), nil); err != nil || len(all) != 7 {
		t.Errorf("chose %q, %v", names(all), err)
	}
	if code := run([]string{"mongo"}); code != 2 {
		t.Errorf("code %d", code)
	}
}
