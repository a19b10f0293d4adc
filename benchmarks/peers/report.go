package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// What was measured.
const (
	modeDrain   = "drain"
	modeLatency = "latency"
)

// line is what is printed of a run.
type line struct {
	Workload       string  `json:"workload"`
	Engine         string  `json:"engine"`
	Mode           string  `json:"mode"`
	Events         int64   `json:"events"`
	Hosts          int     `json:"hosts,omitempty"`           // where they are not as many as the workload has
	CPU            float64 `json:"cpu_s_per_million"`         // user and system, of all processes of the engine from start to end
	ServersCPU     float64 `json:"servers_cpu_s_per_million"` // of broker, Redis, PostgreSQL and object store meanwhile
	PerSecond      float64 `json:"events_per_second"`
	Wall           float64 `json:"wall_s"` // from the start of the process until the last row can be seen
	RSS            float64 `json:"rss_peak_mb"`
	Written        float64 `json:"written_mb"` // to files, by the engine
	ServersWritten float64 `json:"servers_written_mb"`
	Expected       int64   `json:"expected_rows"`
	Rows           int64   `json:"rows"`
	Equal          int64   `json:"equal_rows"`
	Kills          int     `json:"kills,omitempty"`
	Error          float64 `json:"rms_error,omitempty"` // of counts that are estimates, as a share
	// In the mode latency.
	P50 float64 `json:"p50_ms,omitempty"`
	P99 float64 `json:"p99_ms,omitempty"`
	Max float64 `json:"max_ms,omitempty"`
	// Behind is how far the producer was behind its clock at most: the machine was too busy if it is much.
	Behind float64 `json:"producer_behind_max_ms,omitempty"`
	Cores  float64 `json:"cores,omitempty"` // that the engine kept busy

	Failed   string `json:"failed,omitempty"`
	Settings string `json:"settings"`
	Machine  string `json:"machine"`
	Commit   string `json:"commit"`
}

// good says that the run counts: all rows came, and they are equal. Estimates are together no further off than they may be.
func (l *line) good() bool {
	return l.Failed == "" && l.Expected > 0 && l.Rows == l.Expected && l.Equal == l.Expected && l.Error <= distinctAll*distinctError
}

// readLines reads a file of lines.
func readLines(name string) (all []line, err error) {
	file, err := os.Open(filepath.Clean(name))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("read %s, line %d: %w", name, n, err)
		}
		all = append(all, l)
	}
	return all, lines.Err()
}

// tables are what lines say, in Markdown: one table for each workload, number of events and mode, with the lowest, median and
// highest of all runs, and below it the settings.
func tables(lines []line) string {
	type title struct {
		workload, mode string
		events         int64
		hosts          int
	}
	var order []title
	parts := map[title][]line{}
	for _, l := range lines {
		k := title{l.Workload, l.Mode, l.Events, l.Hosts}
		if l.Mode == modeLatency {
			k.events = int64(l.PerSecond)
		}
		if parts[k] == nil {
			order = append(order, k)
		}
		parts[k] = append(parts[k], l)
	}
	var b strings.Builder
	for _, k := range order {
		switch k.mode {
		case modeDrain:
			fmt.Fprintf(&b, "### %s, %d events%s\n\n", k.workload, k.events, of(k.hosts))
			drainTable(&b, parts[k])
		case modeLatency:
			fmt.Fprintf(&b, "### %s, %d events a second\n\n", k.workload, k.events)
			latencyTable(&b, parts[k])
		default:
			fmt.Fprintf(&b, "### %s\n\n", k.workload)
		}
		notes(&b, parts[k])
	}
	return b.String()
}

// of is the part of a title that says how many hosts there were, where that is not what the workload has.
func of(hosts int) string {
	if hosts == 0 {
		return ""
	}
	return fmt.Sprintf(" of %d hosts", hosts)
}

// byEngine sorts good lines by engine, in the order of their first run.
func byEngine(lines []line) (order []string, runs map[string][]line) {
	runs = map[string][]line{}
	for _, l := range lines {
		if !l.good() {
			continue
		}
		if runs[l.Engine] == nil {
			order = append(order, l.Engine)
		}
		runs[l.Engine] = append(runs[l.Engine], l)
	}
	return order, runs
}

