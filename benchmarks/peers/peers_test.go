package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/benchmarks/oracle"
	"github.com/tidewatch/tidewatch/internal/testservers"
)

func TestParseStat(t *testing.T) {
	text := "417 (a ) b) S 1 417 417 0 -1 4194560 1 2 3 4 250 50 100 25 20 0 9 0 1234 1 2"
	parent, own, all, err := parseStat([]byte(text))
	if err != nil || parent != 1 || own != 3 || all != 4.25 {
		t.Errorf("parent %d, %v s, %v s with children, %v; want 1, 3 s, 4.25 s", parent, own, all, err)
	}
	if _, _, _, err := parseStat([]byte("417 (a) S 1 2")); err == nil {
		t.Error("a line that is cut off is no error")
	}
}

func TestParseField(t *testing.T) {
	text := []byte("Name:\tjava\nVmHWM:\t  120 kB\nVmRSS:\t 80 kB\nwrite_bytes: 4096\n")
	for name, want := range map[string]int64{"VmHWM": 120, "write_bytes": 4096, "VmPeak": 0} {
		if got := parseField(text, name); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
}

// TestUsage holds the sum to this process, which is no child of any other root.
func TestUsage(t *testing.T) {
	me := os.Getpid()
	for x := 0.0; usageOf([]int{me}).cpu == 0; { // work until the kernel has noticed
		for range 1_000_000 {
			x += math.Sqrt(x + 1)
		}
	}
	if got := usageOf([]int{math.MaxInt32}); got != (usage{}) {
		t.Errorf("a process that is not there has used %+v", got)
	}
}

// TestAgain holds what is counted of killed processes to all of their lives.
func TestAgain(t *testing.T) {
	dir := t.TempDir()
	start := func() (*group, error) {
		return launch(dir, filepath.Join(dir, "log"), program{args: []string{"sh", "-c", "while :; do :; done"}})
	}
	g, err := start()
	if err != nil {
		t.Fatal(err)
	}
	var lives [3]float64
	for i := range lives {
		for g.cpuNow() < 0.03 { // the loop works until the kernel has noticed
			if _, err := g.poll(); err != nil {
				t.Fatal(err)
			}
		}
		if i == len(lives)-1 {
			break
		}
		if err := g.again(start); err != nil {
			t.Fatal(err)
		}
		if lives[i] = g.past; g.kills != i+1 || g.live != 1 {
			t.Errorf("%d kills, %d live after kill %d", g.kills, g.live, i+1)
		}
	}
	if err := g.stop(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if lives[0] < 0.02 || lives[1] < lives[0]+0.02 || g.cpu() < lives[1]+0.02 {
		t.Errorf("CPU seconds after each life: %v, then %v", lives[:2], g.cpu())
	}
}

func TestNewestCheckpoint(t *testing.T) {
	tr := &trial{dir: t.TempDir()}
	if got := tr.newestCheckpoint(); got != "" {
		t.Errorf("without any it is %q", got)
	}
	now := time.Now()
	for age, name := range []string{"b/chk-7", "a/chk-12", "b/chk-6"} {
		path := filepath.Join(tr.dir, "checkpoints", name, "_metadata")
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now, now.Add(-time.Duration(age)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(tr.dir, "checkpoints/b/chk-8"), 0o700); err != nil { // not complete
		t.Fatal(err)
	}
	if got := tr.newestCheckpoint(); !strings.HasSuffix(got, "b/chk-7") {
		t.Errorf("it is %q", got)
	}
}

func TestParseWindowRow(t *testing.T) {
	for text, want := range map[string]windowRow{
		`{"start":1767225610000,"host":"host-7","samples":25,"total":1.5,"least":0,"most":1}`:                                             {1767225610000, "host-7", 25},
		`{"time":"2026-01-01T00:00:10Z","window_end":"2026-01-01T00:00:20Z","host":"host-7","samples":25,"total":1.5,"least":0,"most":1}`: {1767225610000, "host-7", 25},
	} {
		if got, err := parseWindowRow([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{`{"host":"host-7","samples":25}`, `{"start":1`} {
		if row, err := parseWindowRow([]byte(text)); err == nil {
			t.Errorf("%s: %+v, want an error", text, row)
		}
	}
}

func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "part_0")
	var rows []windowRow
	see := func(r windowRow) { rows = append(rows, r) }
	var read int64
	for text, want := range []string{`{"start":10,"host":"a","samples":1}` + "\n" + `{"start":20,"ho`, `st":"b","samples":2}` + "\n"} {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteString(want); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		if read, err = follow(path, read, see); err != nil || len(rows) != text+1 {
			t.Fatalf("%v after part %d, %v", rows, text, err)
		}
	}
	if rows[1] != (windowRow{20, "b", 2}) {
		t.Errorf("a row that came in two parts is %+v", rows[1])
	}
}

func TestCheckJars(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.jar"), []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	const right = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if jars, err := checkJars(dir, []byte(right+"  a.jar\n")); err != nil || len(jars) != 1 {
		t.Errorf("%v, %v", jars, err)
	}
	for name, sums := range map[string]string{
		"another checksum": strings.Replace(right, "ba", "bb", 1) + "  a.jar\n", "one is missing": right + "  a.jar\n" + right + "  b.jar\n",
		"another name": right + "  b.jar\n", "no list": "a.jar\n",
	} {
		if _, err := checkJars(dir, []byte(sums)); err == nil {
			t.Errorf("%s is no error", name)
		}
	}
}

// TestChecksums holds every list of jars to its form; that the jars are these is checked when they are fetched.
func TestChecksums(t *testing.T) {
	for _, job := range []string{jobFlink, jobStreams} {
		sums, err := files.ReadFile("java/" + job + "/jars.sum")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(sums)) {
			if sum, name, ok := strings.Cut(strings.TrimSpace(line), "  "); !ok || len(sum) != 64 || filepath.Ext(name) != ".jar" {
				t.Errorf("%s: %q is not a checksum and a jar", job, line)
			}
		}
	}
}

// TestTables holds the engines to the workloads: whoever adds one has to say who does it.
func TestTables(t *testing.T) {
	for _, w := range workloads() {
		if _, err := files.ReadFile("pipelines/" + strings.ToLower(w.name) + ".yaml"); err != nil {
			t.Errorf("%s has no pipeline: %v", w.name, err)
		}
	}
	known := names(workloads(), func(w workload) string { return w.name })
	for _, e := range engines() {
		if _, err := choose(e.name, strings.Join(e.works, ","), workloads(), func(w workload) string { return w.name }); err != nil {
			t.Errorf("%v; there are %v", err, known)
		}
	}
}

func TestIDs(t *testing.T) {
	seen, repeats := map[string]bool{}, 0
	for i := range int64(100_000) {
		first := original(i)
		if first < 0 || first > i {
			t.Fatalf("event %d repeats event %d", i, first)
		}
		if first != i {
			repeats++
		}
		seen[idOf(i)] = true
	}
	if len(seen) != 100_000 || len(idOf(7)) != 32 {
		t.Errorf("%d ids of 100,000 differ; one is %s", len(seen), idOf(7))
	}
	if repeats < 4_500 || repeats > 5_500 {
		t.Errorf("%d of 100,000 events are repeats, want one in twenty", repeats)
	}
	if p := partitionOf(named(3, idOf2)); p != 3 {
		t.Errorf("a name for partition 3 belongs to %d", p)
	}
}

func idOf2(n int) string { return idOf(int64(n)) }

// asked runs what a workload expects and how it compares, on a file of events and a file of rows.
func asked(t *testing.T, w *workload, ours bool, events, rows string) (expected, came, equal int64) {
	t.Helper()
	testservers.Python(t)
	dir := t.TempDir()
	in, raw := filepath.Join(dir, "events.jsonl"), filepath.Join(dir, "rows.jsonl")
	for name, text := range map[string]string{in: events, raw: rows} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o, err := oracle.New(t.Context(), dir, map[string]any{"events": in, "raw": raw, "expected": filepath.Join(dir, "expected.parquet")})
	if err != nil {
		t.Fatal(err)
	}
	var n []struct{ N int64 }
	if err := o.Query(t.Context(), w.expectedSQL(), &n); err != nil {
		t.Fatal(err)
	}
	var got []struct {
		Expected, Came, Equal int64
		Error                 float64
	}
	if err := o.Query(t.Context(), w.comparisonSQL(ours), &got); err != nil {
		t.Fatal(err)
	}
	if n[0].N != got[0].Expected {
		t.Errorf("%d rows are expected, and then %d", n[0].N, got[0].Expected)
	}
	return got[0].Expected, got[0].Came, got[0].Equal
}

const someEvents = `{"time":1000,"host":"a","value":1.5,"attributes":{"region":"eu","id":"01"}}
{"time":9999,"host":"a","value":950,"attributes":{"region":"us","id":"02"}}
{"time":10000,"host":"a","value":900,"attributes":{"region":"us","id":"03"}}
{"time":10000,"host":"a","value":900,"attributes":{"region":"us","id":"03"}}
{"time":90000,"host":"closing-1","value":950,"attributes":{"region":"us","id":"04"}}
`

func TestComparison(t *testing.T) {
	const window = `{"start":0,"host":"a","samples":2,"total":951.5,"least":1.5,"most":950}` + "\n"
	const next = `{"start":10000,"host":"a","samples":2,"total":1800,"least":900,"most":900}` + "\n"
	const high = `{"time":9999,"host":"a","region":"us","value":950}` + "\n"
	const again = `{"time":10000,"host":"a","region":"us","value":900}` + "\n"
	all := map[string]*workload{}
	for _, w := range workloads() {
		all[w.name] = &w
	}
	for _, c := range []struct {
		name, work, rows      string
		ours                  bool
		expected, came, equal int64
	}{
		{"equal", "W2", window + next, false, 2, 2, 2},
		{"a later row counts", "W2", strings.Replace(window, `"samples":2`, `"samples":1`, 1) + next + window, false, 2, 2, 2},
		{"an earlier row does not", "W2", window + next + strings.Replace(window, `"samples":2`, `"samples":1`, 1), false, 2, 2, 1},
		{"the last digits of a sum", "W2", strings.Replace(window, "951.5", "951.5000000001", 1) + next, false, 2, 2, 2},
		{"another sum", "W2", strings.Replace(window, "951.5", "951.6", 1) + next, false, 2, 2, 1},
		{"one is missing", "W4", next, false, 2, 1, 1},
		{"one too many", "W4", window + next + strings.Replace(window, `"a"`, `"b"`, 1), false, 2, 3, 2},
		{"closing events do not count", "W2", window + next + strings.Replace(window, `"a"`, `"closing-1"`, 1), false, 2, 2, 2},
		{"ours", "W2", `{"time":"1970-01-01T00:00:00Z","host":"a","samples":2,"total":951.5,"least":1.5,"most":950}` + "\n" +
			`{"time":"1970-01-01T00:00:10Z","window_end":"1970-01-01T00:00:20Z","host":"a","samples":2,"total":1800,"least":900,"most":900}` + "\n", true, 2, 2, 2},
		{"rows without a key, in any order", "W1", again + high + again, false, 3, 3, 3},
		{"a row is lost", "W1", again + high, false, 3, 2, 2},
		{"another row", "W1", again + again + strings.Replace(high, "us", "eu", 1), false, 3, 3, 2},
		{"a row is doubled", "W1", again + high + again + high, false, 3, 4, 3},
		{"a repeat came through", "W5", `{"time":1000,"host":"a","id":"01"}` + "\n" + `{"time":9999,"host":"a","id":"02"}` + "\n" +
			strings.Repeat(`{"time":10000,"host":"a","id":"03"}`+"\n", 2), false, 3, 4, 3},
	} {
		t.Run(c.work+" "+c.name, func(t *testing.T) {
			expected, came, equal := asked(t, all[c.work], c.ours, someEvents, c.rows)
			if expected != c.expected || came != c.came || equal != c.equal {
				t.Errorf("%d expected, %d came, %d equal; want %d, %d, %d", expected, came, equal, c.expected, c.came, c.equal)
			}
		})
	}
}

// TestEstimates holds what is estimated to its bar: ours is exact up to 1,024, and nobody may be far off beyond.
func TestEstimates(t *testing.T) {
	var w *workload
	for _, each := range workloads() {
		if each.name == "W3" {
			w = &each
		}
	}
	events := func(hosts int) string {
		var b strings.Builder
		for h := range hosts {
			fmt.Fprintf(&b, `{"time":250000,"tenant":"t1","host":"host-%d","value":1,"attributes":{}}`+"\n", h)
		}
		return b.String() + b.String() + `{"time":250000,"tenant":"closing-1","host":"closing-1","value":1,"attributes":{}}` + "\n"
	}
	for _, c := range []struct {
		name       string
		ours       bool
		hosts, row int
		equal      int64
	}{
		{"exact", true, 1024, 1024, 5},
		{"one too many where ours is exact", true, 1024, 1025, 0},
		{"a sketch is not exact", false, 1000, 1020, 5},
		{"five standard errors", false, 2000, 2312, 5},
		{"more of them", false, 2000, 2313, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var rows strings.Builder
			for start := range 5 {
				if c.ours {
					fmt.Fprintf(&rows, `{"time":"1970-01-01T00:0%d:00Z","tenant":"t1","hosts":%d}`+"\n", start, c.row)
				} else {
					fmt.Fprintf(&rows, `{"start":%d,"tenant":"t1","hosts":%d}`+"\n", start*60_000, c.row)
				}
			}
			if expected, came, equal := asked(t, w, c.ours, events(c.hosts), rows.String()); expected != 5 || came != 5 || equal != c.equal {
				t.Errorf("%d expected, %d came, %d equal; want 5, 5, %d", expected, came, equal, c.equal)
			}
		})
	}
	l := line{Expected: 5, Rows: 5, Equal: 5, Error: 0.04}
	if !l.good() {
		t.Error("estimates that are off by 4 % do not count")
	}
	if l.Error = 0.05; l.good() {
		t.Error("estimates that are off by 5 % count")
	}
}

// TestTransitions holds the SQL to the rules' words, one window after the other, on series that go up and down.
func TestTransitions(t *testing.T) {
	const windows = 60
	var events, rows strings.Builder
	count := 0
	for h := range 4 {
		host := fmt.Sprintf("web-%d", h)
		for _, metric := range []string{"system.cpu.utilization", "system.memory.utilization"} {
			var high [windows + 10]bool
			for w := range windows {
				high[w] = mixed(uint64(h*1000+w)+uint64(len(metric)))%8 > uint64(h)
				fmt.Fprintf(&events, `{"time":%d,"name":%q,"host":%q,"value":%v,"attributes":{}}`+"\n", 30_000*w+7, metric, host, map[bool]float64{true: 0.75, false: 0.1}[high[w]])
			}
			for _, r := range rules() {
				if r.metric != metric {
					continue
				}
				state, since, held := "", 0, 0
				for w, holds := range high {
					at, before := 30_000*(w+1), state
					switch {
					case holds && state == "":
						state, since = "pending", at
					case !holds && state == "pending":
						state = "inactive"
					case !holds && state == "firing" && at-held >= int(r.keep.Milliseconds()):
						state = "resolved"
					}
					if holds && state == "pending" && at-since >= int(r.hold.Milliseconds()) {
						state = "firing"
					}
					if holds {
						held = at
					}
					if state != before {
						fmt.Fprintf(&rows, `{"time":%d,"rule":%q,"host":%q,"name":%q,"state":%q}`+"\n", at, r.name, host, metric, state)
						count++
					}
					if state == "inactive" || state == "resolved" {
						state = ""
					}
				}
			}
		}
	}
	for _, w := range workloads() {
		if w.name != "W6" {
			continue
		}
		if expected, came, equal := asked(t, &w, true, events.String(), rows.String()); int(expected) != count || came != expected || equal != expected {
			t.Errorf("%d expected, %d came, %d equal; %d follow from the rules", expected, came, equal, count)
		}
	}
}

// TestRules holds the pipeline and the argument of the jobs to all the rules.
func TestRules(t *testing.T) {
	if n := strings.Count(ruleSteps(), "- alert:"); n != ruleCount {
		t.Errorf("the pipeline has %d rules", n)
	}
	if n := len(strings.Split(ruleArgument(), ";")); n != ruleCount {
		t.Errorf("the jobs have %d rules", n)
	}
	for _, r := range rules() {
		if r.hold%ruleWindow != 0 || r.keep%ruleWindow != 0 {
			t.Errorf("%s: for %s and keep_firing_for %s are not whole windows", r.name, r.hold, r.keep)
		}
	}
}

func TestPrintedTables(t *testing.T) {
	base := line{Workload: "W2", Mode: modeDrain, Events: 1000, Expected: 5, Rows: 5, Equal: 5, Settings: "as shipped", Machine: "m", Commit: "c"}
	with := func(engine string, cpu, rss float64, change func(*line)) line {
		l := base
		l.Engine, l.CPU, l.RSS = engine, cpu, rss
		if change != nil {
			change(&l)
		}
		return l
	}
	got := tables([]line{
		with("flink", 6, 2000, nil), with("flink", 8, 2200, nil), with("flink", 7, 2100, nil), with("tidewatch", 0.5, 100, nil),
		with("kstreams", 1, 1, func(l *line) { l.Equal, l.Failed = 4, "it broke\nat length" }),
		with("tidewatch", 0, 90, func(l *line) { l.Mode, l.PerSecond, l.P50, l.P99, l.Max = modeLatency, 50_000, 10, 200, 300 }),
	})
	for _, want := range []string{
		"### W2, 1000 events", "| flink | 3 | 7.000 (6.000–8.000) | 14.0 |", "| 2100 (2000–2200) | 21.0 |", "| tidewatch | 1 | 0.500 | 1.0 |",
		"- kstreams does not count: 5 rows expected, 5 came, 4 equal. it broke\n", "### W2, 50000 events a second", "| tidewatch | 1 | 10 | 200 | 300 |",
		"- flink: as shipped.\n", "- Measured on m at commit c.\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the tables lack %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "| kstreams |") || strings.Count(got, "- flink: as shipped.") != 1 {
		t.Errorf("a run that does not count is in a table, or a note stands twice:\n%s", got)
	}
}
