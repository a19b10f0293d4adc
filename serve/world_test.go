package serve

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/stream"
)

// still is a clock that stands; waiting on it takes a hundredth of the time.
type still struct{ at time.Time }

func (c still) Now() time.Time                         { return c.at }
func (c still) After(d time.Duration) <-chan time.Time { return time.After(d / 100) }

// nine is a quarter past nine in the evening of the examples.
var nine = time.Date(2026, 11, 24, 21, 0, 0, 0, time.UTC)

func at(seconds int) stream.Time {
	return stream.TimeOf(nine).Add(time.Duration(seconds) * time.Second)
}

// world is all that a server reads, in memory. It implements Status, Rollups and Log.
type world struct {
	applied   []ApplyRequest
	described []*pipelines.Description
	alerts    *alerts.Memory
	notReady  error

	mu struct {
		sync.Mutex
		outputs []RollupOutput
		rows    map[string][]row // by output
		through map[string]stream.Time
		reads   map[string]int
		away    error
		listen  map[string]map[int]func(RollupNotice)
		heard   map[string]chan struct{} // closed once somebody listens
		next    int
		log     []LogEntry
	}
}

// row is a group in a window.
type row struct {
	start  stream.Time
	labels []string // "-" is null
	values []any    // int64, float64 or nil
}

func newWorld() *world {
	w := &world{alerts: alerts.NewMemory()}
	w.mu.rows, w.mu.through, w.mu.reads = map[string][]row{}, map[string]stream.Time{}, map[string]int{}
	w.mu.listen, w.mu.heard = map[string]map[int]func(RollupNotice){}, map[string]chan struct{}{}
	return w
}

func (w *world) output(o RollupOutput, d *pipelines.Description) {
	w.mu.outputs = append(w.mu.outputs, o)
	slices.SortFunc(w.mu.outputs, func(a, b RollupOutput) int { return strings.Compare(a.Pipeline+a.Name, b.Pipeline+b.Name) })
	w.described = append(w.described, d)
	slices.SortFunc(w.described, func(a, b *pipelines.Description) int { return strings.Compare(a.Name, b.Name) })
}

// put replaces the rows of a window of an output, and tells.
func (w *world) put(output string, start stream.Time, rows ...row) {
	w.mu.Lock()
	w.mu.rows[output] = slices.DeleteFunc(w.mu.rows[output], func(r row) bool { return r.start == start })
	for _, r := range rows {
		r.start = start
		w.mu.rows[output] = append(w.mu.rows[output], r)
	}
	w.mu.Unlock()
	w.tell(output, RollupNotice{Windows: []stream.Time{start}})
}

func (w *world) tell(output string, n RollupNotice) {
	w.mu.Lock()
	var all []func(RollupNotice)
	for _, f := range w.mu.listen[output] {
		all = append(all, f)
	}
	w.mu.Unlock()
	for _, f := range all {
		f(n)
	}
}

// listening is closed once somebody listens to the output.
func (w *world) listening(output string) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.heard[output] == nil {
		w.mu.heard[output] = make(chan struct{})
	}
	return w.mu.heard[output]
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (w *world) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.away = err
}

func (w *world) readsOf(output string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.reads[output]
}

func (w *world) Status() StatusAnswer {
	lag := int64(3)
	a := StatusAnswer{Worker: "worker-1", Version: "dev", Pipelines: []PipelineStatus{}, Dependencies: []DependencyStatus{
		{Name: "Postgres"}, {Name: "Redis", AwaySince: InstantOf(at(100)), Problem: "connection refused"},
	}}
	for _, d := range w.described {
		t := PartitionStatus{
			Stage: "main", Topic: d.Topics[0], State: "running", Epoch: 7, Offset: 100, Lag: &lag, LagSeconds: 1.5, Watermark: InstantOf(at(110)),
			Ledger: map[string]int64{"counted": 100}, StateBytes: 4096, Groups: 2, Snapshot: 90, SnapshotLen: 2048, Outputs: map[string]string{"redis": ""},
		}
		a.Pipelines = append(a.Pipelines, PipelineStatus{
			Name: d.Name, Instance: d.Instance, CompleteThrough: InstantOf(at(110)), Ledger: map[string]int64{"counted": 100}, Partitions: []PartitionStatus{t},
		})
	}
	return a
}

func (w *world) Ready(context.Context) error         { return w.notReady }
func (w *world) Pipelines() []*pipelines.Description { return w.described }

