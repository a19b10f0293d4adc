// Package generations models quarantine: a record that kills its process is left out by a control record, though what it has
// changed may have left already. So the control record raises the generation, a part of the names of live values, under which all
// of them are written anew before readers switch.
package generations

import (
	"fmt"

	"github.com/tidewatch/tidewatch/docs/design/model/search"
)

const (
	records   = 4
	poison    = 1 // the offset of the record; it kills a process, or does not
	keys      = 2 // record n changes the live value of key n modulo keys
	maxOwners = 4
	// generations is one more than can be claimed.
	generations = 3
)

// Config is one variant of the design with its bounds. The zero value of every flag is the fixed design.
type Config struct {
	Crashes, Steals uint8

	NotRaised, SwitchedEarly, EffectBeforeClaim, NotInRecord, ReadersGeneration, ChangedOnly bool
}

// Mutation is one way to misread the design.
type Mutation struct {
	Name, Why string
	set       func(*Config)
}

// Mutations lists every misreading the model knows.
var Mutations = []Mutation{
	{Name: "generation-not-raised", Why: "quarantine keeps the names of live values", set: func(c *Config) { c.NotRaised = true }},
	{Name: "readers-switch-early", Why: "readers switch when the control record is claimed", set: func(c *Config) { c.SwitchedEarly = true }},
	{Name: "quarantine-before-claim", Why: "the record is left out before that is claimed", set: func(c *Config) { c.EffectBeforeClaim = true }},
	{Name: "quarantine-not-in-record", Why: "the next owner does not find the offset in the row", set: func(c *Config) { c.NotInRecord = true }},
	{Name: "generation-of-readers", Why: "an owner writes under the generation that readers use, not under its own", set: func(c *Config) { c.ReadersGeneration = true }},
	{Name: "changed-values-only", Why: "under the new generation only values are written that the record would have changed", set: func(c *Config) { c.ChangedOnly = true }},
}

// Model is a Config that can be searched.
type Model struct{ Config }

// Small returns the models for the breadth-first search, changed by the mutation (nil for the fixed design).
func Small(m *Mutation) []search.Model[State] {
	return []search.Model[State]{build(Config{Crashes: 1, Steals: 1}, m), build(Config{Crashes: 2}, m)}
}

// Wide returns the model for random walks.
func Wide(m *Mutation) []search.Model[State] {
	return []search.Model[State]{build(Config{Crashes: 2, Steals: 1}, m)}
}

func build(c Config, m *Mutation) search.Model[State] {
	if m != nil {
		m.set(&c)
	}
	return &Model{c}
}

// Row is the row of the task. Claimed is for the model: the quarantine that was claimed, whatever the row says of it.
type Row struct {
	Owner, Offset, Generation uint8
	Quarantined, Claimed      bool
}

// Value is a live value with its version.
type Value struct{ Version, Content uint8 }

// Owner is one process working for the task.
type Owner struct {
	Phase, Offset, Generation uint8
	Quarantined               bool
	Values                    [keys]Value
	Dirty                     [keys]bool
}

// Phases of an owner.
const (
	unborn = iota
	running
	gone
)

// State is the whole world.
type State struct {
	Row             Row
	Owners          [maxOwners]Owner
	Live            [generations][keys]Value
	Readers         uint8 // the generation that readers use
	Deaths          uint8 // by the record, as the crash journal knows
	Crashes, Steals uint8
}

// The actions.
const (
	actTakeOver = iota
	actProcess
	actDie
	actCrash
	actQuarantine
	actClaim
	actWrite
	actSwitch
)

var actNames = [...]string{
	"takes over", "processes record", "dies of record", "crashes", "claims the quarantine of record", "claims", "writes live key",
	"lets readers switch to generation",
}

// Describe implements search.Model.
func (m *Model) Describe(a search.Action) string {
	return fmt.Sprintf("owner %d %s %d", a.Who, actNames[a.What], a.Arg)
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
	for i := range maxOwners {
		switch s.Owners[i].Phase {
		case unborn:
			m.takeOverStep(s, do, i)
			return // later owners are unborn too
		case running:
			m.taskSteps(s, do, i)
			m.claimSteps(s, do, i)
			m.liveSteps(s, do, i)
		}
	}
}

func (m *Model) takeOverStep(s *State, do try, i int) {
	free := i == 0 || s.Owners[s.Row.Owner].Phase == gone
	if !free && s.Steals >= m.Steals {
		return
	}
	do(i, actTakeOver, 0, func(n *State) string {
		if !free {
			n.Steals++
		}
		n.Row.Owner = uint8(i)
		n.Owners[i] = Owner{Phase: running, Generation: n.Row.Generation, Quarantined: n.Row.Quarantined}
		return ""
	})
}

