package schemas

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/tidewatch/tidewatch/stream"
)

// Names of fields that mean something to every decoder.
const (
	TimeField       = "time"
	AttributesField = "attributes"
	producerField   = "producer"
	hostField       = "host"
	serviceField    = "service"
)

const attributePrefix = AttributesField + "."

// Definition is a version of an event type. It is not changed after Parse, so any goroutine may read it.
type Definition struct {
	Name    string
	Version int
	About   string
	Topics  []string // whose default it is
	Fields  []Field  // in the order of the file; time and attributes are always among them
	// Units are those of the metrics that are well known, by name, in UCUM.
	Units map[string]string
}

// Field is a named value of an event.
type Field struct {
	Name     string
	Kind     stream.Kind
	Required bool // a record without it is rejected
	Doc      string
}

// String names the definition and its version in messages: "metric v1".
func (d *Definition) String() string { return fmt.Sprintf("%s v%d", d.Name, d.Version) }

// Names lists the fields in order: the columns of an archive.
func (d *Definition) Names() []string {
	names := make([]string, len(d.Fields))
	for i, f := range d.Fields {
		names[i] = f.Name
	}
	return names
}

// Field looks a field of the file up by name.
func (d *Definition) Field(name string) (Field, bool) {
	if i := d.index(name); i >= 0 {
		return d.Fields[i], true
	}
	return Field{}, false
}

func (d *Definition) index(name string) int {
	return slices.IndexFunc(d.Fields, func(f Field) bool { return f.Name == name })
}

// Resolve is the column that a name in a pipeline stands for: a field, or one attribute as `attributes.NAME`, which is a
// string. The error of an unknown name suggests one.
func (d *Definition) Resolve(name string) (stream.Field, error) {
	if f, ok := d.Field(name); ok {
		return stream.Field{Name: f.Name, Kind: f.Kind}, nil
	}
	if attr, ok := strings.CutPrefix(name, attributePrefix); ok && attr != "" {
		return stream.Field{Name: name, Kind: stream.String}, nil
	}
	attr := name
	if strings.HasPrefix(name, attributePrefix) {
		attr = "NAME"
	}
	hint := fmt.Sprintf("an attribute is read as `%s%s`", attributePrefix, attr)
	if near := Nearest(name, d.Names()); near != "" {
		hint = fmt.Sprintf("did you mean `%s`? (%s)", near, hint)
	}
	return stream.Field{}, fmt.Errorf("find field: %s has no field `%s`; %s", d, name, hint)
}

// Columns is the schema of a batch with these fields, as Resolve reads them.
func (d *Definition) Columns(fields []string) (*stream.Schema, error) {
	s := &stream.Schema{Fields: make([]stream.Field, 0, len(fields))}
	for _, name := range fields {
		f, err := d.Resolve(name)
		if err != nil {
			return nil, err
		}
		if s.Index(name) >= 0 {
			return nil, fmt.Errorf("choose columns: `%s` is named twice", name)
		}
		s.Fields = append(s.Fields, f)
	}
	return s, nil
}

// file is the form of a definition on disk.
type file struct {
	Schema  string            `yaml:"schema"`
	Version int               `yaml:"version"`
	About   string            `yaml:"about"`
	Topics  []string          `yaml:"topics"`
	Fields  []fileField       `yaml:"fields"`
	Units   map[string]string `yaml:"units"`
}

type fileField struct {
	Name     string `yaml:"name"`
	Kind     string `yaml:"kind"`
	Required bool   `yaml:"required"`
	Doc      string `yaml:"doc"`
}

// Parse reads a definition. It reports everything that is wrong with it at once.
func Parse(data []byte) (*Definition, error) {
	var f file
	if err := yaml.UnmarshalWithOptions(data, &f, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("parse schema: %w", err)
	}
	d := &Definition{Name: f.Schema, Version: f.Version, About: f.About, Topics: f.Topics, Units: f.Units}
	for _, field := range f.Fields {
		d.Fields = append(d.Fields, Field{field.Name, stream.KindOf(field.Kind), field.Required, field.Doc})
	}
	if err := d.check(); err != nil {
		return nil, fmt.Errorf("parse schema: %w", err)
	}
	return d, nil
}

func (d *Definition) check() error {
	var errs []error
	report := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if d.Name == "" || d.Version < 1 {
		report("it needs a name as `schema` and a `version` from 1 on")
	}
	seen := map[string]bool{}
	for i, f := range d.Fields {
		switch {
		case f.Name == "" || strings.Contains(f.Name, "."):
			report("field %d of %s: the name `%s` is empty or has a dot", i+1, d, f.Name)
		case seen[f.Name]:
			report("field `%s` of %s is defined twice", f.Name, d)
		case f.Kind == 0:
			report("field `%s` of %s: the kind is none of int, float, bool, string, timestamp", f.Name, d)
		case f.Doc == "":
			report("field `%s` of %s has no doc", f.Name, d)
		}
		seen[f.Name] = true
	}
	for _, name := range []string{producerField, hostField, serviceField} {
		if f, ok := d.Field(name); ok && f.Kind != stream.String {
			report("field `%s` of %s names a producer, so its kind is string", name, d)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Units)) {
		if !IsUnit(d.Units[name]) {
			report("the unit `%s` of %s in %s: %s", d.Units[name], name, d, UnitForm)
		}
	}
	errs = append(errs, d.demand(TimeField, stream.Timestamp), d.demand(AttributesField, stream.String))
	return errors.Join(errs...)
}

// UnitForm is what a unit looks like, for messages.
const UnitForm = "a unit is in UCUM, such as ms, By, 1 or {request}: up to 32 letters, digits and signs, no blanks"

// IsUnit reports whether a text can be a unit. UCUM has many and lets people invent some, so only its form is checked.
func IsUnit(text string) bool {
	return text != "" && len(text) <= 32 && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

func (d *Definition) demand(name string, kind stream.Kind) error {
	if f, ok := d.Field(name); ok && f.Kind == kind {
		return nil
	}
	return fmt.Errorf("%s needs a field `%s` of kind %s", d, name, kind)
}