func (w *world) Ledger(context.Context) ([]LedgerRow, error) {
	return []LedgerRow{{Task: "host-cpu@1/main/metrics.a/0", Pipeline: "host-cpu", Stage: "main", Topic: "metrics", Epoch: 7, Offset: 100, Ledger: map[string]int64{"counted": 97, "gap": 2}, Gaps: map[string]int64{"marker": 1, "aborted": 0, "absent": 1}, Difference: 1}}, nil
}

func (w *world) Outputs(context.Context) ([]RollupOutput, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.mu.outputs), w.mu.away
}

func (w *world) Read(_ context.Context, q RollupQuery) (*RollupResult, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := q.Output.Pipeline + "/" + q.Output.Name
	w.mu.reads[key]++
	if w.mu.away != nil {
		return nil, w.mu.away
	}
	byLabels := map[string]*RollupSeries{}
	rows := slices.Clone(w.mu.rows[key])
	slices.SortStableFunc(rows, func(a, b row) int { return int(a.start.Sub(b.start)) })
	for _, r := range rows {
		if r.start < q.From || r.start >= q.To || !r.passes(&q) {
			continue
		}
		id := strings.Join(r.labels, "\x00")
		s := byLabels[id]
		if s == nil {
			s = &RollupSeries{Columns: make([]stream.Column, len(q.Columns))}
			for _, l := range r.labels {
				s.Labels, s.Null = append(s.Labels, strings.TrimPrefix(l, "-")), append(s.Null, l == "-")
			}
			byLabels[id] = s
		}
		s.Start = append(s.Start, r.start)
		for k, name := range q.Columns {
			i := slices.IndexFunc(q.Output.Fields, func(f stream.Field) bool { return f.Name == name })
			s.Columns[k].Kind = q.Output.Fields[i].Kind
			appendValue(&s.Columns[k], r.values[i-q.Output.Groups])
		}
	}
	res := &RollupResult{CompleteThrough: stream.NoTime}
	if t, ok := w.mu.through[key]; ok {
		res.CompleteThrough = t
	}
	for _, id := range sortedKeys(byLabels) {
		res.Series = append(res.Series, *byLabels[id])
	}
	slices.SortFunc(res.Series, func(a, b RollupSeries) int { return slices.Compare(a.Labels, b.Labels) })
	return res, nil
}

func appendValue(c *stream.Column, v any) {
	switch v := v.(type) {
	case nil:
		c.AppendNull()
	case int:
		c.AppendInt(int64(v))
	case float64:
		c.AppendFloat(v)
	}
}

func (r *row) passes(q *RollupQuery) bool {
	for i, f := range q.Output.Fields[:q.Output.Groups] {
		if want, ok := q.Where[f.Name]; ok && r.labels[i] != want {
			return false
		}
	}
	return true
}

func (w *world) Subscribe(ctx context.Context, o RollupOutput, f func(RollupNotice)) error {
	key := o.Pipeline + "/" + o.Name
	w.mu.Lock()
	id := w.mu.next
	w.mu.next++
	if w.mu.listen[key] == nil {
		w.mu.listen[key] = map[int]func(RollupNotice){}
	}
	w.mu.listen[key][id] = f
	w.mu.Unlock()
	f(RollupNotice{Gap: true})
	w.mu.Lock()
	if w.mu.heard[key] == nil {
		w.mu.heard[key] = make(chan struct{})
	}
	select {
	case <-w.mu.heard[key]:
	default:
		close(w.mu.heard[key])
	}
	w.mu.Unlock()
	<-ctx.Done()
	w.mu.Lock()
	delete(w.mu.listen[key], id)
	w.mu.Unlock()
	return context.Cause(ctx)
}

func (w *world) Append(_ context.Context, records []LogRecord) ([]LogPlace, []error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	places, errs := make([]LogPlace, len(records)), make([]error, len(records))
	for i, r := range records {
		if w.mu.away != nil {
			errs[i] = w.mu.away
			continue
		}
		places[i] = LogPlace{r.Topic, 0, int64(len(w.mu.log))}
		w.mu.log = append(w.mu.log, LogEntry{LogPlace: places[i], Timestamp: nine, Key: r.Key, Value: r.Value})
		if r.Topic == alerts.CommandsTopic {
			if c, err := alerts.ParseCommand(r.Value); err == nil {
				w.alerts.Acknowledge(alerts.Logged{Command: c, Offset: places[i].Offset})
			}
		}
	}
	return places, errs
}

