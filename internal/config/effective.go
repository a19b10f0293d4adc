package config

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Origins of values.
const (
	FromDefault = "default"
	FromFile    = "file"
	FromEnv     = "env"
	FromFlag    = "flag"
)

// Value is a key with its effective value.
type Value struct {
	Key    string `json:"key"`
	Value  string `json:"value"`           // as YAML; secrets are hidden
	Origin string `json:"origin"`          // default, file, env or flag
	Where  string `json:"where,omitempty"` // the line, the variable, the flag, or the file of a secret
}

// Hidden stands for a secret.
const Hidden = "(hidden)"

// Effective lists all keys that have a value, with where it comes from. The configuration need not be valid, only readable.
func Effective(name string, environ []string, settings ...string) ([]Value, error) {
	c, err := Load(name, environ, settings...)
	if _, isMistake := errors.AsType[Mistake](err); err != nil && !isMistake {
		return nil, err
	}
	origins := map[string]Value{}
	if name != "" {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read configuration: %w", err)
		}
		for key, p := range inspect(name, data).places {
			origins[key] = Value{Origin: FromFile, Where: fmt.Sprintf("%s:%d", name, p.key.Position.Line)}
		}
	}
	for _, kv := range environ {
		variable, _, _ := strings.Cut(kv, "=")
		if key := keyOf(variable); key != "" {
			origins[key] = Value{Origin: FromEnv, Where: variable}
		}
	}
	for _, kv := range settings {
		key, _, _ := strings.Cut(kv, "=")
		origins[key] = Value{Origin: FromFlag, Where: "--set " + key}
	}
	for _, s := range c.filed() {
		if s.file != "" {
			from := origins[s.key+"_file"]
			origins[s.key] = Value{Origin: from.Origin, Where: s.file}
		}
	}
	return c.values(origins), nil
}

func (c *Config) values(origins map[string]Value) (all []Value) {
	for _, f := range Fields() {
		v, ok := f.in(c)
		if f.Section || !ok || v.IsZero() {
			continue
		}
		out, known := origins[f.Key]
		if !known {
			out.Origin = FromDefault
		}
		out.Key, out.Value = f.Key, f.shown(v)
		all = append(all, out)
	}
	return all
}

// shown is the value without what is secret in it.
func (f *Field) shown(v reflect.Value) string {
	switch f.Secret {
	case "all":
		return Hidden
	case "part":
		return flow(reflect.ValueOf(WithoutPassword(v.String())))
	}
	return flow(v)
}

// WithoutPassword takes the password out of a URL, or out of the key=value words of a DSN.
func WithoutPassword(address string) string {
	hide := regexp.MustCompile(`(?i)((?:^|[\s?&])(?:ssl)?pass(?:word|file)?\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]+)`)
	if !strings.Contains(address, "://") {
		return hide.ReplaceAllString(address, "${1}***")
	}
	u, err := url.Parse(address)
	if err != nil {
		return Hidden
	}
	if _, has := u.User.Password(); has {
		u.User = url.UserPassword(u.User.Username(), "***")
	}
	u.RawQuery = hide.ReplaceAllString("&"+u.RawQuery, "${1}***")[1:]
	return strings.ReplaceAll(u.String(), "%2A%2A%2A", "***")
}

// Check reports everything that is wrong with a configuration: its file, the environment and settings, and the files that it
// names. name may be empty.
func Check(name string, environ []string, settings ...string) (Problems, error) {
	in := &inspected{file: name}
	if name != "" {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read configuration: %w", err)
		}
		if in = inspect(name, data); len(in.problems) > 0 {
			return in.problems, nil
		}
	}
	c, err := Load(name, environ, settings...)
	if _, isMistake := errors.AsType[Mistake](err); err != nil && !isMistake {
		return Problems{{Message: err.Error()}}, nil
	}
	for _, m := range append(c.mistakes(), c.files()...) {
		in.mistake(m, environ, settings)
	}
	return in.problems, nil
}

// mistake reports a value where it is set: by a flag or the environment, else in the file at the key or the section that
// lacks it.
func (in *inspected) mistake(m Mistake, environ, settings []string) {
	for _, kv := range settings {
		if key, _, _ := strings.Cut(kv, "="); key == m.Key {
			in.problems = append(in.problems, Problem{Message: m.Message + " (--set " + key + ")"})
			return
		}
	}
	for _, kv := range slices.Sorted(slices.Values(environ)) {
		if variable, _, _ := strings.Cut(kv, "="); keyOf(variable) == m.Key {
			in.problems = append(in.problems, Problem{Message: m.Message + " (from " + variable + ")"})
			return
		}
	}
	for key := m.Key; key != ""; {
		if p, ok := in.places[key]; ok && key == m.Key {
			in.add(p.value, m.Message)
			return
		} else if ok {
			in.add(p.key, m.Message)
			return
		}
		key = key[:max(strings.LastIndexByte(key, '.'), 0)]
	}
	in.add(nil, m.Message)
}
