package window_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/operators/window"
	"github.com/tidewatch/tidewatch/stream"
)

// entry is one record of an internal topic: partials of one window, or a mark.
type entry struct {
	source   int
	partials *stream.Batch
	mark     *stream.Advance
}

func newFold(t interface{ Fatal(...any) }, cfg *window.Config) *window.Fold {
	op, err := window.NewFold(cfg, eventSchema)
	if err != nil {
		t.Fatal(err)
	}
	return op
}

func newMerge(t interface{ Fatal(...any) }, cfg *window.Config) *window.Merge {
	op, err := window.NewMerge(&window.MergeConfig{Config: *cfg, In: eventSchema})
	if err != nil {
		t.Fatal(err)
	}
	return op
}

// foldLog is what a source's task writes into the internal topic: partials at once, marks some time after the claim.
func foldLog(t *rapid.T, cfg *window.Config, s *script, source int) (log []entry, counts stream.Ledger) {
	var claimed []entry
	out := &transcript{t: t}
	out.onEmit = func(b *stream.Batch) {
		if b.Phase == stream.Partial {
			log = append(log, entry{source: source, partials: b})
		}
	}
	v := &variation{t: t, fresh: func() operator { return newFold(t, cfg) }}
	v.onPause = func(progress stream.Advance) {
		if rapid.IntRange(0, 3).Draw(t, "claim") == 0 {
			claimed = append(claimed, entry{source: source, mark: &progress})
		}
		if len(claimed) > 0 && rapid.Bool().Draw(t, "reveal") {
			log = append(log, claimed[0])
			claimed = claimed[1:]
		}
	}
	v.onTick = func(progress stream.Advance) { claimed = append(claimed, entry{source: source, mark: &progress}) }
	op := v.run(t, s, out)
	if err := op.Publish(s.end, out); err != nil {
		t.Fatal(err)
	}
	log = append(log, claimed...)
	return append(log, entry{source: source, mark: &stream.Advance{Mark: s.mark, RecordMark: s.record, At: s.end}}), out.counts
}

// echo is what another owner of the task sends that runs over a part of the same log, and knows a part of the ticks: no
// marks, for it claims nothing. wrong reports whether it accepts events that are late by a tick it does not know.
func echo(t *rapid.T, cfg *window.Config, s *script, source int) (log []entry, wrong bool) {
	part := s.ignorant(newFold(t, cfg).Grids(), rapid.IntRange(0, len(s.did)).Draw(t, "events"), rapid.IntRange(0, 3).Draw(t, "ticks"))
	all, _ := foldLog(t, cfg, &part, source)
	right, other := newOracle(cfg), newOracle(cfg)
	right.run(s)
	other.run(&part)
	refused := slices.DeleteFunc(right.refused, func(r refusal) bool { return r.offset >= part.end.Offset })
	return slices.DeleteFunc(all, func(e entry) bool { return e.mark != nil }), !slices.Equal(refused, other.refused)
}

// shuffled interleaves logs at random; the order within each is kept.
func shuffled(t *rapid.T, logs [][]entry) (all []entry) {
	for {
		logs = slices.DeleteFunc(logs, func(l []entry) bool { return len(l) == 0 })
		if len(logs) == 0 {
			return all
		}
		i := rapid.IntRange(0, len(logs)-1).Draw(t, "next")
		all = append(all, logs[i][0])
		logs[i] = logs[i][1:]
	}
}

// appendEntry appends the rows of an entry, as the decoder of the internal topic does.
func appendEntry(b *stream.Batch, e *entry, offset int64) {
	n := 1
	if e.partials != nil {
		n = e.partials.Len()
	}
	for i := range n {
		b.Cols[stream.EntrySource].AppendInt(int64(e.source))
		if m := e.mark; m != nil {
			b.Cols[stream.EntryKind].AppendInt(stream.MarkEntry)
			b.Cols[stream.EntryOffset].AppendInt(m.At.Offset)
			b.Cols[stream.EntryStep].AppendInt(int64(m.At.Step))
			for c, at := range map[int]stream.Time{stream.EntryMark: m.Mark, stream.EntryRecordMark: m.RecordMark} {
				if at == stream.NoTime {
					b.Cols[c].AppendNull()
				} else {
					b.Cols[c].AppendInt(int64(at))
				}
			}
			for c := stream.EntrySources; c < len(b.Cols); c++ {
				b.Cols[c].AppendNull()
			}
		} else {
			p := e.partials
			b.Cols[stream.EntryKind].AppendInt(stream.PartialEntry)
			b.Cols[stream.EntryOffset].AppendInt(p.Version.Offset)
			b.Cols[stream.EntryStep].AppendInt(int64(p.Version.Step))
			for c := stream.EntryMark; c <= stream.EntrySources; c++ {
				b.Cols[c].AppendNull()
			}
			b.Cols[stream.EntryStart].AppendInt(int64(p.Window.Start))
			b.Cols[stream.EntryEnd].AppendInt(int64(p.Window.End))
			b.Cols[stream.EntryAfterClose].AppendBool(p.AfterClose)
			for c := range p.Cols {
				b.Cols[stream.EntryColumns+c].AppendFrom(&p.Cols[c], i)
			}
		}
		b.Time, b.Mark, b.Offset = append(b.Time, 0), append(b.Mark, 0), append(b.Offset, offset)
		b.SetLen(b.Len() + 1)
	}
}

