package engine

import (
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// TestAnEpochEndsWithManyDecisions: in a storm of alerts it does not wait for its interval.
func TestAnEpochEndsWithManyDecisions(t *testing.T) {
	c := &chain{decisions: make([]stream.Decision, maxDecisions-1)}
	if c.full() {
		t.Errorf("%d decisions end an epoch", len(c.decisions))
	}
	if c.decisions = append(c.decisions, stream.Decision{}); !c.full() {
		t.Errorf("%d decisions do not end an epoch", len(c.decisions))
	}
}
