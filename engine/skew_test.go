package engine

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// feedSkew gives the table batches of 500 events: producer p's clock is ahead by leads[p], and its records arrive up to two
// seconds after they were made.
func feedSkew(s *skewTable, leads []time.Duration, batches int, from stream.Time) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range batches {
		b := stream.NewBatch(&stream.Schema{})
		for i := range 500 {
			p, at := r.IntN(len(leads)), from.Add(time.Duration(n)*time.Second)
			b.Producer, b.Timestamp = append(b.Producer, uint64(p)), append(b.Timestamp, at)
			b.Time = append(b.Time, at.Add(leads[p]-time.Duration(r.IntN(2000))*time.Millisecond))
			b.Offset = append(b.Offset, int64(500*n+i))
		}
		b.SetLen(500)
		s.look(b)
	}
}

func TestSkewOfProducers(t *testing.T) {
	t.Parallel()
	s := &skewTable{}
	leads := []time.Duration{0, 45 * time.Second, 0, -10 * time.Minute, 0, 0}
	feedSkew(s, leads, 60, stream.Time(time.Hour))
	worst := s.worst()
	if len(worst) != 2 || worst[0].Producer != 3 || worst[1].Producer != 1 {
		t.Fatalf("worst: %v", worst)
	}
	for _, w := range worst {
		if d := leads[w.Producer] - w.Ahead; d < 0 || d > time.Second {
			t.Errorf("producer %d: %v, want %v", w.Producer, w.Ahead, leads[w.Producer])
		}
	}
	// A clock that was set right is forgotten, after a period or two.
	feedSkew(s, make([]time.Duration, len(leads)), 700, stream.Time(2*time.Hour))
	if worst := s.worst(); len(worst) > 0 {
		t.Errorf("still: %v", worst)
	}
}

func TestSkewIsBounded(t *testing.T) {
	t.Parallel()
	s := &skewTable{}
	feedSkew(s, make([]time.Duration, 10*skewProducers), 1000, 0)
	if n := fmt.Sprint(len(s.now) <= skewProducers, len(s.before) <= skewProducers); n != "true true" {
		t.Errorf("it keeps %d and %d producers", len(s.now), len(s.before))
	}
}
