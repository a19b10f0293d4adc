package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/internal/golden"
)

// documentFile is where people read the document.
const documentFile = "../docs/reference/openapi.json"

// rewriting is set by -rewrite, the flag of golden files.
func rewriting() bool {
	f := flag.Lookup("rewrite")
	return f != nil && f.Value.String() == "true"
}

// send asks the server, as a program on this machine would.
func send(s *Server, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1:8080"+path, strings.NewReader(body))
	r.Header.Set(requestIDHeader, "example")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	s.http.Handler.ServeHTTP(w, r)
	return w
}

// TestExamples sends every request of the table; what comes back is what the document shows.
func TestExamples(t *testing.T) {
	for _, r := range routes() {
		for _, e := range r.Examples {
			t.Run(e.Name, func(t *testing.T) {
				path := APIBase + e.Path
				if r.Root {
					path = e.Path
				}
				w := send(exampleWorld(t).server(t, nil), r.Method, path, e.Body)
				if w.Code != e.Want {
					t.Fatalf("%d %s, want %d", w.Code, w.Body, e.Want)
				}
				var got bytes.Buffer
				if err := json.Indent(&got, bytes.TrimSpace(w.Body.Bytes()), "", "  "); err != nil {
					t.Fatal(err)
				}
				got.WriteByte('\n')
				compare(t, filepath.Join("examples", e.Name+".json"), got.Bytes())
			})
		}
	}
}

func compare(t *testing.T, file string, got []byte) {
	t.Helper()
	if rewriting() {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s differs; go test ./serve -rewrite writes it anew, twice if examples have changed:\n%s", file, got)
	}
}

// TestEveryRouteHasExamples but those whose answer is not JSON or is the document itself.
func TestEveryRouteHasExamples(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range routes() {
		if len(r.Examples) == 0 && r.ID != "openapi" && r.ID != "logout" {
			t.Errorf("%s has no example", r.ID)
		}
		for _, e := range r.Examples {
			if seen[e.Name] || !strings.HasPrefix(e.Name, r.ID) {
				t.Errorf("example %s: its name is taken, or does not begin with %s", e.Name, r.ID)
			}
			seen[e.Name] = true
		}
	}
	files, err := os.ReadDir("examples")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !seen[strings.TrimSuffix(f.Name(), ".json")] {
			t.Errorf("examples/%s belongs to no example", f.Name())
		}
	}
}

// TestDocumentIsCommitted compares the file for people, and what is served, with what the code says.
func TestDocumentIsCommitted(t *testing.T) {
	doc, err := OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	compare(t, documentFile, doc)
	w := send(exampleWorld(t).server(t, nil), http.MethodGet, APIBase+"/openapi.json", "")
	if w.Code != http.StatusOK || !bytes.Equal(bytes.TrimSpace(w.Body.Bytes()), bytes.TrimSpace(compact(t, doc))) && !bytes.Equal(bytes.TrimSpace(w.Body.Bytes()), bytes.TrimSpace(doc)) {
		t.Errorf("%d: another document is served", w.Code)
	}
}

