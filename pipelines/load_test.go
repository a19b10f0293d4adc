package pipelines_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/pipelines"
)

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func small(name string) string {
	return "pipeline: " + name + "\nsource: {kafka: {topics: [metrics]}}\nsinks: {parquet: {of: source}}\n"
}

func names(specs []*pipelines.Spec) string {
	var list []string
	for _, s := range specs {
		list = append(list, s.Name.Value)
	}
	return strings.Join(list, " ")
}

func TestLoad(t *testing.T) {
	c := components()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	b := writeFile(t, filepath.Join(dir, "b.yaml"), small("b")+"---\n"+small("b2"))
	writeFile(t, filepath.Join(dir, "a.yml"), strings.ReplaceAll(small("a"), "\n", "\r\n"))
	writeFile(t, filepath.Join(dir, ".hidden.yaml"), "not: [a pipeline")
	writeFile(t, filepath.Join(dir, "README.md"), "# no pipeline")
	sub := writeFile(t, filepath.Join(dir, "sub", "c.yaml"), small("c"))

	specs, err := pipelines.Load(c, sub, dir, b)
	if err != nil || names(specs) != "c a b b2" {
		t.Errorf("loaded %s, %v", names(specs), err)
	}
	if _, err := pipelines.Load(c, filepath.Join(dir, "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := pipelines.Load(c, t.TempDir()); err == nil || !strings.Contains(err.Error(), "no *.yaml file") {
		t.Errorf("an empty folder: %v", err)
	}
}

// Mistakes in several files come together, in the order of the files.
func TestLoadReportsEverything(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "a.yaml"), small("same"))
	writeFile(t, filepath.Join(dir, "b.yaml"), small("same"))
	writeFile(t, filepath.Join(dir, "c.yaml"), "pipeline: [")
	specs, err := pipelines.Load(components(), dir)
	var problems pipelines.Problems
	if !errors.As(err, &problems) || len(problems) != 2 || specs != nil {
		t.Fatalf("specs %v, error %v", specs, err)
	}
	first, second := problems[0], problems[1]
	if filepath.Base(first.File) != "b.yaml" || first.Line != 1 || first.Column != 11 || !strings.Contains(first.Message, filepath.Join(dir, "a.yaml")+" line 1") {
		t.Errorf("first problem %+v", first)
	}
	if filepath.Base(second.File) != "c.yaml" || !strings.Contains(second.Message, "no YAML") {
		t.Errorf("second problem %+v", second)
	}
}
