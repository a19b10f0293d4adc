package engine_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/stream"
)

// TestCrashesWithDeltas: what a large state comes from, when it lies in several objects, is the log alone, though lives die between
// the steps of a snapshot, old objects are collected all the time, and the newest slice is damaged now and then. The fake object
// store sees every deletion of an object that a row names.
func TestCrashesWithDeltas(t *testing.T) {
	n := 100
	if *histories > 0 {
		n = *histories
	}
	deltas, flips := 0, 0
	for seed := *firstSeed; seed < *firstSeed+n; seed++ {
		synctest.Test(t, func(t *testing.T) {
			h := newHistory(uint64(seed))
			h.slow, h.long = true, true
			for at := h.events[len(h.events)-1].at; len(h.events) < 200; {
				at += time.Duration(h.rng.IntN(3000)) * time.Millisecond
				h.events = append(h.events, event{at: at, key: "d"})
			}
			seen := &ballastLog{before: map[int64]int64{}}
			h.plan.Stages[0].NewSteps = func(engine.TaskContext) ([]engine.Step, error) {
				return []engine.Step{{Name: "ballast", Operator: newBallast(seen)}, {Name: "counts", Operator: newCounter()}}, nil
			}
			h.between = func() {
				rec := h.record(t)
				if rec == nil {
					return
				}
				if slices := rec.Snapshot.Slices; len(slices) > 1 {
					deltas++
				}
				if rec.Previous != nil && h.rng.IntN(4) == 0 {
					newest := rec.Snapshot.Slices[len(rec.Snapshot.Slices)-1]
					h.world.Flip(newest.Object, h.rng.IntN(8*int(newest.Size)))
					flips++
				}
			}
			h.run(t)
			if diff := h.check(); diff != "" {
				t.Fatalf("seed %d (run with -seed %d -histories 1): %s", seed, seed, diff)
			}
			if seen.diff != "" {
				t.Fatalf("seed %d: %s", seed, seen.diff)
			}
		})
		if t.Failed() {
			return
		}
	}
	if n >= 100 && (deltas < 10 || flips < 10) {
		t.Errorf("the histories test too little: %d lives began with deltas, %d with a flipped bit", deltas, flips)
	}
}

// record is what the task's row says.
func (h *history) record(t *testing.T) *stream.Record {
	t.Helper()
	row := h.world.Row(h.task)
	if row == nil || row.Epoch == 0 {
		return nil
	}
	rec := &stream.Record{}
	if err := json.Unmarshal(row.Record, rec); err != nil {
		t.Fatal(err)
	}
	return rec
}

// ballast is an operator with a large state of which an event changes a small part. What that part was before is compared with
// what any other life has found at the same offset.
type ballast struct {
	seen    *ballastLog
	columns [ballastColumns][]int64
	sum     int64 // over all events
}

const (
	ballastColumns = 60
	ballastRows    = 1 << 10
)

type ballastLog struct {
	mu     sync.Mutex
	before map[int64]int64 // by offset
	diff   string
}

func newBallast(seen *ballastLog) *ballast {
	b := &ballast{seen: seen}
	for i := range b.columns {
		b.columns[i] = make([]int64, ballastRows)
		b.columns[i][0] = int64(i)
	}
	return b
}

func (b *ballast) Process(in *stream.Batch, out stream.Emitter) error {
	for _, offset := range in.Offset {
		column := b.columns[offset%ballastColumns]
		before := b.sum
		for i, v := range column {
			before = before*31 + v*int64(i+1)
		}
		b.sum = b.sum*17 + offset
		for i := range column {
			column[i] = b.sum + int64(i)
		}
		b.seen.note(offset, before)
	}
	return out.Emit(in)
}

func (l *ballastLog) note(offset, before int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old, ok := l.before[offset]; ok && old != before {
		l.diff = fmt.Sprintf("before offset %d the state was %d, and %d in another life", offset, old, before)
	}
	l.before[offset] = before
}

func (b *ballast) Advance(stream.Advance, stream.Emitter) error { return nil }

func (b *ballast) Snapshot(w *stream.StateWriter) error {
	w.Section("ballast", 1)
	w.Int(b.sum)
	for _, c := range b.columns {
		w.Ints(c)
	}
	return nil
}

func (b *ballast) Restore(r *stream.StateReader) error {
	r.Section("ballast")
	b.sum = r.Int()
	for i := range b.columns {
		b.columns[i] = r.Ints()
	}
	return r.Err()
}
