package commit

// worldSteps: notifications leave, time passes, garbage is collected, Postgres fails over.
func (m *Model) worldSteps(s *State, do try) {
	for w := range Windows {
		for rev := range Revisions {
			if s.PG.Outbox[w][rev] != 0 {
				do(world, actSend, w*10+rev, func(n *State) string { return m.send(n, w, rev) })
			}
		}
	}
	if s.Delayed.Epoch != 0 {
		do(world, actDelayedArrives, 0, func(n *State) string {
			c := n.Delayed
			n.Delayed = Message{}
			_, fault := m.applyClaim(n, &c)
			return fault
		})
	}
	if s.CanLose && s.Failovers < m.Failovers {
		do(world, actReplicate, 0, func(n *State) string {
			n.Lost, n.CanLose = Postgres{}, false
			return ""
		})
		do(world, actFailover, 0, func(n *State) string {
			n.PG, n.Lost, n.CanLose = n.Lost, Postgres{}, false
			n.Failovers++
			return ""
		})
	}
	if s.Hours < m.Hours {
		do(world, actHour, 0, func(n *State) string { return m.hour(n) })
	}
	if s.Deletions < m.Deletions {
		m.collect(s, do)
	}
}

// send delivers a notification and deletes its outbox row.
func (m *Model) send(s *State, w, rev int) string {
	content, tag := s.PG.Outbox[w][rev], s.PG.OutboxTag[w][rev]
	if old := s.Sent[w][rev]; old != 0 && old != content {
		return "I7 one notification id is sent with two contents"
	}
	if s.Sent[w][rev] != 0 && s.SentTag[w][rev] != tag {
		return "I7 the same transition is sent under two ids"
	}
	s.Sent[w][rev], s.SentTag[w][rev] = content, tag
	m.beforeTransaction(s)
	s.PG.Outbox[w][rev], s.PG.OutboxTag[w][rev] = 0, 0
	return ""
}

// hour: what Postgres holds can no longer be lost, and the retention of what has been garbage for an hour is over.
func (m *Model) hour(s *State) string {
	s.Hours++
	s.CanLose, s.Lost = false, Postgres{}
	for e := uint8(1); e < maxEpochs; e++ {
		for name := range s.Files[e] {
			if f := &s.Files[e][name]; f.Content != [Windows]uint8{} {
				f.Aged = m.RetentionFromCreation || m.GCIgnoresEpoch || m.garbageFile(s, e, uint8(name))
			}
		}
	}
	for i := range s.Packs {
		if p := &s.Packs[i]; p.Epoch != 0 {
			p.Aged = m.RetentionFromCreation || m.GCIgnoresEpoch || m.garbagePack(s, p)
		}
	}
	return ""
}

// garbageFile: the row does not reference the staged file and never will.
func (m *Model) garbageFile(s *State, epoch, name uint8) bool {
	row := &s.PG.Row
	if epoch >= row.Epoch && !m.GCIgnoresEpoch {
		return false
	}
	if m.GCIgnoresCarried {
		return epoch != row.Epoch
	}
	for w := range Windows {
		if row.Record.FileEpoch[w] == epoch && row.Record.FileOwner[w] == name {
			return false
		}
	}
	return true
}

// garbagePack: a pack stays as long as the row's record names it, however many epochs ago it was staged.
func (m *Model) garbagePack(s *State, p *Pack) bool {
	row := &s.PG.Row
	if p.Epoch >= row.Epoch && !m.GCIgnoresEpoch {
		return false
	}
	if p.Task.version() >= row.Record.version() && !m.GCIgnoresEpoch {
		return false // ahead of the row in the log
	}
	if m.PackOfNewestEpochOnly {
		return p.Epoch != row.Epoch
	}
	at := &row.Record.Snapshot
	return p.Epoch != at.Epoch || p.Owner != at.Owner
}

func (m *Model) collect(s *State, do try) {
	for e := uint8(1); e < maxEpochs; e++ {
		for name := range s.Files[e] {
			f := &s.Files[e][name]
			if f.Content == [Windows]uint8{} || !f.Aged && !m.NoRetention || !m.garbageFile(s, e, uint8(name)) {
				continue
			}
			do(world, actDeleteFile, int(e)*10+name, func(n *State) string {
				n.Deletions++
				n.Files[e][name] = Object{}
				return ""
			})
		}
	}
	for i := range s.Packs {
		p := &s.Packs[i]
		if p.Epoch == 0 || !p.Aged && !m.NoRetention || !m.garbagePack(s, p) {
			continue
		}
		do(world, actDeletePack, int(p.Epoch)*10+int(p.Owner), func(n *State) string {
			n.Deletions++
			n.Packs[i] = Pack{}
			return ""
		})
	}
}
