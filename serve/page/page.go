// Package page is the web page of Tidewatch: files that are built from the folder web, committed and embedded here, so that a
// binary needs neither Node nor any other address. `make page` builds them again.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed all:dist
var built embed.FS

// index is what every path that is no file shows: the page finds out itself what the path means.
const index = "index.html"

// policy lets the page load its own files and talk to its own server, and nothing else. Styles are set by scripts through the
// object model, which needs no exception.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// file is a file of the page as it is served.
type file struct {
	body []byte
	kind string // Content-Type
	tag  string // ETag
}

// Handler serves the page. It answers GET and HEAD for every path: files by name, all paths without an extension with the
// page itself. Names carry no hash, so browsers ask each time and mostly hear that nothing changed. Safe for concurrent use.
func Handler() (http.Handler, error) {
	dist, err := fs.Sub(built, "dist")
	if err != nil {
		return nil, fmt.Errorf("open the page: %w", err)
	}
	files, err := load(dist)
	if err != nil {
		return nil, err
	}
	if files[index] == nil {
		return nil, fmt.Errorf("open the page: there is no %s: run make page", index)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serve(w, r, files) }), nil
}

// load reads all files at once; together they are smaller than a photograph.
func load(dist fs.FS) (map[string]*file, error) {
	files := map[string]*file{}
	err := fs.WalkDir(dist, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(dist, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		files[name] = &file{body: body, kind: kindOf(name), tag: `"` + hex.EncodeToString(sum[:12]) + `"`}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the page: %w", err)
	}
	return files, nil
}

// kindOf does not ask the machine's table of types: what it says differs from machine to machine.
func kindOf(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return "application/octet-stream"
}

func serve(w http.ResponseWriter, r *http.Request, files map[string]*file) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the page takes GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	f := files[strings.TrimPrefix(path.Clean(r.URL.Path), "/")]
	if f == nil {
		if isFile(r.URL.Path) {
			http.Error(w, "no such file", http.StatusNotFound)
			return
		}
		f = files[index]
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", f.tag)
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
}

// isFile reports whether the path can only mean a file of the page. Names of hosts and alerts may have dots: they lie below
// the page's own paths.
func isFile(p string) bool {
	p = strings.TrimPrefix(path.Clean(p), "/")
	return strings.HasPrefix(p+"/", "assets/") || !strings.Contains(p, "/") && path.Ext(p) != ""
}
