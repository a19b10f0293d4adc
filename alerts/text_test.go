package alerts

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/internal/golden"
	"github.com/tidewatch/tidewatch/stream"
)

// TestText plays timelines. A line is one of
//
//	70s a=0.95 b=0.2   a closed window by its end, with the avg of each host
//	revised 70s a=0.5  the same for a revised one
//	final 70s          no window up to there is revised any more
//	mark 75s           the watermark; it follows by itself when a later window closes
//	tick 75s           an idle tick: the records have come no further than before
func TestText(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"testdata/judging.txt", "testdata/revising.txt", "testdata/json.txt"} {
		golden.Run(t, file, func(t *testing.T, c golden.Case) string {
			t.Helper()
			out := timeline(t, c)
			switch c.Command {
			case "transitions":
				return transitionLines(out.transitions(t))
			case "json":
				all := out.transitions(t)
				return indented(t, all[len(all)-1])
			case "alerts":
				return alertLines(t, out)
			}
			return "unknown command " + c.Command
		})
	}
}

func timeline(t *testing.T, c golden.Case) *collector {
	t.Helper()
	cfg, out := testConfig(), &collector{}
	for _, arg := range c.Args {
		name, value, _ := strings.Cut(arg, "=")
		d, err := time.ParseDuration(value)
		if err != nil {
			t.Fatalf("line %d: %v", c.Line, err)
		}
		if name == "for" {
			cfg.Rule.For = d
		} else {
			cfg.Rule.KeepFiringFor = d
		}
	}
	p := &player{t: t, o: newOperator(t, cfg), out: out, record: stream.NoTime}
	for line := range strings.Lines(c.Input) {
		p.line(strings.Fields(line))
	}
	return out
}

// player feeds lines to an operator.
type player struct {
	t      *testing.T
	o      *Operator
	out    *collector
	record stream.Time
}

func (p *player) line(words []string) {
	switch words[0] {
	case "mark":
		p.record = p.at(words[1])
		p.advance(stream.Advance{Mark: p.record, RecordMark: p.record})
	case "tick":
		p.advance(stream.Advance{Mark: p.at(words[1]), RecordMark: p.record, Provisional: true})
	case "revised":
		p.rows(stream.Revised, words[1:])
	case "final":
		p.rows(stream.Final, append(words[1:], "a=0"))
	default:
		p.rows(stream.Closed, words)
		p.record = p.at(words[0])
		p.advance(stream.Advance{Mark: p.record, RecordMark: p.record})
	}
}

func (p *player) at(word string) stream.Time {
	d, err := time.ParseDuration(word)
	if err != nil {
		p.t.Fatal(err)
	}
	return stream.Time(0).Add(d)
}

func (p *player) rows(phase stream.Phase, words []string) {
	var cells []cell
	for _, w := range words[1:] {
		host, value, _ := strings.Cut(w, "=")
		avg, err := strconv.ParseFloat(value, 64)
		if err != nil {
			p.t.Fatal(err)
		}
		cells = append(cells, cell{host, avg})
	}
	if err := p.o.Process(windowRows(phase, p.at(words[0]), cells), p.out); err != nil {
		p.t.Fatal(err)
	}
}

func (p *player) advance(to stream.Advance) {
	if err := p.o.Advance(to, p.out); err != nil {
		p.t.Fatal(err)
	}
}

func sinceStart(t time.Time) string { return t.Sub(time.Unix(0, 0)).String() }

func valueText(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprint(*v)
}

func transitionLines(all []Transition) string {
	var s strings.Builder
	for _, t := range all {
		fmt.Fprintf(&s, "%s %s: ", sinceStart(t.At), t.Alert.Labels["host"])
		if t.IsRevision() {
			fmt.Fprintf(&s, "%s, revision %d of window %s to %s", t.To, t.Revision, sinceStart(t.Window.End), valueText(t.Value))
		} else {
			fmt.Fprintf(&s, "%s → %s at %s", t.From, t.To, valueText(t.Value))
		}
		if t.Provisional {
			fmt.Fprintf(&s, ", provisional")
		}
		if t.Notifies() {
			s.WriteString(", notifies")
		}
		s.WriteString("\n")
	}
	return s.String()
}

// alertLines shows the current rows that a store makes of the decisions.
func alertLines(t *testing.T, out *collector) string {
	t.Helper()
	m := NewMemory()
	for _, d := range slices.Backward(out.decisions) { // in the wrong order, and twice
		for range 2 {
			if err := m.Decide(d); err != nil {
				t.Fatal(err)
			}
		}
	}
	page, err := m.List(t.Context(), Filter{States: States()})
	if err != nil {
		t.Fatal(err)
	}
	var s strings.Builder
	for _, a := range page.Items {
		fmt.Fprintf(&s, "%s %s, started %s, updated %s, window %s at %s, complete through %s, revised %t: %s\n",
			a.Labels["host"], a.State, sinceStart(a.StartedAt), sinceStart(a.UpdatedAt), sinceStart(a.Window.End),
			valueText(a.Value), sinceStart(a.CompleteThrough), a.Revised, a.Summary)
	}
	return s.String()
}

func indented(t *testing.T, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
