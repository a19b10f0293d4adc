package commit

import (
	"fmt"

	"github.com/tidewatch/tidewatch/docs/design/model/search"
)

// What an action does; the names below are printed in traces.
const (
	actTakeOver = iota
	actLoad
	actCrash
	actRead
	actRequest
	actWriteLive
	actReplay
	actCapture
	actCaptureSnapshot
	actStage
	actClaim
	actClaimUnanswered
	actClaimDelayed
	actDelayedArrives
	actCopyControl
	actApplyControl
	actReveal
	actRevealRich
	actRichAtOnce
	actSend
	actFailover
	actHour
	actDeleteFile
	actDeletePack
	actRecapture
	actReplicate
	actCheckRow
)

var actNames = [...]string{
	"takes over: sets the owner of the row", "loads the state", "crashes", "processes a record",
	"asks for control record", "writes live key", "replays a step", "captures", "captures, with a snapshot", "stages files and pack", "claims", "claims, the reply is lost",
	"sends the claim, it is delayed", "the delayed claim arrives", "copies the control record to the object store",
	"lets the control record take effect", "copies the file of window", "publishes what depends on control records",
	"writes at once what depends on control records", "sends notification", "Postgres fails over, what the replica lacks is lost",
	"an hour passes", "deletes staged files (epoch*10+owner)", "deletes pack (epoch*10+owner)", "captures again under the same epoch",
	"the Postgres replica catches up", "reads its row, finds it changed, and stops",
}

// world acts for everything that is not an owner.
const world = 0

// Describe implements search.Model.
func (m *Model) Describe(a search.Action) string {
	who := "world"
	if a.Who != world {
		who = fmt.Sprintf("owner %d", a.Who)
	}
	return fmt.Sprintf("%-8s %s %d", who, actNames[a.What], a.Arg)
}

// Start implements search.Model.
func (m *Model) Start() State { return State{} }

type try func(who, what, arg int, change func(n *State) string)

// Next implements search.Model.
func (m *Model) Next(s *State, yield func(search.Action, *State, string)) {
	do := func(who, what, arg int, change func(n *State) string) {
		n := *s
		fault := change(&n)
		yield(search.Action{Who: uint8(who), What: uint8(what), Arg: uint8(arg)}, &n, fault)
	}
	m.worldSteps(s, do)
	for i := 1; i <= maxOwners; i++ {
		if s.Owners[i].Phase == unborn {
			m.takeOverStep(s, do, i)
			return // later owners are unborn too
		}
		m.ownerSteps(s, do, i)
	}
}

func (m *Model) takeOverStep(s *State, do try, i int) {
	free := !s.rowOwnerAlive()
	if !free && s.Steals >= m.Steals {
		return
	}
	do(i, actTakeOver, 0, func(n *State) string {
		if !free {
			n.Steals++
		}
		return m.takeOver(n, i)
	})
}

func (m *Model) ownerSteps(s *State, do try, i int) {
	switch s.Owners[i].Phase {
	case fenced:
		do(i, actLoad, 0, func(n *State) string { return m.load(n, i) })
		m.crashStep(s, do, i)
	case replaying:
		do(i, actReplay, 0, func(n *State) string { return m.replay(n, i) })
		if m.ControlInReplay {
			m.controlSteps(s, do, i)
			m.commitSteps(s, do, i)
		}
		m.liveSteps(s, do, i)
		m.revealSteps(s, do, i)
		m.checkRow(s, do, i)
		m.crashStep(s, do, i)
	case running:
		m.taskSteps(s, do, i)
		m.commitSteps(s, do, i)
		m.revealSteps(s, do, i)
		m.checkRow(s, do, i)
		m.crashStep(s, do, i)
	}
}

// rowOwnerAlive: while the process that owns the row lives, only an unneeded rebalance (a steal) starts another.
func (s *State) rowOwnerAlive() bool { return s.alive(s.PG.Row.Process) }

func (m *Model) crashStep(s *State, do try, i int) {
	if s.Crashes < m.Crashes {
		do(i, actCrash, 0, func(n *State) string {
			n.Crashes++
			n.Owners[i] = Owner{Phase: gone}
			return ""
		})
	}
}

// checkRow: a task with nothing to claim would never learn that a fail-over has taken its row back.
func (m *Model) checkRow(s *State, do try, i int) {
	o, row := &s.Owners[i], &s.PG.Row
	changed := row.Epoch != o.Epoch || row.Owner != m.id(i) && !m.ClaimIgnoresOwner || o.Timeline != s.Failovers && !m.TimelineIgnored
	if o.Commit == idle && !m.RowNeverChecked && changed {
		do(i, actCheckRow, 0, func(n *State) string {
			n.Owners[i] = Owner{Phase: gone}
			return ""
		})
	}
}

