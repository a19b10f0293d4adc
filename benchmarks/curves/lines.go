package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
	"github.com/tidewatch/tidewatch/benchmarks/drain"
)

// line is what is kept of a drain.
type line struct {
	Curve  string `json:"curve"`
	X      int64  `json:"x"`
	Run    int    `json:"run"`
	Events int64  `json:"events"`
	drain.Costs
	Machine string `json:"machine"`
	Commit  string `json:"commit"`
}

func readLines(name string) (all []line, err error) {
	file, err := os.Open(filepath.Clean(name))
	if err != nil {
		return nil, fmt.Errorf("%w; measure something first", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("read %s, line %d: %w", name, n, err)
		}
		all = append(all, l)
	}
	return all, lines.Err()
}

// newest are the lines of a curve that can be compared with its last one.
func newest(lines []line, curve string) (all []line) {
	var last *line
	for i := len(lines) - 1; i >= 0; i-- {
		l := &lines[i]
		if l.Curve != curve {
			continue
		}
		if last == nil {
			last = l
		}
		if l.Commit == last.Commit && l.Machine == last.Machine && l.Events == last.Events {
			all = append(all, *l)
		}
	}
	return all
}

// draw makes the pictures, beside the file.
func (o *options) draw(chosen []curve) error {
	lines, err := readLines(o.results)
	if err != nil {
		return err
	}
	for i := range chosen {
		c := &chosen[i]
		own := newest(lines, c.name)
		if len(own) == 0 {
			bed.Progress("%s: there is nothing to draw in %s", c.name, o.results)
			continue
		}
		name := filepath.Join(filepath.Dir(o.results), "curve-"+c.name+".svg")
		if err := os.WriteFile(name, []byte(c.chart(own).svg()), 0o644); err != nil {
			return err
		}
		bed.Progress("drew %s", name)
	}
	return nil
}

// chart is the picture of lines that can be compared.
func (c *curve) chart(lines []line) *chart {
	values, runs := map[int64][]float64{}, 0
	for i := range lines {
		values[lines[i].X] = append(values[lines[i].X], lines[i].CPU)
	}
	out := &chart{x: c.title, y: "CPU-s per million events"}
	for _, x := range slices.Sorted(maps.Keys(values)) {
		runs = max(runs, len(values[x]))
		s := bed.Summarize(values[x])
		out.marks = append(out.marks, mark{x: float64(x), y: s.Median, low: s.Min, high: s.Max})
	}
	first := &lines[0]
	out.title = "Cost of one worker by " + c.title
	out.note = fmt.Sprintf("W2, %s events, median and range of %d, %s, commit %s", grouped(first.Events), runs, first.Machine, first.Commit)
	return out
}
