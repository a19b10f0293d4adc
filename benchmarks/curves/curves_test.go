package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
	"github.com/tidewatch/tidewatch/benchmarks/drain"
)

// elements are those of a picture by class, with their attributes and text.
func elements(t *testing.T, svg string) map[string][]map[string]string {
	t.Helper()
	all := map[string][]map[string]string{}
	var open []map[string]string
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("the picture is not well-formed: %v\n%s", err, svg)
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := map[string]string{}
			for _, a := range token.Attr {
				e[a.Name.Local] = a.Value
			}
			all[e["class"]] = append(all[e["class"]], e)
			open = append(open, e)
		case xml.CharData:
			if len(open) > 0 {
				open[len(open)-1]["text"] += string(token)
			}
		case xml.EndElement:
			open = open[:len(open)-1]
		}
	}
}

func numbers(t *testing.T, all []map[string]string, name string) (values []float64) {
	t.Helper()
	for _, e := range all {
		v, err := strconv.ParseFloat(e[name], 64)
		if err != nil {
			t.Fatalf("%s of %v: %v", name, e, err)
		}
		values = append(values, v)
	}
	return values
}

func TestSVG(t *testing.T) {
	c := &chart{title: "A <title> & more", note: "note", x: "keys", y: "CPU", marks: []mark{{10, 1, 0.9, 1.2}, {100, 2, 2, 2}, {1000, 4, 3, 5}}}
	all := elements(t, c.svg())
	if got := all["title"][0]["text"]; got != c.title {
		t.Errorf("the title is %q, want %q", got, c.title)
	}
	x, y := numbers(t, all["point"], "cx"), numbers(t, all["point"], "cy")
	if len(x) != 3 || math.Abs((x[1]-x[0])-(x[2]-x[1])) > 0.11 {
		t.Errorf("10, 100 and 1000 are not equally far apart on a logarithmic axis: %v", x)
	}
	base := float64(height - bottom)
	if math.Abs((base-y[1])-2*(base-y[0])) > 0.2 || math.Abs((base-y[2])-4*(base-y[0])) > 0.3 {
		t.Errorf("heights are not in proportion to 1, 2, 4 above %v: %v", base, y)
	}
	for i := range x {
		if x[i] < left || x[i] > width-right || y[i] < top || y[i] > base {
			t.Errorf("point %d is outside of the axes: %v, %v", i, x[i], y[i])
		}
	}
	ranges := all["range"] // three lines for each point, the upright one first
	if low, high := numbers(t, ranges[6:7], "y1")[0], numbers(t, ranges[6:7], "y2")[0]; !(high < y[2] && y[2] < low) {
		t.Errorf("the range of the last point, %v to %v, is not around it at %v", low, high, y[2])
	}
	var labels []string
	for _, e := range all["tick"] {
		labels = append(labels, e["text"])
	}
	for _, want := range []string{"0", "5", "10", "100", "1k"} {
		if !slices.Contains(labels, want) {
			t.Errorf("no tick says %s: %v", want, labels)
		}
	}
}

func TestScale(t *testing.T) {
	for _, c := range []struct {
		x    []float64
		want bool
	}{{[]float64{1, 2}, false}, {[]float64{1, 2, 4, 8}, false}, {[]float64{1, 10}, true}, {[]float64{1, 60}, true}, {[]float64{5}, false}} {
		ch := &chart{}
		for _, x := range c.x {
			ch.marks = append(ch.marks, mark{x: x})
		}
		if got := ch.logarithmic(); got != c.want {
			t.Errorf("%v: logarithmic is %v", c.x, got)
		}
		for _, x := range c.x {
			if at := ch.scale()(x); !(at > left && at < width-right) {
				t.Errorf("%v: %v is at %v", c.x, x, at)
			}
		}
	}
}

