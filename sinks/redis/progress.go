package redis

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/tidewatch/tidewatch/stream"
)

// receipt is what Reveal is told.
type receipt struct {
	At   stream.Version `json:"at"`
	Mark stream.Time    `json:"mark"`
}

func (r receipt) encode() (stream.Receipt, error) {
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode receipt: %w", err)
	}
	return raw, nil
}

func decodeReceipt(raw stream.Receipt) (receipt, error) {
	var r receipt
	if err := json.Unmarshal(raw, &r); err != nil {
		return r, fmt.Errorf("read receipt %s: %w", raw, err)
	}
	return r, nil
}

// progress decides when complete_through may be written: a mark that was revealed for a version waits for the first Stage
// at that version or a later one (in a replay that is the arrival), and then until everything is acknowledged that had
// been written before that Stage. Safe for concurrent use.
type progress struct {
	mu struct {
		sync.Mutex
		stages   []staged  // ascending
		revealed []receipt // waiting for a stage, ascending
		ready    []mark    // waiting for an acknowledgement, ascending
	}
}

type staged struct {
	at     stream.Version
	number uint64 // of the newest block
}

type mark struct {
	number uint64
	mark   stream.Time
}

// maxProgress bounds the lists while Redis is away or nothing is revealed. Where an older entry is dropped, what waited for
// it waits for a later one.
const maxProgress = 64

func (p *progress) stage(at stream.Version, number uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.stages = bounded(append(p.mu.stages, staged{at, number}))
	p.match()
}

func (p *progress) reveal(r receipt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.revealed = bounded(append(p.mu.revealed, r))
	p.match()
}

// match needs the lock.
func (p *progress) match() {
	p.mu.revealed = slices.DeleteFunc(p.mu.revealed, func(r receipt) bool {
		i := slices.IndexFunc(p.mu.stages, func(s staged) bool { return s.at.Compare(r.At) >= 0 })
		if i < 0 {
			return false
		}
		p.mu.ready = bounded(append(p.mu.ready, mark{p.mu.stages[i].number, r.Mark}))
		p.mu.stages = slices.Delete(p.mu.stages, 0, i)
		return true
	})
}

// due takes the highest mark that may be written once everything up to the block with that number is acknowledged.
func (p *progress) due(acknowledged uint64) (highest stream.Time, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	highest = stream.NoTime
	p.mu.ready = slices.DeleteFunc(p.mu.ready, func(m mark) bool {
		if m.number > acknowledged {
			return false
		}
		highest, ok = max(highest, m.mark), true
		return true
	})
	return highest, ok
}

// waits reports whether a mark waits for an acknowledgement.
func (p *progress) waits() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.mu.ready) > 0
}

func bounded[T any](list []T) []T {
	if len(list) > maxProgress {
		return slices.Delete(list, 0, len(list)-maxProgress)
	}
	return list
}