func (w *world) Record(_ context.Context, at LogPlace) (LogEntry, error) {
	if at != (LogPlace{"metrics", 0, 17}) {
		return LogEntry{}, fmt.Errorf("find %v: %w", at, ErrNoRecord)
	}
	return LogEntry{LogPlace: at, Timestamp: nine, Key: []byte("web-7"), Value: []byte(`{"name":"system.cpu.utilization","value":0.95}`)}, nil
}

func (w *world) letter(offset int64) Letter {
	return Letter{
		Topic: "metrics", Incarnation: "a", Offset: offset + 1000, Timestamp: "2026-11-24T21:00:00Z", Key: []byte("web-7"), Raw: []byte("x\xff"), Size: 2,
		State: LetterOpen, Rejections: []LetterRejection{
			{ID: fmt.Sprintf("0-%d", offset), Pipeline: "host-cpu", Kind: "rejected", Reason: "invalid_json: unexpected 'x' at byte 0", Written: nine},
			{ID: fmt.Sprintf("0-%d", offset+1), Pipeline: "host-memory", Kind: "quarantined", Reason: "panic: index out of range [7] with length 7", Detail: "goroutine 41 [running]:", Written: nine.Add(time.Second)},
		},
	}
}

func (w *world) Letters(_ context.Context, f LetterFilter) (LetterPage, error) {
	l := w.letter(41)
	if !slices.Contains(f.States, LetterOpen) {
		l.State, l.Handled = LetterRetried, &LetterHandling{State: LetterRetried, By: "ada", At: nine.Add(time.Minute), SentTo: "metrics/0/2001"}
		for i := range l.Rejections {
			l.Rejections[i].Handled = l.Handled
		}
	}
	return LetterPage{Items: []Letter{l}, Cursor: "0:41:43", Scanned: 2, OnTopic: 43}, nil
}

func (w *world) Letter(_ context.Context, partition int32, offset int64) (Letter, error) {
	if partition != 0 || offset != 41 {
		return Letter{}, ErrNoRecord
	}
	return w.letter(offset), nil
}

// server serves the world. change may be nil.
func (w *world) server(t testing.TB, change func(*Config)) *Server {
	t.Helper()
	c := Config{
		Status: w, Alerts: w.alerts, Rollups: w, Log: w, Applier: w, Clock: still{nine.Add(2 * time.Minute)}, Logger: slog.New(slog.DiscardHandler),
		Version: "dev", Limits: DefaultLimits(),
	}
	if change != nil {
		change(&c)
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.hub.close(context.Background()) })
	return s
}

func fields(names string) (out []stream.Field) {
	for part := range strings.SplitSeq(names, " ") {
		name, kind, _ := strings.Cut(part, ":")
		out = append(out, stream.Field{Name: name, Kind: stream.KindOf(kind)})
	}
	return out
}

