package columnfile

import (
	"fmt"

	"github.com/tidewatch/tidewatch/stream"
)

// Column is a named column of a file.
type Column struct {
	Name string
	// Required columns have no nulls and say so in the file's schema. Optional ones may be null in some files of a data set
	// and not in others, so they always say so.
	Required bool
	// Same says that the first value stands for all rows.
	Same bool
	stream.Column
}

// Table is the content of a file before it is encoded. It is only read by Encode.
type Table struct {
	Columns  []Column
	Meta     []KeyValue // in the order they are written
	SortedBy []string   // ascending; what the file says about the order of its rows
}

// KeyValue is an entry of the file's metadata.
type KeyValue struct{ Key, Value string }

func (t *Table) index(name string) int {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return i
		}
	}
	return -1
}

func (t *Table) check(rows []uint32) error {
	need := 0
	for _, r := range rows {
		need = max(need, int(r)+1)
	}
	for i := range t.Columns {
		c := &t.Columns[i]
		switch {
		case t.index(c.Name) != i:
			return fmt.Errorf("encode file: there are two columns %s", c.Name)
		case c.Same && c.Kind == stream.String:
			return fmt.Errorf("encode file: column %s: strings have no short form", c.Name)
		case !c.Same && c.Len() < need, c.Same && c.Len() == 0:
			return fmt.Errorf("encode file: column %s has %d values, row %d is wanted", c.Name, c.Len(), need-1)
		case c.Required && len(c.Null) > 0:
			return fmt.Errorf("encode file: required column %s has nulls", c.Name)
		}
	}
	for _, name := range t.SortedBy {
		if t.index(name) < 0 {
			return fmt.Errorf("encode file: there is no column %s to be sorted by", name)
		}
	}
	return nil
}
