package serve

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/stream"
)

// event is what a pipeline would have read.
type event struct {
	second int
	group  [2]string // tenant, host; "-" is null
	value  float64
	null   bool
}

// totals are the aggregates of some events, the simple way.
type totals struct {
	rows, n       int
	sum, min, max float64
}

func (t *totals) add(e *event) {
	t.rows++
	if e.null {
		return
	}
	if t.n++; t.n == 1 {
		t.min, t.max = e.value, e.value
	}
	t.sum, t.min, t.max = t.sum+e.value, min(t.min, e.value), max(t.max, e.value)
}

// values are the columns of the output: avg, min, max, sum are null if no value was seen.
func (t *totals) values() []any {
	if t.n == 0 {
		return []any{nil, nil, nil, nil, 0, t.rows}
	}
	return []any{t.sum / float64(t.n), t.min, t.max, t.sum, t.n, t.rows}
}

const foldFields = "tenant:string host:string avg:float min:float max:float sum:float n:int rows:int"

// foldWorld keeps events in windows of ten seconds, as a pipeline would.
func foldWorld(events []event) *world {
	w := newWorld()
	w.output(RollupOutput{Pipeline: "p", Name: "o", Instance: "p@1", Groups: 2, Window: 10 * time.Second, Every: 10 * time.Second, Fields: fields(foldFields)},
		&pipelines.Description{Name: "p", Instance: "p@1", Topics: []string{"metrics"}, Event: "metric", Rollups: []pipelines.Rollup{{Output: "o", Columns: []pipelines.RollupColumn{
			{Name: "avg", Function: "avg", Of: "value"},
			{Name: "min", Function: "min", Of: "value"},
			{Name: "max", Function: "max", Of: "value"},
			{Name: "sum", Function: "sum", Of: "value"},
			{Name: "n", Function: "count", Of: "value"},
			{Name: "rows", Function: "count"},
		}}}})
	for key, t := range grouped(events, 10, func(e *event) string { return e.group[0] + " " + e.group[1] }) {
		w.mu.rows["p/o"] = append(w.mu.rows["p/o"], row{start: at(key.bucket), labels: strings.Split(key.group, " "), values: t.values()})
	}
	return w
}

type bucketKey struct {
	bucket int
	group  string
}

func grouped(events []event, step int, group func(*event) string) map[bucketKey]*totals {
	all := map[bucketKey]*totals{}
	for i := range events {
		e := &events[i]
		key := bucketKey{floorTo(e.second, step), group(e)}
		if all[key] == nil {
			all[key] = &totals{}
		}
		all[key].add(e)
	}
	return all
}

// floorTo is the begin of the bucket in the way of the server: buckets are multiples since 1970.
func floorTo(second, step int) int {
	return int(at(second).Floor(time.Duration(step)*time.Second).Sub(at(0)) / time.Second)
}

func drawEvents(t *rapid.T) []event {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) event {
		return event{
			second: rapid.IntRange(0, 599).Draw(t, "second"),
			group:  [2]string{rapid.SampledFrom([]string{"a", "b", "-"}).Draw(t, "tenant"), rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "host")},
			value:  rapid.Float64Range(-1e6, 1e6).Draw(t, "value"), null: rapid.IntRange(0, 5).Draw(t, "null") == 0,
		}
	}), 0, 60).Draw(t, "events")
}

// TestFoldIsTheAggregateOfEvents compares answers at every step and grouping with the aggregates of the events themselves.
func TestFoldIsTheAggregateOfEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := drawEvents(t)
		w := foldWorld(events)
		step := rapid.IntRange(1, 13).Draw(t, "step") * 10
		by := rapid.SampledFrom([]string{"tenant,host", "tenant", "host", ""}).Draw(t, "by")
		where := rapid.SampledFrom([]string{"", "&where=host=x", "&where=host=x&where=host=z", "&where=tenant=a&where=host=y"}).Draw(t, "where")
		target := fmt.Sprintf("/query?pipeline=p&from=%d&to=%d&by=%s&step=%ds%s", nine.Unix(), nine.Unix()+600, by, step, where)
		got := evaluateTarget(t, w, target)
		passing := slices.DeleteFunc(slices.Clone(events), func(e event) bool {
			return strings.Contains(where, "tenant=a") && e.group[0] != "a" ||
				strings.Contains(where, "host=") && !strings.Contains(where+"&", "host="+e.group[1]+"&")
		})
		want := grouped(passing, step, func(e *event) string { return groupOf(e, by) })
		seen := 0
		for i := range got.Series {
			line := &got.Series[i]
			for j, start := range line.Points.Start {
				seen++
				key := bucketKey{int(start.Sub(at(0)) / time.Second), labelText(line.Labels, by)}
				if want[key] == nil {
					t.Fatalf("%s: a point at %v without events", target, key)
				}
				samePointAs(t, line, j, want[key].values())
			}
		}
		if seen != len(want) {
			t.Fatalf("%s: %d points, want %d", target, seen, len(want))
		}
	})
}

