package commit

// The steps of one owner, in the order of engine.md.

// id is the owner id under which owner i writes and claims: fresh for every take-over.
func (m *Model) id(i int) uint8 {
	if m.OwnerIDPerProcess {
		return 1
	}
	return uint8(i)
}

// nameOwner is the owner part of a staged name.
func (m *Model) nameOwner(i int) uint8 {
	if m.NamesWithoutOwner {
		return 0
	}
	return m.id(i)
}

func (m *Model) stamp(version uint8) uint8 {
	if m.VersionWithoutStep {
		return version &^ 3
	}
	return version
}

func (s *State) alive(i uint8) bool {
	return s.Owners[i].Phase > unborn && s.Owners[i].Phase < gone
}

// beforeTransaction keeps what the replica holds; until it has caught up, a fail-over can bring that back.
func (m *Model) beforeTransaction(s *State) {
	if s.Failovers < m.Failovers && !s.CanLose {
		s.Lost, s.CanLose = s.PG, true
	}
}

// takeOver sets the owner of the row, which fences the old one, reads the row, and lists the copies of control records
// that the object store holds ahead of it (they must take effect again at the same place). The first take-over on a new
// timeline asks for the end of the log: up to there an epoch may have been revealed before the fail-over lost it, so the
// row keeps it as the version before which no new control record is accepted.
func (m *Model) takeOver(s *State, i int) string {
	m.beforeTransaction(s)
	if !m.NoFence {
		s.PG.Row.Owner = m.id(i)
	}
	row := &s.PG.Row
	row.Process = uint8(i)
	if row.Timeline != s.Failovers || m.FrontierNotKept {
		row.Frontier = 0
		if row.Timeline != s.Failovers {
			row.Frontier = s.LogEnd * 4
		}
		row.Timeline = s.Failovers
	}
	o := &s.Owners[i]
	*o = Owner{Frontier: row.Frontier, Phase: fenced, Timeline: s.Failovers, Epoch: s.PG.Row.Epoch, Captured: s.PG.Row.Record}
	for kind, at := range s.Controls {
		if at > o.Captured.version()+1 && uint8(kind) != o.Captured.Control {
			o.Adopt[kind] = at
		}
	}
	if m.FrontierByPacks {
		o.Frontier = 0
		for _, pack := range s.Packs {
			o.Frontier = max(o.Frontier, pack.Task.version())
		}
	}
	if m.RevealNotRepeated {
		o.Captured.RichKeys, o.Captured.FileEpoch = 0, [Windows]uint8{}
	}
	return ""
}

// load reads the snapshot that the record names. What the record carries stays in Captured and is revealed while the
// task replays and runs; outputs whose values only the state knows wait until the replay has reached the record.
func (m *Model) load(s *State, i int) string {
	o := &s.Owners[i]
	r := &o.Captured
	if at := r.Snapshot; at.Epoch != 0 {
		pack := s.pack(at.Epoch, at.Owner)
		if pack == nil || pack.Task.fingerprint() != at.Hash {
			if s.PG.Row.Record.Snapshot == at {
				return "I6 the pack that the row references is missing or holds other bytes"
			}
			*o = Owner{Phase: gone} // overtaken: the row names another snapshot by now
			return ""
		}
		o.Task = pack.Task
	}
	o.Phase, o.LiveDirty, o.NewFrom = replaying, r.LiveKeys, o.Task.Revision
	if m.MarkForgotten {
		o.Task.Mark = 0
	}
	if m.StepForgotten {
		o.Task.Step = 0
	}
	if m.ControlReplayedTooEarly {
		for kind, at := range r.Controls {
			if at != 0 {
				o.Task.control(uint8(kind))
			}
		}
	}
	return m.arrive(s, o)
}

// due returns the control record of the record's list that takes effect at exactly this point of the replay.
func (o *Owner) due() uint8 {
	for kind, at := range o.Captured.Controls {
		if at != 0 && o.Task.AppliedAt[kind] == 0 && at == o.Task.version()+2 {
			return uint8(kind)
		}
	}
	return noControl
}

// arrive ends the replay when it has reached the offset and step of the record.
func (m *Model) arrive(s *State, o *Owner) string {
	r := &o.Captured
	if o.Task.Offset < r.Offset || o.due() != noControl {
		return ""
	}
	o.Phase, o.Base = running, o.Task
	if !m.ReplayResends {
		o.NewFrom = o.Task.Revision // all that was decided up to here is in Postgres
	}
	if r.Control != noControl && !m.ControlForgotten {
		o.Pending, o.Commit = r.Control, won
	}
	row := &s.PG.Row
	if row.Epoch == o.Epoch && o.Epoch > 0 && o.Timeline == s.Failovers && row.Hash != o.Task.fingerprint() {
		return "I4 the replay does not lead to the state that was claimed"
	}
	return ""
}

