package pipelines

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// library is only read, by Library.
//
//go:embed library/*.yaml
var library embed.FS

// Library is the folder of the shipped pipelines: its files are NAME.yaml.
func Library() fs.FS {
	sub, err := fs.Sub(library, "library")
	if err != nil {
		panic(fmt.Sprintf("embedded pipelines: %v", err))
	}
	return sub
}

// LoadLibrary reads and checks the shipped pipelines.
func LoadLibrary(c *Components) ([]*Spec, error) {
	files, err := filesOf(Library(), ".", "library")
	if err != nil {
		return nil, fmt.Errorf("load shipped pipelines: %w", err)
	}
	return check(files, c)
}

// Load reads files, and the *.yaml and *.yml files of folders, and checks all their pipelines together. The error holds
// every mistake as [Problems]; a file that cannot be read is an error of its own. Specs come in the order of the paths, files of a
// folder by name.
func Load(c *Components, paths ...string) ([]*Spec, error) {
	var files []file
	seen := map[string]bool{}
	for _, p := range paths {
		found, err := readPath(p)
		if err != nil {
			return nil, fmt.Errorf("load pipelines: %w", err)
		}
		for _, f := range found { // a file named twice is meant once
			key := filepath.Clean(f.name)
			if !seen[key] {
				files = append(files, f)
			}
			seen[key] = true
		}
	}
	return check(files, c)
}

// LoadText is Load of the text of one file; name is for messages.
func LoadText(c *Components, name, text string) ([]*Spec, error) {
	return check([]file{{name, []byte(text)}}, c)
}

// file is a file that was read.
type file struct {
	name string
	data []byte
}

func check(files []file, c *Components) ([]*Spec, error) {
	var specs []*Spec
	var problems Problems
	for _, f := range files {
		found, wrong := Parse(f.name, f.data)
		specs, problems = append(specs, found...), append(problems, wrong...)
	}
	problems = append(problems, Validate(specs, c)...)
	if len(problems) > 0 {
		return nil, problems.err()
	}
	return specs, nil
}

func readPath(p string) ([]file, error) {
	info, err := os.Stat(p)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		files, err := filesOf(os.DirFS(p), ".", p)
		if err == nil && len(files) == 0 {
			return nil, fmt.Errorf("there is no *.yaml file in %s", p)
		}
		return files, err
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("%s has %d bytes, at most %d make sense: split it", p, info.Size(), maxFileBytes)
	}
	data, err := os.ReadFile(p)
	if err != nil {
		return nil, err
	}
	return []file{{p, data}}, nil
}

// filesOf reads the YAML files of a folder, without its sub-folders.
func filesOf(dir fs.FS, root, shown string) (files []file, err error) {
	entries, err := fs.ReadDir(dir, root)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() || strings.HasPrefix(name, ".") || !slices.Contains([]string{".yaml", ".yml"}, path.Ext(name)) {
			continue
		}
		data, err := fs.ReadFile(dir, path.Join(root, name))
		if err != nil {
			return nil, err
		}
		files = append(files, file{filepath.Join(shown, name), data})
	}
	return files, nil
}
