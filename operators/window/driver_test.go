package window_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/operators/aggregate"
	"github.com/tidewatch/tidewatch/operators/window"
	"github.com/tidewatch/tidewatch/stream"
)

// The driver does what the engine does with one partition: it folds the mark over the events, ends a batch where the mark
// crosses a point of the grid, and calls Advance there. A script is that sequence; what a test varies is where else the
// batches end, when Publish is called, and when the state moves into a fresh operator.

const second = stream.Time(time.Second)

var eventSchema = &stream.Schema{Fields: []stream.Field{
	{Name: "host", Kind: stream.String}, {Name: "port", Kind: stream.Int}, {Name: "value", Kind: stream.Float},
}}

type event struct {
	at     stream.Time
	mark   stream.Time // by records, before it
	offset int64
	host   *string
	port   *int64
	value  *float64
	other  bool // of a group that found no room
}

// group is an event with the labels of the event's group.
func (e *event) group() *event {
	if !e.other {
		return e
	}
	text := window.OtherGroup
	return &event{host: &text}
}

// step of a script: an event, or an Advance.
type step struct {
	event   *event
	advance *stream.Advance
}

// crosses reports whether the step is the Advance of the record before it.
func (s step) crosses() bool { return s.advance != nil && !s.advance.Provisional }

type script struct {
	steps        []step
	did          []doing // what made the steps
	end          stream.Version
	mark, record stream.Time
}

// doing is an event, or an idle tick.
type doing struct {
	event *event
	tick  stream.Time
}

const (
	disorder = 3 * second
	// grace is how long what is idle is not final; much shorter than in the engine.
	grace = 40 * second
)

// scripter folds the marks of one partition.
type scripter struct {
	script
	grids stream.Grids
	front stream.Time
	tick  stream.Time
	// eager calls Advance also when the mark becomes known; the contract allows both.
	eager bool
}

func newScripter(grids stream.Grids, eager bool) *scripter {
	s := &scripter{grids: grids, front: stream.NoTime, tick: stream.NoTime, eager: eager}
	s.mark, s.record = stream.NoTime, stream.NoTime
	return s
}

func (s *scripter) add(e event) {
	s.did = append(s.did, doing{event: &e})
	e.mark, e.offset = s.record, s.end.Offset
	s.steps = append(s.steps, step{event: &e})
	s.end.Offset++
	s.front = max(s.front, e.at)
	s.progress(false)
}

// idle takes a tick that crosses a point of the grid; the engine takes no others.
func (s *scripter) idle(to stream.Time) {
	if max(s.mark, to) < s.grids.Next(s.mark) && s.mark != stream.NoTime {
		return
	}
	s.did = append(s.did, doing{tick: to})
	s.end.Step++
	s.tick = max(s.tick, to)
	s.progress(true)
}

func (s *scripter) progress(provisional bool) {
	mark, record := s.mark, s.record
	s.record = max(s.front.Add(-time.Duration(disorder)), s.tick.Add(-time.Duration(grace)))
	s.mark = max(s.record, s.tick)
	if provisional || s.mark >= s.grids.Next(mark) || s.record >= s.grids.Next(record) || s.eager && mark == stream.NoTime && s.mark != mark {
		s.steps = append(s.steps, step{advance: &stream.Advance{Mark: s.mark, RecordMark: s.record, At: s.end, Provisional: provisional}})
	}
}

// ignorant is the script of an owner that reads the first events of the same log, but knows the first ticks only.
func (s *script) ignorant(grids stream.Grids, events, ticks int) script {
	other := newScripter(grids, true)
	for _, d := range s.did {
		switch {
		case d.event == nil && ticks > 0:
			other.idle(d.tick)
			ticks--
		case d.event != nil && events > 0:
			other.add(*d.event)
			events--
		case d.event != nil:
			return other.script
		}
	}
	return other.script
}

// drawScript draws the log of a partition with late events, jumps, and idle ticks.
func drawScript(t *rapid.T, grids stream.Grids) script {
	s := newScripter(grids, rapid.Bool().Draw(t, "eager"))
	now := 1000 * second
	for range rapid.IntRange(0, 60).Draw(t, "events") {
		if rapid.IntRange(0, 11).Draw(t, "tick") == 0 {
			s.idle(now + stream.Time(rapid.IntRange(0, 40).Draw(t, "ahead"))*second)
		}
		switch rapid.IntRange(0, 9).Draw(t, "move") {
		case 0:
			now += stream.Time(rapid.IntRange(0, 60).Draw(t, "jump")) * second
		case 1, 2, 3, 4:
			now += stream.Time(rapid.IntRange(0, 8).Draw(t, "move")) * second / 2 // often exactly at the ends of windows
		}
		e := event{at: now}
		if rapid.IntRange(0, 3).Draw(t, "late") == 0 {
			e.at -= stream.Time(rapid.IntRange(0, 50).Draw(t, "behind")) * second
		}
		drawValues(t, &e)
		s.add(e)
	}
	return s.script
}