// replay does again what the record already claims: control records at their versions, and otherwise the next record.
func (m *Model) replay(s *State, i int) string {
	o := &s.Owners[i]
	if kind := o.due(); kind != noControl {
		o.Task.control(kind)
		if m.StepNotReplayed {
			o.Task.Step = 0
		}
	} else {
		changed := o.Task.record()
		if !m.ReplaySilent {
			o.LiveDirty |= changed
		}
	}
	return m.arrive(s, o)
}

// readRecord processes one record on the task's goroutine.
func (m *Model) readRecord(s *State, i int) string {
	o := &s.Owners[i]
	o.LiveDirty |= o.Task.record()
	s.LogEnd = max(s.LogEnd, o.Task.Offset)
	return ""
}

// adopted returns the control record that the object store demands at exactly this point.
func (o *Owner) adopted() uint8 {
	for kind, at := range o.Adopt {
		if at != 0 && o.Task.AppliedAt[kind] == 0 && at == o.Task.version()+2 {
			return uint8(kind)
		}
	}
	return noControl
}

// request asks for a control record: reading waits until its epoch is claimed.
func (m *Model) request(s *State, i int, kind uint8) string {
	o := &s.Owners[i]
	if m.ControlBeforeClaim {
		o.Task.control(kind)
		return ""
	}
	o.Pending = kind
	return ""
}

// writeLive sends a live value. It depends on records alone, so it needs no claim.
func (m *Model) writeLive(s *State, i, key int) string {
	o := &s.Owners[i]
	o.LiveDirty &^= 1 << key
	if o.Commit < claiming {
		o.Captured.LiveKeys &^= 1 << key
	}
	v := Value{Version: m.stamp(o.Task.CountVersion[key]), Content: o.Task.Late}
	if key != lateKey {
		v.Content = o.Task.Count[key]
	}
	if v.Version > s.Live[key].Version || m.NoVersionGuard {
		s.Live[key] = v
	}
	return ""
}

// writeRich sends the enriched values of a claimed state (or, mutated, of the running one).
func (m *Model) writeRich(s *State, t *Task, keys uint8) string {
	for kind := range t.AppliedAt {
		if at := t.AppliedAt[kind]; at != 0 && at != s.PG.Row.Claimed[kind] && at != s.Controls[kind] {
			return "I2 a visible value depends on a control record that is not claimed"
		}
	}
	for w := range Windows {
		if keys>>w&1 == 0 {
			continue
		}
		v := Value{Version: m.stamp(t.RichVersion[w]), Content: t.Rich[w]}
		if v.Version > s.Rich[w].Version || m.NoVersionGuard {
			s.Rich[w] = v
		}
	}
	return ""
}

// capture freezes a record boundary, together with what is carried, and the state if a snapshot is due.
func (m *Model) capture(s *State, i int, snapshot bool) string {
	o := &s.Owners[i]
	left := o.Captured
	r := Record{Offset: o.Task.Offset, Step: o.Task.Step, Snapshot: left.Snapshot, Control: o.Pending, LiveKeys: o.LiveDirty, NewFrom: o.NewFrom}
	if snapshot {
		s.Snapshots++
		r.Snapshot = Snapshot{o.Epoch + 1, m.nameOwner(i), o.Task.version(), o.Task.fingerprint()}
	}
	for kind, at := range o.Task.AppliedAt {
		since := r.Snapshot.Version
		if m.ControlsOfLastEpoch {
			since = left.version()
		}
		if at > since+1 && !m.ControlNotReplayed {
			r.Controls[kind] = at
		}
	}
	if m.FlushForgotten {
		r.LiveKeys = 0
	}
	if !m.CarryDropped {
		r.RichKeys, r.FileEpoch, r.FileOwner = left.RichKeys, left.FileEpoch, left.FileOwner
	}
	for w := range Windows {
		if o.Task.RichVersion[w] != o.Base.RichVersion[w] || o.Task.Rich[w] != o.Base.Rich[w] {
			r.RichKeys |= 1 << w
		}
		if o.Task.Final[w] != 0 && o.Base.Final[w] == 0 {
			r.FileEpoch[w], r.FileOwner[w] = o.Epoch+1, m.nameOwner(i)
		}
	}
	o.Captured, o.Base, o.NewFrom, o.Commit = r, o.Task, o.Task.Revision, captured
	return ""
}

