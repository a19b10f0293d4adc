package main

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// chart is a line through points, each with the range of its values. The vertical axis begins at 0.
type chart struct {
	title, note, x, y string
	marks             []mark // by x, at least one
}

type mark struct{ x, y, low, high float64 }

// The picture, in pixels.
const (
	width, height            = 720, 420
	left, right, top, bottom = 72, 28, 78, 58
	// logFrom is from which range on the horizontal axis is logarithmic.
	logFrom = 10
)

const style = `text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-size:12px;fill:#4a5560}` +
	`.title{font-size:17px;font-weight:600;fill:#17212b}.axis{font-size:13px;fill:#17212b}.value{font-size:11px;fill:#17212b;paint-order:stroke;stroke:#fff;stroke-width:3px}` +
	`.grid{stroke:#e3e8ec}.base{stroke:#8a96a3}.curve{fill:none;stroke:#0b6fa4;stroke-width:2;stroke-linejoin:round}` +
	`.range{stroke:#0b6fa4;stroke-width:1.5;opacity:.6}.point{fill:#0b6fa4;stroke:#fff;stroke-width:1.5}`

// svg draws the chart.
func (c *chart) svg() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">`+"\n<style>%s</style>\n",
		width, height, width, height, html.EscapeString(c.title), style)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	text(&b, "title", "start", place{left - 52, 30}, c.title)
	text(&b, "note", "start", place{left - 52, 50}, c.note)
	yTicks := ticks(c.highest())
	toY := func(v float64) float64 { return height - bottom - v/yTicks[len(yTicks)-1]*(height-top-bottom) }
	for _, v := range yTicks {
		class := "grid"
		if v == 0 {
			class = "base"
		}
		stroke(&b, class, place{left, toY(v)}, place{width - right, toY(v)})
		text(&b, "tick", "end", place{left - 10, toY(v) + 4}, strconv.FormatFloat(v, 'g', 4, 64))
	}
	toX := c.scale()
	for _, m := range c.marks {
		stroke(&b, "base", place{toX(m.x), height - bottom}, place{toX(m.x), height - bottom + 5})
		text(&b, "tick", "middle", place{toX(m.x), height - bottom + 20}, short(m.x))
	}
	text(&b, "axis", "middle", place{(left + width - right) / 2, height - 14}, c.x)
	fmt.Fprintf(&b, `<text class="axis" transform="translate(20 %d) rotate(-90)" text-anchor="middle">%s</text>`+"\n", (top+height-bottom)/2, html.EscapeString(c.y))
	c.line(&b, toX, toY)
	b.WriteString("</svg>\n")
	return b.String()
}

// line draws ranges, then the line over them, then points and their values.
func (c *chart) line(b *strings.Builder, toX, toY func(float64) float64) {
	const arm = 4
	var path []string
	for _, m := range c.marks {
		x := toX(m.x)
		path = append(path, fmt.Sprintf("%.1f,%.1f", x, toY(m.y)))
		stroke(b, "range", place{x, toY(m.low)}, place{x, toY(m.high)})
		stroke(b, "range", place{x - arm, toY(m.low)}, place{x + arm, toY(m.low)})
		stroke(b, "range", place{x - arm, toY(m.high)}, place{x + arm, toY(m.high)})
	}
	fmt.Fprintf(b, `<polyline class="curve" points="%s"/>`+"\n", strings.Join(path, " "))
	for _, m := range c.marks {
		fmt.Fprintf(b, `<circle class="point" cx="%.1f" cy="%.1f" r="4.5"/>`+"\n", toX(m.x), toY(m.y))
		text(b, "value", "middle", place{toX(m.x), toY(m.high) - 9}, strconv.FormatFloat(m.y, 'f', 2, 64))
	}
}

func (c *chart) highest() (most float64) {
	for _, m := range c.marks {
		most = max(most, m.high)
	}
	return most
}

// logarithmic says whether the points lie too far apart for a linear axis.
func (c *chart) logarithmic() bool {
	first, last := c.marks[0].x, c.marks[len(c.marks)-1].x
	return first > 0 && last/first >= logFrom
}

// scale places points, with some room at both ends.
func (c *chart) scale() func(float64) float64 {
	const room = 34
	of := func(x float64) float64 { return x }
	if c.logarithmic() {
		of = math.Log
	}
	from, to := of(c.marks[0].x), of(c.marks[len(c.marks)-1].x)
	return func(x float64) float64 {
		if from == to {
			return (left + width - right) / 2
		}
		return left + room + (of(x)-from)/(to-from)*(width-left-right-2*room)
	}
}

// ticks are round values from 0 to beyond most, five to eleven of them.
func ticks(most float64) []float64 {
	if most <= 0 {
		return []float64{0, 1}
	}
	most *= 1.08 // room for the values that stand above the points
	step := math.Pow(10, math.Floor(math.Log10(most/5)))
	for _, times := range []float64{5, 2} {
		if most/(step*times) >= 4 {
			step *= times
			break
		}
	}
	all := []float64{0}
	for i := 1; all[len(all)-1] < most; i++ {
		all = append(all, float64(i)*step)
	}
	return all
}

// short is a number as a label of an axis: 1k, 5M.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return strconv.FormatFloat(v/1e6, 'g', 4, 64) + "M"
	case v >= 1e3:
		return strconv.FormatFloat(v/1e3, 'g', 4, 64) + "k"
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// grouped is a number with its thousands apart.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// place is one in the picture, from its upper left corner.
type place struct{ x, y float64 }

func stroke(b *strings.Builder, class string, from, to place) {
	fmt.Fprintf(b, `<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`+"\n", class, from.x, from.y, to.x, to.y)
}

// text writes; at is the anchor of the text: its start, middle or end.
func text(b *strings.Builder, class, anchor string, at place, s string) {
	fmt.Fprintf(b, `<text class="%s" x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", class, at.x, at.y, anchor, html.EscapeString(s))
}
