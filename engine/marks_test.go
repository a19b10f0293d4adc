package engine

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/stream"
)

// brute is the rule of frontMarker without its tricks: all records are kept.
type brute struct {
	times     []stream.Time
	producers []uint64
	front     stream.Time
}

func (b *brute) add(t stream.Time, p uint64, maxJump time.Duration) {
	b.times, b.producers = append(b.times, t), append(b.producers, p)
	if b.front == stream.NoTime || t > b.front && t.Sub(b.front) <= maxJump {
		b.front = t
		return
	}
	if t <= b.front {
		return
	}
	var ahead []stream.Time
	aheadBy, allBy := map[uint64]bool{}, map[uint64]bool{}
	last := max(len(b.times)-witnessWindow, 0)
	for i := len(b.times) - 1; i >= last; i-- {
		allBy[b.producers[i]] = true
		if b.times[i].Sub(b.front) > maxJump {
			if len(ahead) < witnessCount || len(aheadBy) < 2 {
				aheadBy[b.producers[i]] = true
				ahead = append(ahead, b.times[i])
			}
			aheadBy[b.producers[i]] = true
		}
	}
	if len(ahead) < witnessCount || len(allBy) >= 2 && len(aheadBy) < 2 {
		return
	}
	for i, x := range ahead {
		if i == 0 || x < b.front {
			b.front = x
		}
	}
}

// TestMarksFollowTheRule: the marks that events carry are those of the rule, however the rows are cut, and also after a
// snapshot and restore in between.
func TestMarksFollowTheRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const maxJump, disorder = 60, 5
		m := newFrontMarker(Time{OutOfOrder: disorder, MaxJump: maxJump})
		want := &brute{front: stream.NoTime}
		now := stream.Time(1000)
		for range rapid.IntRange(1, 12).Draw(t, "batches") {
			b := stream.NewBatch(&stream.Schema{})
			var marks []stream.Time
			for range rapid.IntRange(1, 30).Draw(t, "rows") {
				now += stream.Time(rapid.Int64Range(0, 20).Draw(t, "step"))
				at := now
				switch rapid.IntRange(0, 9).Draw(t, "kind") {
				case 0:
					at += stream.Time(rapid.SampledFrom([]int64{61, 500, 9000}).Draw(t, "ahead"))
				case 1:
					at -= stream.Time(rapid.Int64Range(0, 300).Draw(t, "behind"))
				}
				b.Time, b.Producer = append(b.Time, at), append(b.Producer, rapid.Uint64Range(1, 3).Draw(t, "producer"))
				b.SetLen(b.Len() + 1)
				marks = append(marks, want.front.Add(-disorder))
				want.add(at, b.Producer[b.Len()-1], maxJump)
			}
			for row := 0; row < b.Len(); {
				row = m.Fold(b, row, stream.MaxTime, stream.MaxTime)
			}
			if fmt.Sprint(b.Mark) != fmt.Sprint(marks) {
				t.Fatalf("times %v: marks %v, want %v", b.Time, b.Mark, marks)
			}
			m = restored(t, m, disorder, maxJump)
		}
	})
}

func restored(t *rapid.T, m *frontMarker, disorder, maxJump time.Duration) *frontMarker {
	w := stream.NewStateWriter()
	if err := m.Snapshot(w); err != nil {
		t.Fatal(err)
	}
	r, err := stream.NewStateReader(w.Finish())
	if err != nil {
		t.Fatal(err)
	}
	n := newFrontMarker(Time{OutOfOrder: disorder, MaxJump: maxJump})
	if err := n.Restore(r); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestFutureTimestamps: a table of who may move the mark.
func TestFutureTimestamps(t *testing.T) {
	record := func(n int, at time.Duration, producer uint64) (times []stream.Time, producers []uint64) {
		for range n {
			times, producers = append(times, stream.Time(at)), append(producers, producer)
		}
		return times, producers
	}
	hour := 3 * time.Hour
	for _, tc := range []struct {
		name    string
		records int
		ahead   []uint64 // producers of the records ahead
		want    time.Duration
	}{
		{"one record far ahead moves nothing", 20, []uint64{1}, 0},
		{"seven of two producers move nothing", 20, []uint64{1, 2, 1, 2, 1, 2, 1}, 0},
		{"eight of one producer move nothing where there are two", 20, []uint64{1, 1, 1, 1, 1, 1, 1, 1}, 0},
		{"eight of two producers move it", 20, []uint64{1, 1, 1, 1, 1, 1, 1, 2}, hour},
	} {
		m := newFrontMarker(Time{MaxJump: time.Minute})
		b := stream.NewBatch(&stream.Schema{})
		b.Time, b.Producer = record(tc.records, 0, 1)
		b.Producer[3] = 2
		for _, p := range tc.ahead {
			b.Time, b.Producer = append(b.Time, stream.Time(hour)), append(b.Producer, p)
		}
		b.SetLen(len(b.Time))
		for row := 0; row < b.Len(); {
			row = m.Fold(b, row, stream.MaxTime, stream.MaxTime)
		}
		if mark, _ := m.Marks(); mark != stream.Time(tc.want) {
			t.Errorf("%s: the mark is at %s, want %s", tc.name, time.Duration(mark), tc.want)
		}
	}
}

// TestIdleTicks: a tick moves the progress; what is late it moves only beyond the grace.
func TestIdleTicks(t *testing.T) {
	m := newFrontMarker(Time{MaxJump: time.Minute, Lateness: 2 * time.Minute})
	m.Tick(stream.Time(time.Hour))
	mark, record := m.Marks()
	if mark != stream.Time(time.Hour) || record != stream.Time(time.Hour-20*time.Minute) {
		t.Errorf("marks %s and %s", mark, record)
	}
}
