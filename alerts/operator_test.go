package alerts

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/internal/expression"
	"github.com/tidewatch/tidewatch/stream"
)

func TestConfigMistakes(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(c *OperatorConfig){
		"it has no name":                         func(c *OperatorConfig) { c.Rule.Name = "" },
		"it has no condition: set when":          func(c *OperatorConfig) { c.Rule.When = "" },
		"for is -1s: use 0 to ten years":         func(c *OperatorConfig) { c.Rule.For = -time.Second },
		"keep_firing_for is -1s":                 func(c *OperatorConfig) { c.Rule.KeepFiringFor = -time.Second },
		`unknown severity "bad"`:                 func(c *OperatorConfig) { c.Rule.Severity = "bad" },
		`label "host" is a column of the group`:  func(c *OperatorConfig) { c.Rule.Labels["host"] = "x" },
		"a label has no name":                    func(c *OperatorConfig) { c.Rule.Labels[""] = "x" },
		"its window has no length":               func(c *OperatorConfig) { c.WindowSize = 0 },
		`the group column "tenant" is not`:       func(c *OperatorConfig) { c.GroupColumns = []string{"tenant"} },
		`when: unknown name "avgg", did you`:     func(c *OperatorConfig) { c.Rule.When = "avgg > 1" },
		"when: a rule needs a condition":         func(c *OperatorConfig) { c.Rule.When = "avg" },
		`summary: unknown name "hst", did`:       func(c *OperatorConfig) { c.Rule.Summary = "{{ hst }}" },
		`label team: unknown name "hosst", did`:  func(c *OperatorConfig) { c.Rule.Labels["team"] = "{{ hosst }}" },
		`unknown function "percentt", did you m`: func(c *OperatorConfig) { c.Rule.Summary = "{{ percentt(avg) }}" },
	} {
		cfg := testConfig()
		change(&cfg)
		_, err := NewOperator(cfg, rollup())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		if inText := strings.Contains(want, "unknown name"); inText && expression.Mistake(err) == nil {
			t.Errorf("%v has no place", err)
		}
	}
	partly := &stream.Schema{Fields: rollup().Fields[:5]}
	if _, err := NewOperator(testConfig(), partly); err == nil || !strings.Contains(err.Error(), "only some of the columns") {
		t.Errorf("half of the evidence: %v", err)
	}
}

func TestRowsGoOn(t *testing.T) {
	t.Parallel()
	o, out := newOperator(t, testConfig()), &collector{}
	for _, phase := range []stream.Phase{stream.Live, stream.Closed, stream.Revised, stream.Final} {
		if err := o.Process(windowRows(phase, endOf(0), []cell{{"a", 0.2}, {"b", 0.95}}), out); err != nil {
			t.Fatal(err)
		}
	}
	if out.rows != 8 {
		t.Errorf("%d rows passed of 8", out.rows)
	}
}

