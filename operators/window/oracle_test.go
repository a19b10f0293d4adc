package window_test

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/tidewatch/tidewatch/operators/window"
	"github.com/tidewatch/tidewatch/stream"
)

// oracle is a window by brute force: it keeps every accepted event in a map and computes every value anew.
type oracle struct {
	cfg     *window.Config
	windows map[stream.Time]*held
	mark    stream.Time
	counts  stream.Ledger
	late    []int64               // offsets
	refused []refusal             // also of events that another window has accepted
	emitted map[string][]string   // by phase, window and version: rows
	all     map[stream.Time]*held // every window that there was
}

// refusal is an event that was too late for a window.
type refusal struct {
	start  stream.Time
	offset int64
}

type held struct {
	groups  map[string][]*event // accepted, by canonical key
	closed  bool
	cut     map[string][]*event // as they were when it closed
	revised map[uint8]bool
}

func newOracle(cfg *window.Config) *oracle {
	return &oracle{cfg: cfg, windows: map[stream.Time]*held{}, all: map[stream.Time]*held{}, mark: stream.NoTime, emitted: map[string][]string{}}
}

func (o *oracle) run(s *script) {
	for _, st := range s.steps {
		if st.event != nil {
			o.event(st.event)
		} else {
			o.advance(*st.advance)
		}
	}
}

func (o *oracle) event(e *event) {
	size := stream.Time(o.cfg.Size)
	every := size
	if o.cfg.Every > 0 {
		every = stream.Time(o.cfg.Every)
	}
	accepted, revises := false, false
	for start := e.at / every * every; start > e.at-size; start -= every { // times are positive
		if e.mark != stream.NoTime && start+size+stream.Time(o.cfg.Lateness) <= e.mark {
			o.refused = append(o.refused, refusal{start, e.offset})
			continue
		}
		accepted = true
		revises = o.into(start, e) || revises
	}
	switch {
	case !accepted:
		o.counts[stream.BucketLate]++
		o.late = append(o.late, e.offset)
	case revises:
		o.counts[stream.BucketRevised]++
	}
}

// into puts an event into a window and reports whether that was closed.
func (o *oracle) into(start stream.Time, e *event) bool {
	w := o.windows[start]
	if w == nil {
		w = &held{groups: map[string][]*event{}, closed: start+stream.Time(o.cfg.Size) <= max(e.mark, o.mark), revised: map[uint8]bool{}}
		o.windows[start], o.all[start] = w, w
	}
	key := o.key(e)
	if _, has := w.groups[key]; !has && o.cfg.MaxGroups > 0 && len(w.groups) >= o.cfg.MaxGroups {
		moved := *e
		moved.other, e = true, &moved
		key = o.key(e)
	}
	w.groups[key] = append(w.groups[key], e)
	if w.closed {
		w.revised[stream.SlotOf([]byte(key))] = true
	}
	return w.closed
}

// key is the canonical key of the event's group.
func (o *oracle) key(e *event) string {
	b := stream.NewBatch(eventSchema)
	appendEvent(b, e.group())
	var cols []int
	for _, name := range o.cfg.By {
		cols = append(cols, eventSchema.Index(name))
	}
	return string(stream.AppendKey(nil, b, cols, 0))
}

func (o *oracle) advance(to stream.Advance) {
	o.mark = max(o.mark, to.Mark)
	var starts []stream.Time
	for s := range o.windows {
		starts = append(starts, s)
	}
	slices.Sort(starts)
	for _, start := range starts {
		w, end := o.windows[start], start+stream.Time(o.cfg.Size)
		if end <= to.Mark && !w.closed {
			w.closed, w.cut = true, map[string][]*event{}
			for k, es := range w.groups {
				w.cut[k] = slices.Clone(es)
			}
			o.emit(stream.Closed, start, to, w.groups, nil)
		}
		if end+stream.Time(o.cfg.Lateness) <= to.RecordMark {
			if len(w.revised) > 0 {
				o.emit(stream.Revised, start, to, w.groups, w.revised)
			}
			o.emit(stream.Final, start, to, w.groups, nil)
			delete(o.windows, start)
		}
	}
}

// emit notes the rows of the slots, nil for all.
func (o *oracle) emit(phase stream.Phase, start stream.Time, to stream.Advance, groups map[string][]*event, slots map[uint8]bool) {
	end := start + stream.Time(o.cfg.Size)
	h := fmt.Sprintf("%s %d-%d at %d.%d", phase, start/second, end/second, to.At.Offset, to.At.Step)
	if phase == stream.Closed && to.Provisional || phase != stream.Final && end > to.RecordMark {
		h += " provisional"
	}
	for key, es := range groups {
		if slots == nil || slots[stream.SlotOf([]byte(key))] {
			o.emitted[h] = append(o.emitted[h], o.row([][]*event{es}, []int{o.partition()}))
		}
	}
	slices.Sort(o.emitted[h])
}

func (o *oracle) partition() int { return int(o.cfg.Partition) }

// row is the text of a rollup row over the events of one group, by source.
func (o *oracle) row(sources [][]*event, partitions []int) string {
	var first *event
	for _, es := range sources {
		if len(es) > 0 {
			first = es[0]
		}
	}
	var parts []string
	for _, name := range o.cfg.By {
		b := stream.NewBatch(eventSchema)
		appendEvent(b, first.group())
		parts = append(parts, fmt.Sprint(b.Col(name).Value(0)))
	}
	parts = append(parts, values(sources)...)
	if o.cfg.Evidence {
		parts = append(parts, evidence(sources, partitions)...)
	}
	return strings.Join(parts, " ")
}

// values computes n, total, low, high, mean: sums are added source by source, in their order.
func values(sources [][]*event) []string {
	n, ports, numbers := 0, 0, 0
	total, low, high := 0.0, math.Inf(1), math.Inf(-1)
	for _, es := range sources {
		sum := 0.0
		for _, e := range es {
			n++
			if e.value != nil {
				numbers++
				sum += *e.value
				low = min(low, *e.value)
			}
			if e.port != nil {
				ports++
				high = max(high, float64(*e.port))
			}
		}
		total += sum
	}
	return []string{strconv.Itoa(n), orNull(total, numbers), orNull(low, numbers), orNull(high, ports), orNull(total/float64(numbers), numbers)}
}

func orNull(v float64, seen int) string {
	if seen == 0 {
		return "<nil>"
	}
	return fmt.Sprint(v + 0)
}

func evidence(sources [][]*event, partitions []int) []string {
	best := -1
	for i, es := range sources {
		if len(es) > 0 && (best < 0 || es[len(es)-1].at > sources[best][len(sources[best])-1].at) {
			best = i
		}
	}
	first, last := sources[best][0], sources[best][len(sources[best])-1]
	return []string{
		strconv.Itoa(partitions[best]), strconv.FormatInt(first.offset, 10), fmt.Sprint(first.at), strconv.FormatInt(last.offset, 10), fmt.Sprint(last.at),
	}
}

// slots is what a display shows in the end: the value of every slot of every window.
func (o *oracle) slots() map[string]string {
	all := map[string][]string{}
	for start, w := range o.all {
		for key, es := range w.groups {
			k := fmt.Sprintf("%d/%d", start/second, stream.SlotOf([]byte(key)))
			all[k] = append(all[k], o.row([][]*event{es}, []int{o.partition()}))
		}
	}
	return joined(all)
}

func joined(all map[string][]string) map[string]string {
	texts := map[string]string{}
	for k, rows := range all {
		slices.Sort(rows)
		texts[k] = strings.Join(rows, "\n")
	}
	return texts
}
