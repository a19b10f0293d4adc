package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/serve"
	"github.com/tidewatch/tidewatch/sinks/redis"
	"github.com/tidewatch/tidewatch/stream"
)

// queryFlags are what query is told.
type queryFlags struct {
	where    []string
	by       []string
	byGiven  bool
	columns  []string
	last     string
	from, to string
	step     string
	chart    bool
	width    int
}

func (a *app) queryCommand() *cobra.Command {
	var f queryFlags
	c := &cobra.Command{
		Use: "query METRIC|PIPELINE[/OUTPUT]", Short: "Read rollups, as numbers or as a chart", Args: cobra.ExactArgs(1),
		Long: "Reads rollups as they are now. Times are those of the windows' starts; the line on standard error says up to which event\n" +
			"time they are complete.\n\n" +
			"--by keeps some group columns and adds the others up, --step makes longer buckets. Counts and sums add, extremes\n" +
			"compare, an average is weighted by the count beside it; what cannot be computed exactly is refused, with the reason.\n" +
			"Without them every window is a row. With --server the server is asked, else the configured Redis.",
		Example: "  tidewatch query host-cpu --where host=web-7 --last 15m\n" +
			"  tidewatch query host-cpu --by host --last 1h --chart\n" +
			"  tidewatch query authentication/logins --by tenant --step 5m --column failures -o csv\n" +
			"  tidewatch query host-cpu/cpu --from 2026-01-01T00:00:00Z --to now -o jsonl",
		RunE: func(c *cobra.Command, args []string) error {
			f.byGiven = c.Flags().Changed("by")
			return a.query(c.Context(), args[0], &f)
		},
	}
	fl := c.Flags()
	fl.StringArrayVar(&f.where, "where", nil, "values of group columns, name=value; may be repeated, a name that stands twice may have either value")
	fl.StringSliceVar(&f.by, "by", nil, "group columns to keep; the others are added up. --by '' makes one series of all")
	fl.StringVar(&f.step, "step", "", "length of a bucket, such as 1m, rounded up to whole windows; auto fits the span")
	fl.StringSliceVar(&f.columns, "column", nil, "aggregates wanted, by name or function; default all")
	fl.StringVar(&f.last, "last", "", "span up to now, such as 15m or 7d; default 15m")
	fl.StringVar(&f.from, "from", "", "begin: RFC 3339, epoch seconds or milliseconds, or now-15m")
	fl.StringVar(&f.to, "to", "", "end; default now")
	fl.BoolVar(&f.chart, "chart", false, "draw the first column, a chart for each series")
	fl.IntVar(&f.width, "width", 0, "columns of the chart; default the terminal's, else 80")
	c.MarkFlagsMutuallyExclusive("last", "from")
	c.MarkFlagsMutuallyExclusive("last", "to")
	return c
}

// span is the queried time; event times may be a little ahead of this machine's clock, so an open end is a minute on.
func (f *queryFlags) span(now time.Time) (from, to stream.Time, err error) {
	to = stream.TimeOf(now.Add(time.Minute))
	if f.to != "" {
		if to, err = serve.ParseTime(f.to, now); err != nil {
			return 0, 0, fmt.Errorf("--to: %w", err)
		}
	}
	if f.from != "" {
		if from, err = serve.ParseTime(f.from, now); err != nil {
			return 0, 0, fmt.Errorf("--from: %w", err)
		}
		return from, to, nil
	}
	last := f.last
	if last == "" {
		last = "15m"
	}
	d, err := pipelines.ParseDuration(last)
	if err != nil {
		return 0, 0, fmt.Errorf("--last: %w", err)
	}
	return stream.TimeOf(now.Add(-d)), to, nil
}

func (a *app) query(ctx context.Context, target string, f *queryFlags) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	for _, w := range f.where {
		if k, _, ok := strings.Cut(w, "="); !ok || k == "" {
			return fail(exitUsage, fmt.Errorf("--where: %q is not name=value", w))
		}
	}
	if a.server == "" && !f.byGiven && f.step == "" && !f.chart {
		done, err := a.queryWindows(ctx, target, f)
		if done || err != nil {
			return err
		}
	}
	return a.queryBuckets(ctx, target, f)
}

