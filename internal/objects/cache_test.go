package objects_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/internal/objects"
)

func hashOf(n int) string { return fmt.Sprintf("%x", sha256.Sum256([]byte{byte(n)})) }

func openCache(t *testing.T, dir string, limit int64) *objects.Cache {
	t.Helper()
	c, err := objects.OpenCache(dir, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestCacheIsBounded: what was used last stays, also behind a restart with a lower limit; no file is left of the rest.
func TestCacheIsBounded(t *testing.T) {
	dir := t.TempDir()
	c := openCache(t, dir, 100)
	for n := range 3 {
		c.Put(hashOf(n), bytes.Repeat([]byte{byte(n)}, 30))
	}
	if got := c.Get(hashOf(0)); !bytes.Equal(got, make([]byte, 30)) {
		t.Fatalf("the first object is %v", got)
	}
	c.Put(hashOf(3), make([]byte, 40))  // pushes out 1, which was not used for longest
	c.Put(hashOf(4), make([]byte, 101)) // never fits
	for n, want := range []bool{true, false, true, true, false} {
		if got := c.Get(hashOf(n)) != nil; got != want {
			t.Errorf("object %d is there: %v, want %v", n, got, want)
		}
	}
	for n, hash := range []string{hashOf(0), hashOf(2), hashOf(3)} {
		written := time.Unix(int64(1000+n), 0)
		if err := os.Chtimes(filepath.Join(dir, hash), written, written); err != nil {
			t.Fatal(err)
		}
	}
	again := openCache(t, dir, 75)
	kept := 0
	for n := range 4 {
		kept += len(again.Get(hashOf(n)))
	}
	if kept != 70 {
		t.Errorf("behind a restart %d bytes are kept, want 70", kept)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 2 {
		t.Errorf("%d files (%v), want 2", len(files), err)
	}
}

// TestCacheIsNeverInTheWay: damage, names that are no hash, files that vanish, a folder that is gone.
func TestCacheIsNeverInTheWay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	c := openCache(t, dir, 1000)
	c.Put("../escape", []byte("x"))
	c.Put(hashOf(1), []byte("one"))
	c.Put(hashOf(2), []byte("two"))
	c.Drop(hashOf(1))
	if c.Get(hashOf(1)) != nil || c.Get("../escape") != nil || string(c.Get(hashOf(2))) != "two" {
		t.Error("the wrong objects are there")
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if c.Get(hashOf(2)) != nil {
		t.Error("an object is there whose file is gone")
	}
	c.Put(hashOf(3), []byte("three"))
	if got := c.Get(hashOf(3)); got != nil && string(got) != "three" {
		t.Errorf("got %q", got)
	}
}