// stage uploads finished Parquet parts, and the pack if a snapshot was captured.
func (m *Model) stage(s *State, i int) string {
	o := &s.Owners[i]
	r, e, name := &o.Captured, o.Epoch+1, m.nameOwner(i)
	for w := range Windows {
		if r.FileEpoch[w] == e {
			s.Files[e][name].Content[w], s.Files[e][name].Aged = o.Base.Final[w], false
		}
	}
	if at := &r.Snapshot; at.Epoch == e {
		t := &o.Base
		if m.SnapshotNewerThanClaim {
			t = &o.Task
			at.Version, at.Hash = t.version(), t.fingerprint()
		}
		pack := s.pack(e, name)
		if pack == nil {
			pack = s.pack(0, 0)
		}
		*pack = Pack{Epoch: e, Owner: name, Task: *t}
	}
	o.Commit = claiming
	if m.FilesBeforeClaim {
		for w := range Windows {
			if r.FileEpoch[w] == e {
				if fault := m.copyFile(s, r, w); fault != "" {
					return fault
				}
			}
		}
	}
	return ""
}

// applyClaim is the transaction. It reports whether the UPDATE returned the task.
func (m *Model) applyClaim(s *State, c *Message) (returned bool, fault string) {
	row := &s.PG.Row
	returned = (row.Epoch == c.Epoch-1 || m.ClaimIgnoresEpoch) && (row.Owner == c.Owner || m.ClaimIgnoresOwner)
	returned = returned && (c.Timeline == s.Failovers || m.TimelineIgnored)
	if !returned && !m.TransitionsOfLosers {
		return false, ""
	}
	m.beforeTransaction(s)
	if returned {
		if c.Record.version() < row.Record.version() {
			fault = "I3 the row goes back to an older record"
		}
		row.Epoch, row.Record, row.Process, row.Hash = c.Epoch, c.Record, c.Process, c.State.fingerprint()
		if kind := c.Record.Control; kind != noControl {
			row.Claimed[kind] = c.Record.version() + 2
		}
	}
	m.insert(s, c)
	return returned, fault
}

// insert writes the transitions, the current rows and the outbox of a claim.
func (m *Model) insert(s *State, c *Message) {
	t := &c.State
	for w := range Windows {
		for rev := c.Record.NewFrom[w]; rev < t.Revision[w]; rev++ {
			if s.PG.Transitions[w][rev] != 0 && !m.ReplayResends {
				continue // the outbox row is written only where the transition was inserted
			}
			s.PG.Transitions[w][rev] = t.Decisions[w][rev]
			s.PG.Outbox[w][rev] = t.Decisions[w][rev]
			s.PG.Current[w] = max(s.PG.Current[w], rev+1)
			if m.NotificationTaggedByEpoch {
				s.PG.OutboxTag[w][rev] = c.Epoch
			}
			if m.ReplayResends {
				s.PG.OutboxTag[w][rev] = c.Process
			}
		}
	}
}

func (m *Model) message(s *State, i int) Message {
	o := &s.Owners[i]
	return Message{Epoch: o.Epoch + 1, Owner: m.id(i), Process: uint8(i), Timeline: o.Timeline, Record: o.Captured, State: o.Base}
}

// claim sends the claim and reads the answer. An earlier copy of the same claim may have won already.
func (m *Model) claim(s *State, i int) string {
	c := m.message(s, i)
	returned, fault := m.applyClaim(s, &c)
	row := &s.PG.Row
	holds := row.Epoch == c.Epoch && row.Record == c.Record
	if m.RecaptureOnRetry {
		holds = row.Epoch == c.Epoch && row.Owner == c.Owner
	}
	o := &s.Owners[i]
	switch {
	case !returned && !holds:
		*o = Owner{Phase: gone}
	case o.Pending != noControl && o.Captured.Control == o.Pending:
		o.Epoch, o.Commit = c.Epoch, won
	default:
		o.Epoch, o.Commit = c.Epoch, idle
	}
	return fault
}

// copyControl makes a claimed control record as durable as what it will cause.
func (m *Model) copyControl(s *State, i int) string {
	o := &s.Owners[i]
	if s.Controls[o.Pending] == 0 || s.Controls[o.Pending] < o.Task.version()+2 {
		s.Controls[o.Pending] = o.Task.version() + 2
	}
	o.Commit = controlled
	return ""
}

func (m *Model) applyControl(s *State, i int) string {
	o := &s.Owners[i]
	o.Task.control(o.Pending)
	o.Pending, o.Commit = noControl, idle
	return ""
}

// copyFile makes a staged file visible: create if absent.
func (m *Model) copyFile(s *State, r *Record, w int) string {
	from := &s.Files[r.FileEpoch[w]][r.FileOwner[w]]
	if from.Content[w] == 0 {
		return "I6 a staged file that a record carries is gone"
	}
	name := uint8(0)
	if m.FilesNamedByEpoch {
		name = r.FileEpoch[w]
	}
	if to := &s.Visible[name][w]; *to == 0 {
		*to = from.Content[w]
	} else if *to != from.Content[w] {
		return "I6 a visible file would be overwritten with other bytes"
	}
	r.FileEpoch[w] = 0
	return ""
}