func groupOf(e *event, by string) string {
	labels := map[string]string{}
	for i, name := range []string{"tenant", "host"} {
		if e.group[i] != "-" {
			labels[name] = e.group[i]
		}
	}
	return labelText(labels, by)
}

func labelText(labels map[string]string, by string) string {
	var parts []string
	for name := range strings.SplitSeq(by, ",") {
		if v, ok := labels[name]; ok {
			parts = append(parts, name+"="+v)
		}
	}
	return strings.Join(parts, " ")
}

func samePointAs(t *rapid.T, line *MetricsLine, j int, want []any) {
	for k, w := range want {
		c := &line.Points.Columns[k]
		switch v := w.(type) {
		case nil:
			if !c.IsNull(j) {
				t.Fatalf("%s is not null", line.Columns[k+1])
			}
		case int:
			if c.IsNull(j) || c.Ints[j] != int64(v) {
				t.Fatalf("%s is %v, want %d", line.Columns[k+1], c.Value(j), v)
			}
		case float64: // sums in another order
			if c.IsNull(j) || math.Abs(c.Floats[j]-v) > 1e-9*math.Max(1e6, math.Abs(v)) {
				t.Fatalf("%s is %v, want %v", line.Columns[k+1], c.Value(j), v)
			}
		}
	}
}

// TestOverlappingWindowsAreNotAddedUp: each point is the window that begins with the bucket, and only groups are combined.
func TestOverlappingWindowsAreNotAddedUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := drawEvents(t)
		w := foldWorld(nil)
		w.mu.outputs[0].Window = time.Minute // every ten seconds
		inWindow := func(start int, host string) (in []event) {
			for _, e := range events {
				if e.second >= start && e.second < start+60 && (host == "" || e.group[1] == host) {
					in = append(in, e)
				}
			}
			return in
		}
		for start := 0; start < 600; start += 10 {
			for _, host := range []string{"x", "y", "z"} {
				if in := inWindow(start, host); len(in) > 0 {
					var sum totals
					for i := range in {
						sum.add(&in[i])
					}
					w.mu.rows["p/o"] = append(w.mu.rows["p/o"], row{start: at(start), labels: []string{"a", host}, values: sum.values()})
				}
			}
		}
		step := rapid.IntRange(1, 9).Draw(t, "step") * 10
		a := evaluateTarget(t, w, fmt.Sprintf("/query?pipeline=p&from=%d&to=%d&by=&step=%ds", nine.Unix(), nine.Unix()+600, step))
		seen := 0
		for i := range a.Series {
			line := &a.Series[i]
			for j, start := range line.Points.Start {
				second := int(start.Sub(at(0)) / time.Second)
				if second != floorTo(second, step) {
					t.Fatalf("a point at %d for step %d", second, step)
				}
				var sum totals
				in := inWindow(second, "")
				for k := range in {
					sum.add(&in[k])
				}
				samePointAs(t, line, j, sum.values())
				seen++
			}
		}
		for second := range 600 {
			if second%10 == 0 && floorTo(second, step) == second && len(inWindow(second, "")) > 0 {
				seen--
			}
		}
		if seen != 0 {
			t.Fatalf("%d points too many", seen)
		}
	})
}

// fataler is a test of this package, or of rapid.
type fataler interface {
	Fatalf(format string, args ...any)
}

// evaluateTarget answers the path without HTTP.
func evaluateTarget(t fataler, w *world, target string) *MetricsAnswer {
	s := &Server{c: Config{Status: w, Rollups: w, Clock: still{nine.Add(10 * time.Minute)}, Limits: DefaultLimits()}, routes: routes()}
	c, err := s.resolve(target)
	if err != nil {
		t.Fatalf("%s: %v", target, err)
	}
	rep, err := c.route.handle(context.Background(), s, c)
	if err != nil {
		t.Fatalf("%s: %v", target, err)
	}
	return rep.body.(*MetricsAnswer)
}

// TestOneWindowStaysAsItIs: an answer at the window's own step holds the stored values to the last bit.
func TestOneWindowStaysAsItIs(t *testing.T) {
	w := newWorld()
	odd := math.Nextafter(0.1, 1)
	w.output(RollupOutput{Pipeline: "p", Name: "o", Instance: "p@1", Groups: 1, Window: time.Second, Every: time.Second, Fields: fields("host:string avg:float n:int")},
		&pipelines.Description{Name: "p", Instance: "p@1", Topics: []string{"m"}, Rollups: []pipelines.Rollup{{Output: "o", Columns: []pipelines.RollupColumn{{Name: "avg", Function: "avg", Of: "v"}, {Name: "n", Function: "count", Of: "v"}}}}})
	w.put("p/o", at(3), row{labels: []string{"x"}, values: []any{odd, 3}})
	for _, target := range []string{"/query?pipeline=p&from=now-10m&step=1s", "/query?pipeline=p&from=now-10m&step=1s&by=", "/query?pipeline=p&from=now-10m&step=1m"} {
		got := evaluateTarget(t, w, target)
		if len(got.Series) != 1 || got.Series[0].Points.Columns[0].Floats[0] != odd {
			t.Errorf("%s: %+v", target, got.Series)
		}
	}
	if n := got(t, w, "/query?pipeline=p&last=10m&columns=n&step=auto&points=2").Points; len(n.Start) != 1 || n.Columns[0].Kind != stream.Int {
		t.Errorf("%+v", n)
	}
}

