package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// machines reports text that only holds on one machine: folders of a person, and hosts that a mirror may replace.
func machines(r *repository) []string {
	// In pieces, so that this file does not report itself.
	pattern := regexp.MustCompile(`(^|[^a-zA-Z0-9_.\-/])/(wo` + `rk|ro` + `ot|ho` + `me/[a-z]+|Us` + `ers/[a-z]+)/` +
		`|proxy\.gol` + `ang\.org|repo1?\.ma` + `ven\.|registry\.np` + `mjs|deb\.deb` + `ian\.org|//pyp` + `i\.org`)
	var offences []string
	for _, file := range r.files {
		text, err := os.ReadFile(filepath.Join(r.root, file))
		if err != nil {
			return append(offences, err.Error())
		}
		if below(file, "internal/devstack") { // the single-node mode has to say where its PostgreSQL comes from
			continue
		}
		if bytes.IndexByte(text[:min(len(text), 1024)], 0) >= 0 { // not text
			continue
		}
		for i, line := range bytes.Split(text, []byte("\n")) {
			if found := pattern.Find(line); found != nil {
				offences = append(offences, fmt.Sprintf("%s:%d: %q holds on one machine only", file, i+1, found))
			}
		}
	}
	return offences
}

// markdown calls a rule with every document that we wrote.
func (r *repository) markdown(rule func(file, text string) []string) []string {
	var offences []string
	for _, file := range r.files {
		if !strings.HasSuffix(file, ".md") || strings.Contains(file, "testdata/") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(r.root, file))
		if err != nil {
			return append(offences, err.Error())
		}
		offences = append(offences, rule(file, string(text))...)
	}
	return offences
}

var (
	fenced = regexp.MustCompile("(?ms)^```.*?^```$")
	quoted = regexp.MustCompile("`([^`\n]+)`")
	// A path of ours, a file or a folder: the first part is a folder of the root, or the whole is a file name.
	aPath = regexp.MustCompile(`^[a-zA-Z0-9_.\-]+(/[a-zA-Z0-9_.\-]+)*/?$`)
	// pkg.Type, pkg.Func or pkg.Type.Member.
	aName    = regexp.MustCompile(`^([a-z][a-z0-9]*)\.([A-Z]\w*)(?:\.([A-Z]\w*))?(?:\(\))?$`)
	aLink    = regexp.MustCompile(`\]\(([^)\s]+)\)|\b(?:src|srcset|href)="([^"]+)"`)
	aHeading = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

// documents reports files and Go names in backticks that do not exist, in documents that describe the code.
func documents(r *repository) []string {
	names := r.names()
	return r.markdown(func(file, text string) []string {
		if file == "CHANGELOG.md" { // it speaks of the past
			return nil
		}
		var offences []string
		for _, match := range quoted.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
			if reason := r.wrong(filepath.Dir(file), match[1], names); reason != "" {
				offences = append(offences, fmt.Sprintf("%s: `%s`: %s", file, match[1], reason))
			}
		}
		return offences
	})
}

// wrong says what is wrong with a quoted word; "" if nothing, or if it is neither a path nor a Go name of ours.
func (r *repository) wrong(folder, word string, names map[string]map[string]bool) string {
	if m := aName.FindStringSubmatch(word); m != nil {
		if names[m[1]] == nil {
			return "" // somebody else's package
		}
		name := strings.Trim(m[2]+"."+m[3], ".")
		if !names[m[1]][name] && name != strings.ToUpper(name) { // capitals alone stand for something, as in redis.STEP
			return "there is no such name in a package " + m[1]
		}
		return ""
	}
	if aPath.MatchString(word) && r.claimed(word) && !r.exists(folder, word) {
		return "there is no such file or folder"
	}
	return ""
}

// claimed reports whether the word wants to be a path of this repository.
func (r *repository) claimed(word string) bool {
	first, rest, nested := strings.Cut(word, "/")
	if !nested {
		return slices.Contains([]string{".go", ".md"}, filepath.Ext(word))
	}
	info, err := os.Stat(filepath.Join(r.root, first))
	return err == nil && info.IsDir() && rest != "" && first != "bin"
}

// exists looks from the root, beside the document, and for a bare file name everywhere.
func (r *repository) exists(folder, word string) bool {
	word = strings.TrimSuffix(word, "/")
	return slices.ContainsFunc(r.files, func(file string) bool {
		return below(file, word) || below(file, filepath.Join(folder, word)) || !strings.Contains(word, "/") && filepath.Base(file) == word
	})
}

// names collects what the packages declare: types, functions, constants, variables, and Type.Method or Type.Field.
func (r *repository) names() map[string]map[string]bool {
	all := map[string]map[string]bool{}
	for _, p := range r.packages {
		if all[p.Name] == nil {
			all[p.Name] = map[string]bool{}
		}
		for i := range p.sources {
			for _, decl := range p.sources[i].tree.Decls {
				declare(all[p.Name], decl)
			}
		}
	}
	delete(all, "main")
	return all
}

