package lint

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/schemas"
)

const referencePage = "docs/reference/README.md"

// contracts reports what others build upon and the reference does not name: headers and topics, codes of rejections, paths of
// the API, fields of events.
func contracts(r *repository) []string {
	data, err := os.ReadFile(filepath.Join(r.root, referencePage))
	if err != nil {
		return []string{err.Error()}
	}
	text := string(data)
	var offences []string
	demand := func(what, name string) {
		if !strings.Contains(text, "`"+name+"`") {
			offences = append(offences, fmt.Sprintf("%s does not name the %s `%s`", referencePage, what, name))
		}
	}
	ours := func(value string) bool { return strings.HasPrefix(value, "tidewatch.") }
	for _, name := range slices.Concat(r.constants("sinks/kafka", "", ours), r.constants("alerts", "", ours)) {
		demand("header or topic", name)
	}
	for _, code := range r.constants("schemas", "Code", nil) {
		demand("code", code)
	}
	paths, err := r.paths()
	if err != nil {
		return append(offences, err.Error())
	}
	for _, path := range paths {
		if !strings.Contains(text, path+"`") {
			offences = append(offences, fmt.Sprintf("%s does not name the path `%s`", referencePage, path))
		}
	}
	for _, d := range schemas.Builtin().Definitions() {
		offences = append(offences, fields(text, d)...)
	}
	return offences
}

// constants are the values of the text constants of a package: those of a type, or all; those that wanted chooses, or all.
func (r *repository) constants(pkg, kind string, wanted func(string) bool) (values []string) {
	for _, p := range r.packages {
		if p.short() != pkg {
			continue
		}
		for i := range p.sources {
			for _, decl := range p.sources[i].tree.Decls {
				if d, ok := decl.(*ast.GenDecl); ok && d.Tok == token.CONST && !p.sources[i].test {
					values = append(values, texts(d, kind, wanted)...)
				}
			}
		}
	}
	return values
}

func texts(d *ast.GenDecl, kind string, wanted func(string) bool) (values []string) {
	for _, spec := range d.Specs {
		s := spec.(*ast.ValueSpec)
		if of, ok := s.Type.(*ast.Ident); kind != "" && (!ok || of.Name != kind) {
			continue
		}
		for _, v := range s.Values {
			if literal, ok := v.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				if value, err := strconv.Unquote(literal.Value); err == nil && (wanted == nil || wanted(value)) {
					values = append(values, value)
				}
			}
		}
	}
	return values
}

// paths are those of the API, without what they all begin with.
func (r *repository) paths() (paths []string, err error) {
	data, err := os.ReadFile(filepath.Join(r.root, "docs/reference/openapi.json"))
	if err != nil {
		return nil, err
	}
	var document struct {
		Paths map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, err
	}
	for path := range document.Paths {
		paths = append(paths, strings.TrimPrefix(path, "/api/v2"))
	}
	slices.Sort(paths)
	return paths, nil
}

// fields reports fields of an event type that its section does not name.
func fields(text string, d *schemas.Definition) (offences []string) {
	_, section, ok := strings.Cut(text, fmt.Sprintf("\n### %s, version %d\n", d.Name, d.Version))
	if !ok {
		return []string{fmt.Sprintf("%s has no section about %s", referencePage, d)}
	}
	section, _, _ = strings.Cut(section, "\n#")
	for _, name := range d.Names() {
		if !strings.Contains(section, "`"+name+"`") {
			offences = append(offences, fmt.Sprintf("%s does not name the field `%s` of %s", referencePage, name, d))
		}
	}
	return offences
}

func TestContractsFindOffences(t *testing.T) {
	r := one(t, "sinks/kafka", "sinks/kafka/a.go", "package kafka\nconst (\n\ta = \"tidewatch.a\"\n\tb = \"tidewatch.b\"\n\tc = \"c\"\n)\nconst d Code = \"d\"\n")
	r.root = t.TempDir()
	if got := r.constants("sinks/kafka", "Code", nil); !slices.Equal(got, []string{"d"}) {
		t.Errorf("constants of the type: %q", got)
	}
	var page strings.Builder
	page.WriteString("`tidewatch.a` `/x`\n")
	for _, d := range schemas.Builtin().Definitions() {
		fmt.Fprintf(&page, "\n### %s, version %d\n`%s`\n", d.Name, d.Version, strings.Join(d.Names()[1:], "` `"))
	}
	if err := os.MkdirAll(filepath.Join(r.root, "docs/reference"), 0o755); err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string]string{referencePage: page.String(), "docs/reference/openapi.json": `{"paths":{"/api/v2/x":{},"/api/v2/y":{}}}`} {
		if err := os.WriteFile(filepath.Join(r.root, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"`tidewatch.b`", "`/y`", "`time` of metric v1", "`time` of security v1"}
	got := contracts(r)
	if len(got) != len(want) {
		t.Fatalf("contracts: %q", got)
	}
	for i, w := range want {
		if !strings.Contains(got[i], w) {
			t.Errorf("offence %d: %q, want one about %s", i, got[i], w)
		}
	}
}
