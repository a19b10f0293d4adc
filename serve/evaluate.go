package serve

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// part is the share of one output in an answer.
type part struct {
	plan    *foldPlan
	lines   []folded
	through stream.Time
}

// plan finds the outputs that a question is about, and how each is to be folded.
func (a *ask) plan(all []target, now time.Time) ([]*foldPlan, error) {
	wanted := slices.DeleteFunc(slices.Clone(all), func(t target) bool { return !a.choose.wants(&t) })
	if len(wanted) == 0 {
		return nil, a.nothing(all)
	}
	if err := a.known(wanted); err != nil {
		return nil, err
	}
	from, to := a.bounds(now)
	var plans []*foldPlan
	var mistakes []ProblemDetail
	for i := range wanted {
		t := &wanted[i]
		p, wrong := a.planFold(t, a.stepFor(to.Sub(from), t.store.Every))
		mistakes = append(mistakes, wrong...)
		if p != nil {
			plans = append(plans, p)
		}
	}
	if len(mistakes) > 0 {
		return nil, failure(http.StatusUnprocessableEntity, "cannot_aggregate", "stored columns cannot give what was asked for", mistakes...)
	}
	return plans, a.affordable(plans, to.Sub(from))
}

// nothing is the answer to a question about no output: a mistake if something was named, else an empty list.
func (a *ask) nothing(all []target) error {
	ch := &a.choose
	var known []string
	for i := range all {
		if t := &all[i]; ch.family == "" || t.info.Family == ch.family {
			known = append(known, t.info.Pipeline+"/"+t.info.Output)
		}
	}
	there := "there are no rollups yet"
	if len(known) > 0 {
		there = "there are " + strings.Join(known, ", ")
	}
	switch {
	case ch.pipeline != "":
		return notFound(fmt.Sprintf("there is no output %s; %s", strings.TrimSuffix(ch.pipeline+"/"+ch.output, "/"), there))
	case ch.name != "":
		return notFound(fmt.Sprintf("there is no metric %s; %s", ch.name, there))
	case ch.service != "" && len(ch.types)+len(ch.operations) == 0:
		return notFound("no pipeline groups by service")
	case len(ch.types)+len(ch.operations) > 0 && len(known) > 0:
		return failure(http.StatusBadRequest, "bad_request", "no output is of these types", ProblemDetail{"query.types", there})
	}
	return nil
}

// known checks names against all outputs that are asked: one that none of them knows is a mistake.
func (a *ask) known(wanted []target) error {
	var errs []ProblemDetail
	check := func(key, name, what string, has func(t *target) bool, list func(t *target) []string) {
		if slices.ContainsFunc(wanted, func(t target) bool { return has(&t) }) {
			return
		}
		var all []string
		for i := range wanted {
			all = append(all, list(&wanted[i])...)
		}
		slices.Sort(all)
		errs = append(errs, ProblemDetail{"query." + key, fmt.Sprintf("%s is no %s; there are %s", name, what, strings.Join(slices.Compact(all), ", "))})
	}
	groups := func(t *target) []string { return t.info.Groups }
	for _, g := range a.by {
		check("by", g, "group column", func(t *target) bool { return slices.Contains(t.info.Groups, g) }, groups)
	}
	for _, g := range sortedKeys(a.where) {
		check("where", g, "group column", func(t *target) bool { return slices.Contains(t.info.Groups, g) }, groups)
	}
	for _, w := range a.columns {
		is := func(c ColumnInfo) bool { return c.Name == w || c.Function == w }
		check("columns", w, "value column or function", func(t *target) bool { return slices.ContainsFunc(t.info.Columns, is) }, columnNames)
	}
	if a.order != "" {
		check("order", a.order, "value column", func(t *target) bool { return slices.Contains(columnNames(t), a.order) }, columnNames)
	}
	if len(errs) > 0 {
		return failure(http.StatusBadRequest, "bad_request", "the request has mistakes", errs...)
	}
	return nil
}

func columnNames(t *target) []string {
	names := make([]string, len(t.info.Columns))
	for i := range t.info.Columns {
		names[i] = t.info.Columns[i].Name
	}
	return names
}

// affordable refuses what would make too much work.
func (a *ask) affordable(plans []*foldPlan, span time.Duration) error {
	for _, p := range plans {
		if n := span / p.step; n > maxBuckets {
			return failure(http.StatusUnprocessableEntity, "too_many_points", fmt.Sprintf("%d buckets of %s: at most %d; choose a longer step or a shorter span", n, Span(p.step).text(), maxBuckets),
				ProblemDetail{"query.step", "it is too short for the span"})
		}
		if n := span / p.target.store.Every; n > maxWindows {
			return failure(http.StatusUnprocessableEntity, "too_many_points", fmt.Sprintf("%d windows of %s have to be read: at most %d; choose a shorter span", n, p.own(), maxWindows),
				ProblemDetail{"query.last", "it is too long for these windows"})
		}
	}
	return nil
}

