package postgres

import (
	"strings"
	"testing"
	"time"
)

// TestTheReleaseOfMavenCentral runs the server that machines without PostgreSQL get. The download is kept in the cache
// folder of the user.
func TestTheReleaseOfMavenCentral(t *testing.T) {
	t.Parallel()
	if testing.Short() && !required() {
		t.Skip("nothing is downloaded in short mode")
	}
	r, err := thisRelease()
	if err != nil {
		t.Skip(err)
	}
	c := config(t)
	c.Local, c.Repository, c.Cache = []string{}, "", ""
	c.Programs = passable(t)
	filled, err := c.filled()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fetchJar(t.Context(), filled, r); err != nil {
		if required() {
			t.Fatal(err)
		}
		t.Skipf("it cannot be had: %v", err)
	}
	began := time.Now()
	if _, err := fetched(t.Context(), filled, nil); err != nil {
		t.Fatal(err)
	}
	t.Logf("unpacked within %s", time.Since(began))
	for range 2 {
		s := start(t, c)
		if !strings.HasPrefix(s.Version(), "18.4") {
			t.Errorf("version %s", s.Version())
		}
		if got := query(t, s.DSN(), "SELECT current_setting('io_method')"); got != "sync" {
			t.Errorf("io_method is %s", got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
