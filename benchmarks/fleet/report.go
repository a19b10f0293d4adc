package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// report is all that was found.
type report struct {
	Workers     int          `json:"workers"`
	Partitions  int          `json:"partitions"`
	Assignments []assignment `json:"assignments"`
	Marks       []markCost   `json:"marks"`
	Machine     string       `json:"machine"`
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
	p.text("%s workers, %s partitions, on %s", thousands(float64(r.Workers)), thousands(float64(r.Partitions)), r.Machine)
	p.assignments(r)
	p.marks(r)
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
