package main

import (
	"testing"
	"time"
)

func TestDemosAreExplained(t *testing.T) {
	for _, again := range []bool{false, true} {
		seen := map[string]bool{}
		for _, d := range demos {
			if text := demoText(d, again); seen[text] {
				t.Errorf("%s has no text of its own", d)
			} else {
				seen[text] = true
			}
		}
	}
	if trailPause < time.Second {
		t.Error("rounds of the trail follow too soon")
	}
}
