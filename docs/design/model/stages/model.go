// Package stages models stage-1 tasks (several owners each), the internal topic, and a stage-2 task that decides at cuts.
package stages

import (
	"fmt"
	"slices"

	"github.com/tidewatch/tidewatch/docs/design/model/search"
)

const (
	maxOwners = 4 // of each task: the first, and one for every crash and steal
	maxLog    = 96
)

// Row is the Postgres row of a stage-1 task. Marks from Carried on are not confirmed by the internal topic.
type Row struct {
	Epoch, Owner, Offset, Carried uint8
	Snapshot                      uint8 // offset of the newest snapshot, where a take-over begins to replay
	Tick, Set                     uint8
}

// Owner is one process working for a stage-1 task.
type Owner struct {
	Phase, Epoch, Offset uint8
	Tick                 uint8          // 1 + offset at which the tick took effect
	Set                  uint8          // the cut from which the joiner counts
	Dirty                [Windows]uint8 // 1 + fold offset of a partial that has not been sent
	Emitted              uint8          // events sent
	Crossed              bool           // a cut was crossed: every changed partial leaves before the next record
	Published            uint8          // marks below are confirmed
	Behind               bool           // claimed, marks not published yet
	Won                  Row            // the record this owner took over or claimed last
}

const (
	unborn = iota
	running
	gone
)

// Reader is one process working for the stage-2 task. Its state is what it has read, less what it skipped.
type Reader struct {
	Phase, Epoch, Read, SkipFrom, SkipThru uint8
}

// State is the whole world.
type State struct {
	Rows    [Sources]Row
	Owners  [Sources][maxOwners]Owner
	Log     [maxLog]Entry
	Length  uint8
	Reader  [maxOwners]Reader
	Claimed struct{ Epoch, Owner, Read, Before uint8 } // row of the stage-2 task
	Crashes uint8
	Steals  uint8
	Without uint8 // epochs without a snapshot so far
}

// Model is one variant of the design with its bounds.
type Model struct{ Config }

// Start implements search.Model.
func (m *Model) Start() State { return State{} }

const (
	actTakeOver = iota
	actCrash
	actRead
	actPartial
	actEvent
	actClaim
	actClaimTick
	actClaimSet
	actPublish
	actMarkAtOnce
	actRead2
	actClaim2
	actTakeOver2
	actCrash2
	actPass
)

var actNames = [...]string{
	"takes over", "crashes", "processes a record", "sends the partial of window", "sends an event", "claims",
	"claims with an idle tick", "claims with a new source set", "publishes marks", "publishes its mark at once", "reads an entry",
	"claims", "takes over", "crashes", "",
}

// Describe implements search.Model. Who is source*10 + owner, or 100 + reader.
func (m *Model) Describe(a search.Action) string {
	if a.Who >= 100 {
		return fmt.Sprintf("stage 2, owner %d:           %s", a.Who-100, actNames[a.What])
	}
	return fmt.Sprintf("stage 1, source %d, owner %d: %s %d", a.Who/10, a.Who%10, actNames[a.What], a.Arg)
}

type try func(who, what, arg int, change func(n *State) string)

// Next implements search.Model.
func (m *Model) Next(s *State, yield func(search.Action, *State, string)) {
	do := func(who, what, arg int, change func(n *State) string) {
		n := *s
		fault := change(&n)
		yield(search.Action{Who: uint8(who), What: uint8(what), Arg: uint8(arg)}, &n, fault)
	}
	for p := range int(m.Sources) {
		for i := range maxOwners {
			switch s.Owners[p][i].Phase {
			case unborn:
				m.takeOverStep(s, do, p, i)
			case running:
				m.ownerSteps(s, do, uint8(p), i)
			}
		}
	}
	m.readerSteps(s, do)
}

func (m *Model) takeOverStep(s *State, do try, p, i int) {
	free := i == 0 || s.Owners[p][s.Rows[p].Owner].Phase == gone
	if i > 0 && s.Owners[p][i-1].Phase == unborn || !free && s.Steals >= m.Steals {
		return
	}
	do(p*10+i, actTakeOver, 0, func(n *State) string {
		if !free {
			n.Steals++
		}
		return m.takeOver(n, p, i)
	})
}

func (m *Model) takeOver(s *State, p, i int) string {
	r := &s.Rows[p]
	r.Owner = uint8(i)
	o := Owner{
		Phase: running, Epoch: r.Epoch, Offset: r.Snapshot, Tick: r.Tick, Set: r.Set, Emitted: r.Snapshot, Published: r.Carried,
		Won: *r, Behind: r.Epoch > 0 && !m.RevealNotRepeated,
	}
	s.Owners[p][i] = o
	return ""
}