func drawValues(t *rapid.T, e *event) {
	if n := rapid.IntRange(0, 6).Draw(t, "host"); n > 0 {
		host := fmt.Sprintf("h%d", n)
		e.host = &host
	}
	if n := rapid.IntRange(0, 3).Draw(t, "port"); n > 0 {
		port := int64(n)
		e.port = &port
	}
	if rapid.IntRange(0, 4).Draw(t, "has value") > 0 {
		value := rapid.Float64Range(-1e3, 1e3).Draw(t, "value")
		e.value = &value
	}
}

func appendEvent(b *stream.Batch, e *event) {
	if e.host == nil {
		b.Cols[0].AppendNull()
	} else {
		b.Cols[0].AppendString(*e.host)
	}
	if e.port == nil {
		b.Cols[1].AppendNull()
	} else {
		b.Cols[1].AppendInt(*e.port)
	}
	if e.value == nil {
		b.Cols[2].AppendNull()
	} else {
		b.Cols[2].AppendFloat(*e.value)
	}
	b.Time, b.Mark, b.Offset = append(b.Time, e.at), append(b.Mark, e.mark), append(b.Offset, e.offset)
	b.SetLen(b.Len() + 1)
}

// operator is what the three windows have in common.
type operator interface {
	stream.Operator
	stream.Publisher
	stream.Gridded
	stream.Sized
}

// variation is how a run differs from another one that must give the same.
type variation struct {
	t       *rapid.T // nil: one batch between two Advances, nothing else
	fresh   func() operator
	onPause func(progress stream.Advance) // between two batches, with what the last Advance said; may be nil
	onTick  func(progress stream.Advance) // before and after an idle tick; may be nil
}

func (v *variation) chance(label string, of int) bool {
	return v.t != nil && rapid.IntRange(0, of).Draw(v.t, label) == 0
}

// between does what may happen between two batches.
func (v *variation) between(op operator, at stream.Version, out stream.Emitter) operator {
	if v.chance("publish", 3) {
		if err := op.Publish(at, out); err != nil {
			v.t.Fatal(err)
		}
	}
	if v.chance("restore", 5) {
		op = moved(v.t, op, v.fresh())
	}
	return op
}

// moved restores the state of one operator into another, and checks that its snapshot is the same.
func moved(t interface{ Fatal(...any) }, from, to operator) operator {
	state := snapshot(t, from)
	r, err := stream.NewStateReader(state)
	if err != nil {
		t.Fatal(err)
	}
	r.Scope("test/")
	if err := to.Restore(r); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(snapshot(t, to), state) {
		t.Fatal("the snapshot of the restored operator differs")
	}
	return to
}

func snapshot(t interface{ Fatal(...any) }, op operator) []byte {
	w := stream.NewStateWriter()
	w.Scope("test/")
	if err := op.Snapshot(w); err != nil {
		t.Fatal(err)
	}
	return w.Finish()
}

// run plays the script.
func (v *variation) run(t interface{ Fatal(...any) }, s *script, out stream.Emitter) operator {
	op := v.fresh()
	b := stream.NewBatch(eventSchema)
	at := stream.Version{}
	progress := stream.Advance{Mark: stream.NoTime, RecordMark: stream.NoTime}
	crossing := false // an epoch never ends between a record and the Advance that it causes
	pause := func() {
		op = v.between(op, at, out)
		if v.onPause != nil && !crossing {
			progress.At = at
			v.onPause(progress)
		}
	}
	flush := func() {
		if b.Len() == 0 {
			return
		}
		if err := op.Process(b, out); err != nil {
			t.Fatal(err)
		}
		b.Reset()
		if v.chance("new strings", 9) {
			b = stream.NewBatch(eventSchema)
		}
		pause()
	}
	for i, st := range s.steps {
		crossing = i+1 < len(s.steps) && s.steps[i+1].crosses()
		if st.event != nil {
			appendEvent(b, st.event)
			at.Offset = st.event.offset + 1
			if v.chance("cut", 3) {
				flush()
			}
			continue
		}
		crossing = st.crosses()
		flush()
		crossing = false
		tick := v.onTick != nil && st.advance.Provisional
		if tick {
			progress.At = at
			v.onTick(progress)
		}
		at, progress = st.advance.At, *st.advance
		if err := op.Advance(*st.advance, out); err != nil {
			t.Fatal(err)
		}
		if tick {
			v.onTick(progress)
		}
		pause()
	}
	flush()
	return op
}

// transcript is what an operator emitted: its rows, in order, and counts.
type transcript struct {
	t       interface{ Fatal(...any) }
	batches []*stream.Batch // copies
	counts  stream.Ledger
	onEmit  func(b *stream.Batch)
}

func (tr *transcript) Emit(b *stream.Batch) error {
	if b.Len() == 0 {
		tr.t.Fatal("an empty batch was emitted")
	}
	c := stream.NewBatch(b.Schema)
	c.Phase, c.Window, c.Version, c.Provisional, c.Revision, c.AfterClose = b.Phase, b.Window, b.Version, b.Provisional, b.Revision, b.AfterClose
	for i := range b.Len() {
		c.AppendRow(b, i)
	}
	tr.batches = append(tr.batches, c)
	if tr.onEmit != nil {
		tr.onEmit(c)
	}
	return nil
}

