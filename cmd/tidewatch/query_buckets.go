package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/serve"
	"github.com/tidewatch/tidewatch/stream"
)

// seriesAnswer is what the API says about series. Numbers keep the digits that they came with.
type seriesAnswer struct {
	From            time.Time    `json:"from"`
	To              time.Time    `json:"to"`
	Step            span         `json:"step"`
	CompleteThrough *time.Time   `json:"complete_through"`
	Series          []series     `json:"series"`
	Outputs         []outputInfo `json:"outputs"`
}

// series is a group with its points.
type series struct {
	Name     string            `json:"name"`
	Unit     string            `json:"unit"`
	Pipeline string            `json:"pipeline"`
	Output   string            `json:"output"`
	Labels   map[string]string `json:"labels"`
	Step     span              `json:"step"`
	Columns  []string          `json:"columns"`
	Points   [][]json.Number   `json:"points"` // the time in milliseconds, then values; "" is null
}

// outputInfo is what the API says about an output.
type outputInfo struct {
	Pipeline string                `json:"pipeline"`
	Output   string                `json:"output"`
	Name     string                `json:"name"`
	Family   string                `json:"family"`
	Groups   []string              `json:"groups"`
	Columns  []serve.ColumnInfo    `json:"columns"`
	Omitted  []serve.OmittedColumn `json:"omitted"`
}

// span is a length of time in answers.
type span time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *span) UnmarshalText(text []byte) error {
	d, err := pipelines.ParseDuration(string(text))
	*s = span(d)
	return err
}

// at is the time of a point.
func at(p []json.Number) time.Time {
	ms, err := p[0].Int64()
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// ownStep asks for the windows themselves: it is rounded up to one.
const ownStep = "1ms"

func (a *app) queryBuckets(ctx context.Context, target string, f *queryFlags) error {
	open := a.local
	if a.server != "" {
		open = func(context.Context) (*client, error) { return a.dial() }
	}
	c, err := open(ctx)
	if err != nil {
		return err
	}
	defer c.stop()
	width := f.width
	if width == 0 {
		width = a.terminalWidth()
	}
	var m seriesAnswer
	if err := c.get(ctx, "/metrics/custom", f.parameters(target, width), &m); err != nil {
		return err
	}
	if len(m.Outputs) > 1 {
		var names []string
		for _, o := range m.Outputs {
			names = append(names, o.Pipeline+"/"+o.Output)
		}
		return fail(exitUsage, fmt.Errorf("%s is in several outputs; choose one of %s", target, strings.Join(names, ", ")))
	}
	a.tellAnswer(&m)
	if f.chart {
		return drawCharts(a.out, &m, width, a.colours())
	}
	return a.print(buckets(&m))
}

func (f *queryFlags) parameters(target string, width int) url.Values {
	q := url.Values{"name": {target}}
	set := func(key, value string) {
		if value != "" {
			q.Set(key, value)
		}
	}
	set("last", f.last)
	set("from", f.from)
	set("to", f.to)
	if f.from == "" && f.to != "" {
		set("from", "now-15m")
	}
	step := cmp.Or(f.step, ownStep)
	if f.chart {
		step = cmp.Or(f.step, "auto")
		q.Set("points", strconv.Itoa(max(width-chartMargin, 1)))
	}
	q.Set("step", step)
	if f.byGiven {
		q.Set("by", strings.Join(f.by, ","))
	}
	if len(f.columns) > 0 {
		q.Set("columns", strings.Join(f.columns, ","))
	}
	q["where"] = f.where
	return q
}

// tellAnswer says what the numbers do not.
func (a *app) tellAnswer(m *seriesAnswer) {
	if a.quiet {
		return
	}
	fmt.Fprintf(a.errs, "complete through %s\n", instant(m.CompleteThrough))
	for _, o := range m.Outputs {
		for _, c := range o.Omitted {
			fmt.Fprintf(a.errs, "left out: %s: %s\n", c.Column, c.Reason)
		}
	}
}

func instant(t *time.Time) string {
	if t == nil {
		return stream.NoTime.String()
	}
	return stream.TimeOf(*t).String()
}

// buckets makes a row of every point: time, labels, values; ordered by time, then labels.
func buckets(m *seriesAnswer) *listing {
	l := &listing{columns: []string{"time"}}
	groups := labelNames(m)
	l.columns = append(l.columns, groups...)
	type point struct {
		s *series
		p []json.Number
	}
	var all []point
	for i := range m.Series {
		s := &m.Series[i]
		if i == 0 {
			l.columns = append(l.columns, s.Columns[1:]...)
		}
		for _, p := range s.Points {
			all = append(all, point{s, p})
		}
	}
	slices.SortStableFunc(all, func(x, y point) int { return at(x.p).Compare(at(y.p)) }) // series are sorted by their labels
	for _, x := range all {
		when := stream.TimeOf(at(x.p)).String()
		cells, value := []string{when}, map[string]any{"time": when}
		for _, g := range groups {
			label, ok := x.s.Labels[g]
			cells = append(cells, label)
			if value[g] = nil; ok {
				value[g] = label
			}
		}
		for k, n := range x.p[1:] {
			cells = append(cells, n.String())
			if value[x.s.Columns[k+1]] = nil; n != "" {
				value[x.s.Columns[k+1]] = n
			}
		}
		l.add(value, cells...)
	}
	return l
}

// labelNames are the group columns that stayed, in their order.
func labelNames(m *seriesAnswer) (names []string) {
	for _, o := range m.Outputs {
		for _, g := range o.Groups {
			has := func(s series) bool { _, ok := s.Labels[g]; return ok }
			if !slices.Contains(names, g) && slices.ContainsFunc(m.Series, has) {
				names = append(names, g)
			}
		}
	}
	return names
}
