package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fleetTopic is what the members read.
const fleetTopic = "metrics"

// balancer is that of sources/kafka; a test holds it to what a worker offers when it joins.
func balancer() kgo.GroupBalancer { return kgo.CooperativeStickyBalancer() }

// assignment is what the leader of a consumer group does when members come or go, until nobody has to give anything up any more.
type assignment struct {
	Name   string  `json:"name"`
	Rounds int     `json:"rounds"` // rebalances: who gets a partition from a living member waits for the next one
	CPU    float64 `json:"leader_cpu_ms"`
	Wall   float64 `json:"leader_wall_ms"`
	Moved  int     `json:"partitions_moved"` // that have another owner than before
	Taken  int     `json:"taken_from_living"`
	Least  int     `json:"least"` // partitions of a member
	Most   int     `json:"most"`
	// What members send and get in the largest round. The broker keeps both in one record of the group.
	MetadataBytes   int `json:"metadata_bytes"`
	AssignmentBytes int `json:"assignment_bytes"`
}

// member is a worker in the group.
type member struct {
	name  string
	owned []int32
}

// id is that of the broker: the name and a UUID.
func (m *member) id() string { return m.name + "-00000000-0000-0000-0000-000000000000" }

// group is the members, by name.
type group struct {
	balancer   kgo.GroupBalancer
	partitions int32
	generation int32
	members    []*member
}

func newGroup(workers, partitions int) *group {
	g := &group{balancer: balancer(), partitions: int32(partitions)}
	for i := range workers {
		g.members = append(g.members, &member{name: workerName(i)})
	}
	return g
}

func workerName(i int) string { return fmt.Sprintf("worker-%05d", i) }

func (g *group) clone() *group {
	c := *g
	c.members = nil
	for _, m := range g.members {
		c.members = append(c.members, &member{m.name, slices.Clone(m.owned)})
	}
	return &c
}

// owners is who has which partition.
func (g *group) owners() map[int32]string {
	all := map[int32]string{}
	for _, m := range g.members {
		for _, p := range m.owned {
			all[p] = m.name
		}
	}
	return all
}

// maxRounds is more than any change of members takes.
const maxRounds = 5

// rebalance runs rounds until all is assigned and nobody has to give anything up.
func (g *group) rebalance() (a assignment, err error) {
	before := g.owners() // living ones: who has left is no member
	for again := true; again; {
		if a.Rounds++; a.Rounds > maxRounds {
			return a, fmt.Errorf("the assignment is not settled after %d rounds", maxRounds)
		}
		if again, err = g.round(&a); err != nil {
			return a, err
		}
	}
	after := g.owners()
	if len(after) != int(g.partitions) {
		return a, fmt.Errorf("%d of %d partitions are assigned", len(after), g.partitions)
	}
	for p, owner := range after {
		if was, ok := before[p]; !ok || was != owner {
			a.Moved++
			if ok {
				a.Taken++
			}
		}
	}
	a.Least, a.Most = int(g.partitions), 0
	for _, m := range g.members {
		a.Least, a.Most = min(a.Least, len(m.owned)), max(a.Most, len(m.owned))
	}
	return a, nil
}

// round is one rebalance: members say what they have, the leader plans, everybody takes what it is told. It is followed by another
// one if somebody has given something up.
func (g *group) round(a *assignment) (again bool, err error) {
	joined, bytes := g.join()
	a.MetadataBytes = max(a.MetadataBytes, bytes)
	began, cpu := time.Now(), cpuTime()
	plan, err := g.lead(joined)
	a.Wall += milliseconds(time.Since(began))
	a.CPU += milliseconds(cpuTime() - cpu)
	if err != nil {
		return false, err
	}
	byID, bytes := map[string]*member{}, 0
	for _, m := range g.members {
		byID[m.id()] = m
	}
	for _, to := range plan {
		bytes += len(to.MemberAssignment)
		m := byID[to.MemberID]
		if m == nil {
			return false, fmt.Errorf("the leader has assigned partitions to %s, which is no member", to.MemberID)
		}
		told, err := g.balancer.ParseSyncAssignment(to.MemberAssignment)
		if err != nil {
			return false, fmt.Errorf("read assignment of %s: %w", to.MemberID, err)
		}
		next := slices.Sorted(slices.Values(told[fleetTopic]))
		again = again || slices.ContainsFunc(m.owned, func(p int32) bool { _, kept := slices.BinarySearch(next, p); return !kept })
		m.owned = next
	}
	a.AssignmentBytes = max(a.AssignmentBytes, bytes)
	return again, nil
}

