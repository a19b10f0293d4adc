// Package oracle says what must come out, by SQL over the input alone. It imports nothing of the engine, the operators or
// the sinks, so that no mistake of theirs can hide in it. The SQL runs in DuckDB, through Python.
package oracle

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/tidewatch/tidewatch/internal/testservers"
)

//go:embed oracle.py *.sql
var files embed.FS

// Oracle answers queries over one input.
type Oracle struct {
	python, dir, params string
	scripts             []string
}

// New prepares the scripts in dir. The parameters fill the braces of the SQL.
func New(_ context.Context, dir string, params map[string]any, scripts ...string) (*Oracle, error) {
	cache, err := testservers.Cache()
	if err != nil {
		return nil, err
	}
	python, err := testservers.FindPython(cache)
	if err != nil {
		return nil, err
	}
	o := &Oracle{python: python, dir: dir, params: filepath.Join(dir, "parameters.json")}
	raw, err := json.Marshal(params)
	if err != nil {
		return nil, err
	}
	for _, name := range append([]string{"oracle.py"}, scripts...) {
		data, err := files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("there is no script %s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return nil, err
		}
	}
	for _, s := range scripts {
		o.scripts = append(o.scripts, filepath.Join(dir, s))
	}
	return o, os.WriteFile(o.params, raw, 0o600)
}

// Query runs the scripts and then the query; rows takes them, a pointer to a slice of structs or maps.
func (o *Oracle) Query(ctx context.Context, query string, rows any) error {
	args := append([]string{filepath.Join(o.dir, "oracle.py"), o.params}, o.scripts...)
	cmd := exec.CommandContext(ctx, o.python, append(args, "--", query)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("ask the oracle %q: %w: %s", query, err, errs.String())
	}
	var all []json.RawMessage
	for d := json.NewDecoder(&out); ; {
		var row json.RawMessage
		err := d.Decode(&row)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read the oracle's answer: %w", err)
		}
		all = append(all, row)
	}
	joined, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return json.Unmarshal(joined, rows)
}
