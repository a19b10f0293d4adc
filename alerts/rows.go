package alerts

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/tidewatch/tidewatch/internal/expression"
	"github.com/tidewatch/tidewatch/stream"
)

// rowReader reads what a rule needs of a rollup's row.
type rowReader struct {
	when      *expression.Program
	summary   *expression.Template
	labels    []namedTemplate // by name
	groups    []int           // columns
	names     []string        // of the group columns
	aggregate []int           // the other columns, without the evidence
	value     int             // column, -1 if there is none
	evidence  []int           // columns in the order of evidenceColumns, or nil
	topic     string
	buf       []byte
}

type namedTemplate struct {
	name     string
	template *expression.Template
}

// evidenceColumns name the first and the last record of a row's group in its window, if the rollup has them.
var evidenceColumns = [...]string{"_partition", "_first", "_first_time", "_last", "_last_time"}

func newRowReader(cfg OperatorConfig, in *stream.Schema) (rowReader, error) {
	r := rowReader{names: cfg.GroupColumns, topic: cfg.Topic}
	if err := r.columns(in); err != nil {
		return r, fmt.Errorf("check rule %s: %w", cfg.Rule.Name, err)
	}
	if err := r.compile(cfg.Rule, in); err != nil {
		return r, fmt.Errorf("check rule %s: %w", cfg.Rule.Name, err)
	}
	return r, nil
}

func (r *rowReader) columns(in *stream.Schema) error {
	for _, name := range r.names {
		i := in.Index(name)
		if i < 0 {
			return fmt.Errorf("the group column %q is not in the rollup", name)
		}
		r.groups = append(r.groups, i)
	}
	for _, name := range evidenceColumns {
		if i := in.Index(name); i >= 0 {
			r.evidence = append(r.evidence, i)
		}
	}
	if n := len(r.evidence); n != 0 && n != len(evidenceColumns) {
		return errors.New("the rollup has only some of the columns _partition, _first, _first_time, _last, _last_time")
	}
	for i := range in.Fields {
		if !slices.Contains(r.groups, i) && !slices.Contains(r.evidence, i) {
			r.aggregate = append(r.aggregate, i)
		}
	}
	return nil
}

func (r *rowReader) compile(rule Rule, in *stream.Schema) (err error) {
	if r.when, err = expression.Compile(rule.When, in); err != nil {
		return fmt.Errorf("when: %w", err)
	}
	if r.when.Kind() != stream.Bool {
		return fmt.Errorf("when: a rule needs a condition, and this gives %s", r.when.Kind())
	}
	if r.summary, err = expression.CompileTemplate(rule.Summary, in); err != nil {
		return fmt.Errorf("summary: %w", err)
	}
	for _, name := range rule.labelNames() {
		t, err := expression.CompileTemplate(rule.Labels[name], in)
		if err != nil {
			return fmt.Errorf("label %s: %w", name, err)
		}
		r.labels = append(r.labels, namedTemplate{name, t})
	}
	r.value = -1
	for _, name := range r.when.Columns() {
		i := in.Index(name)
		if kind := in.Fields[i].Kind; r.value < 0 && slices.Contains(r.aggregate, i) && (kind == stream.Int || kind == stream.Float) {
			r.value = i
		}
	}
	return nil
}

// hash tells two values of a group in a window apart. What the evidence says is no value.
func (r *rowReader) hash(b *stream.Batch, i int) uint64 {
	r.buf = stream.AppendKey(r.buf[:0], b, r.aggregate, i)
	return stream.HashProducer(r.buf)
}

// valueOf is what the rule looks at; nil if it is null or no number that JSON knows.
func (r *rowReader) valueOf(b *stream.Batch, i int) *float64 {
	if r.value < 0 || b.Cols[r.value].IsNull(i) {
		return nil
	}
	v := 0.0
	if c := &b.Cols[r.value]; c.Kind == stream.Int {
		v = float64(c.Ints[i])
	} else {
		v = c.Floats[i]
	}
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// evidenceOf names the first and the last record of the row.
func (r *rowReader) evidenceOf(b *stream.Batch, i int) []Evidence {
	if r.evidence == nil || b.Cols[r.evidence[0]].IsNull(i) {
		return []Evidence{}
	}
	at := func(k int) int64 { return b.Cols[r.evidence[k]].Ints[i] }
	record := func(offset, time int64) Evidence {
		return Evidence{Topic: r.topic, Partition: int32(at(0)), Offset: offset, Time: stream.Time(time).Go()}
	}
	return joinEvidence([]Evidence{record(at(1), at(2))}, []Evidence{record(at(3), at(4))})
}

// joinEvidence keeps the first of a and the last of b, once if they are the same record.
func joinEvidence(a, b []Evidence) []Evidence {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	first, last := a[0], b[len(b)-1]
	if first == last {
		return []Evidence{first}
	}
	return []Evidence{first, last}
}

// groupLabels are the columns of the group as text; a null one is missing.
func (r *rowReader) groupLabels(b *stream.Batch, i int) map[string]string {
	labels := make(map[string]string, len(r.groups)+len(r.labels))
	for k, c := range r.groups {
		col := &b.Cols[c]
		switch v := col.Value(i).(type) {
		case nil:
		case float64:
			labels[r.names[k]] = fmt.Sprint(v + 0) // -0 is 0: they are one group
		default:
			labels[r.names[k]] = fmt.Sprint(v)
		}
	}
	return labels
}
