package engine

import (
	"cmp"
	"slices"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// The clocks of producers differ from the broker's. A record cannot be older than the moment it was made, so the largest
// lead of a producer's event times over the broker's timestamps tells how far its clock is ahead at least; if even the
// largest is far below zero, the clock is behind, or everything is delayed. Marks are safe from both (marks.go), but people
// must know. Some rows of each batch are looked at; nothing that is computed depends on it.

const (
	skewProducers = 1024            // that are kept apart; more are not measured
	skewPeriod    = 5 * time.Minute // of the broker's time, after which an old lead is forgotten
	skewShown     = 3
	skewMatters   = time.Second
)

// ProducerSkew is how far the clock of a producer is from the broker's.
type ProducerSkew struct {
	Producer uint64        // hash of its name (stream.HashProducer), 0 for records without one
	Ahead    time.Duration // at least, if positive; negative: behind by so much, or delayed
	Offset   int64         // of a record that shows it
}

// skewTable belongs to the goroutine of its task.
type skewTable struct {
	now, before map[uint64]ProducerSkew // of this period and of the last one
	began       stream.Time             // of this period
	turn        int
}

// look takes some rows of a batch of events, other ones each time.
func (s *skewTable) look(b *stream.Batch) {
	n := b.Len()
	if len(b.Producer) < n || len(b.Timestamp) < n || n == 0 {
		return
	}
	if at := b.Timestamp[n-1]; s.now == nil || at.Sub(s.began) > skewPeriod {
		s.before, s.now, s.began = s.now, map[uint64]ProducerSkew{}, at
	}
	lo := 0
	if n > keyRows {
		s.turn++
		lo = s.turn * keyRows % (n - keyRows + 1)
	}
	for i := lo; i < min(lo+keyRows, n); i++ {
		seen := ProducerSkew{b.Producer[i], b.Time[i].Sub(b.Timestamp[i]), b.Offset[i]}
		old, known := s.now[seen.Producer]
		if known && old.Ahead >= seen.Ahead || !known && len(s.now) == skewProducers {
			continue
		}
		s.now[seen.Producer] = seen
	}
}

// worst lists the producers whose clocks differ most, of those whose difference matters.
func (s *skewTable) worst() (list []ProducerSkew) {
	for producer, now := range s.now {
		if before, ok := s.before[producer]; ok && before.Ahead > now.Ahead {
			now = before
		}
		if now.Ahead.Abs() >= skewMatters {
			list = append(list, now)
		}
	}
	slices.SortFunc(list, func(a, b ProducerSkew) int {
		return cmp.Or(cmp.Compare(b.Ahead.Abs(), a.Ahead.Abs()), cmp.Compare(a.Producer, b.Producer))
	})
	return list[:min(len(list), skewShown)]
}
