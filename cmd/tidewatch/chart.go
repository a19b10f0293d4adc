package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/pipelines"
)

// Sizes of charts, in characters.
const (
	chartMargin   = 12 // left of the plot: the labels of the values, and the axis
	chartRows     = 12 // of a single chart
	chartRowsMany = 6  // of each of several
	chartsAtMost  = 10
	narrowest     = 20 // columns of a plot
)

// chart is the plot of one column of one series. A bucket is a level line as long as the bucket lasts, and neighbours are
// joined; where a bucket is missing there is nothing, so a gap is seen as one.
type chart struct {
	from    time.Time
	step    time.Duration
	columns int       // characters of the plot
	rows    int       // characters of the plot
	values  []float64 // of each bucket; NaN where there is none
	final   int       // buckets before this one cannot change any more
	scale   scale
	unit    string
	colours bool
}

// drawCharts draws the first value column of each series, all on one scale.
func drawCharts(out io.Writer, m *seriesAnswer, width int, colours bool) error {
	shown := m.Series[:min(len(m.Series), chartsAtMost)]
	charts := make([]chart, len(shown))
	low, high := math.Inf(1), math.Inf(-1)
	for i := range shown {
		charts[i] = chartOf(m, &shown[i], width)
		charts[i].colours = colours
		if len(shown) > 1 {
			charts[i].rows = chartRowsMany
		}
		for _, v := range charts[i].values {
			if !math.IsNaN(v) {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	if low > high {
		_, err := fmt.Fprintf(out, "no data from %s to %s\n", m.From.Format(time.RFC3339), m.To.Format(time.RFC3339))
		return err
	}
	var b strings.Builder
	for i := range charts {
		c := &charts[i]
		c.scale = scaleOf(low, high)
		fmt.Fprintf(&b, "%s\n", title(&shown[i], c))
		c.draw(&b)
	}
	fmt.Fprintf(&b, "%s to %s, a bucket is %s\n", m.From.Format(time.RFC3339), m.To.Format(time.RFC3339), pipelines.FormatDuration(charts[0].step))
	b.WriteString(legend)
	if n := len(m.Series) - len(shown); n > 0 {
		fmt.Fprintf(&b, "%d more series are not drawn: narrow it by --where or --by\n", n)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// The axis says what a bucket is worth.
const (
	axisFinal = "─"
	axisOpen  = "░"
	axisGap   = " "
	legend    = "axis: ─ final, ░ not complete yet, blank: no data\n"
)

func title(s *series, c *chart) string {
	name := s.Columns[1] + " of " + s.Pipeline + "/" + s.Output
	if len(s.Labels) > 0 {
		name += "  " + labelText(s.Labels)
	}
	last := math.NaN()
	for _, v := range c.values {
		if !math.IsNaN(v) {
			last = v
		}
	}
	if math.IsNaN(last) {
		return name + "  no data"
	}
	return name + "  last " + formatValue(last, c.unit)
}

// chartOf places the points of a series into buckets.
func chartOf(m *seriesAnswer, s *series, width int) chart {
	c := chart{from: m.From, step: time.Duration(s.Step), columns: max(width-chartMargin, narrowest), rows: chartRows, unit: s.Unit}
	n := max(int(m.To.Sub(m.From)/c.step), 1)
	c.values = slices.Repeat([]float64{math.NaN()}, n)
	for _, p := range s.Points {
		i := int(at(p).Sub(m.From) / c.step)
		if i < 0 || i >= n || len(p) < 2 || p[1] == "" {
			continue
		}
		if v, err := p[1].Float64(); err == nil {
			c.values[i] = v
		}
	}
	if m.CompleteThrough != nil {
		c.final = int(max(m.CompleteThrough.Sub(m.From), 0) / c.step)
	}
	return c
}

// place is where bucket i begins, if all share width.
func (c *chart) place(i, width int) int { return i * width / len(c.values) }

// draw writes the plot, the axis and the times.
func (c *chart) draw(b *strings.Builder) {
	dots := c.dots()
	labels := c.scale.labels(c.rows, c.unit)
	open := c.columns
	if c.final < len(c.values) {
		open = c.place(c.final, c.columns)
	}
	for r := range c.rows {
		fmt.Fprintf(b, "%*s ┤", chartMargin-2, labels[r])
		row := make([]rune, c.columns)
		for x := range row {
			row[x] = ' '
			if bits := dots[r*c.columns+x]; bits != 0 {
				row[x] = rune(0x2800 + int(bits))
			}
		}
		if c.colours && open < c.columns {
			b.WriteString("\x1b[36m" + string(row[:open]) + "\x1b[33m" + strings.TrimRight(string(row[open:]), " ") + "\x1b[0m")
		} else {
			b.WriteString(strings.TrimRight(string(row), " "))
		}
		b.WriteByte('\n')
	}
	b.WriteString(strings.Repeat(" ", chartMargin-1) + "└" + strings.TrimRight(c.axis(), " ") + "\n")
	b.WriteString(strings.Repeat(" ", chartMargin) + c.times() + "\n")
}

// dots draws the line with the eight dots of each Braille character.
func (c *chart) dots() []uint8 {
	cells := make([]uint8, c.rows*c.columns)
	height := c.rows * 4
	set := func(x, y int) {
		bits := [4][2]uint8{{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}}
		cells[y/4*c.columns+x/2] |= bits[y%4][x%2]
	}
	before := -1
	for i, v := range c.values {
		if math.IsNaN(v) {
			before = -1
			continue
		}
		y := height - 1 - int(math.Round((v-c.scale.low)/(c.scale.high-c.scale.low)*float64(height-1)))
		lo, hi := c.place(i, 2*c.columns), c.place(i+1, 2*c.columns)
		for x := lo; x < max(hi, lo+1); x++ {
			set(x, y)
		}
		if before >= 0 {
			for between := min(before, y); between <= max(before, y); between++ {
				set(lo, between)
			}
		}
		before = y
	}
	return cells
}

// axis shows for each column whether its buckets are there, and final.
func (c *chart) axis() string {
	cells := slices.Repeat([]string{axisGap}, c.columns)
	for i, v := range c.values {
		mark := axisFinal
		switch {
		case i >= c.final:
			mark = axisOpen
		case math.IsNaN(v):
			continue
		}
		lo, hi := c.place(i, c.columns), c.place(i+1, c.columns)
		for x := lo; x < max(hi, lo+1); x++ {
			cells[x] = mark
		}
	}
	return strings.Join(cells, "")
}

// times labels the begin of the axis, places between, and its end, in UTC.
func (c *chart) times() string {
	whole := c.step * time.Duration(len(c.values))
	layout := "15:04"
	switch {
	case whole > 36*time.Hour:
		layout = "Jan 02 15:04"
	case c.step < time.Minute:
		layout = time.TimeOnly
	}
	room := len(layout)
	between := max(min(c.columns/(room+12), 6), 1) // labels after the first
	line := slices.Repeat([]byte{' '}, c.columns)
	for k := range between + 1 {
		text := c.from.Add(whole * time.Duration(k) / time.Duration(between)).UTC().Format(layout)
		x := c.columns * k / between
		copy(line[min(max(x-room/2*min(k, 1), 0), max(c.columns-room, 0)):], text)
	}
	return strings.TrimRight(string(line), " ")
}
