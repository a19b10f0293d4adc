package redis

import (
	"slices"

	"github.com/tidewatch/tidewatch/stream"
)

// Where one version of a pipeline follows another, each window is in one of them. A query reads both, and shows what the
// versions before have under the names of the newest.

// before is the part of the query that the version before answers.
func (p *plan) before() Query {
	q := p.q
	q.Output, q.To = *p.q.Output.Before, min(p.q.To, p.q.Output.Since)
	q.Columns = nil
	return q
}

// joined is both answers as one.
func (p *plan) joined(before, r *Result) *Result {
	columns := make([]int, len(p.values)) // of before, -1 where it has none of that kind
	for i, at := range p.values {
		c := p.q.Output.Columns[at]
		columns[i] = slices.Index(before.Columns, c.Name)
		if old := p.q.Output.Before.column(c.Name); old < 0 || p.q.Output.Before.Columns[old] != c {
			columns[i] = -1
		}
	}
	all := &Result{Columns: r.Columns, CompleteThrough: r.CompleteThrough}
	if r.CompleteThrough < p.q.Output.Since {
		all.CompleteThrough = min(before.CompleteThrough, p.q.Output.Since)
	}
	order := func(x, y *Series) int {
		if c := slices.Compare(x.Labels, y.Labels); c != 0 {
			return c
		}
		return slices.CompareFunc(x.Null, y.Null, func(a, b bool) int {
			switch {
			case a == b:
				return 0
			case a:
				return -1
			}
			return 1
		})
	}
	olds, news := before.Series, r.Series
	for len(olds) > 0 || len(news) > 0 {
		switch {
		case len(olds) == 0 || len(news) > 0 && order(&news[0], &olds[0]) < 0:
			all.Series, news = append(all.Series, news[0]), news[1:]
		case len(news) == 0 || order(&news[0], &olds[0]) > 0:
			all.Series, olds = append(all.Series, p.converted(&olds[0], columns, nil)), olds[1:]
		default:
			all.Series, olds, news = append(all.Series, p.converted(&olds[0], columns, &news[0])), olds[1:], news[1:]
		}
	}
	return all
}

// converted is a series of the version before with the columns of this one, and what this one has of it behind.
func (p *plan) converted(old *Series, columns []int, rest *Series) Series {
	s := Series{Labels: old.Labels, Null: old.Null, Start: slices.Clone(old.Start)}
	for i, from := range columns {
		c := stream.Column{Kind: p.kinds[p.values[i]]}
		if c.Kind == stream.String {
			c.Dict = stream.NewDict()
		}
		for k := range old.Start {
			if from < 0 {
				c.AppendNull()
			} else {
				c.AppendFrom(&old.Columns[from], k)
			}
		}
		if rest != nil {
			for k := range rest.Start {
				c.AppendFrom(&rest.Columns[i], k)
			}
		}
		s.Columns = append(s.Columns, c)
	}
	if rest != nil {
		s.Start = append(s.Start, rest.Start...)
	}
	return s
}
