package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// each runs a rule on the files that it wants to see.
func (r *repository) each(wanted func(p *pkg, s *source) bool, rule func(p *pkg, s *source) []string) []string {
	var offences []string
	for _, p := range r.packages {
		for i := range p.sources {
			if wanted(p, &p.sources[i]) {
				offences = append(offences, rule(p, &p.sources[i])...)
			}
		}
	}
	return offences
}

func all(*pkg, *source) bool            { return true }
func tests(_ *pkg, s *source) bool      { return s.test }
func production(_ *pkg, s *source) bool { return !s.test }

func packageDocs(r *repository) []string {
	var offences []string
	for _, p := range r.packages {
		if len(p.GoFiles) == 0 {
			continue
		}
		want := "Package " + p.Name + " "
		if p.Name == "main" {
			want = "Command " + path.Base(p.ImportPath) + " "
		}
		if !strings.HasPrefix(p.Doc, want) {
			offences = append(offences, fmt.Sprintf("%s: its comment begins with %q, want %q", p.short(), p.Doc, want))
		}
	}
	return offences
}

func packageNames(r *repository) []string {
	var offences []string
	for _, p := range r.packages {
		if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "manager", "base", "misc"}, p.Name) {
			offences = append(offences, p.short()+": the name says nothing about what is in it")
		}
	}
	return offences
}

func fileLengths(r *repository) []string {
	const most = 600
	return r.each(production, func(_ *pkg, s *source) []string {
		if n := bytes.Count(s.text, []byte("\n")); n > most {
			return []string{fmt.Sprintf("%s has %d lines, at most %d", s.path, n, most)}
		}
		return nil
	})
}

func sleeps(r *repository) []string {
	return r.each(tests, func(_ *pkg, s *source) []string {
		return calls(s, "time", []string{"Sleep"}, "wait on a signal, a mark or in a synctest bubble")
	})
}

func clocks(r *repository) []string {
	timeless := func(p *pkg, s *source) bool {
		return !s.test && slices.ContainsFunc([]string{"stream", "operators", "alerts", "schemas"}, func(f string) bool { return below(p.short(), f) }) &&
			!below(p.short(), "stream/streamtest")
	}
	return r.each(timeless, func(_ *pkg, s *source) []string {
		return calls(s, "time", []string{"Now", "Sleep", "After", "Tick", "NewTimer", "NewTicker", "AfterFunc", "Since", "Until"},
			"time is data here; only those with a stream.Clock may ask for it")
	})
}

// calls reports uses of functions of a standard package, whatever name it was imported under.
func calls(s *source, from string, names []string, advice string) []string {
	local := from
	for _, spec := range s.tree.Imports {
		if spec.Path.Value == `"`+from+`"` && spec.Name != nil {
			local = spec.Name.Name
		}
	}
	var offences []string
	ast.Inspect(s.tree, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == local && slices.Contains(names, sel.Sel.Name) {
				offences = append(offences, fmt.Sprintf("%s: %s.%s: %s", s.at(sel.Pos()), from, sel.Sel.Name, advice))
			}
		}
		return true
	})
	return offences
}

func inits(r *repository) []string {
	return r.each(all, func(_ *pkg, s *source) []string {
		var offences []string
		for _, decl := range s.tree.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				offences = append(offences, s.at(f.Pos())+": init runs for everybody who imports this; use a constructor")
			}
		}
		return offences
	})
}