func declare(names map[string]bool, decl ast.Decl) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			names[d.Name.Name] = true
		} else {
			names[receiver(d)+"."+d.Name.Name] = true
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.ValueSpec:
				for _, name := range s.Names {
					names[name.Name] = true
				}
			case *ast.TypeSpec:
				names[s.Name.Name] = true
				declareMembers(names, s)
			}
		}
	}
}

func declareMembers(names map[string]bool, s *ast.TypeSpec) {
	var fields *ast.FieldList
	switch t := s.Type.(type) {
	case *ast.StructType:
		fields = t.Fields
	case *ast.InterfaceType:
		fields = t.Methods
	default:
		return
	}
	for _, field := range fields.List {
		for _, name := range field.Names {
			names[s.Name.Name+"."+name.Name] = true
		}
	}
}

// links reports links, and pictures, that lead to no file, and links to a heading that is not there.
func links(r *repository) []string {
	return r.markdown(func(file, text string) []string {
		var offences []string
		for _, match := range aLink.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
			link := match[1] + match[2]
			if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
				continue
			}
			if wrong := r.broken(file, text, link); wrong != "" {
				offences = append(offences, fmt.Sprintf("%s links to %s, which does not exist%s", file, link, wrong))
			}
		}
		return offences
	})
}

// broken says what is wrong with a relative link of a document; "" if nothing.
func (r *repository) broken(file, text, link string) string {
	target, anchor, _ := strings.Cut(link, "#")
	if target != "" {
		path := filepath.Join(r.root, filepath.Dir(file), target)
		if _, err := os.Stat(path); err != nil {
			return " as a file"
		}
		if anchor == "" || filepath.Ext(target) != ".md" {
			return ""
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return ": " + err.Error()
		}
		text = string(data)
	}
	if !slices.Contains(anchors(text), anchor) {
		return " as a heading"
	}
	return ""
}

// anchors are what the headings of a document are called in links, as GitHub makes them.
func anchors(text string) (all []string) {
	times := map[string]int{}
	for _, m := range aHeading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		name := strings.Map(func(c rune) rune {
			switch {
			case c == ' ':
				return '-'
			case unicode.IsLetter(c) || unicode.IsDigit(c) || c == '-' || c == '_':
				return unicode.ToLower(c)
			}
			return -1
		}, m[1])
		if times[name]++; times[name] > 1 {
			name = fmt.Sprintf("%s-%d", name, times[name]-1)
		}
		all = append(all, name)
	}
	return all
}

// shows reports targets that show something and are not in the README.
func shows(r *repository) []string {
	makefile, err := os.ReadFile(filepath.Join(r.root, "Makefile"))
	if err != nil {
		return []string{err.Error()}
	}
	readme, err := os.ReadFile(filepath.Join(r.root, "README.md"))
	if err != nil {
		return []string{err.Error()}
	}
	targets := regexp.MustCompile(`(?m)^(show-[a-z-]+):`).FindAllStringSubmatch(string(makefile), -1)
	if len(targets) == 0 {
		return []string{"the Makefile has no targets that show something: the rule would pass on nothing"}
	}
	var offences []string
	for _, m := range targets {
		if !strings.Contains(string(readme), "`make "+m[1]+"`") {
			offences = append(offences, "README.md does not say what `make "+m[1]+"` shows")
		}
	}
	return offences
}

func TestDocumentRulesFindOffences(t *testing.T) {
	r := one(t, "stream", "stream/batch.go", "package stream\ntype Batch struct{ Cols []int }\nfunc (*Batch) Len() int { return 0 }\nfunc SlotOf() {}\n")
	r.root = t.TempDir()
	text := "`stream/batch.go` `stream/` `batch.go` `stream.Batch` `stream.Batch.Cols` `stream.Batch.Len()` `stream.SlotOf` `other.Thing` `s3://x` `a/b`\n" +
		"`stream/gone.go` `gone.go` `stream.Gone` `stream.Batch.Gone` `stream.STEP`\n" +
		"```\n`stream/gone.go`\n```\n" +
		"# A `b`, C\n# A b c\n```\n# Fenced\n```\n" +
		"[here](stream/batch.go#L1) [there](stream/gone.go#x) [away](https://example.org) [down](#a-b-c-1) [no](#fenced) [beside](README.md#a-b-c)\n" +
		"`make show-a`\n[lost](README.md#x) <img src=\"stream/gone.png\"> <source srcset=\"stream/batch.go\">\n"
	for file, content := range map[string]string{"README.md": text, "stream/batch.go": "// see /wo" + "rk/main and a/wo" + "rk/b\n", "CHANGELOG.md": "`stream/gone.go`", "Makefile": "show-a: b\nshow-b:\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(r.root, file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(r.root, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		r.files = append(r.files, file)
	}
	slices.Sort(r.files)
	if got := documents(r); len(got) != 4 {
		t.Errorf("documents: %q", got)
	}
	if got := links(r); len(got) != 4 {
		t.Errorf("links: %q", got)
	}
	if got := shows(r); len(got) != 1 {
		t.Errorf("shows: %q", got)
	}
	if got := machines(r); len(got) != 1 {
		t.Errorf("machines: %q", got)
	}
}
