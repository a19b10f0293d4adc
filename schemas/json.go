package schemas

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tidewatch/tidewatch/stream"
)

// JSON decodes events that are written as JSON objects with the names of a definition. It belongs to one reader and is
// used from its goroutine. See the package for what a record means; Decode reads it once and, in the long run, does not
// allocate.
type JSON struct {
	definition *Definition
	schema     *stream.Schema
	root       node
	record     record
	row        row
	accepts    []tokens // by field of the definition
	time       int      // field
	columns    []jsonColumn
	collects   bool
}

// tokens is a set.
type tokens uint16

func setOf(all ...token) tokens {
	var s tokens
	for _, t := range all {
		s |= 1 << t
	}
	return s
}

// jsonColumn says where a column's value is in the record.
type jsonColumn struct {
	kind  columnKind
	place int
	top   int // of an attribute: its place beside the fields
}

type columnKind uint8

const (
	textColumn columnKind = iota
	floatColumn
	intColumn
	boolColumn
	timeColumn    // the event time
	instantColumn // another one
	attributeColumn
	attributesColumn
)

// NewJSON makes a decoder whose batches have these columns: fields of the definition, `attributes.NAME` for one attribute
// as a string, or `attributes` for all of them as one JSON object. The error of an unknown name suggests one.
func NewJSON(def *Definition, fields []string, o Options) (*JSON, error) {
	schema, err := def.Columns(fields)
	if err := errors.Join(err, o.Validate()); err != nil {
		return nil, fmt.Errorf("make json decoder: %w", err)
	}
	d := &JSON{definition: def, schema: schema, row: row{options: o}, time: def.index(TimeField)}
	for i, f := range def.Fields {
		d.accepts = append(d.accepts, accepted(f, i == d.time))
	}
	d.plan()
	for i, name := range []string{producerField, hostField, serviceField} {
		d.row.producers[i] = def.index(name)
	}
	return d, nil
}

// accepted is what is certainly good in a field; judgeField looks closer at the rest.
func accepted(f Field, eventTime bool) tokens {
	var s tokens
	switch {
	case f.Name == AttributesField:
		s = setOf(object)
	case eventTime:
		s = setOf(plain, coded, number, wideNumber)
	case f.Kind == stream.String:
		s = setOf(plain, coded)
	case f.Kind == stream.Bool:
		s = setOf(truth, falsity)
	case f.Kind == stream.Float:
		s = setOf(number)
	}
	if !f.Required {
		s |= setOf(absent, null)
	}
	return s
}

// plan gives every value that is wanted a place: the fields of the definition, then the attributes
// inside `attributes`, then those beside the fields.
func (d *JSON) plan() {
	fields := d.definition.Names()
	var attributes []string
	for _, f := range d.schema.Fields {
		col := jsonColumn{kind: kindOfColumn(f), place: d.definition.index(f.Name)}
		switch {
		case f.Name == AttributesField:
			d.collects = true
		case f.Name == TimeField:
			col.kind = timeColumn
		case col.place < 0:
			col.kind, col.place = attributeColumn, len(fields)+len(attributes)
			attributes = append(attributes, strings.TrimPrefix(f.Name, attributePrefix))
		}
		d.columns = append(d.columns, col)
	}
	first, firstTop := len(fields), len(fields)+len(attributes)
	for i := range d.columns {
		d.columns[i].top = d.columns[i].place + len(attributes)
	}
	inner := node{collect: d.collects, lo: first, hi: firstTop}
	d.root = node{collect: d.collects, top: true}
	for i, name := range fields {
		t := target{place: i, known: true}
		if name == AttributesField && (d.collects || len(attributes) > 0) {
			t.child = &inner
		}
		d.root.targets = append(d.root.targets, t)
	}
	names := fields
	for i, name := range attributes {
		inner.targets = append(inner.targets, target{place: first + i})
		if d.definition.index(name) < 0 {
			names = append(names, name)
			d.root.targets = append(d.root.targets, target{place: firstTop + i})
		}
	}
	d.root.keys, inner.keys = newKeys(names), newKeys(attributes)
	d.record = newRecord(firstTop + len(attributes))
}

func kindOfColumn(f stream.Field) columnKind {
	switch f.Kind {
	case stream.Float:
		return floatColumn
	case stream.Int:
		return intColumn
	case stream.Bool:
		return boolColumn
	case stream.Timestamp:
		return instantColumn
	case stream.String:
		if f.Name == AttributesField {
			return attributesColumn
		}
	}
	return textColumn
}

// Schema implements stream.Decoder.
func (d *JSON) Schema() *stream.Schema { return d.schema }