func leftovers(r *repository) []string {
	// In pieces, so that this file does not report itself.
	words := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X|HA` + `CK)\b`)
	return r.each(all, func(_ *pkg, s *source) []string {
		var offences []string
		for _, group := range s.tree.Comments {
			if word := words.FindString(group.Text()); word != "" {
				offences = append(offences, fmt.Sprintf("%s: %s: do it, or write down in docs/design why not", s.at(group.Pos()), word))
			}
		}
		return offences
	})
}

// exportedDocs reports exported names without a comment. Commands export nothing, and a field may explain itself.
func exportedDocs(r *repository) []string {
	library := func(p *pkg, s *source) bool { return !s.test && p.Name != "main" }
	return r.each(library, func(_ *pkg, s *source) []string {
		var offences []string
		for _, decl := range s.tree.Decls {
			for _, name := range undocumented(decl) {
				offences = append(offences, fmt.Sprintf("%s: %s is exported and has no comment", s.at(name.Pos()), name.Name))
			}
		}
		return offences
	})
}

func undocumented(decl ast.Decl) []*ast.Ident {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d))) {
			return []*ast.Ident{d.Name}
		}
	case *ast.GenDecl:
		if d.Doc == nil {
			return undocumentedSpecs(d.Specs)
		}
	}
	return nil
}

func undocumentedSpecs(specs []ast.Spec) []*ast.Ident {
	var names []*ast.Ident
	for _, spec := range specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if s.Doc == nil && s.Name.IsExported() {
				names = append(names, s.Name)
			}
		case *ast.ValueSpec:
			if s.Doc == nil && s.Comment == nil {
				names = append(names, slices.DeleteFunc(slices.Clone(s.Names), func(n *ast.Ident) bool { return !n.IsExported() })...)
			}
		}
	}
	return names
}

// receiver is the name of the method's type.
func receiver(f *ast.FuncDecl) string {
	expr := f.Recv.List[0].Type
	for {
		switch e := expr.(type) {
		case *ast.StarExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.IndexListExpr:
			expr = e.X
		case *ast.Ident:
			return e.Name
		default:
			return ""
		}
	}
}

// fuzzed reports packages that read bytes from outside without a fuzz target.
func fuzzed(r *repository) []string {
	parsers := []string{
		"alerts", "engine/rekey", "internal/columnfile", "internal/expression", "pipelines", "schemas", "sinks/redis", "sources/kafka", "stream",
	}
	var offences []string
	for _, p := range r.packages {
		if slices.Contains(parsers, p.short()) && !slices.ContainsFunc(p.sources, func(s source) bool { return bytes.Contains(s.text, []byte("\nfunc Fuzz")) }) {
			offences = append(offences, p.short()+" reads bytes from outside and has no fuzz target")
		}
	}
	return offences
}

// one makes a repository of a single file.
func one(t *testing.T, importPath, file, text string) *repository {
	t.Helper()
	s, err := newSource(file, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s.test = strings.HasSuffix(file, "_test.go")
	return &repository{packages: []*pkg{{
		ImportPath: module + "/" + importPath, Name: s.tree.Name.Name, GoFiles: []string{file}, sources: []source{s},
	}}}
}

func TestCodeRulesFindOffences(t *testing.T) {
	const todo = "TO" + "DO"
	cases := []struct {
		name, in, file, text string
		rule                 func(*repository) []string
		want                 int
	}{
		{"sleep", "stream", "a_test.go", "package a\nimport z \"time\"\nfunc f() { z.Sleep(1) }", sleeps, 1},
		{"sleep elsewhere", "stream", "a.go", "package a\nimport \"time\"\nfunc f() { time.Sleep(1) }", sleeps, 0},
		{"clock", "operators/x", "a.go", "package a\nimport \"time\"\nvar now = time.Now\nfunc f() { time.After(1) }", clocks, 2},
		{"clock allowed", "engine", "a.go", "package a\nimport \"time\"\nvar now = time.Now", clocks, 0},
		{"init", "serve", "a.go", "package a\nfunc init() {}\ntype t struct{}\nfunc (t) init() {}", inits, 1},
		{"leftover", "serve", "a.go", "package a\n// f. " + todo + ": more.\nfunc f() {}\nconst s = `" + todo + "`", leftovers, 1},
		{"name", "util", "a.go", "package util", packageNames, 1},
		{"doc", "serve", "a.go", "package serve", packageDocs, 1},
		{"long", "serve", "a.go", "package a\n" + strings.Repeat("\n", 600), fileLengths, 1},
		{"not long", "serve", "a.go", "package a\n" + strings.Repeat("\n", 599), fileLengths, 0},
		{"fuzz", "schemas", "a_test.go", "package a\nfunc TestX() {}", fuzzed, 1},
		{"fuzz there", "schemas", "a_test.go", "package a\nfunc FuzzX() {}", fuzzed, 0},
		{
			"exported", "serve", "a.go", "package a\nfunc A() {}\n// B.\nfunc B() {}\ntype C int\nfunc (C) D() {}\ntype e int\nfunc (e) F() {}\n" +
				"const (\n\tG = 1 // g.\n\tH = 2\n)\n// I.\nconst (\n\tJ = 1\n)\ntype K[T any] int\nfunc (*K[T]) L() {}\n", exportedDocs, 6, // A C D H K L
		},
	}
	for _, c := range cases {
		if got := c.rule(one(t, c.in, c.file, c.text)); len(got) != c.want {
			t.Errorf("%s: found %q, want %d", c.name, got, c.want)
		}
	}
}
