package postgres

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ulikunitz/xz"
)

// jarOf packs an archive as the release does.
func jarOf(t *testing.T, members ...tar.Header) []byte {
	t.Helper()
	var packed, jar bytes.Buffer
	compressed, err := xz.NewWriter(&packed)
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewWriter(compressed)
	for _, m := range members {
		content := []byte(nil)
		if m.Typeflag == tar.TypeReg {
			content = []byte("#!/bin/sh\necho 'postgres (PostgreSQL) 18.4'\n")
			m.Size = int64(len(content))
		}
		if err := archive.WriteHeader(&m); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(archive.Close(), compressed.Close()); err != nil {
		t.Fatal(err)
	}
	outer := zip.NewWriter(&jar)
	for name, content := range map[string][]byte{"META-INF/MANIFEST.MF": []byte("x"), "postgres-linux-x86_64.txz": packed.Bytes()} {
		w, err := outer.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := outer.Close(); err != nil {
		t.Fatal(err)
	}
	return jar.Bytes()
}

func file(name string, mode int64) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode}
}

func link(name, to string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}
}

// small is an archive like the release's.
func small(t *testing.T) []byte {
	t.Helper()
	return jarOf(t, tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o700}, tar.Header{Name: "bin/", Typeflag: tar.TypeDir, Mode: 0o700},
		file("./bin/postgres", 0o700), file("bin/initdb", 0o755), file("lib/libpq.so.5.18", 0o644), file("lib/libpq.a", 0o644), link("lib/libpq.so", "libpq.so.5.18"))
}

func releaseOf(jar []byte) release {
	sum := sha256.Sum256(jar)
	return release{artifact: "programs", sha256: hex.EncodeToString(sum[:])}
}

// repository serves a jar and counts how often.
func repository(t *testing.T, r release, jar []byte) (address string, served *int) {
	t.Helper()
	served = new(int)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path != "/maven/"+r.address() {
			http.NotFound(w, q)
			return
		}
		*served++
		_, _ = w.Write(jar) // the client may have gone
	}))
	t.Cleanup(server.Close)
	return server.URL + "/maven", served
}

func TestFetchOnce(t *testing.T) {
	jar := small(t)
	r := releaseOf(jar)
	c := config(t)
	var served *int
	c.Repository, served = repository(t, r, jar)
	for range 2 {
		path, err := fetchJar(t.Context(), c, r)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, jar) {
			t.Errorf("the cache has %d bytes, %v; want %d", len(got), err, len(jar))
		}
	}
	if *served != 1 {
		t.Errorf("downloaded %d times", *served)
	}
	if err := os.WriteFile(filepath.Join(c.Cache, r.jar()), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := fetchJar(t.Context(), c, r); err != nil || *served != 2 {
		t.Errorf("a damaged file in the cache: %v, downloaded %d times", err, *served)
	}
}

func TestWhatIsNotTheReleaseIsRefused(t *testing.T) {
	jar := small(t)
	cases := []struct {
		name string
		r    release
		path string // of the repository, in place of the right one
		want string
	}{
		{"another file", release{artifact: "programs", sha256: strings.Repeat("0", 64)}, "", "its SHA-256 is " + releaseOf(jar).sha256},
		{"no such file", releaseOf(jar), "/elsewhere", "the answer is 404 Not Found"},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			c := config(t)
			address, _ := repository(t, test.r, jar)
			c.Repository = strings.Replace(address, "http://", "http://me:secret@", 1) + test.path
			var told []string
			c.Progress = func(text string) { told = append(told, text) }
			_, err := fetchJar(t.Context(), c, test.r)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
			if all := strings.Join(told, "\n") + err.Error(); strings.Contains(all, "secret") {
				t.Errorf("the password is told: %s", all)
			}
			if left, err := os.ReadDir(c.Cache); len(left) > 0 || err != nil {
				t.Errorf("left in the cache: %v, %v", left, err)
			}
		})
	}
}

func TestUnpack(t *testing.T) {
	old := syscall.Umask(0o077) // another account has to read it whatever ours is
	defer syscall.Umask(old)
	jar, into := filepath.Join(t.TempDir(), "a.jar"), filepath.Join(t.TempDir(), "programs")
	if err := os.WriteFile(jar, small(t), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a second one finds it there
		if err := unpack(jar, into); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]os.FileMode{
		"": 0o755 | os.ModeDir, "bin": 0o755 | os.ModeDir, "bin/postgres": 0o755, "bin/initdb": 0o755, "lib": 0o755 | os.ModeDir, "lib/libpq.so": 0o644,
	} {
		if info, err := os.Stat(filepath.Join(into, name)); err != nil || info.Mode() != want {
			t.Errorf("%q: %v, %v; want %v", name, info, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(into, "lib/libpq.a")); err == nil {
		t.Error("static libraries are unpacked")
	}
	if left, err := os.ReadDir(filepath.Dir(into)); len(left) != 1 || err != nil {
		t.Errorf("left beside it: %v, %v", left, err)
	}
	if p, err := inspect(t.Context(), filepath.Join(into, "bin"), nil); err != nil || p.major != releaseMajor {
		t.Errorf("unpacked %v, %v", p, err)
	}
}

func TestUnpackRefuses(t *testing.T) {
	cases := map[string][]byte{
		"a file above":         jarOf(t, file("../evil", 0o644)),
		"a file elsewhere":     jarOf(t, file("/evil", 0o644)),
		"a link above":         jarOf(t, link("lib/x", "../../evil")),
		"a link elsewhere":     jarOf(t, link("x", "/etc/passwd")),
		"a way through a link": jarOf(t, link("x", "y/.."), file("x/../../evil", 0o644)),
		"a file twice":         jarOf(t, file("a", 0o644), file("a", 0o644)),
		"a device":             jarOf(t, tar.Header{Name: "null", Typeflag: tar.TypeChar}),
		"no archive":           []byte("not a jar"),
		"a damaged archive":    small(t)[:200],
	}
	for name, content := range cases {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			jar := filepath.Join(root, "a.jar")
			if err := os.WriteFile(jar, content, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := unpack(jar, filepath.Join(root, "in/programs")); err == nil {
				t.Error("it was unpacked")
			}
			if left, err := os.ReadDir(filepath.Join(root, "in")); len(left) > 0 || err != nil {
				t.Errorf("left behind: %v, %v", left, err)
			}
			if _, err := os.Stat(filepath.Join(root, "evil")); err == nil {
				t.Error("a file was written outside")
			}
		})
	}
}
