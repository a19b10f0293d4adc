// Package search explores a model exhaustively (breadth first) or by random walks.
// It knows nothing about the protocols; a model is a start state and a successor function.
package search

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"unsafe"
)

// Action names one step: who acts, what is done, and an argument (a key, a window, a partition).
type Action struct{ Who, What, Arg uint8 }

// Model is one design with one set of bounds. S must be a flat struct of bytes and bools:
// states are hashed and compared as memory.
type Model[S any] interface {
	Start() S
	// Next calls yield for every step possible in s. fault is empty, or says which invariant the step broke.
	Next(s *S, yield func(a Action, n *S, fault string))
	// Check says which invariant the state breaks, or returns "".
	Check(s *S) string
	// Done is true when all input is processed and every output has arrived.
	Done(s *S) bool
	Describe(a Action) string
}

// Result is what a search found.
type Result struct {
	States, Walks, Steps, Finished int
	Complete                       bool // every reachable state within the bounds was visited
	Fault                          string
	Trace                          []Action
}

type hash [2]uint64

var seedA, seedB = maphash.MakeSeed(), maphash.MakeSeed()

func hashOf[S any](s *S) hash {
	b := unsafe.Slice((*byte)(unsafe.Pointer(s)), unsafe.Sizeof(*s))
	return hash{maphash.Bytes(seedA, b), maphash.Bytes(seedB, b)}
}

// node remembers how a state was reached first, so that a trace can be printed.
type node struct {
	parent uint32
	by     Action
}

type edge struct{ from, to uint32 }

// layer holds the states of one distance, with their numbers.
type layer[S any] struct {
	states []S
	ids    []uint32
}

// graph is the part of the state space seen so far.
type graph[S any] struct {
	model Model[S]
	nodes []node
	index map[hash]uint32
	edges []edge // every step, for the progress check
	done  []uint32
	fault string
	trace []Action
}

// Breadth visits states in order of distance until all are seen, a fault is found, or so many states were seen.
// A complete search also checks progress (I8): from every state some schedule must reach a done state.
func Breadth[S any](m Model[S], limit int) Result {
	start := m.Start()
	g := &graph[S]{model: m, nodes: []node{{}}, index: map[hash]uint32{hashOf(&start): 0}}
	complete := g.explore(layer[S]{[]S{start}, []uint32{0}}, limit)
	if complete {
		if id, stuck := g.stuck(); stuck {
			g.fault, g.trace = "I8 from here no schedule finishes", g.path(id)
		}
	}
	return Result{States: len(g.nodes), Finished: len(g.done), Complete: complete, Fault: g.fault, Trace: g.trace}
}

// explore visits layer after layer; false if it ends early.
func (g *graph[S]) explore(now layer[S], limit int) bool {
	for len(now.states) > 0 {
		var next layer[S]
		for i := range now.states {
			if len(g.nodes) > limit {
				return false
			}
			g.model.Next(&now.states[i], func(a Action, n *S, fault string) {
				if g.fault == "" {
					g.visit(now.ids[i], a, n, fault, &next)
				}
			})
			if g.fault != "" {
				return false
			}
		}
		now = next
	}
	return true
}

// visit notes a step, and its state if it is new.
func (g *graph[S]) visit(from uint32, a Action, n *S, fault string, next *layer[S]) {
	h := hashOf(n)
	id, seen := g.index[h]
	if !seen && fault == "" {
		fault = g.model.Check(n)
	}
	if fault != "" {
		g.fault, g.trace = fault, append(g.path(from), a)
		return
	}
	if !seen {
		id = uint32(len(g.nodes))
		g.index[h] = id
		g.nodes = append(g.nodes, node{from, a})
		next.states, next.ids = append(next.states, *n), append(next.ids, id)
		if g.model.Done(n) {
			g.done = append(g.done, id)
		}
	}
	g.edges = append(g.edges, edge{from, id})
}

// path is how a state was reached.
func (g *graph[S]) path(id uint32) (t []Action) {
	for ; id != 0; id = g.nodes[id].parent {
		t = append(t, g.nodes[id].by)
	}
	slices.Reverse(t)
	return t
}

// stuck walks all edges backwards from the done states and returns the earliest state that is not reached.
func (g *graph[S]) stuck() (uint32, bool) {
	first := make([]uint32, len(g.nodes)+1) // incoming edges of n: sources[first[n]:first[n+1]]
	for _, e := range g.edges {
		first[e.to+1]++
	}
	for i := 1; i < len(first); i++ {
		first[i] += first[i-1]
	}
	sources, fill := make([]uint32, len(g.edges)), make([]uint32, len(g.nodes))
	for _, e := range g.edges {
		sources[first[e.to]+fill[e.to]] = e.from
		fill[e.to]++
	}
	ok := make([]bool, len(g.nodes))
	todo := slices.Clone(g.done)
	for _, d := range todo {
		ok[d] = true
	}
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, from := range sources[first[n]:first[n+1]] {
			if !ok[from] {
				ok[from] = true
				todo = append(todo, from)
			}
		}
	}
	id := slices.Index(ok, false)
	return uint32(max(id, 0)), id >= 0
}

// Print writes a trace one step a line.
func Print[S any](m Model[S], r Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %s\n", r.Fault)
	for i, a := range r.Trace {
		fmt.Fprintf(&b, "  %3d  %s\n", i+1, m.Describe(a))
	}
	return b.String()
}
