package kafka

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/tidewatch/tidewatch/internal/kafkaclient"
)

// parking holds the feeds whose fetch has failed, until the cluster was asked again.
type parking struct {
	wake chan struct{}
	mu   struct {
		sync.Mutex
		feeds []*feed
	}
}

func newParking() parking { return parking{wake: make(chan struct{}, 1)} }

const (
	parkedFor = 100 * time.Millisecond
	// patience is the failures after which what should pass by itself is reported as final: a topic that the cluster does not
	// know (which is so for a moment after its creation), a block whose checksum differs, an offset that is in range
	// and refused.
	patience = 50
)

var errNoLeader = errors.New("the partition has no leader now")

// park takes a busy feed whose fetch has failed.
func (s *Source) park(f *feed, reason error) {
	f.fetching.reason = reason
	s.parking.mu.Lock()
	s.parking.mu.feeds = append(s.parking.mu.feeds, f)
	s.parking.mu.Unlock()
	select {
	case s.parking.wake <- struct{}{}:
	default:
	}
}

// tend asks the cluster about the topics of parked feeds, and sends the feeds on or ends them. An outage is logged once.
func (s *Source) tend(ctx context.Context) {
	out := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.parking.wake:
		case <-s.recovered(out):
			out = false
			s.cfg.Log.Info("fetching again")
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-s.cfg.Clock.After(parkedFor):
		}
		s.parking.mu.Lock()
		feeds := s.parking.mu.feeds
		s.parking.mu.feeds = nil
		s.parking.mu.Unlock()
		if !out && lasting(feeds) {
			out = true
			s.cfg.Log.Warn("fetching is interrupted; trying again", "partitions", len(feeds), "error", feeds[0].fetching.reason)
		}
		s.resolve(ctx, feeds)
	}
}

// recovered fires when nothing was parked for a while after an outage.
func (s *Source) recovered(out bool) <-chan time.Time {
	if !out {
		return nil
	}
	return s.cfg.Clock.After(5 * parkedFor)
}

// lasting says whether a feed has failed twice in a row: a single failure is what a leader's change looks like.
func lasting(feeds []*feed) bool {
	for _, f := range feeds {
		if f.fetching.tries > 0 {
			return true
		}
	}
	return false
}

func (s *Source) resolve(ctx context.Context, feeds []*feed) {
	var names []string
	seen := map[string]int{}
	for _, f := range feeds {
		if _, ok := seen[f.p.id.Topic]; !ok {
			seen[f.p.id.Topic] = len(names)
			names = append(names, f.p.id.Topic)
		}
	}
	topics, err := s.ask(ctx, names)
	if ctx.Err() != nil {
		return
	}
	for _, f := range feeds {
		f.fetching.tries++
		switch {
		case f.p.abandoned(f):
		case err != nil && kafkaclient.Denied(err):
			f.p.fail(f, explainDenied(f.p.id, err))
		case err != nil:
			s.park(f, f.fetching.reason)
		default:
			s.decide(ctx, f, &topics[seen[f.p.id.Topic]])
		}
	}
}

// askFor bounds one question about parked feeds, so that an outage is reported soon.
const askFor = 2 * time.Second

func (s *Source) ask(ctx context.Context, names []string) ([]topic, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	return s.topology.refresh(ctx, names...)
}

// decide sends a parked feed on, keeps it parked, or ends it.
func (s *Source) decide(ctx context.Context, f *feed, t *topic) {
	reason, impatient := f.fetching.reason, f.fetching.tries >= s.patience
	if err := checkTopic(f.p.id, t); err != nil {
		if unsettled(f.p.id, t) && !impatient {
			s.park(f, reason)
			return
		}
		f.p.fail(f, err)
		return
	}
	switch {
	case kafkaclient.Denied(reason):
		f.p.fail(f, explainDenied(f.p.id, reason))
		return
	case errors.Is(reason, kerr.OffsetOutOfRange):
		start, end, err := s.offsets(ctx, f.p.id)
		if next := f.fetching.next; err == nil && (next < start || next > end || impatient) {
			f.p.fail(f, explainRange(f.p.id, next, start, end))
			return
		}
		f.fetching.epoch = -1 // the broker may not know so old an epoch any more
	case errors.Is(reason, errDamaged), errors.Is(reason, errFormat), impatient && isStubborn(reason):
		f.p.fail(f, explainFetch(f, reason))
		return
	}
	if s.topology.leader(f.p) < 0 {
		s.park(f, errNoLeader)
		return
	}
	s.dispatch(f)
}
