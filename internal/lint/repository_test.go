package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/tidewatch/tidewatch"

// repository is everything that the rules look at, read once.
type repository struct {
	root     string
	packages []*pkg
	files    []string // all that belongs to the repository, relative, sorted
}

// pkg is what go list says of a package, and its parsed files.
type pkg struct {
	ImportPath, Name, Doc, Dir         string
	GoFiles, TestGoFiles, XTestGoFiles []string
	Imports, Deps                      []string
	sources                            []source
}

// source is one parsed Go file.
type source struct {
	path string // relative to the root
	test bool
	text []byte
	set  *token.FileSet
	tree *ast.File
}

// short is the package's path within the module.
func (p *pkg) short() string { return relative(p.ImportPath) }

// relative cuts the module's name off an import path; "" if the path is not ours.
func relative(path string) string {
	rest, ours := strings.CutPrefix(path, module+"/")
	if !ours {
		return ""
	}
	return rest
}

func load(t *testing.T) *repository {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	r := &repository{root: root}
	for decoder := json.NewDecoder(bytes.NewReader(output(t, root, "go", "list", "-deps", "-e", "-json=ImportPath,Name,Doc,Dir,GoFiles,TestGoFiles,XTestGoFiles,Imports,Deps", "./..."))); ; {
		p := &pkg{}
		if err := decoder.Decode(p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if p.short() != "" {
			p.parse(t, root)
			r.packages = append(r.packages, p)
		}
	}
	// Files that are not committed yet count too, or a mistake would be found only after the commit.
	listed := output(t, root, "git", "ls-files", "--cached", "--others", "--exclude-standard")
	r.files = slices.DeleteFunc(strings.Split(strings.TrimSpace(string(listed)), "\n"), func(file string) bool {
		_, err := os.Stat(filepath.Join(root, file))
		return err != nil
	})
	if len(r.packages) < 10 || len(r.files) < 50 {
		t.Fatalf("found %d packages and %d files: the rules would pass on nothing", len(r.packages), len(r.files))
	}
	return r
}

func output(t *testing.T, dir, program string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v", program, strings.Join(args, " "), err)
	}
	return out
}

func (p *pkg) parse(t *testing.T, root string) {
	t.Helper()
	for i, names := range [][]string{p.GoFiles, p.TestGoFiles, p.XTestGoFiles} {
		for _, name := range names {
			path := filepath.Join(p.Dir, name)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s, err := newSource(strings.TrimPrefix(path, root+"/"), text)
			if err != nil {
				t.Fatal(err)
			}
			s.test = i > 0
			p.sources = append(p.sources, s)
		}
	}
}

func newSource(path string, text []byte) (source, error) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, path, text, parser.ParseComments)
	if err != nil {
		return source{}, fmt.Errorf("parse %s: %w", path, err)
	}
	return source{path: path, text: text, set: set, tree: tree}, nil
}

// at is file:line of a place in the source.
func (s *source) at(pos token.Pos) string {
	return fmt.Sprintf("%s:%d", s.path, s.set.Position(pos).Line)
}

// TestRepository runs all rules on this repository. That each rule finds what it should is tested beside it.
func TestRepository(t *testing.T) {
	r := load(t)
	rules := map[string]func(*repository) []string{
		"imports go down the ladder":    ladder,
		"no test code in the program":   linked,
		"the oracle stands alone":       oracle,
		"packages say what they are":    packageDocs,
		"exported names have a comment": exportedDocs,
		"files are small":               fileLengths,
		"names say something":           packageNames,
		"no sleeping tests":             sleeps,
		"no clock where time is data":   clocks,
		"no init functions":             inits,
		"nothing left for later":        leftovers,
		"parsers are fuzzed":            fuzzed,
		"no machine in the text":        machines,
		"documents name what exists":    documents,
		"links lead somewhere":          links,
		"the reference is complete":     contracts,
		"the README lists what shows":   shows,
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			for _, offence := range rule(r) {
				t.Error(offence)
			}
		})
	}
}
