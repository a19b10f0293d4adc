package main

import (
	"testing"
	"time"
)

func TestDemosAreExplained(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range demos {
		if text := demoText(d); seen[text] {
			t.Errorf("%s has no text of its own", d)
		} else {
			seen[text] = true
		}
	}
	if trailPause < time.Second {
		t.Error("rounds of the trail follow too soon")
	}
}