// join is what the leader gets from the broker, sorted as its client does.
func (g *group) join() (joined []kmsg.JoinGroupResponseMember, bytes int) {
	for _, m := range g.members {
		owned := map[string][]int32{}
		if len(m.owned) > 0 {
			owned[fleetTopic] = slices.Clone(m.owned)
		}
		j := kmsg.NewJoinGroupResponseMember()
		j.MemberID, j.InstanceID = m.id(), &m.name
		j.ProtocolMetadata = g.balancer.JoinGroupMetadata([]string{fleetTopic}, owned, g.generation)
		bytes += len(j.ProtocolMetadata)
		joined = append(joined, j)
	}
	g.generation++
	return joined, bytes
}

// lead is what the leader does between its answer from the broker and its own.
func (g *group) lead(joined []kmsg.JoinGroupResponseMember) ([]kmsg.SyncGroupRequestGroupAssignment, error) {
	b, topics, err := g.balancer.MemberBalancer(joined)
	if err != nil {
		return nil, fmt.Errorf("read members: %w", err)
	}
	if names := slices.Collect(maps.Keys(topics)); !slices.Equal(names, []string{fleetTopic}) {
		return nil, fmt.Errorf("the members want topics %q", names)
	}
	counts := map[string]int32{fleetTopic: g.partitions}
	var plan kgo.IntoSyncAssignment
	if fallible, ok := b.(kgo.GroupMemberBalancerOrError); ok {
		plan, err = fallible.BalanceOrError(counts)
	} else {
		plan = b.Balance(counts)
	}
	if err != nil {
		return nil, fmt.Errorf("balance: %w", err)
	}
	if plan == nil {
		return nil, errors.New("balance: there is no plan")
	}
	return plan.IntoSyncAssignment(), nil
}

// assignments makes the first one, and those when a worker leaves or joins.
func assignments(o *options) ([]assignment, error) {
	settled := newGroup(o.workers, o.partitions)
	if _, err := settled.rebalance(); err != nil {
		return nil, fmt.Errorf("assign: %w", err)
	}
	cases := []struct {
		name  string
		group func() *group
	}{
		{"all join", func() *group { return newGroup(o.workers, o.partitions) }},
		{"one leaves", func() *group {
			g := settled.clone()
			g.members = slices.Delete(g.members, o.workers/2, o.workers/2+1)
			return g
		}},
		{"one joins", func() *group {
			g := settled.clone()
			g.members = append(g.members, &member{name: workerName(o.workers)})
			return g
		}},
	}
	var all []assignment
	for _, c := range cases {
		var runs []assignment
		for range o.runs {
			a, err := c.group().rebalance()
			if err != nil {
				return nil, fmt.Errorf("assign, %s: %w", c.name, err)
			}
			runs = append(runs, a)
		}
		a := runs[0]
		a.Name = c.name
		a.CPU = medianOf(runs, func(a assignment) float64 { return a.CPU })
		a.Wall = medianOf(runs, func(a assignment) float64 { return a.Wall })
		all = append(all, a)
	}
	return all, nil
}

// medianOf is the middle one, the upper of two.
func medianOf[T any](all []T, of func(T) float64) float64 {
	v := make([]float64, len(all))
	for i, a := range all {
		v[i] = of(a)
	}
	slices.Sort(v)
	return v[len(v)/2]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// cpuTime is what this process has used, user and system.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
