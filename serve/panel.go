package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// panel is a question that is watched: its answer as of now, and who wants to hear of it. One goroutine evaluates it, at
// most once in Limits.Every, when something has changed or time has moved its range.
type panel struct {
	h      *hub
	key    string
	call   *call
	ask    *ask // nil if the whole answer is sent
	stop   context.CancelFunc
	wake   chan struct{}
	series seriesState // of the goroutine

	mu struct {
		sync.Mutex
		subs    map[*subscription]bool
		seq     uint64
		at      time.Time // when the evaluation of this state began
		data    []byte    // the state as JSON; nil if it has to be encoded from answer
		answer  *MetricsAnswer
		problem *Problem
		dirty   map[string]stream.Time // by feed: the lowest window that has changed; NoTime if all may have
	}
}

func newPanel(h *hub, key string, c *call, a *ask) *panel {
	p := &panel{h: h, key: key, call: c, ask: a, wake: make(chan struct{}, 1)}
	p.mu.subs, p.mu.dirty = map[*subscription]bool{}, map[string]stream.Time{}
	return p
}

// run evaluates until ctx is done: nobody watches any more.
func (p *panel) run(ctx context.Context) {
	defer p.h.follow(p, nil)
	clock, every := p.h.s.c.Clock, p.h.s.c.Limits.Every
	for {
		began := clock.Now()
		p.refresh(ctx, began)
		select {
		case <-ctx.Done():
			return
		case <-clock.After(max(p.pause()-clock.Now().Sub(began), every/10)): // nothing is told more often
		}
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-clock.After(p.patience()):
		}
	}
}

// pause is the least time between two evaluations. Where there is no point yet the last one has told nothing, so the first
// points are shown as soon as they come.
func (p *panel) pause() time.Duration {
	if p.ask != nil && p.series.empty() {
		return 0
	}
	return p.h.s.c.Limits.Every
}

// patience is how long nothing has to be looked at unless a notice comes. Whole answers have no notices.
func (p *panel) patience() time.Duration {
	if p.ask == nil {
		return 0
	}
	return p.h.s.c.Limits.Every
}

// touch notes changed windows; the hub is locked.
func (p *panel) touch(feed string, n RollupNotice) {
	p.mu.Lock()
	low, known := p.mu.dirty[feed]
	if !known {
		low = stream.MaxTime
	}
	for _, w := range n.Windows {
		low = min(low, w)
	}
	if n.Gap {
		low = stream.NoTime
	}
	p.mu.dirty[feed] = low
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *panel) takeDirty() map[string]stream.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.mu.dirty
	p.mu.dirty = map[string]stream.Time{}
	return d
}

func (p *panel) refresh(parent context.Context, began time.Time) {
	select {
	case p.h.reading <- struct{}{}:
		defer func() { <-p.h.reading }()
	case <-parent.Done():
		return
	}
	ctx, cancel := context.WithTimeout(parent, p.h.s.c.Limits.Timeout)
	defer cancel()
	var err error
	if p.ask == nil {
		err = p.refreshWhole(ctx, began)
	} else {
		err = p.refreshSeries(ctx, began)
	}
	if parent.Err() != nil {
		return
	}
	if err != nil {
		p.fail(err)
	}
	p.h.s.observed.update.Observe(p.h.s.c.Clock.Now().Sub(began).Seconds())
}

func (p *panel) refreshWhole(ctx context.Context, began time.Time) error {
	c := *p.call
	c.now, c.errs = began, nil
	rep, err := c.route.handle(ctx, p.h.s, &c)
	if err != nil {
		return err
	}
	p.h.s.observed.reads.WithLabelValues("whole").Inc()
	data, err := json.Marshal(rep.body)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.problem == nil && bytes.Equal(data, p.mu.data) {
		return nil
	}
	p.replaced(began, nil, data)
	return nil
}

// replaced is the new state, for everybody; the panel is locked.
func (p *panel) replaced(began time.Time, answer *MetricsAnswer, data []byte) {
	p.mu.seq++
	p.mu.at, p.mu.answer, p.mu.data, p.mu.problem = began, answer, data, nil
	for sub := range p.mu.subs {
		sub.offerSnapshot()
	}
}

// changed is the new state and how it differs from the one before; the panel is locked.
func (p *panel) changed(began time.Time, answer *MetricsAnswer, delta []byte) {
	p.mu.seq++
	p.mu.at, p.mu.answer, p.mu.data = began, answer, nil
	u := &update{seq: p.mu.seq, at: began, data: delta}
	for sub := range p.mu.subs {
		sub.offer(u)
	}
}

// fail tells the subscribers. A store that is away comes back; any other problem stays, so they are sent away.
func (p *panel) fail(err error) {
	problem, known := problemOf(err)
	if !known {
		p.h.s.c.Logger.Error("evaluating a panel failed", "question", p.key, "error", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.series = seriesState{}
	passing := passes(&problem)
	repeated := p.mu.problem != nil && p.mu.problem.Code == problem.Code
	p.mu.problem = &problem
	for sub := range p.mu.subs {
		if !repeated || !passing {
			sub.offerProblem(&problem, !passing)
		}
	}
}

// passes is whether the problem goes away by itself.
func passes(p *Problem) bool {
	return p.Status == http.StatusServiceUnavailable || p.Status == http.StatusGatewayTimeout
}

// join adds a subscriber; the hub is locked.
func (p *panel) join(sub *subscription) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.subs[sub] = true
	switch {
	case p.mu.problem != nil:
		sub.offerProblem(p.mu.problem, !passes(p.mu.problem))
	case p.mu.seq > 0:
		sub.offerSnapshot()
	}
}

// leave removes a subscriber; the hub is locked.
func (p *panel) leave(sub *subscription) (left int, was bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was = p.mu.subs[sub]
	delete(p.mu.subs, sub)
	return len(p.mu.subs), was
}

// snapshot is the state of now, encoded once for all who ask for it.
func (p *panel) snapshot() (*update, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.data == nil {
		data, err := json.Marshal(p.mu.answer)
		if err != nil {
			return nil, err
		}
		p.mu.data = data
	}
	return &update{seq: p.mu.seq, at: p.mu.at, data: p.mu.data}, nil
}

// update is a state or a change of one, as JSON.
type update struct {
	seq  uint64
	at   time.Time
	data []byte
}
