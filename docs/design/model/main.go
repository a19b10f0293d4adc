// Command model explores the protocols of docs/design/engine.md. See README.md.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/tidewatch/tidewatch/docs/design/model/commit"
	"github.com/tidewatch/tidewatch/docs/design/model/generations"
	"github.com/tidewatch/tidewatch/docs/design/model/search"
	"github.com/tidewatch/tidewatch/docs/design/model/stages"
	"github.com/tidewatch/tidewatch/docs/design/model/together"
	"github.com/tidewatch/tidewatch/internal/clock"
)

// bounds say how far a job goes. The same bounds give the same result.
type bounds struct {
	seed           int64
	walks          int // of a fixed design, for each wide model
	patience       int // of a mutation; the breadth-first searches follow
	limit          int // most states of one breadth-first search
	mutationStates int // the same for a mutation
}

// full is what `make model` explores.
var full = bounds{seed: 1, walks: 20_000, patience: 20_000, limit: 2_000_000, mutationStates: 500_000}

// job is one line of the table.
type job struct {
	part, name, why string
	mutated         bool // a fault must be found
	harmless        bool // mutated, but the model shows that no invariant needs the rule
	rare            bool // found by long searches only
	run             func(b bounds) outcome
}

type outcome struct {
	breadth []measured
	walks   search.Result
	fault   string
	trace   string
	took    time.Duration
}

type measured struct {
	search.Result
	took time.Duration
}

func (j *job) passed(o *outcome) bool { return (o.fault != "") == (j.mutated && !j.harmless) }

// explore walks at random first, which finds most faults in a second, and then searches breadth first.
func explore[S any](b bounds, small, wide []search.Model[S], mutated bool) (o outcome) {
	note := func(m search.Model[S], r search.Result) bool {
		if r.Fault != "" {
			o.fault, o.trace = r.Fault, search.Print(m, r)
		}
		return r.Fault != ""
	}
	walks, limit := b.walks, b.limit
	if mutated {
		walks, limit = b.patience, b.mutationStates
	}
	for _, m := range wide {
		r := search.Walks(m, b.seed, walks)
		o.walks.Walks, o.walks.Steps = o.walks.Walks+r.Walks, o.walks.Steps+r.Steps
		if note(m, r) {
			return o
		}
	}
	for _, m := range small {
		began := clock.System{}.Now()
		r := search.Breadth(m, limit)
		o.breadth = append(o.breadth, measured{r, clock.System{}.Now().Sub(began)})
		if note(m, r) {
			return o
		}
	}
	return o
}

func jobs() (list []job) {
	const design = "the design as described in README.md"
	list = append(list, job{part: "commit", name: "fixed", why: design, run: func(b bounds) outcome {
		return explore(b, commit.Small(nil), commit.Wide(nil), false)
	}})
	for i := range commit.Mutations {
		m := &commit.Mutations[i]
		list = append(list, job{part: "commit", name: m.Name, why: m.Why, mutated: true, harmless: m.Harmless, rare: m.Rare, run: func(b bounds) outcome {
			return explore(b, commit.Small(m), commit.Wide(m), true)
		}})
	}
	list = append(list, job{part: "stages", name: "fixed", why: design, run: func(b bounds) outcome {
		return explore(b, stages.Small(nil), stages.Wide(nil), false)
	}})
	for i := range stages.Mutations {
		m := &stages.Mutations[i]
		list = append(list, job{part: "stages", name: m.Name, why: m.Why, mutated: true, harmless: m.Harmless, rare: m.Rare, run: func(b bounds) outcome {
			return explore(b, stages.Small(m), stages.Wide(m), true)
		}})
	}
	list = append(list, job{part: "generations", name: "fixed", why: design, run: func(b bounds) outcome {
		return explore(b, generations.Small(nil), generations.Wide(nil), false)
	}})
	for i := range generations.Mutations {
		m := &generations.Mutations[i]
		list = append(list, job{part: "generations", name: m.Name, why: m.Why, mutated: true, run: func(b bounds) outcome {
			return explore(b, generations.Small(m), generations.Wide(m), true)
		}})
	}
	list = append(list, job{part: "together", name: "fixed", why: design, run: func(b bounds) outcome {
		return explore(b, together.Small(nil), together.Wide(nil), false)
	}})
	for i := range together.Mutations {
		m := &together.Mutations[i]
		list = append(list, job{part: "together", name: m.Name, why: m.Why, mutated: true, run: func(b bounds) outcome {
			return explore(b, together.Small(m), together.Wide(m), true)
		}})
	}
	return list
}

func main() {
	b := full
	all := flag.Bool("all", false, "explore the fixed designs and every mutation")
	mutation := flag.String("mutation", "", "explore one mutation by name and print its trace")
	list := flag.Bool("list", false, "list the mutations")
	flag.Int64Var(&b.seed, "seed", b.seed, "first seed of the random walks")
	flag.IntVar(&b.walks, "walks", b.walks, "random walks of a fixed design, in each wide model")
	flag.IntVar(&b.limit, "limit", b.limit, "most states of one breadth-first search of a fixed design")
	flag.Parse()
	var chosen []job
	for _, j := range jobs() {
		switch {
		case *list:
			fmt.Fprintf(os.Stdout, "%-11s %-34s %s\n", j.part, j.name, j.why)
		case *all, *mutation == "" && j.name == "fixed", *mutation != "" && j.name == *mutation:
			chosen = append(chosen, j)
		}
	}
	if *list {
		return
	}
	if len(chosen) == 0 {
		fmt.Fprintln(os.Stderr, "no such mutation; -list has their names")
		os.Exit(2)
	}
	began := clock.System{}.Now()
	wrong, states := report(os.Stdout, chosen, runAll(chosen, b))
	fmt.Fprintf(os.Stdout, "%d designs and misreadings, %d wrong, %d states, %.0f s\n", len(chosen), wrong, states, clock.System{}.Now().Sub(began).Seconds())
	if wrong > 0 {
		os.Exit(1)
	}
}

// runAll runs the jobs, one a core.
func runAll(chosen []job, b bounds) []outcome {
	outcomes := make([]outcome, len(chosen))
	var wg sync.WaitGroup
	slots := make(chan struct{}, runtime.NumCPU())
	for i := range chosen {
		slots <- struct{}{}
		wg.Go(func() {
			began := clock.System{}.Now()
			outcomes[i] = chosen[i].run(b)
			outcomes[i].took = clock.System{}.Now().Sub(began)
			<-slots
		})
	}
	wg.Wait()
	return outcomes
}

// report prints the table and, where it helps, the traces.
func report(w io.Writer, chosen []job, outcomes []outcome) (wrong, states int) {
	for i := range chosen {
		j, o := &chosen[i], &outcomes[i]
		verdict, result := "ok", "no fault"
		if !j.passed(o) {
			verdict = "WRONG"
			wrong++
		}
		if o.fault != "" {
			result = o.fault
		}
		fmt.Fprintf(w, "%-5s %-11s %-34s %7d walks %9d steps %4.0f s  %s\n",
			verdict, j.part, j.name, o.walks.Walks, o.walks.Steps, o.took.Seconds(), result)
		for _, r := range o.breadth {
			states += r.States
			if !j.mutated || verdict != "ok" || len(chosen) == 1 {
				fmt.Fprintf(w, "%s breadth first: %9d states, complete=%v, %d done, %.0f s\n", strings.Repeat(" ", 34), r.States, r.Complete, r.Finished, r.took.Seconds())
			}
		}
		if verdict != "ok" || len(chosen) == 1 {
			fmt.Fprint(w, o.trace)
		}
	}
	return wrong, states
}
