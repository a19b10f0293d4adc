// Package together models the claims of several tasks in one transaction: two tasks that one worker runs, of which another worker
// takes over any at any time. What a claim decides follows from its control record too, so a claim that was lost must leave nothing.
package together

import (
	"fmt"

	"github.com/tidewatch/tidewatch/docs/design/model/search"
)

const (
	tasks   = 2
	workers = 2
	epochs  = 3 // that each task must reach
)

// Config is one variant of the design with its bounds. The zero value of every flag is the fixed design.
type Config struct {
	Steals, LostReplies, Delays uint8

	DecisionsOfAll, AllOrNothing, OneAnswer, Recaptured bool
}

// Mutation is one way to misread the design.
type Mutation struct {
	Name, Why string
	set       func(*Config)
}

// Mutations lists every misreading the model knows.
var Mutations = []Mutation{
	{Name: "decisions-of-all", Why: "the transaction inserts the decisions of all its tasks when it has won one", set: func(c *Config) { c.DecisionsOfAll = true }},
	{Name: "all-or-nothing", Why: "a task that has lost makes the claims of the others void, and they are repeated with it", set: func(c *Config) { c.AllOrNothing = true }},
	{Name: "one-answer-for-all", Why: "a transaction that has won one task counts as won for all its tasks", set: func(c *Config) { c.OneAnswer = true }},
	{Name: "recaptured-together", Why: "an unanswered claim is repeated with new bytes, and epoch plus owner count as proof", set: func(c *Config) { c.Recaptured = true }},
}

// Model is a Config that can be searched.
type Model struct{ Config }

// Small returns the models for the breadth-first search, changed by the mutation (nil for the fixed design).
func Small(m *Mutation) []search.Model[State] {
	return []search.Model[State]{build(Config{Steals: 2, LostReplies: 1}, m), build(Config{Steals: 1, LostReplies: 1, Delays: 1}, m)}
}

// Wide returns the model for random walks.
func Wide(m *Mutation) []search.Model[State] {
	return []search.Model[State]{build(Config{Steals: 3, LostReplies: 2, Delays: 1}, m)}
}

func build(c Config, m *Mutation) search.Model[State] {
	if m != nil {
		m.set(&c)
	}
	return &Model{c}
}

// content is what an epoch says; it is another one with a control record that only its worker has seen.
type content uint8

// Row is the row of a task.
type Row struct {
	Epoch, Owner uint8 // Owner is 1 + worker
	Fence        uint8 // drawn anew at every take-over
	Content      [epochs]content
}

// Part is the claim of one task within a transaction.
type Part struct {
	In           bool
	Epoch, Fence uint8
	Content      content
}

// Message is a transaction on its way.
type Message struct {
	Sent   bool
	Worker uint8
	Parts  [tasks]Part
}

// Worker is one process.
type Worker struct {
	Runs    [tasks]bool
	Epoch   [tasks]uint8 // that it knows
	Fence   [tasks]uint8
	Pending Message                // frozen until it is answered
	Applied [tasks][epochs]content // the epochs whose control records have taken effect here
}

// State is the whole world.
type State struct {
	Rows      [tasks]Row
	Decisions [tasks][epochs]content
	Workers   [workers]Worker
	Delayed   Message

	Steals, LostReplies, Delays, Captures uint8
}

// The actions.
const (
	actTakeOver = iota
	actCapture
	actClaim
	actUnanswered
	actDelay
	actArrive
	actRecapture
)

var actNames = [...]string{
	"takes over task", "captures the tasks", "claims", "claims, the reply is lost", "sends the claim, it is delayed",
	"the delayed claim arrives", "captures again under the same epochs",
}

// Describe implements search.Model.
func (m *Model) Describe(a search.Action) string {
	return fmt.Sprintf("worker %d: %s %d", a.Who, actNames[a.What], a.Arg)
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
	for w := range workers {
		for t := range tasks {
			m.takeOverStep(s, do, w, t)
		}
		m.claimSteps(s, do, w)
	}
	if s.Delayed.Sent {
		do(int(s.Delayed.Worker), actArrive, 0, func(n *State) string {
			c := n.Delayed
			n.Delayed = Message{}
			m.transaction(n, &c)
			return ""
		})
	}
}

func (m *Model) takeOverStep(s *State, do try, w, t int) {
	free := s.Rows[t].Owner == 0 || !s.Workers[s.Rows[t].Owner-1].Runs[t]
	if s.Workers[w].Runs[t] || s.Workers[w].Pending.Parts[t].In || !free && s.Steals >= m.Steals {
		return
	}
	do(w, actTakeOver, t, func(n *State) string {
		if !free {
			n.Steals++
		}
		row, o := &n.Rows[t], &n.Workers[w]
		row.Owner, row.Fence = uint8(w)+1, row.Fence+1
		o.Runs[t], o.Epoch[t], o.Fence[t] = true, row.Epoch, row.Fence
		o.Applied[t] = row.Content // what is claimed is replayed
		return ""
	})
}

