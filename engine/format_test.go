package engine

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// TestFormatNamesEverything: FORMAT.md has every field of the row and every section that the program writes.
func TestFormatNamesEverything(t *testing.T) {
	page, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range fieldsOf(reflect.TypeFor[stream.Record](), map[string]bool{}) {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("FORMAT.md does not say what the field %q of a row is", name)
		}
	}
	sections := sectionsOf(t)
	if len(sections) < 10 {
		t.Fatalf("only the sections %v were found", sections)
	}
	for _, name := range sections {
		if !strings.Contains(string(page), "`"+name) {
			t.Errorf("FORMAT.md does not say what the section %q is", name)
		}
	}
}

// fieldsOf collects the names of JSON fields.
func fieldsOf(of reflect.Type, names map[string]bool) map[string]bool {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct {
		return names
	}
	for f := range of.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names[name] = true
		fieldsOf(f.Type, names)
	}
	return names
}

// sectionsOf finds the names of sections in the source.
func sectionsOf(t *testing.T) (names []string) {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", `{{$d := .Dir}}{{range .GoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}`,
		"../engine/...", "../operators/...", "../alerts/...", "../sinks/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	written := regexp.MustCompile(`w\.(?:Section|SnapshotTo)\(("?)([\w ]+)`)
	for file := range strings.FieldsSeq(string(out)) {
		source, err := os.ReadFile(filepath.Clean(file))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range written.FindAllStringSubmatch(string(source), -1) {
			name := m[2]
			if m[1] == "" { // a constant of the file, or what a caller hands in
				c := regexp.MustCompile(`\b` + name + `\s*= "([\w ]+)"`).FindStringSubmatch(string(source))
				if c == nil {
					continue
				}
				name = c[1]
			}
			names = append(names, strings.TrimSpace(name))
		}
	}
	return names
}
