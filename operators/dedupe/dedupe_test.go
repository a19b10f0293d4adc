package dedupe_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/operators/dedupe"
	"github.com/tidewatch/tidewatch/stream"
)

const second = stream.Time(time.Second)

var schema = &stream.Schema{Fields: []stream.Field{
	{Name: "tenant", Kind: stream.String}, {Name: "id", Kind: stream.Int}, {Name: "value", Kind: stream.Float},
}}

type event struct {
	at, mark stream.Time
	tenant   string // "" is null
	id       int64
}

func appendEvent(b *stream.Batch, e *event, offset int) {
	if e.tenant == "" {
		b.Cols[0].AppendNull()
	} else {
		b.Cols[0].AppendString(e.tenant)
	}
	b.Cols[1].AppendInt(e.id)
	b.Cols[2].AppendFloat(float64(offset))
	b.Time, b.Mark, b.Offset = append(b.Time, e.at), append(b.Mark, e.mark), append(b.Offset, int64(offset))
	b.Producer, b.Timestamp, b.Bytes = append(b.Producer, uint64(offset)), append(b.Timestamp, e.at), append(b.Bytes, 9)
	b.SetLen(b.Len() + 1)
}

// drawLog draws events of few keys, with the mark that a source folds over them.
func drawLog(t *rapid.T) (log []event) {
	front := stream.NoTime
	now := 1000 * second
	for range rapid.IntRange(1, 80).Draw(t, "events") {
		now += stream.Time(rapid.IntRange(0, 6).Draw(t, "move")) * second
		if rapid.IntRange(0, 19).Draw(t, "jump") == 0 {
			now += 60 * second
		}
		e := event{at: now - stream.Time(rapid.IntRange(0, 3).Draw(t, "disorder"))*second, mark: front.Add(-3 * time.Second)}
		if rapid.IntRange(0, 4).Draw(t, "late") == 0 {
			e.at -= stream.Time(rapid.IntRange(0, 60).Draw(t, "behind")) * second
		}
		e.tenant = rapid.SampledFrom([]string{"acme", "acme", "umbrella", ""}).Draw(t, "tenant")
		e.id = int64(rapid.IntRange(0, 2).Draw(t, "id"))
		log = append(log, e)
		front = max(front, e.at)
	}
	return log
}

func drawConfig(t *rapid.T) *dedupe.Config {
	return &dedupe.Config{
		By:       []string{"tenant", "id"},
		Span:     time.Duration(rapid.SampledFrom([]int{1, 5, 10, 30}).Draw(t, "span")) * time.Second,
		Lateness: time.Duration(rapid.SampledFrom([]int{0, 7, 20}).Draw(t, "lateness")) * time.Second,
	}
}

// oracle follows the definition of the package comment, with a list of sights.
func oracle(cfg *dedupe.Config, log []event) (pass []int64) {
	var sights []event
	span, lateness := stream.Time(cfg.Span), stream.Time(cfg.Lateness)
	forgotten := func(at, mark stream.Time) bool { return mark != stream.NoTime && at/span*span+2*span+lateness <= mark }
	for i, e := range log {
		repeat := false
		for _, s := range sights {
			d := max(s.at-e.at, e.at-s.at)
			repeat = repeat || s.tenant == e.tenant && s.id == e.id && d < span && !forgotten(s.at, e.mark)
		}
		if e.tenant != "" && repeat {
			continue
		}
		pass = append(pass, int64(i))
		if e.tenant != "" && !forgotten(e.at, e.mark) {
			sights = append(sights, e)
		}
	}
	return pass
}

// promise is what a user is told, without generations: of what is not later than the lateness, a key passes exactly if
// nothing less than a span away has passed.
func promise(t *rapid.T, cfg *dedupe.Config, log []event, pass []int64) {
	passed := map[int]bool{}
	for _, p := range pass {
		passed[int(p)] = true
	}
	for i, e := range log {
		if e.mark != stream.NoTime && e.at <= e.mark-stream.Time(cfg.Lateness) || e.tenant == "" {
			continue
		}
		seen := false
		for j := range i {
			f := log[j]
			seen = seen || passed[j] && f.tenant == e.tenant && f.id == e.id && max(f.at-e.at, e.at-f.at) < stream.Time(cfg.Span)
		}
		if passed[i] == seen {
			t.Fatalf("event %d passed: %v, a key less than %v away had passed before: %v", i, passed[i], cfg.Span, seen)
		}
	}
}

// output keeps what was passed.
type output struct {
	t       interface{ Fatal(...any) }
	offsets []int64
	counts  stream.Ledger
	lines   []string
}

func (o *output) Emit(b *stream.Batch) error {
	if b.Phase != stream.Event || b.Len() == 0 {
		o.t.Fatal("emitted a batch of ", b.Phase, " with ", b.Len(), " rows")
	}
	o.offsets = append(o.offsets, b.Offset...)
	for i := range b.Len() {
		o.lines = append(o.lines, fmt.Sprint(b.Time[i], b.Mark[i], b.Offset[i], b.Producer[i], b.Timestamp[i], b.Bytes[i],
			b.Cols[0].Value(i), b.Cols[1].Value(i), b.Cols[2].Value(i)))
	}
	return nil
}

func (o *output) Decide(stream.Decision) error { return nil }

