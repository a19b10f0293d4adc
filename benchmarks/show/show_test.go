package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/internal/testservers"
)

// TestShows runs the shows that are short enough for every change, with a product that is built for it.
func TestShows(t *testing.T) {
	needServers(t)
	binary := filepath.Join(t.TempDir(), "tidewatch")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../cmd/tidewatch")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the product: %v: %s", err, out)
	}
	for _, show := range []struct {
		name string
		run  func(context.Context, []string) error
		args []string
	}{
		{"cloudtrail", cloudtrail, []string{"-from", "../../sources/replay/testdata/cloudtrail.ndjson.gz"}},
		{"foreign", foreign, []string{"-events", "10000"}},
	} {
		t.Run(show.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := show.run(t.Context(), append([]string{"-binary", binary, "-dir", dir}, show.args...)); err != nil {
				t.Errorf("%v\nthe worker said:\n%s", err, lastLines(filepath.Join(dir, "worker-0.log")))
			}
		})
	}
}

// needServers skips the test where a server cannot be had, as testservers does, but starts none.
func needServers(t *testing.T) {
	t.Helper()
	python := testservers.Python(t)
	cache, err := testservers.Cache()
	if err != nil {
		t.Fatal(err)
	}
	_, kafka := testservers.FindKafka(cache)
	if _, java := testservers.FindJava(); kafka == nil {
		kafka = java
	}
	_, redis := testservers.FindRedis(cache)
	_, postgres := testservers.FindPostgres(cache)
	_, s3 := testservers.FindS3(cache)
	for _, server := range []struct {
		name    string
		missing error
	}{{testservers.NameKafka, kafka}, {testservers.NameRedis, redis}, {testservers.NamePostgres, postgres}, {testservers.NameS3, s3}} {
		switch {
		case server.missing == nil:
		case strings.Contains(os.Getenv(testservers.Require), server.name):
			t.Fatal(server.missing)
		default:
			t.Skip(server.missing)
		}
	}
	t.Logf("the foreign producer runs in %s", python)
}

func lastLines(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-4000):])
}

func TestRushIsDue(t *testing.T) {
	r := exactRun{rate: 100, rush: rush{from: 200, to: 1200, times: 10}}
	for i, want := range map[int64]time.Duration{0: 0, 200: 2 * time.Second, 700: 2500 * time.Millisecond, 1200: 3 * time.Second, 1300: 4 * time.Second} {
		if got := r.due(i); got != want {
			t.Errorf("event %d is due after %v, not %v", i, got, want)
		}
	}
	if r.rush = (rush{}); r.due(1300) != 13*time.Second {
		t.Errorf("without a rush, event 1300 is due after %v", r.due(1300))
	}
}
