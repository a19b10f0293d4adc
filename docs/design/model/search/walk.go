package search

import (
	"math/rand/v2"
	"slices"
)

// maxSteps bounds one walk; the models end by themselves long before (every fault has a budget).
const maxSteps = 400

type successor[S any] struct {
	by    Action
	to    S
	fault string
}

// Walks runs so many random schedules, one per seed, until a fault is found. A walk that can
// neither go on nor is done counts as a fault (I8). A failing trace is shrunk before it is returned.
func Walks[S any](m Model[S], seed int64, walks int) (r Result) {
	for ; r.Walks < walks; seed++ {
		r.Walks++
		fault, trace, done := walk(m, seed)
		r.Steps += len(trace)
		if done {
			r.Finished++
		}
		if fault != "" {
			r.Fault, r.Trace = shrink(m, fault, trace)
			return r
		}
	}
	return r
}

// walk follows one random schedule. It prefers one actor for a while, so that others fall far behind
// (paused owners, slow readers), which uniform choice hardly ever produces.
func walk[S any](m Model[S], seed int64) (fault string, trace []Action, done bool) {
	rng := rand.New(rand.NewPCG(uint64(seed), 0))
	s := m.Start()
	var options []successor[S]
	favourite := uint8(0)
	for len(trace) < maxSteps {
		options = options[:0]
		before := hashOf(&s)
		m.Next(&s, func(a Action, n *S, fault string) {
			if fault != "" || hashOf(n) != before { // steps that change nothing would only waste the walk
				options = append(options, successor[S]{a, *n, fault})
			}
		})
		if len(options) == 0 {
			if m.Done(&s) {
				return "", trace, true
			}
			return "I8 nothing can go on and the work is not done", trace, false
		}
		if rng.IntN(8) == 0 {
			favourite = options[rng.IntN(len(options))].by.Who
		}
		pick := &options[rng.IntN(len(options))]
		for try := 0; try < 6 && pick.by.Who != favourite; try++ {
			pick = &options[rng.IntN(len(options))]
		}
		trace = append(trace, pick.by)
		s = pick.to
		if pick.fault == "" {
			pick.fault = m.Check(&s)
		}
		if pick.fault != "" {
			return pick.fault, trace, false
		}
	}
	return "", trace, false
}

// replay runs the given actions, leaving out those that are not possible, up to the first fault.
func replay[S any](m Model[S], actions []Action) (fault string, used []Action) {
	s := m.Start()
	for _, want := range actions {
		var hit *successor[S]
		m.Next(&s, func(a Action, n *S, fault string) {
			if a == want && hit == nil {
				hit = &successor[S]{a, *n, fault}
			}
		})
		if hit == nil {
			continue
		}
		used = append(used, want)
		s = hit.to
		if hit.fault == "" {
			hit.fault = m.Check(&s)
		}
		if hit.fault != "" {
			return hit.fault, used
		}
	}
	end := true
	before := hashOf(&s)
	m.Next(&s, func(_ Action, n *S, fault string) { end = end && fault == "" && hashOf(n) == before })
	if end && !m.Done(&s) {
		return "I8 nothing can go on and the work is not done", used
	}
	return "", used
}

// shrink drops one action after the other as long as the same fault remains.
func shrink[S any](m Model[S], fault string, trace []Action) (string, []Action) {
	for again := true; again; {
		again = false
		for i := range slices.Backward(trace) {
			if i >= len(trace) {
				continue
			}
			shorter := slices.Delete(slices.Clone(trace), i, i+1)
			if f, used := replay(m, shorter); f == fault && len(used) < len(trace) {
				trace, again = used, true
			}
		}
	}
	return fault, trace
}