func (m *Model) claimSteps(s *State, do try, w int) {
	o := &s.Workers[w]
	if !o.Pending.Sent {
		if c := s.capture(w); c.Sent {
			do(w, actCapture, 0, func(n *State) string { n.Captures++; n.Workers[w].Pending = c; return "" })
		}
		return
	}
	do(w, actClaim, 0, func(n *State) string { return m.claim(n, w) })
	if s.LostReplies < m.LostReplies {
		do(w, actUnanswered, 0, func(n *State) string {
			n.LostReplies++
			c := n.Workers[w].Pending
			m.transaction(n, &c)
			return ""
		})
	}
	if s.Delays < m.Delays && !s.Delayed.Sent {
		do(w, actDelay, 0, func(n *State) string { n.Delays++; n.Delayed = n.Workers[w].Pending; return "" })
	}
	if m.Recaptured && s.LostReplies > 0 && s.Captures < tasks*epochs {
		do(w, actRecapture, 0, func(n *State) string { n.Captures++; n.Workers[w].Pending = n.capture(w); return "" })
	}
}

// capture freezes the next epoch of every task that the worker runs. No two captures say the same.
func (s *State) capture(w int) (c Message) {
	o := &s.Workers[w]
	c.Worker = uint8(w)
	for t := range tasks {
		if o.Runs[t] && o.Epoch[t] < epochs {
			c.Sent = true
			c.Parts[t] = Part{In: true, Epoch: o.Epoch[t] + 1, Fence: o.Fence[t], Content: content(1 + s.Captures)}
		}
	}
	return c
}

// transaction is what Postgres does: it returns which tasks the UPDATE has changed, or hold these bytes already.
func (m *Model) transaction(s *State, c *Message) (won [tasks]bool) {
	var changed [tasks]bool
	one, all := false, true
	for t := range tasks {
		p, row := &c.Parts[t], &s.Rows[t]
		changed[t] = p.In && row.Epoch == p.Epoch-1 && row.Fence == p.Fence
		won[t] = changed[t] || m.holds(row, p)
		one, all = one || won[t], all && (won[t] || !p.In)
	}
	if m.AllOrNothing && !all {
		return [tasks]bool{}
	}
	for t := range tasks {
		p := &c.Parts[t]
		if changed[t] {
			s.Rows[t].Epoch, s.Rows[t].Content[p.Epoch-1] = p.Epoch, p.Content
		}
		if p.In && s.Decisions[t][p.Epoch-1] == 0 && (changed[t] || m.DecisionsOfAll && one) {
			s.Decisions[t][p.Epoch-1] = p.Content
		}
		won[t] = won[t] || m.OneAnswer && one && p.In
	}
	return won
}

// holds reports whether the row is what the claim wants already: then it was won, whoever wrote it.
func (m *Model) holds(row *Row, p *Part) bool {
	return p.In && row.Epoch == p.Epoch && (row.Content[p.Epoch-1] == p.Content || m.Recaptured && row.Fence == p.Fence)
}

// claim sends the transaction and reads the answer, task by task. A control record takes effect behind its claim.
func (m *Model) claim(s *State, w int) string {
	o := &s.Workers[w]
	c := o.Pending
	won := m.transaction(s, &c)
	if m.AllOrNothing && won == [tasks]bool{} {
		return "" // as if it had not been answered
	}
	for t := range tasks {
		p := &c.Parts[t]
		switch {
		case !p.In:
		case won[t]:
			o.Epoch[t], o.Applied[t][p.Epoch-1] = p.Epoch, p.Content
			if s.Rows[t].Content[p.Epoch-1] != p.Content {
				return "I2 a control record takes effect that is not claimed"
			}
		default:
			o.Runs[t] = false
		}
	}
	o.Pending = Message{}
	return ""
}

// Done implements search.Model: every task has come to its last epoch.
func (m *Model) Done(s *State) bool {
	for t := range tasks {
		if s.Rows[t].Epoch != epochs {
			return false
		}
	}
	return !s.Workers[0].Pending.Sent && !s.Workers[1].Pending.Sent
}

// Check implements search.Model: in every state Postgres holds the decisions of the claimed epochs, and no others.
func (m *Model) Check(s *State) string {
	for t := range tasks {
		if s.Decisions[t] != s.Rows[t].Content {
			return "I1 Postgres: the decisions are not those of the claimed epochs"
		}
	}
	return ""
}
