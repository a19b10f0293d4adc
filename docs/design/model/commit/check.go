package commit

// Check implements search.Model: I6 in every state, I1 and I7 whenever the task is at rest.
func (m *Model) Check(s *State) string {
	row := &s.PG.Row
	if at := &row.Record.Snapshot; at.Epoch > 0 && s.pack(at.Epoch, at.Owner) == nil {
		return "I6 the pack that the row references is gone"
	}
	for w := range Windows {
		if e := row.Record.FileEpoch[w]; e != 0 && s.Files[e][row.Record.FileOwner[w]].Content[w] == 0 {
			return "I6 a staged file that the row references is gone"
		}
	}
	if !m.Done(s) {
		return ""
	}
	return m.final(s)
}

// Done implements search.Model: all input is claimed and the owner of the row has nothing left to do.
func (m *Model) Done(s *State) bool {
	row := &s.PG.Row
	if row.Record.Offset != m.Records || row.Record.Control != noControl {
		return false
	}
	if s.PG.Outbox != [Windows][Revisions]uint8{} {
		return false
	}
	o := &s.Owners[row.Process]
	r := &o.Captured
	return o.Phase == running && o.Epoch == row.Epoch && o.Commit == idle && o.Task.version() == row.Record.version() && o.LiveDirty == 0 &&
		o.Pending == noControl && o.adopted() == noControl && r.RichKeys == 0 && r.FileEpoch == [Windows]uint8{}
}

// final compares every sink with an undisturbed run under the control records that the row has claimed.
func (m *Model) final(s *State) string {
	want := oracle(m.Records, s.PG.Row.Claimed)
	for w := range Windows {
		if fault := s.window(w, &want); fault != "" {
			return fault
		}
	}
	if s.Live[lateKey].Content != want.Late {
		return "I1 Redis: the late count differs"
	}
	if s.PG.Transitions != want.Decisions {
		return "I1 Postgres: the transitions differ"
	}
	if s.Sent != want.Decisions {
		return "I7 a notification was not sent, or one was sent that no undisturbed run sends"
	}
	return ""
}

// window compares what is visible of one window.
func (s *State) window(w int, want *Task) string {
	if s.Live[w].Content != want.Count[w] {
		return "I1 Redis: a live value differs"
	}
	if s.Rich[w].Content != want.Rich[w] {
		return "I1 Redis: a value that depends on control records differs"
	}
	if s.PG.Current[w] != want.Revision[w] {
		return "I1 Postgres: a current row differs"
	}
	times := 0
	for name := range s.Visible {
		content := s.Visible[name][w]
		if content != 0 && content != want.Final[w] {
			return "I1 Parquet: a visible row differs"
		}
		if content != 0 {
			times++
		}
	}
	if times > 1 || (times == 1) != (want.Final[w] != 0) {
		return "I1 Parquet: a row is missing or visible twice"
	}
	return ""
}
