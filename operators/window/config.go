package window

import (
	"cmp"
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
	Size       time.Duration    // length of a window
	Every      time.Duration    // windows begin at multiples of it since 1970; 0 is Size, so that they follow each other
	Lateness   time.Duration    // how long after its end, in event time, a window accepts events
	By         []string         // group columns; none means one group of everything
	Together   []string         // of By: groups that are equal in these have one slot, and so one Merge; nil is all of By
	Aggregates []aggregate.Spec // at least one
	MaxGroups  int              // that a task keeps of one window; rows of later ones are counted in the group OtherGroup. 0: no limit
	Evidence   bool             // rows tell the first and the last record that they count
	// Partition is the number of the source partition, for the evidence of a Tumbling. The others need none: a Merge knows
	// the partition of each partial.
	Partition int32
}

// MaxOverlap bounds how many windows hold one event, since it is folded into each of them.
const MaxOverlap = 60

// Validate checks what does not depend on the events.
func (c *Config) Validate() error {
	var faults []string
	switch {
	case c.Size <= 0:
		faults = append(faults, fmt.Sprintf("the size is %v, it must be above 0", c.Size))
	case c.Every < 0 || c.Every > 0 && c.Size%c.Every != 0:
		faults = append(faults, fmt.Sprintf("windows of %v cannot begin every %v: the size must be a multiple of it", c.Size, c.Every))
	case c.Every > 0 && c.Size/c.Every > MaxOverlap:
		faults = append(faults, fmt.Sprintf("windows of %v that begin every %v hold each event %d times, at most %d are possible",
			c.Size, c.Every, c.Size/c.Every, MaxOverlap))
	}
	if c.Lateness < 0 {
		faults = append(faults, fmt.Sprintf("the allowed lateness is %v, it must not be below 0", c.Lateness))
	}
	if len(c.By) > table.MaxColumns {
		faults = append(faults, fmt.Sprintf("it groups by %d columns, at most %d are possible", len(c.By), table.MaxColumns))
	}
	if c.MaxGroups < 0 {
		faults = append(faults, fmt.Sprintf("at most %d groups are allowed, it must not be below 0", c.MaxGroups))
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

// CellBytes is the memory that the aggregates of one group of an open window take, without its key.
func CellBytes(cfg *Config, in *stream.Schema) (int, error) {
	l, err := newLayout(cfg, in)
	if err != nil {
		return 0, err
	}
	return 8 * l.words, nil
}

// layout is a checked Config bound to the columns of the events.
type layout struct {
	size, lateness stream.Time
	every          stream.Time    // windows start at multiples of it
	by             []int          // columns of the events
	together       []int          // of the group columns; nil for all
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
	l.every = stream.Time(cmp.Or(cfg.Every, cfg.Size))
	for _, name := range cfg.By {
		at := in.Index(name)
		if at < 0 {
			return nil, fmt.Errorf("compile window: unknown column %q in by; there are %s", name, strings.Join(in.Names(), ", "))
		}
		l.by, l.keys = append(l.by, at), append(l.keys, in.Fields[at])
	}
	for _, name := range cfg.Together {
		at := slices.Index(cfg.By, name)
		if at < 0 {
			return nil, fmt.Errorf("compile window: column %q, which keeps groups together, is not in by", name)
		}
		l.together = append(l.together, at)
	}
	if cfg.Together != nil && l.together == nil {
		l.together = []int{}
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

// newGroups makes the table of the groups.
func (l *layout) newGroups() (*table.Groups, error) {
	groups, err := table.NewGroups(l.keys)
	if err != nil {
		return nil, fmt.Errorf("compile window: %w", err)
	}
	if l.together != nil {
		groups.SlotBy(l.together)
	}
	return groups, nil
}

// overlap is how many windows hold an event.
func (l *layout) overlap() int { return int(l.size / l.every) }

// grids are the window ends, and the ends plus the lateness where those are other points.
func (l *layout) grids() stream.Grids {
	gs := stream.Grids{{Period: time.Duration(l.every)}}
	if rest := l.lateness % l.every; rest != 0 {
		gs = append(gs, stream.Grid{Period: time.Duration(l.every), Phase: time.Duration(rest)})
	}
	return gs
}

// window is the end of the window with that start, and when it is final. There is none if no window starts then, or if it
// does not fit into the calendar.
func (l *layout) window(start stream.Time) (end, until stream.Time, ok bool) {
	end = start + l.size
	until = end + l.lateness
	return end, until, start%l.every == 0 && end > start && until >= end
}

// span is a window that holds an instant, and its pane once there is one.
type span struct {
	start, end, until stream.Time
	pane              *pane
}

// spans appends the windows that hold the instant, the latest first, and tells from when to when they are the same.
func (l *layout) spans(t stream.Time, dst []span) (all []span, from, to stream.Time) {
	from = t.Floor(time.Duration(l.every))
	if from > t { // the calendar begins later
		return dst, t, t
	}
	for start, n := from, l.overlap(); n > 0; n-- {
		if end, until, ok := l.window(start); ok && start <= t {
			dst = append(dst, span{start: start, end: end, until: until})
		}
		start -= l.every
	}
	return dst, from, from + l.every
}
