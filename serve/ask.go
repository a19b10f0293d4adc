package serve

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/stream"
)

// Limits of one answer. Whatever passes them is refused by name, never cut.
const (
	maxRange     = 400 * 24 * time.Hour
	maxBuckets   = 20_000 // of one series
	maxLines     = 1000   // series of an answer
	maxPoints    = 300_000
	maxWindows   = 100_000 // windows that are read for one output
	defaultLast  = 15 * time.Minute
	defaultPoint = 300
)

// ask is a question about series: parameters that were read, and which outputs it is about. Equal questions have equal
// keys, whatever the words they came in.
type ask struct {
	last     time.Duration // 0: from and to are fixed
	from, to stream.Time
	openEnd  bool // to is now
	step     time.Duration
	points   int
	byGiven  bool
	by       []string
	where    map[string][]string
	columns  []string
	top      int
	order    string

	choose chooser
}

// chooser says which outputs are asked.
type chooser struct {
	family                 string // "" is any
	types                  []string
	service                string
	operations             []string
	name, pipeline, output string
}

// askOf reads the parameters that all questions about series have.
func askOf(c *call, ch chooser) (*ask, error) {
	a := &ask{choose: ch}
	a.span(c)
	if text := c.text("step"); c.has("step") && text != "auto" {
		d, _ := c.duration("step")
		a.step = d
	}
	a.points = c.number("points", defaultPoint, 2000)
	a.byGiven, a.by = c.has("by"), c.list("by")
	a.where, a.columns = c.pairs("where"), c.list("columns")
	a.top, a.order = c.number("top", 0, maxLines), c.text("order")
	if a.order != "" && a.top == 0 {
		c.bad("order", "it needs top: how many series to keep")
	}
	return a, c.mistakes()
}

func (a *ask) span(c *call) {
	last := c.text("last")
	if from, to, ok := strings.Cut(last, "/"); ok && !c.has("from") && !c.has("to") {
		delete(c.query, "last")
		c.query.Set("from", from)
		c.query.Set("to", to)
	}
	if c.has("last") && (c.has("from") || c.has("to")) {
		c.bad("last", "give last, or from and to")
		return
	}
	from, fixed := c.instant("from")
	if !fixed {
		a.last = defaultLast
		if d, ok := c.duration("last"); ok {
			a.last = d
		}
		if c.has("to") {
			c.bad("to", "it needs from")
		}
		if a.last > maxRange {
			c.bad("last", "at most %s", pipelines.FormatDuration(maxRange))
		}
		return
	}
	a.from, a.openEnd = from, !c.has("to") || c.text("to") == "now"
	if rest, ok := strings.CutPrefix(c.text("from"), "now-"); ok && a.openEnd {
		a.last, _ = pipelines.ParseDuration(rest)
	}
	if !a.openEnd {
		a.to, _ = c.instant("to")
	} else {
		a.to = stream.TimeOf(c.now)
	}
	if a.to <= a.from {
		c.bad("from", "it must be before to")
	} else if a.to.Sub(a.from) > maxRange {
		c.bad("from", "at most %s before to", pipelines.FormatDuration(maxRange))
	}
}

// bounds are the times asked for, now.
func (a *ask) bounds(now time.Time) (from, to stream.Time) {
	at := stream.TimeOf(now)
	switch {
	case a.last > 0:
		return max(at.Add(-a.last), 0), at
	case a.openEnd:
		return a.from, max(at, a.from+1)
	}
	return a.from, a.to
}

// moves reports whether the answer changes as time goes by.
func (a *ask) moves() bool { return a.last > 0 || a.openEnd }

// wants reports whether the question is about the output.
func (ch *chooser) wants(t *target) bool {
	switch {
	case ch.pipeline != "":
		return t.info.Pipeline == ch.pipeline && (ch.output == "" || t.info.Output == ch.output)
	case ch.name != "":
		return t.info.Name == ch.name || t.info.Pipeline == ch.name || t.info.Pipeline+"/"+t.info.Output == ch.name
	case ch.service != "":
		if t.info.Family == securityFamily || !slices.Contains(t.info.Groups, serviceColumn) {
			return false
		}
		if len(ch.operations) > 0 && operationColumn(t) == "" {
			return false
		}
	case t.info.Family != ch.family:
		return false
	}
	return len(ch.types) == 0 || t.is(ch.types)
}

// operationColumn is the group column that names the operation, "" if there is none.
func operationColumn(t *target) string {
	for _, name := range []string{"operation", "route"} {
		if slices.Contains(t.info.Groups, name) {
			return name
		}
	}
	return ""
}

// conditions are the values that group columns must have for this output.
func (a *ask) conditions(t *target) map[string][]string {
	if a.choose.service == "" {
		return a.where
	}
	all := map[string][]string{serviceColumn: {a.choose.service}}
	if len(a.choose.operations) > 0 {
		all[operationColumn(t)] = a.choose.operations
	}
	maps.Copy(all, a.where)
	return all
}

// niceSteps are the buckets that auto chooses among; they divide a day or are multiples of one.
func niceSteps() []time.Duration {
	return []time.Duration{
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
		time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
		24 * time.Hour, 2 * 24 * time.Hour, 7 * 24 * time.Hour,
	}
}

// stepFor is the bucket of an output: what was asked for, or the shortest nice one that makes no more points than wanted;
// always a multiple of the distance of its windows.
func (a *ask) stepFor(span, every time.Duration) time.Duration {
	step := a.step
	if step == 0 {
		all := niceSteps()
		step = all[len(all)-1]
		for _, nice := range all {
			if span <= time.Duration(a.points)*max(nice, every) {
				step = nice
				break
			}
		}
	}
	return time.Duration(ceil(stream.Time(max(step, 1)), every))
}
