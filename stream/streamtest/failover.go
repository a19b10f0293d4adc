package streamtest

import (
	"maps"
	"slices"
	"time"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/stream"
)

// past is the claim store before a transaction.
type past struct {
	at        time.Time
	rows      map[string]*stream.Checkpoint
	decisions []stream.Decision
	byID      map[string][]byte
	keys      map[string][]byte
	attempts  map[string]int
	entries   map[string]journalEntry
	claimed   int // length of claimed
}

// remembered is how many transactions a fail-over may lose.
const remembered = 20

// remember keeps the claim store as it is before a transaction. It must be called with the lock held.
func (w *World) remember() {
	if !w.Forgetful {
		return
	}
	p := past{
		at: clock.System{}.Now(), rows: map[string]*stream.Checkpoint{}, decisions: slices.Clone(w.mu.decisions), byID: maps.Clone(w.mu.byID),
		keys: maps.Clone(w.mu.keys), attempts: maps.Clone(w.mu.journal.attempts), entries: maps.Clone(w.mu.journal.entries), claimed: len(w.mu.claimed),
	}
	for task, row := range w.mu.rows {
		copied := *row
		p.rows[task] = &copied
	}
	w.mu.past = append(w.mu.past, p)
	w.mu.past = w.mu.past[max(len(w.mu.past)-remembered, 0):]
}

// FailOver takes the claim store to a new timeline, on which the last transactions are unknown, but for those that are
// older than within. It returns how many were lost. The world must be Forgetful.
func (w *World) FailOver(lose int, within time.Duration) (lost int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.timeline++
	oldest := clock.System{}.Now().Add(-within)
	for lost < lose && lost < len(w.mu.past) && w.mu.past[len(w.mu.past)-1-lost].at.After(oldest) {
		lost++
	}
	if lost > 0 {
		p := w.mu.past[len(w.mu.past)-lost]
		w.mu.rows, w.mu.decisions, w.mu.byID, w.mu.keys = p.rows, p.decisions, p.byID, p.keys
		w.mu.journal.attempts, w.mu.journal.entries = p.attempts, p.entries
		w.mu.claimed = w.mu.claimed[:p.claimed:p.claimed]
	}
	w.mu.past = nil
	return lost
}

// Claimed lists the claims that were won and not lost by a fail-over, in order. The world must be Forgetful.
func (w *World) Claimed() []*stream.Checkpoint {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.mu.claimed)
}