// second folds the marks of all sources over the internal log.
type secondStage struct {
	cfg          *window.Config
	sources      int
	marks        map[int]*stream.Advance
	mark, record stream.Time
}

// learn returns the Advance that a mark entry causes, if it does.
func (s *secondStage) learn(e *entry, at stream.Version, grids stream.Grids) *stream.Advance {
	held := s.marks[e.source]
	if held == nil {
		held = &stream.Advance{Mark: stream.NoTime, RecordMark: stream.NoTime}
		s.marks[e.source] = held
	}
	held.Mark, held.RecordMark = max(held.Mark, e.mark.Mark), max(held.RecordMark, e.mark.RecordMark)
	if len(s.marks) < s.sources {
		return nil
	}
	mark, record := stream.MaxTime, stream.MaxTime
	for _, m := range s.marks {
		mark, record = min(mark, m.Mark), min(record, m.RecordMark)
	}
	before, recordBefore := s.mark, s.record
	s.mark, s.record = mark, record
	known := before == stream.NoTime && mark != before || recordBefore == stream.NoTime && record != recordBefore
	if !known && mark < grids.Next(before) && record < grids.Next(recordBefore) {
		return nil
	}
	return &stream.Advance{Mark: mark, RecordMark: record, At: at}
}

// run plays the internal log.
func (s *secondStage) run(v *variation, t interface{ Fatal(...any) }, log []entry, out stream.Emitter) operator {
	s.marks, s.mark, s.record = map[int]*stream.Advance{}, stream.NoTime, stream.NoTime
	op := v.fresh()
	partial, err := window.PartialSchema(s.cfg, eventSchema)
	if err != nil {
		t.Fatal(err)
	}
	b := stream.NewBatch(stream.EntrySchema(partial))
	at := stream.Version{}
	flush := func() {
		if b.Len() > 0 {
			if err := op.Process(b, out); err != nil {
				t.Fatal(err)
			}
			b.Reset()
			op = v.between(op, at, out)
		}
	}
	for i := range log {
		appendEntry(b, &log[i], int64(i))
		at = stream.Version{Offset: int64(i + 1)}
		if log[i].mark == nil {
			if v.chance("cut", 3) {
				flush()
			}
			continue
		}
		if to := s.learn(&log[i], at, op.Grids()); to != nil {
			flushed := b.Len() > 0
			if flushed {
				if err := op.Process(b, out); err != nil {
					t.Fatal(err)
				}
				b.Reset()
			}
			if err := op.Advance(*to, out); err != nil {
				t.Fatal(err)
			}
			op = v.between(op, at, out)
		}
	}
	flush()
	return op
}

// TestFoldAndMerge: several partitions, repeats by owners that do not know every tick, any interleaving: the second stage closes each window with what each
// source had counted when it closed it itself, and ends with everything.
func TestFoldAndMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		fresh := func() operator { return newMerge(t, cfg) }
		sources := rapid.IntRange(1, 3).Draw(t, "sources")
		var oracles []*oracle
		var logs [][]entry
		misled := false // a display may go on showing what an owner sent that should have known better
		for i := range sources {
			s := drawScript(t, fresh().Grids())
			o := newOracle(cfg)
			o.run(&s)
			log, counts := foldLog(t, cfg, &s, i)
			if counts != o.counts {
				t.Fatalf("source %d: counts are %v, want %v", i, counts, o.counts)
			}
			oracles, logs = append(oracles, o), append(logs, log)
			if rapid.Bool().Draw(t, "has an echo") {
				log, wrong := echo(t, cfg, &s, i)
				logs, misled = append(logs, log), misled || wrong
			}
		}
		log := shuffled(t, logs)

		decided := &decisions{slots: map[string]string{}}
		first, last := newDisplay(false), newDisplay(true)
		out := &transcript{t: t, onEmit: func(b *stream.Batch) { first.take(b); last.take(b); decided.take(t, b) }}
		stage := &secondStage{cfg: cfg, sources: sources}
		op := stage.run(&variation{t: t, fresh: fresh}, t, log, out)
		if err := op.Publish(stream.Version{Offset: int64(len(log))}, out); err != nil {
			t.Fatal(err)
		}
		out.checkOrder(t)
		checkMerged(t, stage, oracles, out)
		want := &merged{cfg: cfg, sources: oracles}
		for _, d := range []*display{first, last} {
			if d := diff(d.contents(), want.slots(nil)); d != "" && !misled {
				t.Fatalf("shown in the end: %s", d)
			}
		}
		if d := diff(decided.final, want.slots(func(end stream.Time) bool { return end+stream.Time(cfg.Lateness) <= stage.record })); d != "" {
			t.Fatalf("closed and revised, when it was final: %s", d)
		}
		if out.counts != (stream.Ledger{}) {
			t.Fatalf("partials were counted as events: %v", out.counts)
		}
	})
}