// ownerSteps are the steps of a stage-1 task.
func (m *Model) ownerSteps(s *State, do try, p uint8, i int) {
	o, who := &s.Owners[p][i], int(p)*10+i
	if s.Crashes < m.Crashes {
		do(who, actCrash, 0, func(n *State) string {
			n.Crashes++
			n.Owners[p][i] = Owner{Phase: gone}
			return ""
		})
	}
	if o.Offset < m.Records && !o.Crossed {
		do(who, actRead, int(o.Offset), func(n *State) string { return m.process(&n.Owners[p][i], p) })
	}
	sent := m.sendSteps(s, do, p, i)
	// Flush: what left at once is acknowledged. A tick needs every changed partial sent, since it may cross a cut.
	replaying := o.Offset < o.Won.Offset
	if (sent || m.NoFlush) && (!replaying || m.ClaimInReplay) {
		m.claimSteps(s, do, p, i)
	}
	if o.Behind {
		do(who, actPublish, 0, func(n *State) string { return m.publish(n, p, &n.Owners[p][i]) })
	}
	if m.MarksAtOnce && markAt(p, o.Offset, 0) > markAt(p, o.Published, 0) {
		do(who, actMarkAtOnce, 0, func(n *State) string {
			q := &n.Owners[p][i]
			n.append(Entry{Kind: aMark, Source: p, From: q.Published, Thru: q.Offset, Tick: q.Tick, Set: q.Set})
			q.Published = q.Offset
			return ""
		})
	}
}

// sendSteps send partials and events; it reports whether none is left.
func (m *Model) sendSteps(s *State, do try, p uint8, i int) bool {
	o, who := &s.Owners[p][i], int(p)*10+i
	sent := o.Emitted == o.Offset
	for w := range uint8(Windows) {
		if o.Dirty[w] == 0 {
			continue
		}
		sent = false
		do(who, actPartial, int(w), func(n *State) string {
			q := &n.Owners[p][i]
			n.append(Entry{Kind: aPartial, Source: p, Window: w, Offset: q.Dirty[w] - 1})
			q.Dirty[w] = 0
			q.Crossed = q.Crossed && q.Dirty != [Windows]uint8{}
			return ""
		})
	}
	if o.Emitted < o.Offset {
		do(who, actEvent, int(o.Emitted), func(n *State) string {
			q := &n.Owners[p][i]
			n.append(Entry{Kind: anEvent, Source: p, Offset: q.Emitted, Label: markAt(p, q.Emitted, q.Tick)})
			q.Emitted++
			return ""
		})
	}
	return sent
}

func (s *State) append(e Entry) {
	if s.Length < maxLog {
		s.Log[s.Length] = e
		s.Length++
	}
}

func (m *Model) process(o *Owner, p uint8) string {
	before := markAt(p, o.Offset, o.Tick)
	w := logs[p][o.Offset] / 10
	o.Offset++
	if w < Windows {
		o.Dirty[w] = o.Offset + 1
	}
	after := markAt(p, o.Offset, o.Tick)
	o.Crossed = before/grid != after/grid && o.Dirty != [Windows]uint8{} && !m.NoCutEmission
	return ""
}

func (m *Model) claimSteps(s *State, do try, p uint8, i int) {
	o, row := &s.Owners[p][i], &s.Rows[p]
	claim := func(what int, tick, set bool) {
		c := stage1Claim{p: p, i: i, tick: tick, set: set, snapshot: true}
		do(int(p)*10+i, what, 1, func(n *State) string { return m.claim(n, c) })
		if o.Offset > row.Snapshot && s.Without < m.Snapshotless {
			c.snapshot = false
			do(int(p)*10+i, what, 0, func(n *State) string { return m.claim(n, c) })
		}
	}
	if o.Offset > row.Offset || o.Epoch != row.Epoch || row.Owner != uint8(i) {
		claim(actClaim, false, false)
	}
	mark := markAt(p, o.Offset, o.Tick)
	if m.Ticks && o.Tick == 0 && o.Offset > 0 && mark < tickMark && (o.Dirty == [Windows]uint8{} || m.TickWithoutEmission) {
		claim(actClaimTick, true, false)
	}
	if m.Sources > joiner && p == 0 && o.Set == 0 && o.Offset > 0 && mark < lastCut {
		claim(actClaimSet, false, true)
	}
}

// stage1Claim is one claim of a stage-1 task: who, with which control record, with a snapshot or without.
type stage1Claim struct {
	p                   uint8
	i                   int
	tick, set, snapshot bool
}

