package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// point is a place of the fault layer (cmd/tidewatch/faults.go), and how many times it may be passed before something happens.
type point struct {
	name string
	most int
}

// The points of the task loop and of every step of the commit protocol.
var (
	loopPoints     = []point{{"read", 400}, {"write.redis", 200}, {"write.raw", 100}, {"write.rollups", 100}, {"write.topic", 20}, {"partials", 300}, {"deadletter.write", 20}}
	takeoverPoints = []point{{"gain", 1}, {"takeover", 14}, {"list", 14}, {"get", 12}, {"open", 14}, {"replay", 20}, {"close", 2}}
	stepPoints     = []point{
		{"capture.redis", 60},
		{"capture.raw", 6},
		{"capture.rollups", 60},
		{"flush", 100},
		{"stage.redis", 60},
		{"stage.raw", 4},
		{"stage.rollups", 20},
		{"stage.topic", 30},
		{"deadletter.flush", 60},
		{"put.staged", 4},
		{"put.snapshot", 20},
		{"claim", 60},
		{"current", 2},
		{"copy", 4},
		{"reveal.raw", 3},
		{"reveal.rollups", 2},
		{"reveal.redis", 10},
		{"marks", 150},
	}
)

func allPoints() []point {
	var all []point
	for _, list := range [][]point{loopPoints, takeoverPoints, stepPoints} {
		all = append(all, list...)
	}
	return all
}

// pick draws a fault at one of the points.
func pick(rng *rand.Rand, points []point, kind string) string {
	p := points[rng.IntN(len(points))]
	side := []string{"before", "after"}[rng.IntN(2)]
	if strings.HasPrefix(p.name, "capture.") {
		return fmt.Sprintf("%s:%d=%s", p.name, 1+rng.IntN(p.most), kind)
	}
	return fmt.Sprintf("%s.%s:%d=%s", p.name, side, 1+rng.IntN(p.most), kind)
}

// failing are the points at which a failed call is tried again.
func failing() []point {
	return slices.DeleteFunc(allPoints(), func(p point) bool {
		return p.name == "gain" || p.name == "close" || strings.HasPrefix(p.name, "capture.")
	})
}

// deaths draws n lives that end at points.
func deaths(rng *rand.Rand, n int, points []point) (lives []life) {
	for range n {
		lives = append(lives, life{faults: pick(rng, points, "kill"), limit: 1500*time.Millisecond + time.Duration(rng.Int64N(int64(1500*time.Millisecond)))})
	}
	return lives
}
