package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/internal/kafkaclient"
	"github.com/tidewatch/tidewatch/stream"
)

// membership is the worker's place in the consumer group. Its client joins, balances and beats; all its topics are
// paused, so it never fetches. The callbacks of the client come from its own goroutine and are handed to Assign's, which
// is the only one that calls change.
type membership struct {
	s         *Source
	client    *kgo.Client
	change    func(gained, lost []stream.Partition) error
	turns     chan turn
	failed    chan error
	quit      chan struct{} // closed when Assign no longer listens
	held      map[stream.Partition]bool
	disturbed atomic.Bool // since the last assignment
	wanted    int         // how many of the source's topics are in missing, or consumed
	missing   []string    // topics that do not exist yet
	said      []string    // those that the log has named
}

// turn is a change of the assignment. The group waits until done is closed.
type turn struct {
	gained, lost map[string][]int32
	done         chan struct{}
}

// leaveWithin bounds the last words of a drained worker, which has ten seconds in all.
const leaveWithin = 1500 * time.Millisecond

// Assign implements stream.Source. When ctx is done it gives up all partitions, leaves the group, so that others get them at
// once, and returns nil. A worker that ends otherwise leaves nothing: it keeps its partitions if it is back within the
// session timeout.
func (s *Source) Assign(ctx context.Context, change func(gained, lost []stream.Partition) error) error {
	m := &membership{
		s: s, change: change, turns: make(chan turn), failed: make(chan error, 1), quit: make(chan struct{}),
		held: map[stream.Partition]bool{},
	}
	m.subscribe()
	if err := m.join(ctx); err != nil || m.client == nil {
		return err
	}
	err := m.serve(ctx)
	return errors.Join(err, m.end(ctx, err == nil))
}

// subscribe takes up topics that nobody wanted before.
func (m *membership) subscribe() {
	more := m.s.topicsFrom(m.wanted)
	m.wanted += len(more)
	m.missing = append(m.missing, more...)
}

// join waits for the first topic, and becomes a member of the group. Without an error and a client, ctx was done before.
func (m *membership) join(ctx context.Context) error {
	said := false
	for {
		exist, err := m.look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the worker ends before it has joined: nothing has failed
		case err != nil && stream.KindOfError(err) != stream.Retry:
			return err
		case err != nil && !said:
			m.s.cfg.Log.Warn("kafka does not answer; trying again", "error", err)
			said = true
		case err == nil && len(exist) > 0:
			return m.start(exist)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-m.s.cfg.Clock.After(m.s.cfg.RefreshEvery):
		}
	}
}

// look moves topics that have come into being from missing to the result.
func (m *membership) look(ctx context.Context) (exist []string, err error) {
	if len(m.missing) == 0 {
		return nil, nil
	}
	topics, err := m.s.topology.refresh(ctx, m.missing...)
	if err != nil {
		return nil, err
	}
	var still []string
	for i, t := range topics {
		switch {
		case t.err == nil && len(t.leaders) > 0:
			exist = append(exist, m.missing[i])
		case kafkaclient.Denied(t.err):
			return nil, explainDenied(stream.Partition{Topic: m.missing[i]}, t.err)
		default:
			still = append(still, m.missing[i])
		}
	}
	if len(still) > 0 && !slices.Equal(still, m.said) {
		m.said = still
		m.s.cfg.Log.Warn("waiting for topics that do not exist yet; create them, or let producers do so", "topics", still)
	}
	m.missing = still
	return exist, nil
}

func (m *membership) start(topics []string) error {
	c := &m.s.cfg
	opts, err := c.Client.Options(c.Log)
	if err != nil {
		return fmt.Errorf("join group %s: %w", c.GroupID, err)
	}
	turnOf := func(of func(map[string][]int32) turn) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, parts map[string][]int32) { m.hand(of(parts)) }
	}
	gained := func(p map[string][]int32) turn { return turn{gained: p, done: make(chan struct{})} }
	lost := func(p map[string][]int32) turn { return turn{lost: p, done: make(chan struct{})} }
	opts = append(opts,
		kgo.ConsumerGroup(c.GroupID), kgo.InstanceID(c.WorkerID), kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(c.SessionTimeout), kgo.HeartbeatInterval(c.SessionTimeout/5), kgo.RebalanceTimeout(rebalanceTimeout),
		kgo.ConsumeTopics(topics...), kgo.MetadataMaxAge(c.RefreshEvery), kgo.MetadataMinAge(c.RefreshEvery/2), kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(turnOf(gained)), kgo.OnPartitionsRevoked(turnOf(lost)), kgo.OnPartitionsLost(turnOf(lost)),
		kgo.WithHooks(groupErrors{m}),
	)
	if m.client, err = kgo.NewClient(opts...); err != nil {
		return fmt.Errorf("join group %s: %w", c.GroupID, err)
	}
	m.client.PauseFetchTopics(topics...)
	return nil
}