func (m *Model) taskSteps(s *State, do try, i int) {
	o := &s.Owners[i]
	adopt := o.adopted()
	if o.Pending == noControl && adopt == noControl && o.Task.Offset < m.Records {
		do(i, actRead, 0, func(n *State) string { return m.readRecord(n, i) })
	}
	m.liveSteps(s, do, i)
	m.controlSteps(s, do, i)
	if m.RichAtOnce && o.Task.RichVersion != o.Base.RichVersion {
		do(i, actRichAtOnce, 0, func(n *State) string { return m.writeRich(n, &n.Owners[i].Task, 1<<Windows-1) })
	}
}

func (m *Model) liveSteps(s *State, do try, i int) {
	for key := range liveKeys {
		if s.Owners[i].LiveDirty>>key&1 == 1 {
			do(i, actWriteLive, key, func(n *State) string { return m.writeLive(n, i, key) })
		}
	}
}

// controlSteps: a control record may be asked for at a record boundary while no other epoch is on its way.
func (m *Model) controlSteps(s *State, do try, i int) {
	o := &s.Owners[i]
	adopt := o.adopted()
	if o.Pending == noControl && o.Commit == idle && o.Task.Offset > 0 {
		for _, kind := range m.Kinds {
			free := adopt == noControl && o.Adopt[kind] == 0 && (o.Task.version() >= o.Frontier || m.ControlBelowFrontier)
			if o.Task.AppliedAt[kind] == 0 && (free || adopt == kind) {
				do(i, actRequest, int(kind), func(n *State) string { return m.request(n, i, kind) })
			}
		}
	}
}

func (m *Model) commitSteps(s *State, do try, i int) {
	o := &s.Owners[i]
	switch o.Commit {
	case idle:
		m.captureSteps(s, do, i)
	case captured:
		do(i, actStage, 0, func(n *State) string { return m.stage(n, i) })
	case claiming:
		m.claimSteps(s, do, i)
	case won:
		if m.ControlNotCopied {
			do(i, actApplyControl, 0, func(n *State) string { return m.applyControl(n, i) })
		} else {
			do(i, actCopyControl, 0, func(n *State) string { return m.copyControl(n, i) })
		}
	case controlled:
		do(i, actApplyControl, 0, func(n *State) string { return m.applyControl(n, i) })
	}
	if m.RecaptureOnRetry && o.Commit == captured && o.Task != o.Base && s.LostReplies > 0 && o.Pending == noControl {
		do(i, actRecapture, 0, func(n *State) string { return m.capture(n, i, false) })
	}
}

func (m *Model) captureSteps(s *State, do try, i int) {
	o := &s.Owners[i]
	free := o.Epoch < m.FreeEpochs
	needed := o.Pending != noControl || o.Task.Offset == m.Records
	changed := o.Task != o.Base || o.Pending != noControl
	if !changed || !free && !needed || o.Epoch+1 >= maxEpochs {
		return
	}
	do(i, actCapture, 0, func(n *State) string { return m.capture(n, i, false) })
	if s.Snapshots < m.Snapshots {
		do(i, actCaptureSnapshot, 0, func(n *State) string { return m.capture(n, i, true) })
	}
}

func (m *Model) claimSteps(s *State, do try, i int) {
	do(i, actClaim, 0, func(n *State) string { return m.claim(n, i) })
	if s.LostReplies < m.LostReplies {
		do(i, actClaimUnanswered, 0, func(n *State) string {
			n.LostReplies++
			c := m.message(n, i)
			_, fault := m.applyClaim(n, &c)
			if m.RecaptureOnRetry {
				n.Owners[i].Commit = captured
			}
			return fault
		})
	}
	if s.Delays < m.Delays {
		do(i, actClaimDelayed, 0, func(n *State) string {
			n.Delays++
			n.Delayed = m.message(n, i)
			return ""
		})
	}
}

// revealSteps work off what the claimed record (own or taken over) asks for, in any order, while the task goes on.
func (m *Model) revealSteps(s *State, do try, i int) {
	o := &s.Owners[i]
	if o.Commit == captured || o.Commit == claiming {
		return // Captured is not claimed yet; what was left is carried in it
	}
	for w := range Windows {
		if o.Captured.FileEpoch[w] != 0 {
			do(i, actReveal, w, func(n *State) string { return m.reveal(n, i, w) })
		}
	}
	if o.Captured.RichKeys != 0 && (o.Phase == running || m.RevealedBeforeReplay) {
		do(i, actRevealRich, 0, func(n *State) string {
			o := &n.Owners[i]
			t := &o.Base
			if o.Phase == replaying {
				t = &o.Task
			}
			fault := m.writeRich(n, t, o.Captured.RichKeys)
			o.Captured.RichKeys = 0
			return fault
		})
	}
}

// reveal copies one file. An owner that has been overtaken may find the staged file collected: by then the
// living owner has copied it.
func (m *Model) reveal(s *State, i, w int) string {
	r := &s.Owners[i].Captured
	if s.PG.Row.Epoch > s.Owners[i].Epoch && s.Files[r.FileEpoch[w]][r.FileOwner[w]].Content[w] == 0 {
		r.FileEpoch[w] = 0
		return ""
	}
	return m.copyFile(s, r, w)
}