func (m *Model) claim(s *State, c stage1Claim) string {
	o, row := &s.Owners[c.p][c.i], &s.Rows[c.p]
	if row.Epoch != o.Epoch || row.Owner != uint8(c.i) {
		*o = Owner{Phase: gone}
		return ""
	}
	if c.tick {
		o.Tick = o.Offset + 1
	}
	if c.set {
		o.Set = (markAt(c.p, o.Offset, o.Tick)/grid + 1) * grid
	}
	o.Epoch++
	at := o.Offset
	if !c.snapshot {
		at = row.Snapshot
		s.Without++
	}
	before := row.Offset
	*row = Row{Epoch: o.Epoch, Owner: row.Owner, Offset: o.Offset, Snapshot: at, Carried: o.Published, Tick: o.Tick, Set: o.Set}
	if m.CarriedMarksDropped {
		o.Published = max(o.Published, before)
		row.Carried = o.Published
	}
	o.Won, o.Behind = *row, true
	return ""
}

// publish is the reveal: all mark steps that are not confirmed, oldest first. A stale owner may do it late.
func (m *Model) publish(s *State, p uint8, o *Owner) string {
	r := &o.Won
	s.append(Entry{Kind: aMark, Source: p, From: o.Published, Thru: r.Offset, Tick: r.Tick, Set: r.Set})
	o.Published, o.Behind = r.Offset, false
	return ""
}

// readerSteps are the steps of the stage-2 task.
func (m *Model) readerSteps(s *State, do try) {
	for i := range maxOwners {
		switch s.Reader[i].Phase {
		case unborn:
			m.readerTakeOver(s, do, i)
		case running:
			m.readerRuns(s, do, i)
		}
	}
}

func (m *Model) readerTakeOver(s *State, do try, i int) {
	free := i == 0 || s.Reader[s.Claimed.Owner].Phase == gone
	if i > 0 && s.Reader[i-1].Phase == unborn || !free && s.Steals >= m.Steals {
		return
	}
	do(100+i, actTakeOver2, 0, func(n *State) string {
		if !free {
			n.Steals++
		}
		n.Claimed.Owner = uint8(i)
		n.Reader[i] = Reader{Phase: running, Epoch: n.Claimed.Epoch, Read: n.Claimed.Read}
		if m.Stage2OffsetAhead {
			n.Reader[i].SkipFrom, n.Reader[i].SkipThru = n.Claimed.Before, n.Claimed.Read
		}
		return ""
	})
}

func (m *Model) readerRuns(s *State, do try, i int) {
	r := &s.Reader[i]
	if r.Read < s.Length {
		do(100+i, actRead2, 0, func(n *State) string {
			n.Reader[i].Read++
			return m.compare(n, &n.Reader[i], false)
		})
	}
	if r.Read > s.Claimed.Read || r.Epoch != s.Claimed.Epoch || s.Claimed.Owner != uint8(i) {
		do(100+i, actClaim2, 0, func(n *State) string {
			q, c := &n.Reader[i], &n.Claimed
			if c.Epoch != q.Epoch || c.Owner != uint8(i) {
				*q = Reader{Phase: gone}
				return ""
			}
			q.Epoch++
			c.Before, c.Epoch, c.Read = c.Read, q.Epoch, q.Read
			return ""
		})
	}
	if s.Crashes < m.Crashes {
		do(100+i, actCrash2, 0, func(n *State) string {
			n.Crashes++
			n.Reader[i] = Reader{Phase: gone}
			return ""
		})
	}
}

// compare replays what the reader has read and compares its decisions with the oracle's.
func (m *Model) compare(s *State, r *Reader, all bool) string {
	t := newStage2(m)
	for i, e := range s.Log[:r.Read] {
		if uint8(i) < r.SkipFrom || uint8(i) >= r.SkipThru {
			t.read(e)
		}
	}
	want := m.oracle(s)
	if len(t.decisions) > len(want) || !slices.Equal(t.decisions, want[:len(t.decisions)]) {
		return "I5 stage 2 decides otherwise than an undisturbed run"
	}
	if all && len(t.decisions) < len(want) {
		return "I5 decisions are missing at the end"
	}
	if all {
		for p := range m.Sources {
			for w := range uint8(Windows) {
				if t.newest(p, w, Records) != partial(p, w, m.Records) {
					return "I1 a live value differs"
				}
			}
		}
	}
	return ""
}

// Done implements search.Model.
func (m *Model) Done(s *State) bool {
	for p := range m.Sources {
		r := &s.Rows[p]
		if o := &s.Owners[p][r.Owner]; r.Offset != m.Records || o.Phase != running || o.Behind {
			return false
		}
	}
	r := &s.Reader[s.Claimed.Owner]
	return r.Phase == running && r.Read == s.Length && s.Claimed.Read == r.Read
}

// Check implements search.Model.
func (m *Model) Check(s *State) string {
	if !m.Done(s) {
		return ""
	}
	return m.compare(s, &s.Reader[s.Claimed.Owner], true)
}