func TestWindowsOutOfOrderAreRefused(t *testing.T) {
	t.Parallel()
	o, out := newOperator(t, testConfig()), &collector{}
	for _, window := range []int{1, 2} {
		if err := o.Process(windowRows(stream.Closed, endOf(window), []cell{{"a", 0.95}}), out); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Process(windowRows(stream.Closed, endOf(1), []cell{{"a", 0.95}}), out); err == nil {
		t.Error("a window was judged twice")
	}
}

func TestNothingIsKeptWhenAllIsFinal(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.Rule.For, cfg.Rule.KeepFiringFor = 0, 0
	o, out := newOperator(t, cfg), &collector{}
	pass := func(phase stream.Phase, window int, cells ...cell) {
		if err := o.Process(windowRows(phase, endOf(window), cells), out); err != nil {
			t.Fatal(err)
		}
	}
	advance := func(window int) {
		if err := o.Advance(stream.Advance{Mark: endOf(window), RecordMark: endOf(window)}, out); err != nil {
			t.Fatal(err)
		}
	}
	pass(stream.Closed, 0, cell{"a", 0.95}, cell{"b", 0.95})
	advance(1)
	if bytes, groups := o.Size(); groups != 2 || bytes == 0 {
		t.Errorf("%d groups, %d bytes kept while they may be revised", groups, bytes)
	}
	pass(stream.Final, 0, cell{"a", 0.95})
	advance(2)
	if _, groups := o.Size(); groups != 2 {
		t.Errorf("%d groups after the first window is final: the second may still be revised", groups)
	}
	pass(stream.Final, 1, cell{"c", 0.1})
	advance(3)
	if bytes, groups := o.Size(); groups != 0 || bytes != 0 {
		t.Errorf("%d groups, %d bytes left", groups, bytes)
	}
}

func TestRestoreRefusesDamage(t *testing.T) {
	t.Parallel()
	o, out := newOperator(t, testConfig()), &collector{}
	if err := o.Process(windowRows(stream.Closed, endOf(0), []cell{{"a", 0.95}}), out); err != nil {
		t.Fatal(err)
	}
	for name, write := range map[string]func(w *stream.StateWriter){
		"nothing":       func(*stream.StateWriter) {},
		"another":       func(w *stream.StateWriter) { w.Section("alerts", 2) },
		"cut":           func(w *stream.StateWriter) { w.Section("alerts", 1); w.Int(1) },
		"no transition": func(w *stream.StateWriter) { writeEmpty(w); w.Uint(1); w.Text("k") },
		"lost episode": func(w *stream.StateWriter) {
			writeEmpty(w)
			w.Uint(1)
			if err := writeChange(w, &o.changes[0]); err != nil {
				t.Error(err)
			}
		},
	} {
		w := stream.NewStateWriter()
		write(w)
		r, err := stream.NewStateReader(w.Finish())
		if err != nil {
			t.Fatal(err)
		}
		if newOperator(t, testConfig()).Restore(r) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func writeEmpty(w *stream.StateWriter) {
	w.Section("alerts", 1)
	for range 3 {
		w.Int(0)
	}
	w.Uint(0)
	w.Uint(0)
	w.Section("pending", 1)
	w.Uint(0)
}

// failing is an emitter that fails.
type failing struct{ collector }

var errFull = errors.New("full")

func (f *failing) Decide(stream.Decision) error { return errFull }

func TestErrorsOfTheEmitterAreReturned(t *testing.T) {
	t.Parallel()
	o, out := newOperator(t, testConfig()), &failing{}
	if err := o.Process(windowRows(stream.Closed, endOf(0), []cell{{"a", 0.95}}), out); err != nil {
		t.Fatal(err)
	}
	if err := o.Advance(stream.Advance{Mark: endOf(0), RecordMark: endOf(0)}, out); !errors.Is(err, errFull) {
		t.Errorf("%v", err)
	}
}

func manyHosts(window, hosts int, avg float64) *stream.Batch {
	cells := make([]cell, hosts)
	for i := range cells {
		cells[i] = cell{fmt.Sprintf("host-%d", i), avg}
	}
	return windowRows(stream.Closed, endOf(window), cells)
}

// TestALongGapIsCheap would run for hours if windows without rows were judged one by one.
func TestALongGapIsCheap(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.Rule.For, cfg.Rule.KeepFiringFor, cfg.WindowSize = 0, 24*365*time.Hour, size
	o, out := newOperator(t, cfg), &collector{}
	if err := o.Process(manyHosts(0, 2000, 0.95), out); err != nil {
		t.Fatal(err)
	}
	tenYears := endOf(0).Add(10 * 366 * 24 * time.Hour)
	if err := o.Advance(stream.Advance{Mark: tenYears, RecordMark: tenYears}, out); err != nil {
		t.Fatal(err)
	}
	if n := len(out.decisions); n != 4000 {
		t.Errorf("%d decisions, want 4000", n)
	}
}

func TestSteadyWindowsDoNotAllocate(t *testing.T) {
	o, out := newOperator(t, testConfig()), &collector{}
	quiet := manyHosts(0, 500, 0.2)
	window := 0
	judge := func() {
		quiet.Window = stream.Window{Start: endOf(window - 1), End: endOf(window)}
		to := stream.Advance{Mark: endOf(window), RecordMark: endOf(window)}
		window++
		if err := errors.Join(o.Process(quiet, out), o.Advance(to, out)); err != nil {
			t.Fatal(err)
		}
	}
	judge()
	if allocs := testing.AllocsPerRun(20, judge); allocs > 0 {
		t.Errorf("%v allocations a window of 500 quiet groups", allocs)
	}
}

func BenchmarkJudge(b *testing.B) {
	for name, avg := range map[string]float64{"quiet": 0.2, "firing": 0.95} {
		b.Run(name, func(b *testing.B) {
			o, out := newOperator(b, testConfig()), &collector{}
			rows := manyHosts(0, 5000, avg)
			final := windowRows(stream.Final, endOf(0), []cell{{"a", 0}})
			window := 0
			judge := func() {
				rows.Window = stream.Window{Start: endOf(window - 1), End: endOf(window)}
				final.Window.End = endOf(window - 12)
				to := stream.Advance{Mark: endOf(window), RecordMark: endOf(window)}
				window++
				if err := errors.Join(o.Process(rows, out), o.Process(final, out), o.Advance(to, out)); err != nil {
					b.Fatal(err)
				}
			}
			for range 20 { // until all that will fire does
				judge()
			}
			b.ReportAllocs()
			for b.Loop() {
				judge()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/5000, "ns/group")
		})
	}
}

// FuzzRestore looks for a panic and for memory that damaged lengths would take.
func FuzzRestore(f *testing.F) {
	o, out := newOperator(f, testConfig()), &collector{}
	if err := o.Process(windowRows(stream.Closed, endOf(0), []cell{{"a", 0.95}, {"b", 0.95}}), out); err != nil {
		f.Fatal(err)
	}
	w := stream.NewStateWriter()
	if err := o.Snapshot(w); err != nil {
		f.Fatal(err)
	}
	f.Add(bodyOf(f, w.Finish(), "alerts"), bodyOf(f, w.Finish(), "pending"))
	f.Fuzz(func(t *testing.T, alerts, pending []byte) {
		data := append(section([]byte("TWS1"), "alerts", alerts), section(nil, "pending", pending)...)
		r, err := stream.NewStateReader(data)
		if err != nil {
			t.Fatal(err)
		}
		fresh := newOperator(t, testConfig())
		if fresh.Restore(r) != nil {
			return
		}
		if err := fresh.Snapshot(stream.NewStateWriter()); err != nil {
			t.Fatalf("restored, but has no snapshot: %v", err)
		}
	})
}

// section writes a section as the state's layout says, around any body.
func section(dst []byte, name string, body []byte) []byte {
	dst = append(binary.AppendUvarint(dst, uint64(len(name))), name...)
	dst = append(dst, 1)
	dst = append(binary.AppendUvarint(dst, uint64(len(body))), body...)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

// bodyOf finds the section's body in a snapshot of small sections.
func bodyOf(tb testing.TB, data []byte, name string) []byte {
	tb.Helper()
	rest := data[4:]
	for len(rest) > 0 {
		n, k := binary.Uvarint(rest)
		found := string(rest[k : k+int(n)])
		rest = rest[k+int(n)+1:]
		n, k = binary.Uvarint(rest)
		body := rest[k : k+int(n)]
		if rest = rest[k+int(n)+4:]; found == name {
			return body
		}
	}
	tb.Fatalf("no section %s", name)
	return nil
}