// decisions is what alerts see: the newest Closed or Revised rows of a slot.
type decisions struct {
	slots map[string]string
	final map[string]string // of windows that are final
}

func (d *decisions) take(t *rapid.T, b *stream.Batch) {
	if b.Phase != stream.Closed && b.Phase != stream.Revised && b.Phase != stream.Final {
		return
	}
	now := newDisplay(true)
	c := *b
	c.Phase = stream.Closed
	now.take(&c)
	for k, rows := range now.contents() {
		held := d.slots[k]
		switch b.Phase {
		case stream.Revised:
			if held == rows {
				t.Fatalf("%s: slot %s is revised to what it was: %s", head(b), k, rows)
			}
		case stream.Closed:
			if held != "" {
				t.Fatalf("%s: slot %s is closed twice", head(b), k)
			}
		default:
			if held != rows {
				t.Fatalf("%s: slot %s ends as\n%s\nbut was decided as\n%s", head(b), k, rows, held)
			}
			if d.final == nil {
				d.final = map[string]string{}
			}
			d.final[k] = rows
		}
		d.slots[k] = rows
	}
}

// merged is the oracle of all sources.
type merged struct {
	cfg     *window.Config
	sources []*oracle
}

// rows are the rows of every window, by slot: from all accepted events, or from those at each source's own cut.
func (m *merged) rows(atCut bool) map[stream.Time]map[string][]string {
	all := map[stream.Time]map[string]bool{}
	for _, o := range m.sources {
		for start, w := range o.all {
			if all[start] == nil {
				all[start] = map[string]bool{}
			}
			for key := range w.groups {
				all[start][key] = true
			}
		}
	}
	rows := map[stream.Time]map[string][]string{}
	for start, keys := range all {
		rows[start] = map[string][]string{}
		for key := range keys {
			var lists [][]*event
			var partitions []int
			for i, o := range m.sources {
				if es := o.eventsOf(start, key, atCut); len(es) > 0 {
					lists, partitions = append(lists, es), append(partitions, i)
				}
			}
			if len(lists) > 0 {
				slot := fmt.Sprintf("%d/%d", start/second, stream.SlotOf([]byte(key)))
				rows[start][slot] = append(rows[start][slot], m.sources[0].row(lists, partitions))
			}
		}
	}
	return rows
}

func (o *oracle) eventsOf(start stream.Time, key string, atCut bool) []*event {
	w := o.all[start]
	switch {
	case w == nil:
		return nil
	case atCut && w.closed:
		return w.cut[key]
	}
	return w.groups[key]
}

func (m *merged) slots(where func(end stream.Time) bool) map[string]string {
	all := map[string][]string{}
	for start, slots := range m.rows(false) {
		if where == nil || where(start+stream.Time(m.cfg.Size)) {
			maps.Copy(all, slots)
		}
	}
	return joined(all)
}

func checkMerged(t *rapid.T, stage *secondStage, oracles []*oracle, out *transcript) {
	m := &merged{cfg: stage.cfg, sources: oracles}
	got, want := map[string][]string{}, map[string][]string{}
	for _, b := range out.batches {
		if b.Phase == stream.Closed || b.Phase == stream.Final {
			for i := range b.Len() {
				k := fmt.Sprintf("%s %d", b.Phase, b.Window.Start/second)
				got[k] = append(got[k], text(b, i))
			}
		}
	}
	expect := func(phase stream.Phase, atCut bool, mark, delay stream.Time) {
		for start, slots := range m.rows(atCut) {
			if start+stream.Time(stage.cfg.Size)+delay > mark {
				continue
			}
			for _, rows := range slots {
				k := fmt.Sprintf("%s %d", phase, start/second)
				want[k] = append(want[k], rows...)
			}
		}
	}
	expect(stream.Closed, true, stage.mark, 0)
	expect(stream.Final, false, stage.record, stream.Time(stage.cfg.Lateness))
	if d := diff(joined(got), joined(want)); d != "" {
		t.Fatalf("decided: %s", d)
	}
}
