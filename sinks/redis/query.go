package redis

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// Query chooses points of one output.
type Query struct {
	Output Output
	// From <= start of the window < To. Both are needed.
	From, To stream.Time
	// Where keeps the groups whose columns have these values, written as text: numbers, true and false, RFC 3339. A query
	// that names every group column reads one block a window; any other reads whole windows.
	Where map[string]string
	// Columns are the values wanted, in this order; none means all.
	Columns []string
}

// Result is the answer to a query.
type Result struct {
	Columns []string // of each series, in order
	Series  []Series // sorted by their labels
	// CompleteThrough is the lowest mark of all partitions; NoTime while one of them has not reported.
	CompleteThrough stream.Time
}

// Series are the points of one group, oldest first.
type Series struct {
	Labels  []string        // of the group columns in order; as text
	Null    []bool          // group columns without a value
	Start   []stream.Time   // of each window
	Columns []stream.Column // parallel to Result.Columns, each as long as Start
}

// maxWindows bounds the windows of one query: more is a report, which the archive answers.
const maxWindows = 100_000

// plan is a query that was checked.
type plan struct {
	q      Query
	kinds  []stream.Kind
	values []int // columns wanted
	match  []condition
	slot   int // of the only group that can match, -1 if there are many
	starts []stream.Time
}

// condition wants a group column to have a value.
type condition struct {
	column int
	kind   stream.Kind
	number int64
	float  float64
	text   string
}

func (q Query) plan() (*plan, error) {
	if err := q.Output.Validate(); err != nil {
		return nil, err
	}
	p := &plan{q: q, kinds: q.Output.kinds(), slot: -1}
	if err := p.where(); err != nil {
		return nil, err
	}
	if err := p.columns(); err != nil {
		return nil, err
	}
	return p, p.windows()
}

func (p *plan) where() error {
	o := &p.q.Output
	for i, c := range o.Columns[:o.Groups] {
		want, ok := p.q.Where[c.Name]
		if !ok {
			continue
		}
		m, err := parseCondition(i, p.kinds[i], want)
		if err != nil {
			return stream.Mark(stream.Reject, fmt.Errorf("check query: column %s: %w", c.Name, err))
		}
		p.match = append(p.match, m)
	}
	if len(p.match) < len(p.q.Where) {
		for name := range p.q.Where {
			if i := o.column(name); i < 0 || i >= o.Groups {
				return stream.Mark(stream.Reject, fmt.Errorf("check query: %s is no group column of %s: use %s", name, o.Name, names(o.Columns[:o.Groups])))
			}
		}
	}
	if len(p.match) == o.Groups {
		p.slot = slotOf(p.match)
	}
	return nil
}

func (p *plan) columns() error {
	o := &p.q.Output
	if len(p.q.Columns) == 0 {
		for i := o.Groups; i < len(o.Columns); i++ {
			p.values = append(p.values, i)
		}
		return nil
	}
	for _, name := range p.q.Columns {
		i := o.column(name)
		if i < o.Groups {
			return stream.Mark(stream.Reject, fmt.Errorf("check query: %s is no value of %s: use %s", name, o.Name, names(o.Columns[o.Groups:])))
		}
		p.values = append(p.values, i)
	}
	return nil
}

func (p *plan) windows() error {
	every := p.q.Output.Every
	first := p.q.From.Floor(every)
	if first < p.q.From {
		first = first.Add(every)
	}
	if p.q.From < 0 || p.q.To <= p.q.From {
		return stream.Mark(stream.Reject, fmt.Errorf("check query: from %v to %v is no span", p.q.From, p.q.To))
	}
	if n := p.q.To.Sub(p.q.From) / every; n > maxWindows {
		return stream.Mark(stream.Reject, fmt.Errorf("check query: %d windows of %v: at most %d; choose a shorter span", n, every, maxWindows))
	}
	for at := first; at < p.q.To; at = at.Add(every) {
		if at >= p.q.Output.Since {
			p.starts = append(p.starts, at)
		}
	}
	return nil
}

func parseCondition(column int, kind stream.Kind, want string) (c condition, err error) {
	c = condition{column: column, kind: kind, text: want}
	switch kind {
	case stream.Int:
		c.number, err = strconv.ParseInt(want, 10, 64)
	case stream.Float:
		c.float, err = strconv.ParseFloat(want, 64)
	case stream.Bool:
		var b bool
		b, err = strconv.ParseBool(want)
		if b {
			c.number = 1
		}
	case stream.Timestamp:
		var t time.Time
		t, err = time.Parse(time.RFC3339Nano, want)
		c.number = int64(stream.TimeOf(t))
	case stream.String:
	}
	if err != nil {
		return c, fmt.Errorf("%q is no %v", want, kind)
	}
	return c, nil
}

// slotOf is the slot of the group that has these values.
func slotOf(match []condition) int {
	s := &stream.Schema{}
	cols := make([]int, len(match))
	for i, m := range match {
		s.Fields = append(s.Fields, stream.Field{Kind: m.kind})
		cols[i] = i
	}
	b := stream.NewBatch(s)
	for i, m := range match {
		switch m.kind {
		case stream.String:
			b.Cols[i].AppendString(m.text)
		case stream.Float:
			b.Cols[i].AppendFloat(m.float)
		case stream.Int, stream.Bool, stream.Timestamp:
			b.Cols[i].AppendInt(m.number)
		}
	}
	b.SetLen(1)
	return int(stream.SlotOf(stream.AppendKey(nil, b, cols, 0)))
}

// holds reports whether row i of the block has the value.
func (c *condition) holds(r *rows, i int) bool {
	v := &r.columns[c.column]
	switch {
	case v.isNull(i):
		return false
	case c.kind == stream.String:
		return string(v.textOf(i)) == c.text
	case c.kind == stream.Float:
		return v.floats[i] == c.float || math.IsNaN(v.floats[i]) && math.IsNaN(c.float)
	}
	return v.ints[i] == c.number
}

func names(columns []Column) string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = c.Name
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}