func (s Span) text() string {
	b, _ := s.MarshalText()
	return string(b)
}

// evaluate reads and folds one output. The range is widened to whole buckets.
func (s *Server) evaluate(ctx context.Context, p *foldPlan, from, to stream.Time) (part, error) {
	from, to = from.Floor(p.step), ceil(to, p.step)
	q := RollupQuery{Output: p.target.store, From: from, To: to, Where: p.where, Columns: p.read}
	r, err := s.c.Rollups.Read(ctx, q)
	if err != nil {
		return part{}, err
	}
	return part{plan: p, lines: p.fold(r), through: r.CompleteThrough}, nil
}

// ceil is the end of the bucket that t is the end of, or lies in.
func ceil(t stream.Time, step time.Duration) stream.Time {
	return (t + stream.Time(step) - 1).Floor(step)
}

// assemble makes the answer of its parts.
func (a *ask) assemble(parts []part, from, to stream.Time) (*MetricsAnswer, error) {
	out := &MetricsAnswer{Series: []MetricsLine{}, Outputs: []OutputInfo{}}
	longest, shortest := time.Duration(1), time.Duration(math.MaxInt64)
	through := stream.MaxTime
	points := 0
	for i := range parts {
		p := &parts[i]
		longest, shortest, through = max(longest, p.plan.step), min(shortest, p.plan.step), min(through, p.through)
		info, step := p.plan.target.info, Span(p.plan.step)
		info.Step, info.Omitted, info.CompleteThrough = &step, p.plan.omitted, InstantOf(p.through)
		out.Outputs = append(out.Outputs, info)
		for j := range p.lines {
			out.Series = append(out.Series, p.line(&p.lines[j]))
		}
	}
	if len(parts) == 0 {
		shortest, through = max(a.step, a.stepFor(to.Sub(from), 1)), stream.NoTime
	}
	out.From, out.To = Instant(from.Floor(longest)), Instant(ceil(to, longest))
	out.Step, out.CompleteThrough, out.SeriesTotal = Span(shortest), InstantOf(through), len(out.Series)
	slices.SortStableFunc(out.Series, func(x, y MetricsLine) int {
		if c := strings.Compare(x.Name, y.Name); c != 0 {
			return c
		}
		return strings.Compare(x.Pipeline+"\x00"+x.Output, y.Pipeline+"\x00"+y.Output)
	})
	if a.top > 0 {
		out.Series = a.best(out.Series)
	}
	for i := range out.Series {
		points += len(out.Series[i].Points.Start)
	}
	return out, tooMuch(len(out.Series), points)
}

func tooMuch(series, points int) error {
	const advice = "; narrow it by where, by or types, or keep the highest by top"
	switch {
	case series > maxLines:
		return failure(http.StatusUnprocessableEntity, "too_many_series", fmt.Sprintf("%d series: at most %d%s", series, maxLines, advice), ProblemDetail{"query.where", "too many groups pass"})
	case points > maxPoints:
		return failure(http.StatusUnprocessableEntity, "too_many_points", fmt.Sprintf("%d points: at most %d; choose a longer step, or narrow it%s", points, maxPoints, advice), ProblemDetail{"query.step", "too many points"})
	}
	return nil
}

func (p *part) line(f *folded) MetricsLine {
	info, header := &p.plan.target.info, p.plan.header()
	return MetricsLine{
		Name: info.Name, Unit: commonUnit(info.Columns, header), Pipeline: info.Pipeline, Output: info.Output, Labels: p.plan.labels(f.key), Step: Span(p.plan.step),
		Columns: header, Points: f.points,
	}
}

// best keeps the series with the highest totals of a column, highest first. Series without that column come last.
func (a *ask) best(lines []MetricsLine) []MetricsLine {
	totals := make([]float64, len(lines))
	order := make([]int, len(lines))
	for i := range lines {
		order[i], totals[i] = i, lines[i].total(a.order)
	}
	slices.SortStableFunc(order, func(x, y int) int {
		switch {
		case totals[x] > totals[y]:
			return -1
		case totals[x] < totals[y]:
			return 1
		}
		return 0
	})
	out := make([]MetricsLine, 0, min(a.top, len(lines)))
	for _, i := range order[:min(a.top, len(order))] {
		out = append(out, lines[i])
	}
	return out
}

// total adds up a column; nothing is less than every number.
func (l *MetricsLine) total(column string) float64 {
	k := 0
	if column != "" {
		if k = slices.Index(l.Columns[1:], column); k < 0 {
			return math.Inf(-1)
		}
	}
	c, sum, n := &l.Points.Columns[k], 0.0, 0
	for i := range l.Points.Start {
		if v := number(c, i); !c.IsNull(i) && !math.IsNaN(v) {
			sum, n = sum+v, n+1
		}
	}
	if n == 0 {
		return math.Inf(-1)
	}
	return sum
}