func drainTable(b *strings.Builder, lines []line) {
	b.WriteString("| engine | runs | CPU-s per million | times ours | servers' CPU-s per million | events/s | peak MB | times ours | written MB | servers' MB | rows, all equal |\n" +
		"|---|---|---|---|---|---|---|---|---|---|---|\n")
	order, runs := byEngine(lines)
	ours := runs[jobProduct]
	for _, name := range order {
		all := runs[name]
		cpu, rss := func(l line) float64 { return l.CPU }, func(l line) float64 { return l.RSS }
		fmt.Fprintf(b, "| %s | %d | %s | %s | %s | %s | %s | %s | %s | %s | %d |\n", name, len(all), spread(all, 3, cpu), times(all, ours, cpu),
			spread(all, 3, func(l line) float64 { return l.ServersCPU }), spread(all, 0, func(l line) float64 { return l.PerSecond }),
			spread(all, 0, rss), times(all, ours, rss), spread(all, 0, func(l line) float64 { return l.Written }),
			spread(all, 0, func(l line) float64 { return l.ServersWritten }), all[0].Rows)
	}
}

func latencyTable(b *strings.Builder, lines []line) {
	b.WriteString("| engine | runs | p50 ms | p99 ms | max ms | cores busy | peak MB | rows, all equal |\n|---|---|---|---|---|---|---|---|\n")
	order, runs := byEngine(lines)
	for _, name := range order {
		all := runs[name]
		fmt.Fprintf(b, "| %s | %d | %s | %s | %s | %s | %s | %d |\n", name, len(all), spread(all, 0, func(l line) float64 { return l.P50 }),
			spread(all, 0, func(l line) float64 { return l.P99 }), spread(all, 0, func(l line) float64 { return l.Max }),
			spread(all, 2, func(l line) float64 { return l.Cores }), spread(all, 0, func(l line) float64 { return l.RSS }), all[0].Rows)
	}
}

// notes are the runs that do not count, the settings, and where it was measured.
func notes(b *strings.Builder, lines []line) {
	b.WriteByte('\n')
	var said []string
	say := func(format string, args ...any) {
		if s := fmt.Sprintf(format, args...); !slices.Contains(said, s) {
			said = append(said, s)
			b.WriteString(s)
		}
	}
	for _, l := range lines {
		if l.good() {
			continue
		}
		failed, _, _ := strings.Cut(l.Failed, "\n")
		say("- %s does not count: %d rows expected, %d came, %d equal. %s\n", l.Engine, l.Expected, l.Rows, l.Equal, failed)
	}
	for _, l := range lines {
		say("- %s: %s.\n", l.Engine, l.Settings)
		if l.Kills > 0 {
			say("- %s: killed and started again %d times; CPU and bytes are those of all its lives.\n", l.Engine, l.Kills)
		}
		if l.Error > 0 {
			say("- %s: counts beyond %d are estimates, off by %.2f %% at root mean square.\n", l.Engine, distinctExact, 100*l.Error)
		}
	}
	for _, l := range lines {
		say("- Measured on %s at commit %s.\n", l.Machine, l.Commit)
	}
	b.WriteByte('\n')
}

// spread is the median, and the lowest and highest beside it where there are several runs.
func spread(all []line, digits int, of func(line) float64) string {
	v := sorted(all, of)
	if len(v) == 1 {
		return fmt.Sprintf("%.*f", digits, v[0])
	}
	return fmt.Sprintf("%.*f (%.*f–%.*f)", digits, median(v), digits, v[0], digits, v[len(v)-1])
}

// times is how many times ours the median is.
func times(all, ours []line, of func(line) float64) string {
	if len(ours) == 0 || median(sorted(ours, of)) == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f", median(sorted(all, of))/median(sorted(ours, of)))
}

func sorted(all []line, of func(line) float64) (v []float64) {
	for _, l := range all {
		v = append(v, of(l))
	}
	slices.Sort(v)
	return v
}

func median(v []float64) float64 {
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}
