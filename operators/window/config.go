package window

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/operators/aggregate"
	"github.com/tidewatch/tidewatch/operators/table"
	"github.com/tidewatch/tidewatch/stream"
)

// Config declares a window. Both stages of a re-keyed pipeline are given the same.
type Config struct {
	Size       time.Duration    // length of a window; windows begin at multiples of it since 1970
	Lateness   time.Duration    // how long after its end, in event time, a window accepts events
	By         []string         // group columns; none means one group of everything
	Aggregates []aggregate.Spec // at least one
	Evidence   bool             // rows tell the first and the last record that they count
	// Partition is the number of the source partition, for the evidence of a Tumbling. The others need none: a Merge knows
	// the partition of each partial.
	Partition int32
}

// Validate checks what does not depend on the events.
func (c *Config) Validate() error {
	var faults []string
	if c.Size <= 0 {
		faults = append(faults, fmt.Sprintf("the size is %v, it must be above 0", c.Size))
	}
	if c.Lateness < 0 {
		faults = append(faults, fmt.Sprintf("the allowed lateness is %v, it must not be below 0", c.Lateness))
	}
	if len(c.By) > table.MaxColumns {
		faults = append(faults, fmt.Sprintf("it groups by %d columns, at most %d are possible", len(c.By), table.MaxColumns))
	}
	if len(c.Aggregates) == 0 {
		faults = append(faults, "it has no aggregate; count() is the least")
	}
	if len(faults) > 0 {
		return errors.New("check window: " + strings.Join(faults, "; "))
	}
	return nil
}

// RollupSchema is the schema of the rows that a Tumbling or Merge emits for events of the schema in.
func RollupSchema(cfg *Config, in *stream.Schema) (*stream.Schema, error) {
	l, err := newLayout(cfg, in)
	if err != nil {
		return nil, err
	}
	return l.rollup, nil
}

// PartialSchema is the schema of the rows that a Fold emits for events of the schema in: groups, then states.
func PartialSchema(cfg *Config, in *stream.Schema) (*stream.Schema, error) {
	l, err := newLayout(cfg, in)
	if err != nil {
		return nil, err
	}
	return l.partial, nil
}

// layout is a checked Config bound to the columns of the events.
type layout struct {
	size, lateness stream.Time
	by             []int          // columns of the events
	keys           []stream.Field // the group columns
	set            *aggregate.Set
	evidence       bool
	words          int // of a cell: the aggregates' and the evidence's
	rollup         *stream.Schema
	partial        *stream.Schema
}

func newLayout(cfg *Config, in *stream.Schema) (*layout, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	l := &layout{size: stream.Time(cfg.Size), lateness: stream.Time(cfg.Lateness), evidence: cfg.Evidence}
	for _, name := range cfg.By {
		at := in.Index(name)
		if at < 0 {
			return nil, fmt.Errorf("compile window: unknown column %q in by; there are %s", name, strings.Join(in.Names(), ", "))
		}
		l.by, l.keys = append(l.by, at), append(l.keys, in.Fields[at])
	}
	var err error
	if l.set, err = aggregate.Compile(cfg.Aggregates, in); err != nil {
		return nil, fmt.Errorf("compile window: %w", err)
	}
	l.words = l.set.Words()
	rollup, partial := slices.Concat(l.keys, l.set.Results()), slices.Concat(l.keys, l.set.State())
	if l.evidence {
		l.words += evidenceWords
		rollup, partial = append(rollup, evidenceFields...), append(partial, evidenceFields[1:]...)
	}
	l.rollup, l.partial = &stream.Schema{Fields: rollup}, &stream.Schema{Fields: partial}
	for i, f := range rollup {
		if l.rollup.Index(f.Name) != i {
			return nil, fmt.Errorf("compile window: two columns are called %q; rename the aggregate", f.Name)
		}
	}
	return l, nil
}

// grids are the window ends, and the ends plus the lateness where those are other points.
func (l *layout) grids() stream.Grids {
	gs := stream.Grids{{Period: time.Duration(l.size)}}
	if rest := l.lateness % l.size; rest != 0 {
		gs = append(gs, stream.Grid{Period: time.Duration(l.size), Phase: time.Duration(rest)})
	}
	return gs
}

// span is the window of an instant, and when it is final. A window that does not fit into the calendar is empty and
// was final before all time.
func (l *layout) span(t stream.Time) (start, end, until stream.Time) {
	start = t.Floor(time.Duration(l.size))
	end = start + l.size
	until = end + l.lateness
	if start > t || end < start || until < end {
		return start, start, stream.NoTime
	}
	return start, end, until
}