func got(t *testing.T, w *world, target string) MetricsLine {
	t.Helper()
	a := evaluateTarget(t, w, target)
	if len(a.Series) != 1 {
		t.Fatalf("%s: %d series", target, len(a.Series))
	}
	return a.Series[0]
}

// TestRefusals names what cannot be answered, and why.
func TestRefusals(t *testing.T) {
	for _, tc := range []struct {
		path, want string
		code       int
	}{
		{"/metrics/performance/checkout?step=5m&columns=last&last=1h", "last(value) of several windows or groups cannot be computed", 422},
		{"/metrics/performance/checkout?by=service&columns=mean&last=1h", "the pipeline should compute count(value) beside avg(value)", 422},
		{"/metrics/performance/checkout?by=service&columns=requests&last=1h", `"requests"`, 200},
		{"/metrics/performance/checkout?by=service&last=1h", `"omitted":[{"column":"mean"`, 200},
		{"/metrics/performance/nobody?last=1h", `"series":[]`, 200},
		{"/metrics/performance/checkout?operations=GET%20/cart&last=1h", `"GET /cart"`, 200},
		{"/metrics/performance/checkout?operations=POST%20/cart&last=1h", `"series":[]`, 200},
		{"/metrics/system?step=1s&last=30d", "too_many_points", 422},
		{"/metrics/system?last=3000d", "query.last", 400},
		{"/metrics/system?last=1h&from=now-1h", "give last, or from and to", 400},
		{"/metrics/system?to=now", "it needs from", 400},
		{"/metrics/system?from=now&to=now-1h", "it must be before to", 400},
		{"/metrics/system?from=yesterday", "query.from", 400},
		{"/metrics/system?last=-5m", "negative", 400},
		{"/metrics/system?step=0s", "not positive", 400},
		{"/metrics/system?points=0", "query.points", 400},
		{"/metrics/system?by=rack", "rack is no group column; there are host, tenant", 400},
		{"/metrics/system?where=rack=7", "query.where", 400},
		{"/metrics/system?where=host", "name=value", 400},
		{"/metrics/system?columns=p99", "p99 is no value column or function; there are avg, max, samples", 400},
		{"/metrics/system?top=2&order=p99", "query.order", 400},
		{"/metrics/system?order=avg", "it needs top", 400},
		{"/metrics/system?types=gpu", "no output is of these types", 400},
		{"/metrics/system?last=1h&last=2h", "more than once", 400},
		{"/metrics/system?last=1h&time_range=2h", "more than once", 400},
		{"/metrics/system?time_range=2026-11-24T21:00:00Z/2026-11-24T21:01:00Z", `"from":"2026-11-24T21:00:00Z","to":"2026-11-24T21:01:00Z"`, 200},
		{"/metrics/custom", "which metric?", 400},
		{"/query", "which pipeline?", 400},
		{"/query?pipeline=host-cpu&output=ram", "there is no output host-cpu/ram", 404},
		{"/query?pipeline=host-cpu&where=tenant=acme&where=host=web-7&where=host=web-8&last=10m", `"web-8"`, 200},
		{"/metrics/security?types=authentication&by=src_ip&top=1&order=attempts&last=10m", "10.1.2.3", 200},
		{"/pipelines/none", "there is no pipeline none; there are authentication-sources, host-cpu", 404},
		{"/evidence/other/0/17", "no pipeline reads the topic other", 404},
		{"/evidence/metrics/0/18", "no record at offset 18", 404},
		{"/evidence/metrics/x/-1", "path.partition", 400},
		{"/dead-letters/x", "an id is PARTITION-OFFSET", 404},
		{"/dead-letters/0-40", "any more", 404},
		{"/dead-letters?state=burning", `unknown state \"burning\"`, 400},
		{"/dead-letters?state=all", `"state":"open"`, 200},
		{"/dead-letters?state=dropped", `"state":"retried"`, 200},
		{"/metrics/alerts?label=user=ada&label=user=bob", "cannot have two values", 400},
		{"/metrics/alerts?cursor=x", "query.cursor", 400},
		{"/metrics/alerts?category=access&last=1h", "BruteForceSucceeded", 200},
		{"/metrics/alerts?category=other", `"items":[]`, 200},
		{"/metrics/alerts?from=2026-11-24T21:01:30Z", `"items":[]`, 200},
		{"/metrics/system/more", "there is nothing at", 404},
	} {
		w := send(exampleWorld(t).server(t, nil), "GET", APIBase+tc.path, "")
		if w.Code != tc.code || !strings.Contains(w.Body.String(), tc.want) {
			t.Errorf("%s: %d %s\nwant %d with %s", tc.path, w.Code, w.Body, tc.code, tc.want)
		}
	}
}