// example is the world of the examples: CPU of two hosts, logins, a service, an alert.
func exampleWorld(t testing.TB) *world {
	t.Helper()
	w := newWorld()
	w.output(RollupOutput{
		Pipeline: "host-cpu", Name: "cpu", Instance: "host-cpu@1", Groups: 2, Window: 10 * time.Second, Every: 10 * time.Second, Keep: 6 * time.Hour,
		Fields: fields("tenant:string host:string avg:float max:float samples:int"),
	}, &pipelines.Description{
		Name: "host-cpu", About: "CPU use of each host, every ten seconds.", File: "library/host-cpu.yaml", Text: "pipeline: host-cpu\n", Instance: "host-cpu@1",
		Topics: []string{"metrics"}, Event: "metric", OutOfOrder: 2 * time.Second, Lateness: 2 * time.Minute, Demands: map[string][]string{"name": {"system.cpu.utilization"}},
		Nodes: []pipelines.Node{
			{ID: "topic metrics", Kind: "topic", Label: "metrics"},
			{ID: "main cpu", Kind: "step", Label: "cpu", Stage: "main", Detail: "every 10s by tenant, host"},
			{ID: "output redis cpu", Kind: "output", Label: "redis", Stage: "main", Detail: "cpu: live, closed, revised rows"},
		},
		Edges:   []pipelines.Edge{{From: "topic metrics", To: "main cpu"}, {From: "main cpu", To: "output redis cpu"}},
		Rules:   []pipelines.Rule{{Name: "HostCPUHigh", When: "avg > 0.9", For: time.Minute, KeepFiringFor: 30 * time.Second, Severity: "warning", Summary: "{{ host }} is busy", Labels: map[string]string{}}},
		Rollups: []pipelines.Rollup{{Output: "cpu", Columns: []pipelines.RollupColumn{{Name: "avg", Function: "avg", Of: "value", Unit: "1", Always: true}, {Name: "max", Function: "max", Of: "value", Unit: "1", Always: true}, {Name: "samples", Function: "count"}}}},
	})
	w.output(RollupOutput{
		Pipeline: "authentication-sources", Name: "sources", Instance: "authentication-sources@1", Groups: 2, Window: time.Minute, Every: time.Minute,
		Fields: fields("tenant:string src_ip:string attempts:int failures:float"),
	}, &pipelines.Description{
		Name: "authentication-sources", About: "Logins by address.", Instance: "authentication-sources@1", Topics: []string{"security"}, Event: "security",
		Demands: map[string][]string{"class": {"authentication"}},
		Rollups: []pipelines.Rollup{{Output: "sources", Columns: []pipelines.RollupColumn{{Name: "attempts", Function: "count"}, {Name: "failures", Function: "sum", Of: "failed"}}}},
	})
	w.output(RollupOutput{
		Pipeline: "service-latency", Name: "latency", Instance: "service-latency@1", Groups: 2, Window: time.Minute, Every: time.Minute, Keep: 24 * time.Hour,
		Fields: fields("service:string operation:string mean:float last:float requests:int"),
	}, &pipelines.Description{
		Name: "service-latency", About: "Durations of each service.", Instance: "service-latency@1", Topics: []string{"metrics"}, Event: "metric",
		Demands: map[string][]string{"name": {"http.server.duration"}},
		Rollups: []pipelines.Rollup{{Output: "latency", Columns: []pipelines.RollupColumn{{Name: "mean", Function: "avg", Of: "value", Unit: "ms"}, {Name: "last", Function: "last", Of: "value", Unit: "ms"}, {Name: "requests", Function: "count"}}}},
	})
	for i := range 6 {
		w.put("host-cpu/cpu", at(10*i),
			row{labels: []string{"acme", "web-7"}, values: []any{0.25 + float64(i)/100, 0.5, 2}},
			row{labels: []string{"acme", "web-8"}, values: []any{0.75, 0.875 + float64(i)/100, 2 + i}})
	}
	for i := range 2 {
		w.put("authentication-sources/sources", at(60*i),
			row{labels: []string{"acme", "203.0.113.7"}, values: []any{10, 9.0 - float64(i)}},
			row{labels: []string{"-", "10.1.2.3"}, values: []any{20, 1.0}})
		w.put("service-latency/latency", at(60*i), row{labels: []string{"checkout", "GET /cart"}, values: []any{12.5, 11.0, 300 + i}})
	}
	w.mu.through["host-cpu/cpu"], w.mu.through["authentication-sources/sources"] = at(50), at(60)
	w.alert(t, "BruteForceSucceeded", alerts.Critical, map[string]string{"user": "ada", "category": "access"})
	return w
}

// alert makes an alert fire.
func (w *world) alert(t testing.TB, name string, severity alerts.Severity, labels map[string]string) string {
	t.Helper()
	fingerprint := alerts.Fingerprint(name, labels)
	a := alerts.Alert{
		ID: alerts.EpisodeID(fingerprint, at(60)), Name: name, Severity: severity, State: alerts.Firing, Labels: labels, Summary: name + " for " + labels["user"],
		StartedAt: at(60).Go(), UpdatedAt: at(60).Go(), Pipeline: "authentication", Version: "1", Window: alerts.WindowOf(stream.Window{Start: at(0), End: at(60)}),
		CompleteThrough: at(60).Go(), Evidence: []alerts.Evidence{{Topic: "security", Partition: 0, Offset: 17, Time: at(3).Go()}},
	}
	tr := alerts.Transition{
		ID: name + "/" + fingerprint + "/" + at(60).Go().Format(time.RFC3339Nano) + "/firing/0", Fingerprint: fingerprint, From: alerts.Inactive, To: alerts.Firing, At: at(60).Go(), Window: a.Window, Holds: true, Evidence: a.Evidence, Alert: a,
	}
	d, err := tr.Decision()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.alerts.Decide(d); err != nil {
		t.Fatal(err)
	}
	return a.ID
}
