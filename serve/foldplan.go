package serve

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// Functions whose values can be combined.
const (
	countOf = "count"
	countIf = "count_if"
	sumOf   = "sum"
	minOf   = "min"
	maxOf   = "max"
	avgOf   = "avg"
)

// foldPlan says how the windows of one output become the buckets and groups that were asked for.
type foldPlan struct {
	target *target
	step   time.Duration
	keep   []int // group columns that stay
	// merges says that several rows may become one point. Without, every row is a point as it is.
	merges bool
	// samples says that windows overlap, so that they cannot be added up: each point is the one window that begins with the
	// bucket.
	samples bool
	columns []foldColumn
	read    []string            // value columns to read; those of columns first, in their order
	where   map[string]string   // for the store
	anyOf   map[int][]string    // group columns with several possible values
	omitted []OmittedColumn     // columns that were not asked for by name and cannot be combined
	conds   map[string][]string // all conditions
}

// foldColumn is a value column of the answer.
type foldColumn struct {
	name, function string
	kind           stream.Kind
	weight         int // of an avg: index in read of the count of its values; -1 otherwise
}

// planFold checks the question against one output. It is nil without mistakes if the question is not about this output
// after all: it has none of the columns, or lacks a group column of a condition.
func (a *ask) planFold(t *target, step time.Duration) (*foldPlan, []ProblemDetail) {
	p := &foldPlan{target: t, step: step, where: map[string]string{}, anyOf: map[int][]string{}, conds: a.conditions(t)}
	for i, g := range t.info.Groups {
		if !a.byGiven || slices.Contains(a.by, g) {
			p.keep = append(p.keep, i)
		}
	}
	for _, name := range sortedKeys(p.conds) {
		i := slices.Index(t.info.Groups, name)
		if i < 0 {
			return nil, nil
		}
		if values := p.conds[name]; len(values) == 1 {
			p.where[name] = values[0]
		} else {
			p.anyOf[i] = values
		}
	}
	p.samples = t.store.Window > t.store.Every && step > t.store.Every
	p.merges = step != t.store.Every && !p.samples || len(p.keep) < len(t.info.Groups)
	chosen := a.chosen(t)
	if len(chosen) == 0 {
		return nil, nil
	}
	return p, p.choose(chosen, len(a.columns) > 0)
}

// chosen are the indices of the value columns that were asked for.
func (a *ask) chosen(t *target) (chosen []int) {
	for i := range t.info.Columns {
		c := &t.info.Columns[i]
		if len(a.columns) == 0 || slices.Contains(a.columns, c.Name) || slices.Contains(a.columns, c.Function) {
			chosen = append(chosen, i)
		}
	}
	return chosen
}

// choose plans the columns. What cannot be combined is a mistake if it was asked for by name, else it is left out.
func (p *foldPlan) choose(chosen []int, named bool) (mistakes []ProblemDetail) {
	t := p.target
	weights := map[int]int{} // index of column: index of its weight
	for _, i := range chosen {
		c := &t.info.Columns[i]
		kind := t.store.Fields[t.store.Groups+i].Kind
		weight, reason := p.combines(i, kind)
		if reason == "" {
			weights[len(p.columns)] = weight
			p.columns = append(p.columns, foldColumn{c.Name, c.Function, kind, -1})
			p.read = append(p.read, c.Name)
			continue
		}
		p.omitted = append(p.omitted, OmittedColumn{c.Name, reason})
		if named {
			mistakes = append(mistakes, ProblemDetail{"query.columns", fmt.Sprintf("%s of %s/%s: %s", c.Name, t.info.Pipeline, t.info.Output, reason)})
		}
	}
	if len(p.columns) == 0 && len(mistakes) == 0 {
		for _, o := range p.omitted {
			mistakes = append(mistakes, ProblemDetail{"query.step", fmt.Sprintf("%s of %s/%s: %s", o.Column, t.info.Pipeline, t.info.Output, o.Reason)})
		}
	}
	for k := range p.columns {
		if w := weights[k]; w >= 0 {
			p.columns[k].weight = p.reads(t.info.Columns[w].Name)
		}
	}
	return mistakes
}

// reads adds a column to those that are read, once.
func (p *foldPlan) reads(name string) int {
	if i := slices.Index(p.read, name); i >= 0 {
		return i
	}
	p.read = append(p.read, name)
	return len(p.read) - 1
}

// combines tells whether values of a column can become one, and the column that weighs them, -1 if none does.
func (p *foldPlan) combines(i int, kind stream.Kind) (weight int, reason string) {
	c := &p.target.info.Columns[i]
	if kind != stream.Int && kind != stream.Float {
		return -1, "it is " + kind.String() + ", not a number"
	}
	if !p.merges {
		return -1, ""
	}
	switch c.Function {
	case countOf, countIf, sumOf, minOf, maxOf:
		return -1, ""
	case avgOf:
		if w := p.weightOf(c); w >= 0 {
			return w, ""
		}
		return -1, fmt.Sprintf("averages of several windows or groups need the number of their values: the pipeline should compute count(%s) beside avg(%s); ask for step=%s and all groups", c.Of, c.Of, p.own())
	case "":
		return -1, "its pipeline is not configured here, so how it was computed is unknown; ask for step=" + p.own() + " and all groups"
	}
	return -1, fmt.Sprintf("%s(%s) of several windows or groups cannot be computed from theirs; ask for step=%s and all groups", c.Function, c.Of, p.own())
}

func (p *foldPlan) own() string {
	text, _ := Span(p.target.store.Every).MarshalText()
	return string(text)
}

// weightOf is the column that counts the values of an average.
func (p *foldPlan) weightOf(avg *ColumnInfo) int {
	all := p.target.info.Columns
	if i := slices.IndexFunc(all, func(c ColumnInfo) bool { return c.Function == countOf && c.Of == avg.Of }); i >= 0 {
		return i
	}
	at := slices.IndexFunc(all, func(c ColumnInfo) bool { return c.Name == avg.Name })
	if !p.target.exact[at] {
		return -1
	}
	return slices.IndexFunc(all, func(c ColumnInfo) bool { return c.Function == countOf && c.Of == "" })
}

// labels are those of a group, as far as they stay.
func (p *foldPlan) labels(key []label) map[string]string {
	m := make(map[string]string, len(p.keep))
	for i, g := range p.keep {
		if !key[i].null {
			m[p.target.info.Groups[g]] = key[i].text
		}
	}
	return m
}

// header names the columns of points.
func (p *foldPlan) header() []string {
	names := make([]string, 1, 1+len(p.columns))
	names[0] = "time"
	for i := range p.columns {
		names = append(names, p.columns[i].name)
	}
	return names
}

// passes reports whether the group has one of the values, where several are possible.
func (p *foldPlan) passes(s *RollupSeries) bool {
	for i, values := range p.anyOf {
		if s.Null[i] || !slices.Contains(values, s.Labels[i]) {
			return false
		}
	}
	return true
}

// label is the value of a group column.
type label struct {
	text string
	null bool
}

func compareLabels(a, b []label) int {
	return slices.CompareFunc(a, b, func(x, y label) int {
		switch {
		case x.null && !y.null:
			return -1
		case y.null && !x.null:
			return 1
		}
		return strings.Compare(x.text, y.text)
	})
}
