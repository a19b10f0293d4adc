package redis

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tidewatch/tidewatch/stream"
)

// Notice tells that an output has changed.
type Notice struct {
	Change int64 // grows by one with every change
	// Windows are the starts of the windows that have changed.
	Windows []stream.Time
	// Gap says that notices were missed before this one: read everything again. The first notice of a subscription and the
	// first after Redis was away are gaps.
	Gap bool
}

// Subscribe calls f with every change of the output from now on, until ctx is done, and returns its cause. It reconnects
// when Redis was away. f is never called twice at once; while it runs, notices wait in the connection. Changes of the
// version before, whose last windows may still be revised, are told too.
func (c *Client) Subscribe(ctx context.Context, o Output, f func(Notice)) error {
	var wg sync.WaitGroup
	var one sync.Mutex
	tell := func(n Notice) {
		one.Lock()
		defer one.Unlock()
		f(n)
	}
	if o.continues() {
		wg.Go(func() { _ = c.subscribe(ctx, c.place(o.Before), tell) }) // its error is ctx's
	}
	err := c.subscribe(ctx, c.place(&o), tell)
	wg.Wait()
	return err
}

func (c *Client) subscribe(ctx context.Context, place string, f func(Notice)) error {
	ps := c.rdb.Subscribe(ctx, noticesOf(place))
	defer func() { _ = ps.Close() }()
	// Receive does not notice the end of its context.
	defer context.AfterFunc(ctx, func() { _ = ps.Close() })()
	s := subscription{c: c, place: place, last: -1}
	wait := firstBackoff
	for ctx.Err() == nil {
		n, err := s.next(ctx, ps)
		switch {
		case err == nil && n != nil:
			f(*n)
			wait = firstBackoff
		case err != nil && ctx.Err() == nil:
			s.last = -1
			select {
			case <-c.clock.After(wait):
			case <-ctx.Done():
			}
			wait = min(2*wait, lastBackoff)
		}
	}
	return context.Cause(ctx)
}

type subscription struct {
	c     *Client
	place string
	last  int64 // change number, -1 if unknown
}

// next waits for the next message. It is nil if there is nothing to tell.
func (s *subscription) next(ctx context.Context, ps *goredis.PubSub) (*Notice, error) {
	m, err := ps.Receive(ctx)
	if err != nil {
		return nil, err
	}
	switch m := m.(type) {
	case *goredis.Subscription:
		return s.resume(ctx)
	case *goredis.Message:
		return s.notice(m.Payload)
	}
	return nil, nil
}

// resume compares the change number after a new subscription: what happened before was not told.
func (s *subscription) resume(ctx context.Context) (*Notice, error) {
	ctx, cancel := context.WithTimeout(ctx, s.c.timeout)
	defer cancel()
	text, err := s.c.rdb.Get(ctx, changesKey(s.place)).Result()
	if err != nil && !errors.Is(err, goredis.Nil) {
		return nil, err
	}
	change, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		change = 0
	}
	s.last = change
	return &Notice{Change: change, Gap: true}, nil
}

func (s *subscription) notice(payload string) (*Notice, error) {
	var told struct {
		Change  int64         `json:"change"`
		Windows []stream.Time `json:"windows"`
	}
	if err := json.Unmarshal([]byte(payload), &told); err != nil {
		return nil, err
	}
	n := &Notice{Change: told.Change, Windows: told.Windows, Gap: told.Change != s.last+1}
	s.last = told.Change
	return n, nil
}