func (*output) Wants(stream.Phase) bool { return true }

func (o *output) Count(bucket stream.Bucket, n int64) { o.counts[bucket] += n }

func newDedupe(t interface{ Fatal(...any) }, cfg *dedupe.Config) *dedupe.Dedupe {
	d, err := dedupe.New(cfg, schema)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func snapshot(t interface{ Fatal(...any) }, d *dedupe.Dedupe) []byte {
	w := stream.NewStateWriter()
	if err := d.Snapshot(w); err != nil {
		t.Fatal(err)
	}
	return w.Finish()
}

func moved(t interface{ Fatal(...any) }, from, to *dedupe.Dedupe) *dedupe.Dedupe {
	state := snapshot(t, from)
	r, err := stream.NewStateReader(state)
	if err != nil {
		t.Fatal(err)
	}
	if err := to.Restore(r); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(snapshot(t, to), state) {
		t.Fatal("the snapshot of the restored operator differs")
	}
	return to
}

// TestAgainstOracle: whatever the borders of batches, whenever Advance is called and the state is moved.
func TestAgainstOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg, log := drawConfig(t), drawLog(t)
		d, out := newDedupe(t, cfg), &output{t: t}
		b := stream.NewBatch(schema)
		for i := range log {
			appendEvent(b, &log[i], i)
			if i < len(log)-1 && rapid.IntRange(0, 3).Draw(t, "cut") > 0 {
				continue
			}
			if err := d.Process(b, out); err != nil {
				t.Fatal(err)
			}
			b.Reset()
			switch rapid.IntRange(0, 5).Draw(t, "between") {
			case 0:
				d = moved(t, d, newDedupe(t, cfg))
			case 1: // a mark that is known already
				if err := d.Advance(stream.Advance{Mark: stream.MaxTime, RecordMark: log[i].mark}, out); err != nil {
					t.Fatal(err)
				}
			case 2:
				b = stream.NewBatch(schema)
			}
		}
		want := oracle(cfg, log)
		if !slices.Equal(out.offsets, want) {
			t.Fatalf("passed %v, want %v", out.offsets, want)
		}
		if n := out.counts[stream.BucketDuplicate]; n != int64(len(log)-len(want)) || out.counts.Sum() != n {
			t.Fatalf("counts are %v, want %d duplicates", out.counts, len(log)-len(want))
		}
		for i, line := range out.lines {
			whole := stream.NewBatch(schema)
			appendEvent(whole, &log[want[i]], int(want[i]))
			one := &output{t: t}
			if err := one.Emit(whole); err != nil || one.lines[0] != line {
				t.Fatalf("event %d became %s, want %s", want[i], line, one.lines[0])
			}
		}
		promise(t, cfg, log, out.offsets)
	})
}

func run(t *testing.T, d *dedupe.Dedupe, log ...event) *output {
	t.Helper()
	out := &output{t: t}
	b := stream.NewBatch(schema)
	for i := range log {
		appendEvent(b, &log[i], i)
	}
	if err := d.Process(b, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestMemoryIsGivenBack(t *testing.T) {
	cfg := &dedupe.Config{By: []string{"id"}, Span: 10 * time.Second}
	d := newDedupe(t, cfg)
	var log []event
	for i := range 100_000 {
		log = append(log, event{at: 1000*second + stream.Time(i)*second/1000, mark: stream.NoTime, id: int64(i)})
	}
	run(t, d, log...)
	bytes, sights := d.Size()
	if sights != 100_000 {
		t.Fatalf("%d sights, want 100000", sights)
	}
	if per := float64(bytes) / float64(sights); per > 34 {
		t.Errorf("%.1f bytes a sight, want at most 34", per)
	}
	if err := d.Advance(stream.Advance{Mark: 1200 * second, RecordMark: 1100 * second}, &output{t: t}); err != nil {
		t.Fatal(err)
	}
	if bytes, sights := d.Size(); sights != 10_000 || bytes > 400_000 { // the generation that ends at 1100 is needed until 1110
		t.Errorf("%d sights are left in %d bytes, want those of one generation", sights, bytes)
	}
}

func TestEndsOfTheCalendar(t *testing.T) {
	d := newDedupe(t, &dedupe.Config{By: []string{"id"}, Span: time.Hour})
	out := run(t, d, event{at: stream.MaxTime}, event{at: stream.MaxTime}, event{at: math.MinInt64}, event{at: math.MinInt64})
	if len(out.offsets) != 4 {
		t.Errorf("passed %v, want all", out.offsets)
	}
}

func TestOnlyEvents(t *testing.T) {
	b := stream.NewBatch(schema)
	b.Phase = stream.Live
	if err := newDedupe(t, &dedupe.Config{By: []string{"id"}, Span: 1}).Process(b, nil); err == nil {
		t.Error("want an error")
	}
}

func TestConfigFaults(t *testing.T) {
	for want, cfg := range map[string]dedupe.Config{
		"names no key column":                       {Span: 1},
		"the span is 0s":                            {By: []string{"id"}},
		"lateness is -1ns":                          {By: []string{"id"}, Span: 1, Lateness: -1},
		`column "ids"; there are tenant, id, value`: {By: []string{"ids"}, Span: 1},
	} {
		if _, err := dedupe.New(&cfg, schema); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}