func TestTicks(t *testing.T) {
	for most, want := range map[float64]string{
		0: "[0 1]", 1: "[0 0.2 0.4 0.6 0.8 1 1.2]", 0.8: "[0 0.2 0.4 0.6 0.8 1]", 5: "[0 1 2 3 4 5 6]", 37: "[0 5 10 15 20 25 30 35 40]",
	} {
		var got []string
		for _, v := range ticks(most) {
			got = append(got, strconv.FormatFloat(v, 'g', 4, 64))
		}
		if s := fmt.Sprint(got); s != want {
			t.Errorf("ticks for %v: %s, want %s", most, s, want)
		}
	}
	for most := 0.01; most < 1e4; most *= 1.07 {
		if got := ticks(most); len(got) < 5 || len(got) > 11 || got[len(got)-1] < most {
			t.Errorf("ticks for %v: %v", most, got)
		}
	}
}

func TestNewest(t *testing.T) {
	lines := []line{
		{Curve: "keys", X: 1, Commit: "old"},
		{Curve: "keys", X: 1, Commit: "new"},
		{Curve: "cores", X: 1, Commit: "other"},
		{Curve: "keys", X: 1, Commit: "new", Events: 9},
		{Curve: "keys", X: 2, Commit: "new"},
	}
	got := newest(lines, "keys")
	if len(got) != 2 || got[0] != lines[4] || got[1] != lines[1] {
		t.Errorf("got %+v", got)
	}
	if got := newest(lines, "windows"); got != nil {
		t.Errorf("lines of a curve that was not measured: %+v", got)
	}
}

func TestDraw(t *testing.T) {
	dir := t.TempDir()
	o := &options{results: filepath.Join(dir, "curves.jsonl")}
	for run, cpu := range []float64{3, 1, 2} {
		for _, x := range []int64{4, 1} {
			l := &line{Curve: "partitions", X: x, Run: run, Events: 10_000_000, Costs: drain.Costs{CPU: cpu * float64(x)}, Machine: "2 x <cpu>", Commit: "abc"}
			if err := bed.AppendLine(o.results, l); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := o.draw(curves()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "curve-partitions.svg"))
	if err != nil {
		t.Fatal(err)
	}
	all := elements(t, string(text))
	var values []string
	for _, e := range all["value"] {
		values = append(values, e["text"])
	}
	if !slices.Equal(values, []string{"2.00", "8.00"}) {
		t.Errorf("the medians are drawn as %v", values)
	}
	if note := all["note"][0]["text"]; !strings.Contains(note, "2 x <cpu>") || !strings.Contains(note, "commit abc") || !strings.Contains(note, "10,000,000") {
		t.Errorf("the note says %q", note)
	}
	if err := os.WriteFile(o.results, []byte("{}\n{\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := o.draw(curves()); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a broken line: %v", err)
	}
}

// TestGroups checks that points that read the same events share a topic, and no others.
func TestGroups(t *testing.T) {
	w, err := drain.Find("W2")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{options: &options{events: 1_000_000}, w: w}
	for name, want := range map[string]int{"partitions": 7, "keys": 4, "windows": 1, "cores": 1, "pipelines": 1} {
		chosen, err := choose(name)
		if err != nil {
			t.Fatal(err)
		}
		groups, topics := b.groups(&chosen[0]), map[string]bool{}
		for _, g := range groups {
			for i := range g {
				topics[g[i].load.Topic] = true
			}
		}
		if len(groups) != want || len(topics) != want {
			t.Errorf("%s: %d groups with %d topics, want %d", name, len(groups), len(topics), want)
		}
	}
	if _, err := choose("partitions,colour"); err == nil {
		t.Error("a curve that is not there is taken")
	}
}

func TestOpenWindows(t *testing.T) {
	p := point{load: drain.Load{Events: 12_000_000}}
	openWindows(&p, 60)
	// 120 windows of ten seconds; 100,000 events in each are five for each of 20,000 keys.
	if p.load.Lateness.String() != "9m50s" || p.load.PerSecond != 10_000 || p.load.Keys != 20_000 {
		t.Errorf("got %+v", p.load)
	}
}
