package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// report is all that was found.
type report struct {
	Workers     int           `json:"workers"`
	Partitions  int           `json:"partitions"`
	Rate        float64       `json:"events_per_second_and_partition"`
	Assignments []assignment  `json:"assignments,omitempty"`
	Claims      *claimReport  `json:"claims,omitempty"`
	Objects     *objectReport `json:"objects,omitempty"`
	Marks       []markCost    `json:"marks,omitempty"`
	Machine     string        `json:"machine"`
}

// page is a text with tables.
type page struct {
	to  *tabwriter.Writer
	err error
}

// row writes the cells of a table, or text if there is one.
func (p *page) row(cells ...string) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.to, strings.Join(cells, "\t"))
	}
}

// title ends the table before, and begins another.
func (p *page) title(format string, args ...any) {
	p.row("")
	p.text(format, args...)
	p.row("")
}

// text is a line outside of tables, which does not widen their columns.
func (p *page) text(format string, args ...any) {
	if p.err == nil {
		p.err = p.to.Flush()
	}
	p.row(fmt.Sprintf(format, args...))
	if p.err == nil {
		p.err = p.to.Flush()
	}
}

// print writes the tables.
func (r *report) print(to io.Writer) error {
	p := &page{to: tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)}
	p.text("%s workers, %s partitions with %s events a second each; measured on %s", thousands(float64(r.Workers)), thousands(float64(r.Partitions)),
		thousands(r.Rate), r.Machine)
	if r.Assignments != nil {
		p.assignments(r)
	}
	if r.Claims != nil {
		p.claims(r.Claims)
	}
	if r.Objects != nil {
		p.objects(r.Objects)
	}
	if r.Marks != nil {
		p.marks(r)
	}
	return p.err
}

// groupRecord is the largest record that a broker takes in its topic of groups, by default.
const groupRecord = 1 << 20

func (p *page) assignments(r *report) {
	p.title("Assignment: the balancer of the workers, run as the leader of the group runs it (measured)")
	p.row("", "rounds", "leader CPU ms", "leader wall ms", "moved", "from living", "least", "most", "members say KB", "are told KB", "")
	largest := 0
	for _, a := range r.Assignments {
		p.row(a.Name, strconv.Itoa(a.Rounds), fmt.Sprintf("%.1f", a.CPU), fmt.Sprintf("%.1f", a.Wall), strconv.Itoa(a.Moved), strconv.Itoa(a.Taken),
			strconv.Itoa(a.Least), strconv.Itoa(a.Most), fmt.Sprintf("%.1f", float64(a.MetadataBytes)/1024), fmt.Sprintf("%.1f", float64(a.AssignmentBytes)/1024), "")
		largest = max(largest, a.MetadataBytes+a.AssignmentBytes)
	}
	p.text("The broker keeps what all members say and are told in one record: %.0f KB at least, of %.0f KB that it takes by default (message.max.bytes).",
		float64(largest)/1024, float64(groupRecord)/1024)
}

func (p *page) claims(c *claimReport) {
	p.title("Claims: one PostgreSQL with %s rows of %d bytes, %d connections, fsync %v (measured), beside what all tasks need (arithmetic)",
		thousands(float64(c.Rows)), c.RowBytes, c.Connections, c.Fsync)
	head := []string{"tasks in a claim", "tasks/s", "transactions/s", "p50 ms", "p99 ms", "log bytes a task"}
	for _, n := range c.Rates[0].Needs {
		head = append(head, fmt.Sprintf("%s need %s/s", seconds(n.Epoch), thousands(n.Tasks)), "log MB/s")
	}
	p.row(append(head, "all tasks once", "")...)
	var ours *packRate
	for i := range c.Rates {
		r := &c.Rates[i]
		name := strconv.Itoa(r.Pack)
		if r.Pack == c.Pack {
			ours = r
			name += " (this fleet)"
		}
		cells := []string{name, thousands(r.Tasks), thousands(r.Transactions), fmt.Sprintf("%.2f", r.P50), fmt.Sprintf("%.2f", r.P99), thousands(r.WAL)}
		for _, n := range r.Needs {
			cells = append(cells, fmt.Sprintf("%s of %.0f %%", fits(n.Share), 100*n.Share), fmt.Sprintf("%.1f", n.WAL))
		}
		p.row(append(cells, seconds(r.Burst), "")...)
	}
	p.text("A worker with its %d tasks, run in the engine on this server, puts %d of them into a claim on average. %s.", c.Tasks, c.Pack, verdict(ours))
	p.text("All tasks are due at the same moments, so the last one waits for as long as all tasks once take. One that has to tell a decision claims after a tenth of")
	p.text("its interval; one that has read nothing claims nothing. The log is that of seconds: after each checkpoint whole pages come on top.")
	p.text("The workers hold %s connections, %s if each uses all that it may (postgres.max_conns); a server allows 100 by default (max_connections).",
		thousands(float64(c.FleetConnections[0])), thousands(float64(c.FleetConnections[1])))
}

