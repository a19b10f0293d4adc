package shape

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tidewatch/tidewatch/internal/expression"
	"github.com/tidewatch/tidewatch/stream"
)

// Column is a field of a projection: a column of the input under this name, or what an expression makes of the row.
type Column struct{ Name, Expr string }

// ColumnError tells which column of a projection is wrong. It wraps the *expression.Error, if that is what is wrong.
type ColumnError struct {
	Index int // in the list
	Err   error
}

// Error implements error.
func (e *ColumnError) Error() string { return fmt.Sprintf("project column %d: %v", e.Index+1, e.Err) }

// Unwrap returns the cause.
func (e *ColumnError) Unwrap() error { return e.Err }

// Project gives every row the fields of a list, in its order. Event columns, slot and window of the rows stay. Columns that
// are only chosen or renamed are not copied. It is a stream.Operator.
type Project struct {
	schema *stream.Schema
	fields []projected // parallel to schema.Fields
	out    *stream.Batch
}

// projected is where a field comes from.
type projected struct {
	from    int                 // column of the input, if program is nil
	program *expression.Program // else what computes it
	column  stream.Column       // into this
}

// maxStrings bounds the dictionary of a computed column. A new generation costs one look-up per distinct string.
const maxStrings = 1 << 16

// ProjectSchema is the schema of what NewProject emits.
func ProjectSchema(columns []Column, in *stream.Schema) (*stream.Schema, error) {
	p, err := NewProject(columns, in)
	if err != nil {
		return nil, err
	}
	return p.schema, nil
}

// NewProject compiles a projection for batches of the schema in. A mistake is a *ColumnError.
func NewProject(columns []Column, in *stream.Schema) (*Project, error) {
	if len(columns) == 0 {
		return nil, errors.New("project: the list of columns is empty")
	}
	p := &Project{schema: &stream.Schema{}, out: &stream.Batch{}}
	for i, c := range columns {
		f, kind, err := project(c, in)
		switch {
		case err != nil:
		case c.Name == "":
			err = errors.New("it has no name")
		case p.schema.Index(c.Name) >= 0:
			err = fmt.Errorf("there is a column %q before", c.Name)
		}
		if err != nil {
			return nil, &ColumnError{Index: i, Err: err}
		}
		p.fields = append(p.fields, f)
		p.schema.Fields = append(p.schema.Fields, stream.Field{Name: c.Name, Kind: kind})
	}
	p.out.Cols = make([]stream.Column, len(p.fields))
	return p, nil
}

func project(c Column, in *stream.Schema) (projected, stream.Kind, error) {
	if i := in.Index(strings.TrimSpace(c.Expr)); i >= 0 {
		return projected{from: i}, in.Fields[i].Kind, nil
	}
	program, err := expression.Compile(c.Expr, in)
	if err != nil {
		return projected{}, 0, err
	}
	f := projected{program: program, column: stream.Column{Kind: program.Kind()}}
	if f.column.Kind == stream.String {
		f.column.Dict = stream.NewDict()
	}
	return f, f.column.Kind, nil
}

// Schema is that of the rows that leave.
func (p *Project) Schema() *stream.Schema { return p.schema }

// Process implements stream.Operator.
func (p *Project) Process(b *stream.Batch, out stream.Emitter) error {
	if b.Phase == stream.Late || b.Phase == stream.Partial {
		return out.Emit(b) // of another schema, on their way past
	}
	cols := p.out.Cols
	*p.out = *b
	p.out.Schema, p.out.Cols = p.schema, cols
	for i := range p.fields {
		cols[i] = p.fields[i].of(b)
	}
	return out.Emit(p.out)
}

// of returns the field's column, which belongs to b or to the field.
func (f *projected) of(b *stream.Batch) stream.Column {
	if f.program == nil {
		return b.Cols[f.from]
	}
	f.column.Reset()
	if d := f.column.Dict; d != nil && d.Len() > maxStrings {
		d.Reset()
	}
	f.program.Column(b, &f.column)
	return f.column
}

// Advance implements stream.Operator: a projection waits for nothing.
func (p *Project) Advance(stream.Advance, stream.Emitter) error { return nil }

// Snapshot implements stream.Operator with an empty section, so that the snapshot tells that the step was there.
func (p *Project) Snapshot(w *stream.StateWriter) error {
	w.Section("project", 1)
	return nil
}

// Restore implements stream.Operator.
func (p *Project) Restore(r *stream.StateReader) error { return restoreEmpty(r, "project") }