// rebalanceTimeout is how long the group waits for workers that have to give partitions up.
const rebalanceTimeout = time.Minute

// hand gives a turn to Assign and waits until it was worked off.
func (m *membership) hand(t turn) {
	if len(t.gained)+len(t.lost) == 0 {
		return
	}
	select {
	case m.turns <- t:
		<-t.done
	case <-m.quit:
	}
}

// serve works until ctx is done or the membership is beyond repair.
func (m *membership) serve(ctx context.Context) error {
	polling := make(chan struct{})
	pollCtx, stop := context.WithCancel(ctx)
	go func() { // serve waits for it
		defer close(polling)
		m.poll(pollCtx)
	}()
	defer func() { stop(); <-polling }()
	look, show := m.s.cfg.Clock.After(m.s.cfg.RefreshEvery), m.s.cfg.Clock.After(displayEvery)
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-m.failed:
			return err
		case t := <-m.turns:
			if err := m.take(ctx, t); err != nil {
				return err
			}
		case <-m.s.more:
			m.subscribe()
			if err := m.grow(ctx); err != nil {
				return err
			}
		case <-look:
			if err := m.grow(ctx); err != nil {
				return err
			}
			look = m.s.cfg.Clock.After(m.s.cfg.RefreshEvery)
		case <-show:
			m.s.display.send(ctx, m.client.CommitOffsets, m.s.cfg.Log)
			show = m.s.cfg.Clock.After(displayEvery)
		}
	}
}

// grow adds topics that exist now.
func (m *membership) grow(ctx context.Context) error {
	exist, err := m.look(ctx)
	if err != nil && stream.KindOfError(err) == stream.Fatal && ctx.Err() == nil {
		return err
	}
	if len(exist) > 0 {
		m.s.cfg.Log.Info("topics have come into being", "topics", exist)
		m.client.PauseFetchTopics(exist...)
		m.client.AddConsumeTopics(exist...)
	}
	return nil
}

// poll takes what the client wants to tell; records never come, since all topics are paused.
func (m *membership) poll(ctx context.Context) {
	for ctx.Err() == nil {
		for _, e := range m.client.PollFetches(ctx).Errors() {
			if ctx.Err() == nil && !errors.Is(e.Err, kgo.ErrClientClosed) {
				m.judge(e.Err)
			}
		}
	}
}

// judge ends the membership where waiting does not help. The client repeats everything else itself.
func (m *membership) judge(err error) {
	c := &m.s.cfg
	switch {
	case errors.Is(err, kerr.FencedInstanceID):
		err = fmt.Errorf("join group %s: another process has joined as worker %s; give each worker its own --worker-id", c.GroupID, c.WorkerID)
	case kafkaclient.Denied(err):
		err = fmt.Errorf("join group %s: %w; let the brokers' access rules allow this user to read the group and its topics", c.GroupID, err)
	default:
		if !m.disturbed.Swap(true) { // an outage is reported once
			c.Log.Warn("consumer group is disturbed; joining again", "group", c.GroupID, "error", err)
		}
		return
	}
	select {
	case m.failed <- stream.Mark(stream.Fatal, err):
	default:
	}
}

// groupErrors implements kgo.HookGroupManageError: the poll would tell the same later.
type groupErrors struct{ m *membership }

// OnGroupManageError implements kgo.HookGroupManageError.
func (g groupErrors) OnGroupManageError(err error) {
	if errors.Is(err, kerr.FencedInstanceID) || kafkaclient.Denied(err) {
		g.m.judge(err)
	}
}