func (tr *transcript) Decide(stream.Decision) error { return nil }

func (*transcript) Wants(stream.Phase) bool { return true }

func (tr *transcript) Count(bucket stream.Bucket, n int64) { tr.counts[bucket] += n }

func head(b *stream.Batch) string {
	h := fmt.Sprintf("%s %d-%d at %d.%d", b.Phase, b.Window.Start/second, b.Window.End/second, b.Version.Offset, b.Version.Step)
	if b.Provisional {
		h += " provisional"
	}
	return h
}

func text(b *stream.Batch, i int) string {
	parts := make([]string, len(b.Cols))
	for c := range b.Cols {
		parts[c] = fmt.Sprint(b.Cols[c].Value(i))
	}
	return strings.Join(parts, " ")
}

// checkOrder demands that rows of a window and phase come in order of slots, with no slot in two batches.
func (tr *transcript) checkOrder(t interface{ Fatalf(string, ...any) }) {
	last := map[string]int{}
	for _, b := range tr.batches {
		if b.Phase == stream.Late || b.Phase == stream.Partial {
			continue
		}
		key := head(b)
		if before, ok := last[key]; ok && int(b.Slot[0]) <= before && b.Phase != stream.Live {
			t.Fatalf("%s: slot %d comes again, after %d", key, b.Slot[0], before)
		}
		if !slices.IsSorted(b.Slot) {
			t.Fatalf("%s: slots are not sorted: %v", key, b.Slot)
		}
		last[key] = int(b.Slot[len(b.Slot)-1])
	}
}

// news fails the test if a Live batch shows a slot as it was shown before.
func (d *display) news(t interface{ Fatalf(string, ...any) }, b *stream.Batch) {
	if b.Phase != stream.Live {
		return
	}
	now := newDisplay(true)
	now.take(b)
	for k, s := range now.slots {
		if held, ok := d.slots[k]; ok && held.rows == s.rows {
			t.Fatalf("%s: slot %s is shown again: %s", head(b), k, s.rows)
		}
	}
}

// display is a receiver that keeps for each slot of each window the newest version, as Redis does. of equal versions it
// keeps the first, or takes the last.
type display struct {
	takesEqual bool
	slots      map[string]shown
}

type shown struct {
	version stream.Version
	rows    string
}

func newDisplay(takesEqual bool) *display {
	return &display{takesEqual: takesEqual, slots: map[string]shown{}}
}

func (d *display) take(b *stream.Batch) {
	if b.Phase != stream.Live && b.Phase != stream.Closed && b.Phase != stream.Revised {
		return
	}
	for lo := 0; lo < b.Len(); {
		var rows []string
		hi := lo
		for ; hi < b.Len() && b.Slot[hi] == b.Slot[lo]; hi++ {
			rows = append(rows, text(b, hi))
		}
		slices.Sort(rows)
		key := fmt.Sprintf("%d/%d", b.Window.Start/second, b.Slot[lo])
		held, ok := d.slots[key]
		if c := b.Version.Compare(held.version); !ok || c > 0 || c == 0 && d.takesEqual {
			d.slots[key] = shown{b.Version, strings.Join(rows, "\n")}
		}
		lo = hi
	}
}

func (d *display) contents() map[string]string {
	all := map[string]string{}
	for k, s := range d.slots {
		all[k] = s.rows
	}
	return all
}

// drawConfig draws what groups and how long windows are.
func drawConfig(t *rapid.T) *window.Config {
	return &window.Config{
		Size:      10 * time.Second,
		Every:     time.Duration(rapid.SampledFrom([]int{0, 0, 10, 5, 2}).Draw(t, "every")) * time.Second,
		Lateness:  time.Duration(rapid.SampledFrom([]int{0, 5, 10, 25}).Draw(t, "lateness")) * time.Second,
		By:        rapid.SampledFrom([][]string{{"host"}, {"host", "port"}, {"port"}, nil}).Draw(t, "by"),
		Evidence:  rapid.Bool().Draw(t, "evidence"),
		Partition: 7,
		Aggregates: []aggregate.Spec{
			{Name: "n", Function: "count"},
			{Name: "total", Function: "sum", Column: "value"},
			{Name: "low", Function: "min", Column: "value"},
			{Name: "high", Function: "max", Column: "port"},
			{Name: "mean", Function: "avg", Column: "value"},
		},
	}
}

// diff names what two maps do not share.
func diff(got, want map[string]string) string {
	var lines []string
	for k, g := range got {
		if w, ok := want[k]; !ok || w != g {
			lines = append(lines, fmt.Sprintf("%s: got\n%s\nwant (%v)\n%s", k, g, ok, w))
		}
	}
	for k, w := range want {
		if _, ok := got[k]; !ok {
			lines = append(lines, fmt.Sprintf("%s: missing\n%s", k, w))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
