package serve

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// targetsAge is how old the list of outputs may be that panels use.
const targetsAge = 2 * time.Second

// evaluations is how many panels read at once.
const evaluations = 4

// hub brings questions and those who watch them together: one panel for each distinct question, one feed for each output,
// whatever the number of viewers. Safe for concurrent use.
//
// Locks are taken in this order: hub, panel, viewer.
type hub struct {
	s       *Server
	reading chan struct{}                                // a place for each evaluation
	child   func() (context.Context, context.CancelFunc) // a context that ends with the hub
	stop    context.CancelFunc
	wg      sync.WaitGroup

	mu struct {
		sync.Mutex
		closed  bool
		panels  map[string]*panel
		feeds   map[string]*feed
		viewers map[*viewer]bool
	}
	outputs struct {
		sync.Mutex
		at  time.Time
		all []target
	}
}

func newHub(s *Server) *hub {
	h := &hub{s: s, reading: make(chan struct{}, evaluations)}
	ctx, stop := context.WithCancel(context.Background())
	h.child, h.stop = func() (context.Context, context.CancelFunc) { return context.WithCancel(ctx) }, stop
	h.mu.panels, h.mu.feeds, h.mu.viewers = map[string]*panel{}, map[string]*feed{}, map[*viewer]bool{}
	return h
}

// close tells every viewer that the server stops and waits for them, and for all that works for them, until ctx is done.
func (h *hub) close(ctx context.Context) {
	h.mu.Lock()
	h.mu.closed = true
	for v := range h.mu.viewers {
		v.leave("the server stops")
	}
	h.mu.Unlock()
	h.stop()
	done := make(chan struct{})
	go func() { h.wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// admit counts a viewer in, unless there are too many.
func (h *hub) admit(v *viewer) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.closed || len(h.mu.viewers) >= h.s.c.Limits.Connections {
		return false
	}
	h.mu.viewers[v] = true
	h.wg.Add(1)
	h.s.observed.connections.Set(float64(len(h.mu.viewers)))
	return true
}

// dismiss forgets a viewer and all that it had subscribed to.
func (h *hub) dismiss(v *viewer) {
	for _, sub := range v.all() {
		h.unsubscribe(sub)
	}
	h.mu.Lock()
	delete(h.mu.viewers, v)
	h.s.observed.connections.Set(float64(len(h.mu.viewers)))
	h.mu.Unlock()
	h.wg.Done()
}

// subscribe joins the panel of the question, or opens it.
func (h *hub) subscribe(sub *subscription, c *call) error {
	key, a, err := questionOf(c)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.closed {
		return failure(http.StatusServiceUnavailable, "overloaded", "the server stops")
	}
	p := h.mu.panels[key]
	if p == nil {
		if len(h.mu.panels) >= h.s.c.Limits.Panels {
			return failure(http.StatusServiceUnavailable, "overloaded", fmt.Sprintf("%d distinct questions are watched already: close some pages", len(h.mu.panels)))
		}
		p = newPanel(h, key, c, a)
		h.mu.panels[key] = p
		h.s.observed.panels.Set(float64(len(h.mu.panels)))
		ctx, stop := h.child()
		p.stop = stop
		h.wg.Go(func() { p.run(ctx) })
	}
	sub.panel = p
	p.join(sub)
	h.s.observed.subscribed.Inc()
	return nil
}

// unsubscribe leaves the panel, and closes it behind the last.
func (h *hub) unsubscribe(sub *subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := sub.panel
	left, was := p.leave(sub)
	if was {
		h.s.observed.subscribed.Dec()
	}
	if left == 0 && h.mu.panels[p.key] == p {
		delete(h.mu.panels, p.key)
		h.s.observed.panels.Set(float64(len(h.mu.panels)))
		p.stop()
	}
}

// questionOf is the key of a question: equal for all that have the same answer.
func questionOf(c *call) (key string, a *ask, err error) {
	if c.route.Live == liveWhole {
		return fmt.Sprintf("%s %v %s", c.route.ID, c.path, c.query.Encode()), nil, nil
	}
	a, err = askOf(c, chooserFor(c))
	if err != nil {
		return "", nil, err
	}
	canonical := *a
	canonical.by = slices.Sorted(slices.Values(a.by))
	if a.last > 0 {
		canonical.from, canonical.to = 0, 0
	} else if a.openEnd {
		canonical.to = 0
	}
	return fmt.Sprintf("series %+v", canonical), a, nil // maps are printed in the order of their keys
}

// targets is the list of outputs, read once for all panels.
func (h *hub) targets(ctx context.Context) ([]target, error) {
	h.outputs.Lock()
	defer h.outputs.Unlock()
	if now := h.s.c.Clock.Now(); h.outputs.all == nil || now.Sub(h.outputs.at) >= targetsAge {
		all, err := h.s.targets(ctx)
		if err != nil {
			return nil, err
		}
		h.outputs.all, h.outputs.at = all, now
	}
	return h.outputs.all, nil
}

// feed passes the notices of one output on to the panels that show it.
type feed struct {
	key    string
	stop   context.CancelFunc
	panels map[*panel]bool // guarded by the hub
}

func feedKey(o *RollupOutput) string { return o.Instance + "/" + o.Name }

// follow makes the panel hear of changes of these outputs, and of no others.
func (h *hub) follow(p *panel, outputs []*RollupOutput) {
	h.mu.Lock()
	defer h.mu.Unlock()
	wanted := map[string]bool{}
	for _, o := range outputs {
		key := feedKey(o)
		wanted[key] = true
		f := h.mu.feeds[key]
		if f == nil {
			ctx, stop := h.child()
			f = &feed{key: key, stop: stop, panels: map[*panel]bool{}}
			h.mu.feeds[key] = f
			h.wg.Go(func() { h.listen(ctx, f, *o) })
		}
		f.panels[p] = true
	}
	for _, key := range sortedKeys(h.mu.feeds) {
		f := h.mu.feeds[key]
		if f.panels[p] && !wanted[key] {
			if delete(f.panels, p); len(f.panels) == 0 {
				f.stop()
				delete(h.mu.feeds, key)
			}
		}
	}
}

// listen runs until the feed has no panel any more.
func (h *hub) listen(ctx context.Context, f *feed, o RollupOutput) {
	err := h.s.c.Rollups.Subscribe(ctx, o, func(n RollupNotice) {
		h.mu.Lock()
		defer h.mu.Unlock()
		for p := range f.panels {
			p.touch(f.key, n)
		}
	})
	if err != nil && ctx.Err() == nil {
		h.s.c.Logger.Error("listening for changes ended", "output", f.key, "error", err)
	}
}
