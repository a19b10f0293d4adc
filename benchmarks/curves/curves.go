package main

import (
	"fmt"
	"runtime"
	"time"

	"github.com/tidewatch/tidewatch/benchmarks/drain"
)

// curve is a thing of the workload that changes, while all others stay.
type curve struct {
	name, title string // title is what the horizontal axis says
	values      []int64
	set         func(p *point, x int64)
	needs       func(x, events int64) bool // nil: any number of events will do
}

// point is one value of a curve.
type point struct {
	x         int64
	load      drain.Load
	env       []string
	pipelines int
}

// sameEvents says that one topic serves both.
func (p *point) sameEvents(q *point) bool {
	a, b := p.load, q.load
	a.Topic, a.Lateness = b.Topic, b.Lateness
	return a == b
}

const (
	window      = 10 * time.Second // of the workload
	mostWindows = 60
)

func curves() []curve {
	return []curve{
		{
			name: "partitions", title: "partitions of the topic", values: []int64{1, 2, 4, 8, 16, 32, 64},
			set: func(p *point, x int64) { p.load.Partitions = int32(x) },
		},
		{
			name: "keys", title: "keys in the topic", values: []int64{1_000, 10_000, 100_000, 1_000_000, 5_000_000},
			set:   func(p *point, x int64) { p.load.Keys = int(x) },
			needs: func(x, events int64) bool { return x <= events },
		},
		{
			name: "windows", title: "windows open at a time", values: []int64{1, 2, 5, 10, 20, 40, mostWindows},
			set: openWindows,
		},
		{
			name: "cores", title: "cores (GOMAXPROCS)", values: powers(int64(runtime.NumCPU())),
			set: func(p *point, x int64) { p.env = []string{fmt.Sprintf("GOMAXPROCS=%d", x)} },
		},
		{
			name: "pipelines", title: "pipelines that read the same topic", values: powers(8),
			set: func(p *point, x int64) { p.pipelines = int(x) },
		},
	}
}

// openWindows keeps x windows open by the allowed lateness. All points read the same events: twice as many windows as may be
// open, and, as in W2, five events for each row.
func openWindows(p *point, x int64) {
	const windows, perRow = 2 * mostWindows, 5
	p.load.Lateness = time.Duration(x-1) * window
	p.load.PerSecond = int(max(p.load.Events/int64(windows*window/time.Second), 1))
	p.load.Keys = int(max(p.load.Events/(windows*perRow), 1))
}

// powers are those of two up to n.
func powers(n int64) (all []int64) {
	for x := int64(1); x <= n; x *= 2 {
		all = append(all, x)
	}
	return all
}

func names() (all []string) {
	for _, c := range curves() {
		all = append(all, c.name)
	}
	return all
}