// Decode implements stream.Decoder. Its errors are of the kind Reject, with a Rejection inside.
func (d *JSON) Decode(m *stream.Message, b *stream.Batch) error {
	if b.Len() == 0 {
		d.row.begin(b)
	}
	if err := d.row.judgeSize(m); err != nil {
		return err
	}
	r := &d.record
	if end := r.read(m.Value, &d.root); end < 0 {
		return rejectText(m.Value, end)
	}
	if err := d.judge(); err != nil {
		return err
	}
	t, err := d.row.instant(r, d.time, TimeField)
	if err != nil {
		return err
	}
	if err := d.row.judgeTime(t, m, TimeField); err != nil {
		return err
	}
	for i := range d.columns {
		d.append(&d.columns[i], &b.Cols[i], t)
	}
	d.row.finish(r, t, m, b)
	return nil
}

// judge checks what the fields of the definition hold, whether they are projected or not.
func (d *JSON) judge() error {
	kinds := d.record.kinds[:len(d.accepts)]
	for i, accepts := range d.accepts {
		if accepts>>kinds[i]&1 == 0 {
			if err := d.judgeField(i); err != nil {
				return err
			}
		}
	}
	return nil
}

// judgeField looks closer at a field that does not hold what is good at first sight.
func (d *JSON) judgeField(i int) error {
	f := &d.definition.Fields[i]
	kind, ok := d.record.kinds[i], false
	isNumber := kind == number || kind == wideNumber
	switch {
	case kind <= null:
		return reject(MissingField, "%s", f.Name)
	case f.Kind == stream.Float && isNumber:
		_, ok = d.record.values[i].float(d.record.text)
	case f.Kind == stream.Int && isNumber:
		_, ok = d.record.values[i].int(d.record.text)
	case f.Kind == stream.Timestamp && (isNumber || kind == plain || kind == coded):
		return d.judgeInstant(i)
	}
	if ok {
		return nil
	}
	return d.wrongType(i)
}

// judgeInstant judges an instant beside the event time.
func (d *JSON) judgeInstant(i int) error {
	name := d.definition.Fields[i].Name
	t, err := d.row.instant(&d.record, i, name)
	if err == nil && (t == tooOld || t == tooFuture) {
		return reject(InvalidTime, "%s: %s is no time between 1970 and 2262", name, clip(d.record.at(i)))
	}
	return err
}

func (d *JSON) wrongType(i int) error {
	f := &d.definition.Fields[i]
	if k := d.record.kinds[i]; k == number || k == wideNumber {
		return reject(WrongType, "%s: want %s, got %s", f.Name, wanted(f), clip(d.record.at(i)))
	}
	return reject(WrongType, "%s: want %s, got %s", f.Name, wanted(f), tokenNames[d.record.kinds[i]])
}

func wanted(f *Field) string {
	if f.Name == AttributesField {
		return tokenNames[object]
	}
	return f.Kind.String()
}

// append adds the value of a checked record to its column.
func (d *JSON) append(from *jsonColumn, c *stream.Column, t stream.Time) {
	switch from.kind {
	case timeColumn:
		c.AppendInt(int64(t))
	case attributeColumn:
		d.appendAttribute(from, c)
	case attributesColumn:
		appendOrNull(c, d.record.canonical())
	case textColumn, floatColumn, intColumn, boolColumn, instantColumn:
		d.appendValue(from, c)
	}
}

func (d *JSON) appendValue(from *jsonColumn, c *stream.Column) {
	r := &d.record
	if !r.present(from.place) {
		c.AppendNull()
		return
	}
	switch from.kind {
	case floatColumn:
		f, _ := r.values[from.place].float(r.text)
		c.AppendFloat(f)
	case intColumn:
		v, _ := r.values[from.place].int(r.text)
		c.AppendInt(v)
	case boolColumn:
		c.AppendBool(r.kinds[from.place] == truth)
	case instantColumn:
		v, _ := d.row.instant(r, from.place, "")
		c.AppendInt(int64(v))
	case textColumn, timeColumn, attributeColumn, attributesColumn:
		c.AppendLater(r.at(from.place))
	}
}

func (d *JSON) appendAttribute(from *jsonColumn, c *stream.Column) {
	switch {
	case d.record.present(from.top):
		c.AppendLater(d.record.at(from.top))
	case d.record.present(from.place):
		c.AppendLater(d.record.at(from.place))
	default:
		c.AppendNull()
	}
}

func appendOrNull(c *stream.Column, text []byte) {
	if text == nil {
		c.AppendNull()
		return
	}
	c.AppendLater(text)
}