func compact(t *testing.T, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestNothingBreaks holds the document against the one of the last release: what clients use must still be there.
func TestNothingBreaks(t *testing.T) {
	var old, now map[string]any
	read := func(file string, into *map[string]any) {
		text, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(text, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	read("testdata/openapi-released.json", &old)
	read(documentFile, &now)
	for _, b := range breaks(old, now) {
		t.Error(b)
	}
}

// breaks lists what a client of the old document would miss in the new one.
func breaks(old, now map[string]any) (all []string) {
	c := &comparison{old: old, now: now}
	for _, path := range slices.Sorted(maps.Keys(at2(old, "paths"))) {
		for _, method := range slices.Sorted(maps.Keys(at2(old, "paths", path))) {
			c.operation(path, method)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(at2(old, "components", "schemas"))) {
		c.schema(name, at2(old, "components", "schemas", name), at2(now, "components", "schemas", name))
	}
	return c.found
}

type comparison struct {
	old, now map[string]any
	found    []string
}

func (c *comparison) say(format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf(format, args...))
}

func (c *comparison) operation(path, method string) {
	before, after := at2(c.old, "paths", path, method), at2(c.now, "paths", path, method)
	if after == nil {
		c.say("%s %s has gone", method, path)
		return
	}
	params := func(op map[string]any) map[string]map[string]any {
		all := map[string]map[string]any{}
		list, _ := op["parameters"].([]any)
		for _, p := range list {
			p := p.(map[string]any)
			all[fmt.Sprint(p["in"], " ", p["name"])] = p
		}
		return all
	}
	was, is := params(before), params(after)
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if is[name] == nil {
			c.say("%s %s: parameter %s has gone", method, path, name)
		} else {
			c.schema(method+" "+path+" "+name, at2(was[name], "schema"), at2(is[name], "schema"))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(is)) {
		if was[name] == nil && is[name]["required"] == true {
			c.say("%s %s: parameter %s is required now", method, path, name)
		}
	}
	for _, status := range slices.Sorted(maps.Keys(at2(before, "responses"))) {
		if at2(after, "responses", status) == nil {
			c.say("%s %s: answer %s has gone", method, path, status)
		}
		old, now := at2(before, "responses", status, "content", "application/json", "schema"), at2(after, "responses", status, "content", "application/json", "schema")
		c.schema(method+" "+path+" "+status, old, now)
	}
}

// schema compares types; references are compared by name, what they refer to by itself.
func (c *comparison) schema(where string, old, now map[string]any) {
	if old == nil {
		return
	}
	if now == nil {
		c.say("%s has gone", where)
		return
	}
	for _, key := range []string{"type", "$ref", "format"} {
		if fmt.Sprint(old[key]) != fmt.Sprint(now[key]) {
			c.say("%s: %s was %v, is %v", where, key, old[key], now[key])
		}
	}
	if before, ok := old["enum"].([]any); ok {
		after, _ := now["enum"].([]any)
		for _, v := range before {
			if !slices.Contains(after, v) {
				c.say("%s: the value %v has gone", where, v)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(at2(old, "properties"))) {
		c.schema(where+"."+name, at2(old, "properties", name), at2(now, "properties", name))
	}
	for _, part := range []string{"items", "additionalProperties"} {
		if at2(old, part) != nil {
			c.schema(where+"."+part, at2(old, part), at2(now, part))
		}
	}
	was, _ := old["required"].([]any)
	is, _ := now["required"].([]any)
	for _, name := range was {
		if !slices.Contains(is, name) && at2(now, "properties", fmt.Sprint(name)) != nil {
			c.say("%s: %v may be missing now", where, name)
		}
	}
}

// at2 walks into a document; nil if there is nothing.
func at2(doc map[string]any, path ...string) map[string]any {
	for _, p := range path {
		doc, _ = doc[p].(map[string]any)
	}
	return doc
}

// TestBreaksAreFound breaks the document in every way that the comparison knows.
func TestBreaksAreFound(t *testing.T) {
	text, err := OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	fresh := func() (doc map[string]any) {
		if err := json.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		return doc
	}
	if found := breaks(fresh(), fresh()); len(found) > 0 {
		t.Errorf("the document breaks itself: %v", found)
	}
	system := []string{"paths", APIBase + "/metrics/system"}
	for name, change := range map[string]func(doc map[string]any){
		"has gone": func(doc map[string]any) { delete(at2(doc, "paths"), APIBase+"/ledger") },
		"parameter query": func(doc map[string]any) {
			op := at2(doc, append(system, "get")...)
			op["parameters"] = op["parameters"].([]any)[1:]
		},
		"is required now": func(doc map[string]any) {
			op := at2(doc, append(system, "get")...)
			op["parameters"] = append(op["parameters"].([]any), map[string]any{"in": "query", "name": "new", "required": true})
		},
		"answer 207": func(doc map[string]any) {
			delete(at2(doc, "paths", APIBase+"/metrics/custom", "post", "responses"), "207")
		},
		"Problem.code": func(doc map[string]any) { delete(at2(doc, "components", "schemas", "Problem", "properties"), "code") },
		"type was integer": func(doc map[string]any) {
			at2(doc, "components", "schemas", "Problem", "properties", "status")["type"] = "string"
		},
		"the value admin": func(doc map[string]any) {
			at2(doc, "components", "schemas", "SessionAnswer", "properties", "roles", "items")["enum"] = []any{"read"}
		},
		"may be missing now": func(doc map[string]any) { at2(doc, "components", "schemas", "Problem")["required"] = []any{"title"} },
	} {
		doc := fresh()
		change(doc)
		if found := breaks(fresh(), doc); !strings.Contains(strings.Join(found, "\n"), name) {
			t.Errorf("%s: not found in %v", name, found)
		}
	}
}

// TestTokens reads files of tokens.
func TestTokens(t *testing.T) {
	golden.Run(t, "testdata/tokens.txt", func(_ *testing.T, c golden.Case) string {
		tokens, err := ParseTokens([]byte(c.Input))
		if err != nil {
			return err.Error()
		}
		var b strings.Builder
		for i := range tokens {
			fmt.Fprintf(&b, "%s %v\n", tokens[i].Name, tokens[i].Roles)
		}
		return b.String()
	})
}
