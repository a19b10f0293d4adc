package pipelines

import (
	"slices"

	"github.com/goccy/go-yaml/ast"

	"github.com/tidewatch/tidewatch/schemas"
)

// ColumnUnit is the unit of one column of a window.
type ColumnUnit struct{ Column, Unit Text }

// Fields of a metric that say what it is measured in.
const (
	nameField  = "name"
	unitField  = "unit"
	valueField = "value"
)

// unit reads `unit` of a window: one text, or one for each column.
func (r *reader) unit(w *Window, n ast.Node) {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
	default:
		w.Unit = r.unitText(n, "`unit`")
		return
	}
	m := r.mapping(n, "`unit`")
	for _, e := range m.entries {
		column := Text{Value: keyOf(e), At: posOf(e.Key)}
		if m.taken[column.Value] {
			continue
		}
		m.taken[column.Value] = true
		if _, ok := e.Value.(*ast.NullNode); ok {
			r.report(column.At, column.width(), "`%s` has no unit; a unit in braces needs quotes: \"{%s}\"", column.Value, column.Value)
			continue
		}
		if u := r.unitText(e.Value, "the unit of `"+column.Value+"`"); u.IsSet() {
			w.Units = append(w.Units, ColumnUnit{column, u})
		}
	}
}

// unitText reads a unit; 1 is one.
func (r *reader) unitText(n ast.Node, what string) Text {
	t := r.text(n, what, true)
	if t.IsSet() && !schemas.IsUnit(t.Value) {
		r.report(t.At, t.width(), "%s: `%s` is none: %s", what, t.Value, schemas.UnitForm)
		return Text{}
	}
	return t
}

// units checks that what has a unit is an aggregate.
func (k *checker) units(w *Window) {
	var names []string
	for _, a := range w.Aggregates {
		names = append(names, a.Name.Value)
	}
	for _, u := range w.Units {
		if hasText(w.By, u.Column.Value) {
			k.complain(u.Column, "`%s` is a field of `by`: only aggregates have a unit", u.Column)
		} else if !slices.Contains(names, u.Column.Value) {
			k.complain(u.Column, "the window has no aggregate `%s`%s", u.Column, suggestion(u.Column.Value, names))
		}
	}
}

// eventUnit is the unit of the values of the events: the one that the filters demand, or that of the only metric they let
// pass. "" if it is unknown.
func (d *describer) eventUnit() string {
	if units := d.out.Demands[unitField]; len(units) > 0 {
		return only(units)
	}
	if d.e.l.def == nil {
		return ""
	}
	return d.e.l.def.Units[only(d.out.Demands[nameField])]
}

// only is the only element, or "".
func only(list []string) string {
	if len(list) != 1 {
		return ""
	}
	return list[0]
}

// unitOf is the unit of a column of the window.
func (d *describer) unitOf(s *laidStep, column, function, of string) string {
	for _, u := range s.Window.Units {
		if u.Column.Value == column {
			return u.Unit.Value
		}
	}
	unit := s.Window.Unit.Value
	if unit == "" && s.from[of] == valueField {
		unit = d.eventUnit()
	}
	switch {
	case unit == "":
		return ""
	case function == "slope": // an hour
		return unit + "/h"
	case function == "count" || function == "count_if" || function == "count_distinct": // of whatever is measured
		return ""
	}
	return unit
}
