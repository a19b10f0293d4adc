package archive

import (
	"github.com/tidewatch/tidewatch/stream"
)

// fill puts the values of a row group at their places.
func (a *assembly) fill(g *group) error {
	b, e := a.batch, a.events
	e.Reset()
	if err := a.reader.ReadEvents(g.file, g.number, e); err != nil {
		return err
	}
	scatter(b.Time, e.Time, g.places)
	scatter(b.Timestamp, e.Timestamp, g.places)
	scatter(b.Offset, e.Offset, g.places)
	scatter(b.Producer, e.Producer, g.places)
	scatter(b.Bytes, e.Bytes, g.places)
	for i, field := range b.Schema.Fields {
		if a.attributes.has(i) && g.file.Schema().Index(field.Name) < 0 {
			continue
		}
		if err := a.fillColumn(g, field.Name, &b.Cols[i]); err != nil {
			return err
		}
	}
	return a.attributes.fill(a, g)
}

func (a *assembly) fillColumn(g *group, name string, dst *stream.Column) error {
	c := &a.column
	c.Kind, c.Dict = dst.Kind, dst.Dict
	c.Reset()
	if err := a.reader.ReadOrNull(g.file, g.number, name, c); err != nil {
		return err
	}
	switch dst.Kind {
	case stream.Float:
		scatter(dst.Floats, c.Floats, g.places)
	case stream.String:
		scatter(dst.IDs, c.IDs, g.places)
	case stream.Int, stream.Bool, stream.Timestamp:
		scatter(dst.Ints, c.Ints, g.places)
	}
	if len(c.Null) > 0 {
		scatter(nulls(dst), c.Null, g.places)
	}
	return nil
}

// nulls returns the null marks of a column that has room for all rows.
func nulls(c *stream.Column) []bool {
	if len(c.Null) == 0 {
		c.Null = room(c.Null, c.Len())
		clear(c.Null)
	}
	return c.Null
}

// scatter puts each wanted value at its place.
func scatter[T any](dst, values []T, places []int32) {
	for i, p := range places {
		if p >= 0 {
			dst[p] = values[i]
		}
	}
}
