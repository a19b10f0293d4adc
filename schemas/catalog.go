package schemas

import (
	"embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Only read, by Builtin.
//
//go:embed events/*.yaml
var events embed.FS

// Catalog finds definitions. It is not changed after it was made, so any goroutine may read it.
type Catalog struct{ definitions []*Definition } // by name, then version

// Builtin is the catalog of the definitions that the program carries.
func Builtin() *Catalog {
	files, err := events.ReadDir("events")
	if err != nil {
		panic(fmt.Sprintf("embedded schemas: %v", err))
	}
	var all []*Definition
	for _, f := range files {
		data, err := events.ReadFile("events/" + f.Name())
		if err != nil {
			panic(fmt.Sprintf("embedded schema %s: %v", f.Name(), err))
		}
		d, err := Parse(data)
		if err != nil {
			panic(fmt.Sprintf("embedded schema %s: %v", f.Name(), err))
		}
		all = append(all, d)
	}
	c, err := NewCatalog(all...)
	if err != nil {
		panic(fmt.Sprintf("embedded schemas: %v", err))
	}
	return c
}

// NewCatalog makes a catalog of these definitions. Versions of a name must be able to read one another upwards (see
// Compatible), and a topic belongs to one name only.
func NewCatalog(definitions ...*Definition) (*Catalog, error) {
	all := slices.Clone(definitions)
	slices.SortFunc(all, func(a, b *Definition) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return a.Version - b.Version
	})
	owner := map[string]string{}
	for i, d := range all {
		if i > 0 && all[i-1].Name == d.Name {
			if all[i-1].Version == d.Version {
				return nil, fmt.Errorf("build catalog: %s is there twice", d)
			}
			if err := Compatible(d, all[i-1]); err != nil {
				return nil, fmt.Errorf("build catalog: %w", err)
			}
		}
		for _, topic := range d.Topics {
			if other, ok := owner[topic]; ok && other != d.Name {
				return nil, fmt.Errorf("build catalog: topic `%s` is claimed by %s and %s", topic, other, d.Name)
			}
			owner[topic] = d.Name
		}
	}
	return &Catalog{all}, nil
}

// Definitions lists everything by name, then version.
func (c *Catalog) Definitions() []*Definition { return slices.Clone(c.definitions) }

// Lookup finds a definition by name and version; version 0 is the newest. The error of an unknown one suggests.
func (c *Catalog) Lookup(name string, version int) (*Definition, error) {
	var found *Definition
	var versions []string
	for _, d := range c.definitions {
		if d.Name != name {
			continue
		}
		versions = append(versions, strconv.Itoa(d.Version))
		if version == 0 || d.Version == version {
			found = d
		}
	}
	switch {
	case found != nil:
		return found, nil
	case len(versions) > 0:
		return nil, fmt.Errorf("find schema: `%s` has no version %d; there is %s", name, version, strings.Join(versions, ", "))
	}
	return nil, fmt.Errorf("find schema: there is no schema `%s`; %s", name, suggest(name, c.names()))
}

// ForTopic is the newest definition whose default the topic is.
func (c *Catalog) ForTopic(topic string) (*Definition, error) {
	var topics []string
	for _, d := range slices.Backward(c.definitions) {
		if slices.Contains(d.Topics, topic) {
			return d, nil
		}
		topics = append(topics, d.Topics...)
	}
	return nil, fmt.Errorf("find schema: the topic `%s` has no default schema, so the pipeline must name one (%s); %s", topic,
		strings.Join(c.names(), ", "), suggest(topic, topics))
}

func (c *Catalog) names() []string {
	var names []string
	for _, d := range c.definitions {
		if !slices.Contains(names, d.Name) {
			names = append(names, d.Name)
		}
	}
	return names
}
