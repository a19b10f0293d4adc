package objects

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

func openTestFolder(t *testing.T) (stream.Objects, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "objects")
	s, err := Open(t.Context(), Config{URL: "file://" + dir})
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

func TestFolder(t *testing.T) {
	s, _ := openTestFolder(t)
	acceptance(t, s)
}

func TestFolderWithoutHardLinks(t *testing.T) {
	s, dir := openTestFolder(t)
	if err := s.Put(t.Context(), "staged/x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer closeRead(root)
	if err := copyWithoutLink(root, "staged/x", "visible/deep/x"); err != nil {
		t.Fatal(err)
	}
	wantObject(t, s, "visible/deep/x", []byte("x"))
	if err := copyWithoutLink(root, "staged/none", "visible/none"); !errors.Is(err, errGone) {
		t.Fatalf("copy of a missing object: %v", err)
	}
}

func TestFolderKeepsNoEmptyDirectories(t *testing.T) {
	s, dir := openTestFolder(t)
	if err := s.Put(t.Context(), "state/a/b/c", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), "state/a/b/c"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "state")); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the directories of a deleted object are still there: %v", err)
	}
}

func TestFolderHidesAndSweepsUnfinished(t *testing.T) {
	s, dir := openTestFolder(t)
	old, young := filepath.Join(dir, reserved, "OLD"), filepath.Join(dir, reserved, "YOUNG")
	for _, file := range []string{old, young} {
		if err := os.WriteFile(file, []byte("half an obj"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(young)
	if err != nil {
		t.Fatal(err)
	}
	before := info.ModTime().Add(-2 * time.Hour)
	if err := os.Chtimes(old, before, before); err != nil {
		t.Fatal(err)
	}
	if got := list(t, s, ""); len(got) != 0 {
		t.Fatalf("list shows unfinished objects: %q", got)
	}
	if _, err := openFolder(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a crashed process left is still there: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("what another process writes just now was removed: %v", err)
	}
}

func TestFolderRefusesLinksOut(t *testing.T) {
	s, dir := openTestFolder(t)
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	if data, err := s.Get(t.Context(), "out/secret"); err == nil {
		t.Fatalf("read %q through a link", data)
	}
	err := s.Put(t.Context(), "out/x", []byte("x"))
	if err == nil || stream.KindOfError(err) != stream.Fatal || !strings.Contains(err.Error(), "symbolic link") {
		t.Fatalf("put through a link: %v", err)
	}
}

func TestFolderGoneIsRetried(t *testing.T) {
	s, dir := openTestFolder(t)
	if err := os.Rename(dir, dir+"-unmounted"); err != nil {
		t.Fatal(err)
	}
	_, getErr := s.Get(t.Context(), "a")
	for _, err := range []error{s.Put(t.Context(), "a", nil), getErr, s.List(t.Context(), "", nil)} {
		if err == nil || errors.Is(err, fs.ErrNotExist) && stream.KindOfError(err) != stream.Retry {
			t.Errorf("%v; a folder that is gone is no missing object, it is waited for", err)
		}
	}
	if err := os.Rename(dir+"-unmounted", dir); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "a", nil); err != nil {
		t.Fatalf("after the folder came back: %v", err)
	}
}

func TestFolderFailures(t *testing.T) {
	for _, c := range []struct {
		cause error
		kind  stream.ErrorKind
		says  string
	}{
		{syscall.ENOSPC, stream.Retry, "the disk of /d is full; free some space"},
		{syscall.EDQUOT, stream.Retry, "is full"},
		{syscall.EACCES, stream.Fatal, "no permission in /d"},
		{syscall.EROFS, stream.Fatal, "no permission"},
		{syscall.EIO, stream.Retry, "input/output error"},
		{syscall.ENOTDIR, stream.Fatal, "a folder where a file is wanted"},
		{syscall.ENAMETOOLONG, stream.Fatal, "too long"},
	} {
		err := folderFailure("put", "k", "/d", &fs.PathError{Op: "write", Path: "/d/k", Err: c.cause})
		if stream.KindOfError(err) != c.kind || !strings.Contains(err.Error(), c.says) || !errors.Is(err, c.cause) {
			t.Errorf("%v: kind %d, %q", c.cause, stream.KindOfError(err), err)
		}
	}
}

// TestFolderFullDisk fills a real, tiny file system where one can be mounted.
func TestFolderFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s, err := Open(t.Context(), Config{URL: "file://" + dir})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Put(t.Context(), "big", make([]byte, 1<<20))
	if stream.KindOfError(err) != stream.Retry || !strings.Contains(err.Error(), "is full") {
		t.Fatalf("put on a full disk: %v", err)
	}
	if err := s.Put(t.Context(), "small", make([]byte, 1<<10)); err != nil {
		t.Fatalf("the failed put left its bytes behind: %v", err)
	}
}