// queryWindows reads every window as it is, from Redis. It is not done if target is no pipeline, or a condition has several
// values.
func (a *app) queryWindows(ctx context.Context, target string, f *queryFlags) (done bool, err error) {
	where := map[string]string{}
	for _, w := range f.where {
		k, v, _ := strings.Cut(w, "=")
		if _, twice := where[k]; twice {
			return false, nil
		}
		where[k] = v
	}
	from, to, err := f.span(clock.System{}.Now())
	if err != nil {
		return true, fail(exitUsage, err)
	}
	client, err := a.openRollups()
	if err != nil {
		return true, err
	}
	defer func() { _ = client.Close() }() // nothing was written
	out, err := findOutput(ctx, client, target)
	if err != nil {
		err = ifNot(err, exitNotFound) // it may be the name of a metric
		return err != nil, err
	}
	res, err := client.Read(ctx, redis.Query{Output: out, From: from, To: to, Where: where, Columns: f.columns})
	if err != nil {
		code := exitDependency
		if stream.KindOfError(err) == stream.Reject {
			code = exitUsage
		}
		return true, fail(code, err)
	}
	if !a.quiet {
		fmt.Fprintf(a.errs, "complete through %s\n", res.CompleteThrough)
	}
	return true, a.print(points(&out, res))
}

// ifNot is err unless it has the code.
func ifNot(err error, code int) error {
	if c, ok := errors.AsType[coded](err); ok && c.code == code {
		return nil
	}
	return err
}

// findOutput resolves PIPELINE or PIPELINE/OUTPUT.
func findOutput(ctx context.Context, client *redis.Client, target string) (redis.Output, error) {
	pipeline, name, _ := strings.Cut(target, "/")
	all, err := client.Outputs(ctx)
	if err != nil {
		return redis.Output{}, fail(exitDependency, err)
	}
	var found []redis.Output
	var known []string
	for _, o := range all {
		known = append(known, o.Pipeline+"/"+o.Name)
		if o.Pipeline == pipeline && (name == "" || o.Name == name) {
			found = append(found, o)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return redis.Output{}, fail(exitUsage, fmt.Errorf("pipeline %s has several outputs; choose one of %s", pipeline, strings.Join(known, ", ")))
	case len(known) == 0:
		return redis.Output{}, fail(exitNotFound, errors.New("there are no rollups in Redis yet; is a worker running?"))
	}
	slices.Sort(known)
	return redis.Output{}, fail(exitNotFound, fmt.Errorf("there is no output %s; there are %s", target, strings.Join(known, ", ")))
}

// points makes a row of every point: time, labels, values; ordered by time, then labels.
func points(o *redis.Output, res *redis.Result) *listing {
	l := &listing{columns: []string{"time"}}
	for _, c := range o.Columns[:o.Groups] {
		l.columns = append(l.columns, c.Name)
	}
	l.columns = append(l.columns, res.Columns...)
	type point struct {
		at     stream.Time
		series int
		i      int
	}
	var all []point
	for s := range res.Series {
		for i, at := range res.Series[s].Start {
			all = append(all, point{at, s, i})
		}
	}
	slices.SortStableFunc(all, func(a, b point) int { // series are sorted by their labels already
		switch {
		case a.at < b.at:
			return -1
		case a.at > b.at:
			return 1
		}
		return a.series - b.series
	})
	for _, p := range all {
		s := &res.Series[p.series]
		cells := append([]string{p.at.String()}, s.Labels...)
		value := map[string]any{"time": p.at.String()}
		for k, label := range s.Labels {
			value[l.columns[1+k]] = label
		}
		for c := range s.Columns {
			v := s.Columns[c].Value(p.i)
			cells, value[res.Columns[c]] = append(cells, cell(v)), v
		}
		l.add(value, cells...)
	}
	return l
}

// cell is a value as text; floats keep all their digits, so that answers can be compared.
func cell(v any) string {
	switch x := v.(type) {
	case nil:
		return ""
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64)
	}
	return fmt.Sprint(v)
}
