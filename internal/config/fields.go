package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Field is one key of the file, or a section of keys.
type Field struct {
	Key     string // with dots: kafka.sasl.user
	About   string
	Section bool // it holds other keys
	Example string
	Default string // as YAML; "" if there is none
	Secret  string // all: never shown; part: shown without its password

	kind reflect.Kind
	path []int // of the struct
}

// Name is the last word of the key.
func (f *Field) Name() string { return f.Key[strings.LastIndexByte(f.Key, '.')+1:] }

// Variable is the variable of the environment that sets the key; "" for a section, which none can set.
func (f *Field) Variable() string {
	if f.Section {
		return ""
	}
	return prefix + strings.ToUpper(strings.ReplaceAll(f.Key, ".", "__"))
}

// Type is what a value has to be, in the words of the messages about one that is not.
func (f *Field) Type() string {
	switch {
	case f.Section:
		return "keys"
	case f.kind == reflect.Slice:
		return "list of texts"
	case f.kind == reflect.Int16 || f.kind == reflect.Int64:
		return "whole number"
	}
	return "text"
}

// Fields lists all keys in the order of the file, sections before their keys.
func Fields() []Field {
	c := Default()
	return fieldsOf(reflect.TypeFor[Config](), "", nil, &c)
}

func fieldsOf(t reflect.Type, prefix string, path []int, c *Config) (all []Field) {
	for i := range t.NumField() {
		sf := t.Field(i)
		name, _, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
		inner := sf.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		f := Field{
			Key: prefix + name, About: sf.Tag.Get("about"), Example: sf.Tag.Get("example"), Secret: sf.Tag.Get("secret"),
			Section: inner.Kind() == reflect.Struct, kind: inner.Kind(), path: append(slices.Clone(path), i),
		}
		if f.Section {
			all = append(append(all, f), fieldsOf(inner, f.Key+".", f.path, c)...)
			continue
		}
		if v, ok := f.in(c); ok && !v.IsZero() {
			f.Default = flow(v)
		}
		all = append(all, f)
	}
	return all
}

// in is the field's value; not ok if a section above it is left out.
func (f *Field) in(c *Config) (reflect.Value, bool) {
	v := reflect.ValueOf(c).Elem()
	for _, i := range f.path {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return v, false
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v, true
}

// flow writes a value as YAML on one line.
func flow(v reflect.Value) string {
	text, err := yaml.MarshalWithOptions(v.Interface(), yaml.Flow(true), yaml.JSON())
	if err != nil {
		return fmt.Sprint(v.Interface())
	}
	return strings.TrimSpace(string(text))
}

// find looks a key up.
func find(key string) (Field, bool) {
	all := Fields()
	i := slices.IndexFunc(all, func(f Field) bool { return f.Key == key })
	if i < 0 {
		return Field{}, false
	}
	return all[i], true
}

func names(fields []Field) (all []string) {
	for i := range fields {
		all = append(all, fields[i].Key)
	}
	return all
}

// suggestion is a phrase with the name that was probably meant, or with all that there are, if they are few.
func suggestion(name string, among []string) string {
	best, least := "", len(name)/2+1
	for _, a := range among {
		if d := distance(name, a); d < least {
			best, least = a, d
		}
	}
	switch {
	case best != "":
		return "; did you mean " + best + "?"
	case len(among) <= 10:
		return "; there are " + strings.Join(among, ", ")
	}
	return ""
}

// distance is the number of characters to put in, take out, replace, or swap with their neighbour (the restricted
// Damerau-Levenshtein distance).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last := make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := range x {
		row := make([]int, len(y)+1)
		row[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(y)]
}
