package redis

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// Output describes what readers have to know about the rollups of a window step: it is kept in Redis beside them.
type Output struct {
	Pipeline string   `json:"pipeline"`
	Name     string   `json:"output"`   // the step's name in the pipeline
	Instance string   `json:"instance"` // name and version of the pipeline
	Columns  []Column `json:"columns"`  // group columns first, then values
	Groups   int      `json:"groups"`   // number of group columns
	// Window is the length of a window, Every the distance from one start to the next: all starts are multiples of it.
	Window time.Duration `json:"window_ns"`
	Every  time.Duration `json:"every_ns"`
	// Keep is how long after its end a window stays; 0 is for ever.
	Keep time.Duration `json:"keep_ns"`
	// Since is the start of the first window of this version of the pipeline, and Before the output of the version before,
	// which has the windows that start earlier; nil if there is none.
	Since  stream.Time `json:"since_ns,omitempty"`
	Before *Output     `json:"before,omitempty"`
}

// continues reports whether windows of the version before can be shown as windows of this one: they are as long, and their
// groups are of the same columns.
func (o *Output) continues() bool {
	b := o.Before
	return b != nil && b.Window == o.Window && b.Every == o.Every && slices.Equal(b.Columns[:b.Groups], o.Columns[:o.Groups])
}

// Column is a column of an output; the kind by its name.
type Column struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
}

// ColumnsOf describes the columns of a schema.
func ColumnsOf(s *stream.Schema) []Column {
	columns := make([]Column, len(s.Fields))
	for i, f := range s.Fields {
		columns[i] = Column{Name: f.Name, Kind: f.Kind.String()}
	}
	return columns
}

// Validate says what is wrong with the description.
func (o *Output) Validate() error {
	var errs []error
	if o.Pipeline == "" || o.Name == "" || o.Instance == "" {
		errs = append(errs, errors.New("pipeline, output and instance must have names"))
	}
	if strings.ContainsAny(o.Instance+o.Name, "{}") {
		errs = append(errs, fmt.Errorf("names %q and %q must not contain braces", o.Instance, o.Name))
	}
	for _, c := range o.Columns {
		if stream.KindOf(c.Kind) == 0 {
			errs = append(errs, fmt.Errorf("column %s: unknown kind %q", c.Name, c.Kind))
		}
	}
	if o.Groups < 0 || o.Groups > len(o.Columns) {
		errs = append(errs, fmt.Errorf("%d group columns of %d", o.Groups, len(o.Columns)))
	}
	if o.Window <= 0 || o.Every <= 0 || o.Keep < 0 {
		errs = append(errs, fmt.Errorf("window %v and distance %v must be positive, keep %v not negative", o.Window, o.Every, o.Keep))
	}
	if o.Before != nil {
		errs = append(errs, o.Before.Validate())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("check output %s: %w", o.Name, err)
	}
	return nil
}

// kinds are the kinds of all columns.
func (o *Output) kinds() []stream.Kind {
	kinds := make([]stream.Kind, len(o.Columns))
	for i, c := range o.Columns {
		kinds[i] = stream.KindOf(c.Kind)
	}
	return kinds
}

// column is the index of the column with that name, or -1.
func (o *Output) column(name string) int {
	for i := range o.Columns {
		if o.Columns[i].Name == name {
			return i
		}
	}
	return -1
}