func (m *Model) taskSteps(s *State, do try, i int) {
	o := &s.Owners[i]
	if o.Offset < records {
		do(i, actProcess, int(o.Offset), func(n *State) string { n.Owners[i].process(); return "" })
	}
	if s.Crashes >= m.Crashes {
		return
	}
	die := func(n *State) { n.Crashes, n.Owners[i] = n.Crashes+1, Owner{Phase: gone} }
	if o.Offset == poison && !o.Quarantined {
		do(i, actDie, poison, func(n *State) string { n.Deaths++; die(n); return "" })
	}
	do(i, actCrash, 0, func(n *State) string { die(n); return "" })
}

// process takes the next record, as its replay does.
func (o *Owner) process() {
	at, k := o.Offset, o.Offset%keys
	o.Offset++
	if at == poison && o.Quarantined {
		return
	}
	o.Values[k] = Value{Version: o.Offset, Content: o.Values[k].Content | 1<<at}
	o.Dirty[k] = true
}

func (m *Model) claimSteps(s *State, do try, i int) {
	o := &s.Owners[i]
	if o.Offset > s.Row.Offset {
		do(i, actClaim, int(o.Offset), func(n *State) string {
			if n.Row.Owner != uint8(i) {
				n.Owners[i] = Owner{Phase: gone}
				return ""
			}
			n.Row.Offset = n.Owners[i].Offset
			return ""
		})
	}
	if o.Offset == poison && !o.Quarantined && s.Deaths > 0 {
		do(i, actQuarantine, poison, func(n *State) string { return m.quarantine(n, i) })
	}
}

// quarantine claims the control record, also in the replay of what was claimed already: its meaning changes.
func (m *Model) quarantine(s *State, i int) string {
	o := &s.Owners[i]
	if s.Row.Owner != uint8(i) && !m.EffectBeforeClaim {
		*o = Owner{Phase: gone}
		return ""
	}
	o.Quarantined = true
	if !m.NotRaised {
		o.Generation++
	}
	if s.Row.Owner == uint8(i) {
		s.Row.Claimed, s.Row.Quarantined, s.Row.Generation = true, !m.NotInRecord, o.Generation
	}
	for k := range o.Dirty { // all values anew
		o.Dirty[k] = o.Values[k].Content != 0 && (!m.ChangedOnly || k == poison%keys)
	}
	if m.SwitchedEarly {
		return s.turn(o)
	}
	return ""
}

func (m *Model) liveSteps(s *State, do try, i int) {
	o := &s.Owners[i]
	for k := range keys {
		if o.Dirty[k] {
			do(i, actWrite, k, func(n *State) string { return m.write(n, i, k) })
		}
	}
	if o.Generation > s.Readers && o.Offset >= s.Row.Offset && o.Dirty == [keys]bool{} {
		do(i, actSwitch, int(o.Generation), func(n *State) string { return n.turn(&n.Owners[i]) })
	}
}

func (m *Model) write(s *State, i, k int) string {
	o := &s.Owners[i]
	g := o.Generation
	if m.ReadersGeneration {
		g = s.Readers
	}
	if to := &s.Live[g][k]; o.Values[k].Version > to.Version {
		*to = o.Values[k]
	}
	o.Dirty[k] = false
	return ""
}

// turn lets readers use the generation of an owner: it must be claimed, and hold all that was claimed.
func (s *State) turn(o *Owner) string {
	if o.Generation > s.Row.Generation {
		return "I2 readers switch to a generation that is not claimed"
	}
	want := oracle(s.Row.Offset, s.Row.Claimed)
	for k := range keys {
		if have := s.Live[o.Generation][k].Content; o.Generation == s.Row.Generation && want[k]&^have != 0 {
			return "I1 readers switch to a generation that lacks a value"
		}
	}
	s.Readers = max(s.Readers, o.Generation)
	return ""
}

// oracle is the live values after so many records.
func oracle(n uint8, quarantined bool) (want [keys]uint8) {
	for at := range n {
		if at != poison || !quarantined {
			want[at%keys] |= 1 << at
		}
	}
	return want
}

// Done implements search.Model: all is claimed and written.
func (m *Model) Done(s *State) bool {
	o := &s.Owners[s.Row.Owner]
	return s.Row.Offset == records && o.Phase == running && o.Offset == records && o.Dirty == [keys]bool{} && s.Readers == s.Row.Generation
}

// Check implements search.Model.
func (m *Model) Check(s *State) string {
	if !m.Done(s) {
		return ""
	}
	want := oracle(records, s.Row.Claimed)
	for k := range keys {
		if s.Live[s.Readers][k].Content != want[k] {
			return "I1 Redis: a live value differs"
		}
	}
	return ""
}
