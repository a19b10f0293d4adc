package redis

import (
	"context"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/stream"
)

func version(offset int64) stream.Version { return stream.Version{Offset: offset} }

func TestMarkWaitsForWhatWasWritten(t *testing.T) {
	var p progress
	p.stage(version(10), 3)
	p.reveal(receipt{version(10), 100})
	if m, ok := p.due(2); ok {
		t.Fatal(m, "before the third block is acknowledged")
	}
	p.stage(version(20), 3)
	p.reveal(receipt{version(20), 200})
	if m, ok := p.due(3); !ok || m != 200 {
		t.Fatal(m, ok)
	}
	if m, ok := p.due(3); ok {
		t.Fatal(m, "twice")
	}
}

// Receipts of the row are revealed while the task still replays: they wait for its arrival.
func TestMarkWaitsForTheReplay(t *testing.T) {
	var p progress
	p.reveal(receipt{version(9), 90})
	p.reveal(receipt{version(10), 100})
	if m, ok := p.due(5); ok {
		t.Fatal(m, "before the arrival")
	}
	p.stage(version(10), 7)
	if m, ok := p.due(6); ok {
		t.Fatal(m, "before what the replay wrote is acknowledged")
	}
	if m, ok := p.due(7); !ok || m != 100 {
		t.Fatal(m, ok)
	}
	p.reveal(receipt{version(9), 90}) // carried once more
	if m, ok := p.due(7); !ok || m != 90 {
		t.Fatal(m, ok)
	}
}

// However epochs are staged, revealed and acknowledged: a mark is never told before everything written before its stage is
// acknowledged, and in the end the last mark is told.
func TestProgressHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p progress
		var epochs []staged // of this life
		var written, acknowledged uint64
		revealed, told := 0, stream.Time(0)
		check := func() {
			m, ok := p.due(acknowledged)
			if !ok {
				return
			}
			told = max(told, m)
			if e := epochs[m-1]; e.number > acknowledged {
				t.Fatalf("mark %d is told at block %d, its stage was at %d", m, acknowledged, e.number)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"write": func(*rapid.T) { written++ },
			"stage": func(*rapid.T) {
				epochs = append(epochs, staged{version(int64(len(epochs) + 1)), written})
				p.stage(epochs[len(epochs)-1].at, written)
			},
			"reveal": func(t *rapid.T) {
				if revealed == len(epochs) {
					t.Skip("nothing is staged")
				}
				revealed += rapid.IntRange(1, len(epochs)-revealed).Draw(t, "epochs") // some have no receipt
				p.reveal(receipt{epochs[revealed-1].at, stream.Time(revealed)})
			},
			"acknowledge": func(t *rapid.T) {
				acknowledged = rapid.Uint64Range(acknowledged, written).Draw(t, "to")
				check()
			},
		})
		acknowledged = written
		check()
		if told != stream.Time(revealed) {
			t.Fatalf("told %d of %d", told, revealed)
		}
		if p.waits() {
			t.Fatal("something is left")
		}
	})
}

func TestProgressIsBounded(t *testing.T) {
	var p progress
	for i := range 1000 {
		p.stage(version(int64(i)), uint64(i))
		if i%2 == 0 {
			p.reveal(receipt{version(int64(i)), stream.Time(i)})
		}
	}
	for range 1000 {
		p.reveal(receipt{version(5000), 5000})
	}
	if len(p.mu.stages) > maxProgress || len(p.mu.revealed) > maxProgress || len(p.mu.ready) > maxProgress {
		t.Fatal(len(p.mu.stages), len(p.mu.revealed), len(p.mu.ready))
	}
	if m, ok := p.due(1000); !ok || m != 998 {
		t.Fatal(m, ok)
	}
}

// The queue hands everything out in order, a newer block in the place of an older one, and never holds more than allowed.
func TestQueueHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(20, 200).Draw(t, "limit")
		q := newQueue(limit)
		var flying []*block
		newest, taken, last := map[place]string{}, map[place]string{}, 0
		finish := func() {
			for _, b := range flying {
				if old := taken[b.at]; old > string(b.bytes) {
					t.Fatalf("%v goes back from %q to %q", b.at, old, b.bytes)
				}
				taken[b.at] = string(b.bytes)
			}
			q.done(flying)
			flying = flying[:0]
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				w := window(rapid.IntRange(0, 2).Draw(t, "window"))
				slot := uint8(rapid.IntRange(0, 3).Draw(t, "slot"))
				last += rapid.IntRange(0, 2).Draw(t, "version") // an owner never goes back
				bytes := fmt.Sprintf("%012d%s", last, "rows and more"[:last%13])
				at := place{w.Start, slot}
				before := q.newest()
				done := q.try(block{at: at, window: w, bytes: []byte(bytes)})
				if _, bytesHeld := q.load(); !done && bytesHeld+len(bytes) <= limit {
					t.Fatal("it is refused, though there is room")
				}
				if done {
					newest[at] = bytes
				}
				if q.newest() > before+1 {
					t.Fatal("a number is left out")
				}
			},
			"take": func(t *rapid.T) {
				if len(flying) == 0 {
					flying = q.take(flying, rapid.IntRange(1, 100).Draw(t, "size"))
				}
				for i := 1; i < len(flying); i++ {
					if flying[i].number != flying[i-1].number+1 {
						t.Fatal("out of order")
					}
				}
			},
			"done": func(*rapid.T) { finish() },
			"": func(t *rapid.T) {
				acknowledged := q.acknowledged()
				blocks, bytes := q.load()
				if want := q.newest() - uint64(blocks+len(flying)); acknowledged != want {
					t.Fatalf("acknowledged %d, want %d", acknowledged, want)
				}
				if bytes > limit+25 { // one may grow in its place
					t.Fatalf("%d bytes of %d", bytes, limit)
				}
			},
		})
		finish()
		for flying = q.take(flying, 1000); len(flying) > 0; flying = q.take(flying, 1000) {
			finish()
		}
		for at, bytes := range newest {
			if taken[at] != bytes {
				t.Fatalf("%v: %q was taken, the newest is %q", at, taken[at], bytes)
			}
		}
		if blocks, bytes := q.load(); blocks != 0 || bytes != 0 || len(q.mu.unsent) != 0 {
			t.Fatal(blocks, bytes)
		}
	})
}

func TestPutEndsWithItsContext(t *testing.T) {
	q := newQueue(10)
	ctx, cancel := context.WithCancel(context.Background())
	if err := q.put(ctx, block{at: place{at(0), 0}, window: window(0), bytes: make([]byte, 100)}); err != nil { // alone it may be of any size
		t.Fatal(err)
	}
	cancel()
	if err := q.put(ctx, block{at: place{at(0), 1}, window: window(0), bytes: make([]byte, 100)}); err == nil {
		t.Fatal("it was taken beyond the limit")
	}
}
