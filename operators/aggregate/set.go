package aggregate

import (
	"fmt"
	"strings"

	"github.com/tidewatch/tidewatch/stream"
)

// Set is the aggregates of one window, bound to the columns of its events: the layout of a cell, and all that is done
// with cells. It has scratch memory, so it belongs to one operator and is used from the task's goroutine only.
//
// Methods that take words and at work on many cells at once: cell i is words[at[i]:at[i]+Words()].
type Set struct {
	parts []part
	lanes []lane
	empty []uint64
	state []stream.Field
	whole input // of count(): all rows
}

// part is a function at its place in the cell and among the state columns.
type part struct {
	function
	label  string
	word   int // first of its words
	column int // first of its state columns
	lane   int // index of its column's lane; -1 for count()
}

// Compile binds the aggregates to events of the schema. The error names every aggregate that does not fit, what it names
// and what there is.
func Compile(specs []Spec, in *stream.Schema) (*Set, error) {
	s := &Set{}
	var faults []string
	for i, spec := range specs {
		if err := s.bind(spec, in, specs[:i]); err != nil {
			faults = append(faults, err.Error())
		}
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("compile aggregates: %s", strings.Join(faults, "; "))
	}
	return s, nil
}

func (s *Set) bind(spec Spec, in *stream.Schema, before []Spec) error {
	f, known := lookup(spec.Function)
	switch {
	case !known:
		return fmt.Errorf("aggregate %q: unknown function %q; known are %s", spec.Name, spec.Function, strings.Join(Names(), ", "))
	case spec.Name == "" || strings.Contains(spec.Name, "."):
		return fmt.Errorf("aggregate %s: its name %q is empty or holds a dot", spec, spec.Name)
	case spec.Column == "" && f.argument != optional:
		return fmt.Errorf("aggregate %q: write %s", spec.Name, f.usage())
	}
	f, err := f.limited(spec.Limit)
	if err != nil {
		return fmt.Errorf("aggregate %q: %w", spec.Name, err)
	}
	for _, b := range before {
		if b.Name == spec.Name {
			return fmt.Errorf("aggregate %q is declared twice", spec.Name)
		}
	}
	p := part{function: f, label: spec.Name, word: len(s.empty), column: len(s.state), lane: -1}
	if spec.Column != "" {
		at := in.Index(spec.Column)
		if at < 0 {
			return fmt.Errorf("aggregate %q: unknown column %q; there are %s", spec.Name, spec.Column, strings.Join(in.Names(), ", "))
		}
		if kind := in.Fields[at].Kind; !f.accepts(kind) {
			return fmt.Errorf("aggregate %q: %s needs %s, %q is %s", spec.Name, f.name, f.needs(), spec.Column, kind)
		}
		p.lane = s.laneOf(at)
	}
	for _, c := range f.columns {
		s.state = append(s.state, stream.Field{Name: spec.Name + "." + c.Name, Kind: c.Kind})
	}
	s.empty = append(s.empty, f.empty...)
	s.parts = append(s.parts, p)
	return nil
}

// Results lists the result columns, in the order of the specs.
func (s *Set) Results() []stream.Field {
	fields := make([]stream.Field, len(s.parts))
	for i := range s.parts {
		fields[i] = stream.Field{Name: s.parts[i].label, Kind: s.parts[i].result}
	}
	return fields
}

// State lists the columns that carry states to the next stage. Their names hold a dot, which no result's name does.
func (s *Set) State() []stream.Field { return s.state }

// Words is the size of a cell.
func (s *Set) Words() int { return len(s.empty) }

// AppendEmpty appends a cell that has seen nothing.
func (s *Set) AppendEmpty(words []uint64) []uint64 { return append(words, s.empty...) }

// Add folds rows of b into cells: row rows[i] into the cell at at[i].
func (s *Set) Add(words []uint64, at []uint32, b *stream.Batch, rows []int32) {
	for i := range s.lanes {
		s.lanes[i].gather(b, at, rows)
	}
	s.whole = input{at: at, rows: rows, batch: b}
	for i := range s.parts {
		p := &s.parts[i]
		in := &s.whole
		if p.lane >= 0 {
			in = &s.lanes[p.lane].input
		}
		p.add(words[p.word:], in)
	}
}

// Merge folds the cell from into the cell into.
func (s *Set) Merge(into, from []uint64) {
	for i := range s.parts {
		p := &s.parts[i]
		p.merge(into[p.word:], from[p.word:])
	}
}

// AppendResults appends the results of the cells to the columns, which begin with that of the first aggregate.
func (s *Set) AppendResults(words []uint64, at []uint32, out []stream.Column) {
	for i := range s.parts {
		p := &s.parts[i]
		p.value(words[p.word:], at, &out[i])
	}
}

// AppendState appends the states of the cells to the columns, which begin with the first of State.
func (s *Set) AppendState(words []uint64, at []uint32, out []stream.Column) {
	for i := range s.parts {
		p := &s.parts[i]
		p.save(words[p.word:], at, out[p.column:p.column+len(p.columns)])
	}
}

// LoadState reads the cell in a row of the state columns.
func (s *Set) LoadState(in []stream.Column, row int, cell []uint64) {
	for i := range s.parts {
		p := &s.parts[i]
		p.load(in[p.column:p.column+len(p.columns)], row, cell[p.word:])
	}
}
