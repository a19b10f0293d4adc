package streamtest

import (
	"math/rand/v2"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// Feed makes steps of a partition's events: it folds the progress over them as the engine does, tells of it where it crosses
// the grids, and lets the partition be idle now and then.
type Feed struct {
	Grids    stream.Grids
	Disorder time.Duration // how far the mark stays behind the highest event time
	// Grace is how long an idle partition is not final: the records' mark stays so far behind a tick. 0: no ticks.
	Grace time.Duration
}

// Steps takes events with their times and values, in the order of the log, and gives them offsets and marks. Offsets have
// gaps at random.
func (f Feed) Steps(rng *rand.Rand, events *stream.Batch) []OperatorStep {
	s := &feeding{Feed: f, rng: rng, front: stream.NoTime, tick: stream.NoTime, mark: stream.NoTime, record: stream.NoTime}
	s.eager = rng.IntN(2) == 0
	events.Mark, events.Offset = make([]stream.Time, events.Len()), make([]int64, events.Len())
	lo := 0
	flush := func(hi int) {
		if hi > lo {
			rows := stream.NewBatch(events.Schema)
			copyRows(rows, events, lo, hi)
			s.steps, lo = append(s.steps, OperatorStep{Rows: rows}), hi
		}
	}
	for i, at := range events.Time {
		events.Mark[i], events.Offset[i] = s.record, s.at.Offset+int64(max(rng.IntN(6)-4, 0))
		s.at.Offset = events.Offset[i] + 1
		s.front = max(s.front, at)
		if s.crosses() {
			flush(i + 1)
			s.tell(false)
		}
		if f.Grace > 0 && rng.IntN(12) == 0 && s.idle() {
			flush(i + 1)
			s.at.Step++
			s.progress()
			s.tell(true)
		}
	}
	flush(events.Len())
	return s.steps
}

// feeding is the state of one partition.
type feeding struct {
	Feed
	rng          *rand.Rand
	steps        []OperatorStep
	at           stream.Version
	front, tick  stream.Time
	mark, record stream.Time
	eager        bool // tells also when the mark becomes known; the contract allows both
}

// progress computes the marks anew.
func (s *feeding) progress() {
	s.record = max(s.front.Add(-s.Disorder), s.tick.Add(-s.Grace))
	s.mark = max(s.record, s.tick)
}

// crosses moves the marks behind a record, and reports whether operators must be told.
func (s *feeding) crosses() bool {
	mark, record := s.mark, s.record
	s.progress()
	if len(s.Grids) == 0 {
		return s.rng.IntN(3) == 0
	}
	return s.mark >= s.Grids.Next(mark) || s.record >= s.Grids.Next(record) || s.eager && mark == stream.NoTime
}

// idle lets time pass without records, and reports whether that crosses a point of the grid.
func (s *feeding) idle() bool {
	to := s.mark.Add(time.Duration(s.rng.Int64N(int64(3 * s.Grace))))
	if to < s.Grids.Next(s.mark) {
		return false
	}
	s.tick = max(s.tick, to)
	return true
}

func (s *feeding) tell(provisional bool) {
	to := stream.Advance{Mark: s.mark, RecordMark: s.record, At: s.at, Provisional: provisional}
	s.steps = append(s.steps, OperatorStep{To: &to})
}