// verdict tells which intervals the server bears.
func verdict(r *packRate) string {
	var good []string
	for _, n := range r.Needs {
		if n.Share < 1 {
			good = append(good, seconds(n.Epoch))
		}
	}
	if len(good) == 0 {
		good = []string{"none of these"}
	}
	return fmt.Sprintf("So this server bears epochs of %s, and of %s at the least", strings.Join(good, ", "), seconds(r.Burst))
}

// fits says whether what is needed is below what was measured.
func fits(share float64) string {
	if share < 1 {
		return "yes,"
	}
	return "NO,"
}

func (p *page) objects(o *objectReport) {
	p.title("Object store: requests in the life of each object (counted in the engine, and before a real S3 server), times how many there are (arithmetic)")
	p.row("", "bytes", "calls", "PUT, COPY, LIST", "GET, HEAD", "one each", "objects/s", "PUT, COPY, LIST/s", "GET, HEAD/s", "money a month", "")
	for _, c := range o.Costs {
		var names []string
		for _, k := range slices.Sorted(maps.Keys(c.Calls)) {
			names = append(names, fmt.Sprintf("%s %.1f", k, c.Calls[k]))
		}
		p.row(string(c.Kind), thousands(c.Bytes), strings.Join(names, ", "), fmt.Sprintf("%.1f", c.Each.Writes), fmt.Sprintf("%.1f", c.Each.Reads),
			seconds(c.Every), fmt.Sprintf("%.1f", c.PerSecond.Writes/c.Each.Writes), fmt.Sprintf("%.1f", c.PerSecond.Writes), fmt.Sprintf("%.1f", c.PerSecond.Reads), thousands(c.Month), "")
	}
	t := o.Total
	p.row("all", "", "", "", "", "", "", fmt.Sprintf("%.1f", t.PerSecond.Writes), fmt.Sprintf("%.1f", t.PerSecond.Reads), thousands(t.Month), "")
	p.text("Prices for 1,000 requests: %v for PUT, COPY and LIST, %v for GET and HEAD; DELETE costs nothing. These are list prices unless flags say otherwise, and may change.",
		o.Price.Write, o.Price.Read)
	p.text("One pipeline and one archive. Bytes are those of the run, with %s hosts in the partition; snapshots of that size are %.1f MB/s of uploads.",
		thousands(float64(usualPace().hosts)), t.Upload)
}

func (p *page) marks(r *report) {
	p.title("Marks of a re-keyed pipeline: one record for each source and internal partition in an epoch (counted in the sink), times tasks and epochs (arithmetic)")
	head := []string{"internal partitions", "bytes a mark"}
	for _, i := range r.Marks[0].Intervals {
		e := seconds(i.Epoch)
		head = append(head, "marks/s at "+e, "each internal", "share of records")
	}
	p.row(append(head, "interval needed", "")...)
	for _, m := range r.Marks {
		name := strconv.Itoa(m.Internal)
		if m.Product {
			name += " (ours)"
		}
		cells := []string{name, strconv.Itoa(m.Bytes)}
		for _, i := range m.Intervals {
			cells = append(cells, thousands(i.PerSecond), thousands(i.Internal), percent(i.Share))
		}
		p.row(append(cells, seconds(m.Shortest), "")...)
	}
	p.text("A task writes one more for each internal partition when its progress crosses the end of a window, after a tenth of the interval.")
}

// seconds is a span as people write it.
func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond).String()
}

func percent(share float64) string { return fmt.Sprintf("%.2f %%", 100*share) }

// thousands is a whole number with commas.
func thousands(v float64) string {
	text := fmt.Sprintf("%.0f", v)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// machine names the processor and how many there are.
func machine() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "a machine that does not tell"
	}
	model, n := "unknown", 0
	for line := range strings.SplitSeq(string(data), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model, n = strings.TrimSpace(value), n+1
		}
	}
	return fmt.Sprintf("%d x %s", n, model)
}
