package page

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func handler(t *testing.T) http.Handler {
	t.Helper()
	h, err := Handler()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func ask(t *testing.T, method, path string, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody)
	maps.Copy(r.Header, header)
	w := httptest.NewRecorder()
	handler(t).ServeHTTP(w, r)
	return w
}

func TestPathsOfThePageShowThePage(t *testing.T) {
	index := ask(t, http.MethodGet, "/", nil).Body.String()
	if !strings.Contains(index, `<div id="app">`) {
		t.Fatalf("the page is %q", index)
	}
	for _, path := range []string{"/hosts", "/hosts/web-7.example.com", "/alerts/0a1b?state=all", "/pipelines/archive.metrics", "/nothing/like/this", "/../../etc/passwd"} {
		if w := ask(t, http.MethodGet, path, nil); w.Code != http.StatusOK || w.Body.String() != index {
			t.Errorf("%s answers %d and %d bytes", path, w.Code, w.Body.Len())
		}
	}
	for _, path := range []string{"/assets/old.js", "/assets/", "/favicon.ico", "/robots.txt"} {
		if w := ask(t, http.MethodGet, path, nil); w.Code != http.StatusNotFound {
			t.Errorf("%s answers %d: it is no file of the page", path, w.Code)
		}
	}
}

func TestFilesAreServedForBrowsers(t *testing.T) {
	for path, kind := range map[string]string{
		"/": "text/html; charset=utf-8", "/assets/app.js": "text/javascript; charset=utf-8", "/assets/app.css": "text/css; charset=utf-8",
		"/theme.js": "text/javascript; charset=utf-8", "/favicon.svg": "image/svg+xml",
	} {
		w := ask(t, http.MethodGet, path, nil)
		h := w.Header()
		if w.Code != http.StatusOK || h.Get("Content-Type") != kind || h.Get("Cache-Control") != "no-cache" || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s answers %d %v", path, w.Code, h)
		}
		if policy := h.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s has the policy %q", path, policy)
		}
		again := ask(t, http.MethodGet, path, http.Header{"If-None-Match": {h.Get("ETag")}})
		if again.Code != http.StatusNotModified || again.Body.Len() != 0 {
			t.Errorf("%s, asked again, answers %d and %d bytes", path, again.Code, again.Body.Len())
		}
		if head := ask(t, http.MethodHead, path, nil); head.Code != http.StatusOK || head.Body.Len() != 0 {
			t.Errorf("HEAD %s answers %d and %d bytes", path, head.Code, head.Body.Len())
		}
	}
	if w := ask(t, http.MethodPost, "/", nil); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST answers %d", w.Code)
	}
}

// firstLoad is what script may weigh on the wire, in bytes. There is one file of it: nothing is loaded later.
const firstLoad = 130_000

func TestFirstLoadIsLight(t *testing.T) {
	scripts := 0
	err := fs.WalkDir(built, "dist", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".js") {
			return err
		}
		text, err := fs.ReadFile(built, path)
		if err != nil {
			return err
		}
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed) // the level that servers use, not the best there is
		_, err = w.Write(text)
		if err == nil {
			err = w.Close()
		}
		t.Logf("%s: %d bytes, %d gzipped", path, len(text), packed.Len())
		scripts += packed.Len()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if scripts == 0 || scripts > firstLoad {
		t.Errorf("the scripts weigh %d bytes gzipped, at most %d are allowed", scripts, firstLoad)
	}
}

// harmless are addresses in the build that are names, never asked: of XML, and of explanations in messages of the framework.
var harmless = regexp.MustCompile(`^https?://(www\.w3\.org/|svelte\.dev/e/)`)

func TestBuildNamesNoOutsideAddress(t *testing.T) {
	address := regexp.MustCompile("https?://[^\\s\"'`)<>]+")
	err := fs.WalkDir(built, "dist", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(built, path)
		for _, a := range address.FindAllString(string(text), -1) {
			if !harmless.MatchString(a) {
				t.Errorf("%s names %s", path, a)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestBuildIsOfTheSource builds the page again and compares. It needs what `make page` has installed.
func TestBuildIsOfTheSource(t *testing.T) {
	if testing.Short() {
		t.Skip("no build of the page in short mode")
	}
	web := filepath.Join("..", "..", "web")
	if _, err := os.Stat(filepath.Join(web, "node_modules", "vite")); err != nil {
		need(t, "npm", "the packages of web are not installed: run make page once")
	}
	out := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "npm", "run", "--silent", "build", "--", "--outDir", out, "--emptyOutDir", "--logLevel", "error")
	cmd.Dir = web
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the page: %v\n%s", err, text)
	}
	compare(t, os.DirFS(out), os.DirFS("dist"))
}

func compare(t *testing.T, fresh, committed fs.FS) {
	t.Helper()
	want, got := files(t, fresh), files(t, committed)
	for name := range want {
		if want[name] != got[name] {
			t.Errorf("dist/%s is not what web builds: run make page and commit it", name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("dist/%s is not built any more: run make page and commit it", name)
		}
	}
}

func files(t *testing.T, root fs.FS) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(root, name)
		all[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// need skips the test for want of something, or fails if TIDEWATCH_TEST_REQUIRE names it.
func need(t *testing.T, name, why string) {
	t.Helper()
	for required := range strings.SplitSeq(os.Getenv("TIDEWATCH_TEST_REQUIRE"), ",") {
		if strings.TrimSpace(required) == name {
			t.Fatalf("TIDEWATCH_TEST_REQUIRE names %s: %s", name, why)
		}
	}
	t.Skip(why)
}
