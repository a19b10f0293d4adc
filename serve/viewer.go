package serve

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"time"
)

// maxNotes is how many answers to mistakes of a client may wait; then nothing more is read from it.
const maxNotes = 16

// viewer is a WebSocket: its subscriptions, and what is due to be sent. Nothing is queued beyond one change of each
// subscription: who falls behind gets the state of then. Safe for concurrent use.
type viewer struct {
	s       *Server
	ready   chan struct{} // something is due
	notes   chan []byte   // problems that belong to no subscription
	allowed func() bool   // its token still is one; asked with each ping

	mu struct {
		sync.Mutex
		subs   map[string]*subscription
		due    []*subscription // in the order in which they became due, each once
		reason string          // why the server leaves
	}
}

// subscription is a question of a viewer. Its fields are guarded by the viewer.
type subscription struct {
	viewer *viewer
	id     string
	panel  *panel

	queued   bool     // in due
	snapshot bool     // the next message is the whole state
	pending  *update  // else this change
	sent     uint64   // seq of the last message
	problem  *Problem // to be told first
	ended    bool     // by the problem
}

func newViewer(s *Server) *viewer {
	v := &viewer{s: s, ready: make(chan struct{}, 1), notes: make(chan []byte, maxNotes)}
	v.mu.subs = map[string]*subscription{}
	return v
}

func (v *viewer) all() (subs []*subscription) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, id := range sortedKeys(v.mu.subs) {
		subs = append(subs, v.mu.subs[id])
	}
	v.mu.subs, v.mu.due = map[string]*subscription{}, nil
	return subs
}

func (v *viewer) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.mu.subs)
}

func (v *viewer) add(sub *subscription) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mu.subs[sub.id] = sub
}

// take removes the subscription with that id, nil if there is none: nothing of it becomes due any more.
func (v *viewer) take(id string) *subscription {
	v.mu.Lock()
	defer v.mu.Unlock()
	sub := v.mu.subs[id]
	delete(v.mu.subs, id)
	return sub
}

// drop removes this subscription, unless another one has its id by now.
func (v *viewer) drop(sub *subscription) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.mu.subs[sub.id] == sub {
		delete(v.mu.subs, sub.id)
	}
}

// leave makes the writer say goodbye.
func (v *viewer) leave(reason string) {
	v.mu.Lock()
	v.mu.reason = reason
	v.mu.Unlock()
	v.signal()
}

func (v *viewer) signal() {
	select {
	case v.ready <- struct{}{}:
	default:
	}
}

// note sends a problem with a message of the client. It waits while too many wait.
func (v *viewer) note(ctx context.Context, id string, p *Problem) {
	select {
	case v.notes <- problemMessage(id, p):
		v.signal()
	case <-ctx.Done():
	}
}

// enqueue needs the lock.
func (sub *subscription) enqueue() {
	if !sub.queued {
		sub.queued = true
		sub.viewer.mu.due = append(sub.viewer.mu.due, sub)
	}
	sub.viewer.signal()
}

// offer makes a change due. If the one before has not left yet, the client is behind: both are dropped for a snapshot.
func (sub *subscription) offer(u *update) {
	v := sub.viewer
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case sub.snapshot:
		v.s.observed.skipped.Inc()
	case sub.pending != nil:
		v.s.observed.skipped.Inc()
		sub.pending, sub.snapshot = nil, true
	default:
		sub.pending = u
	}
	sub.enqueue()
}

// offerSnapshot makes the whole state due.
func (sub *subscription) offerSnapshot() {
	sub.viewer.mu.Lock()
	defer sub.viewer.mu.Unlock()
	sub.pending, sub.snapshot, sub.problem = nil, true, nil
	sub.enqueue()
}

func (sub *subscription) offerProblem(p *Problem, ended bool) {
	sub.viewer.mu.Lock()
	defer sub.viewer.mu.Unlock()
	sub.pending, sub.snapshot, sub.problem, sub.ended = nil, false, p, ended
	sub.enqueue()
}

// next is the next message, nil if nothing is due; then reason says whether it is time to leave.
func (v *viewer) next() (message []byte, reason string) {
	for {
		select {
		case n := <-v.notes:
			return n, ""
		default:
		}
		sub, d, reason := v.pop()
		if sub == nil {
			return nil, reason
		}
		if m := sub.message(d); m != nil {
			return m, ""
		}
	}
}

// dueNow is what was due of a subscription when it was popped.
type dueNow struct {
	pending  *update
	snapshot bool
	problem  *Problem
	ended    bool
}

func (v *viewer) pop() (*subscription, dueNow, string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for len(v.mu.due) > 0 && v.mu.reason == "" {
		sub := v.mu.due[0]
		v.mu.due = v.mu.due[1:]
		sub.queued = false
		d := dueNow{sub.pending, sub.snapshot, sub.problem, sub.ended}
		sub.pending, sub.snapshot, sub.problem = nil, false, nil
		if v.mu.subs[sub.id] == sub {
			return sub, d, ""
		}
	}
	return nil, dueNow{}, v.mu.reason
}

// message is what to send, nil if there is nothing after all. Whatever changes while the state is taken becomes due anew.
func (sub *subscription) message(d dueNow) []byte {
	if d.problem != nil {
		if d.ended {
			sub.viewer.drop(sub)
			sub.viewer.s.hub.unsubscribe(sub)
		}
		sub.viewer.s.observed.sent.WithLabelValues("error").Inc()
		return problemMessage(sub.id, d.problem)
	}
	kind, u := "delta", d.pending
	if d.snapshot || u != nil && u.seq != sub.sent+1 {
		var err error
		kind = "snapshot"
		u, err = sub.panel.snapshot()
		if err != nil {
			sub.viewer.s.c.Logger.Error("encoding a snapshot failed", "error", err)
			return nil
		}
		sub.forget(u.seq)
	}
	if u == nil {
		return nil
	}
	sub.sent = u.seq
	sub.viewer.s.observed.sent.WithLabelValues(kind).Inc()
	return sub.envelope(kind, u)
}

// forget drops a change that the state already holds.
func (sub *subscription) forget(seq uint64) {
	sub.viewer.mu.Lock()
	defer sub.viewer.mu.Unlock()
	if sub.pending != nil && sub.pending.seq <= seq {
		sub.pending = nil
	}
}

// envelope puts bytes that are encoded once for all into the message of this subscription.
func (sub *subscription) envelope(kind string, u *update) []byte {
	m := make([]byte, 0, len(u.data)+len(sub.id)+128)
	m = append(append(append(m, `{"type":"`...), kind...), `","id":`...)
	m = appendText(m, sub.id)
	m = strconv.AppendUint(append(m, `,"seq":`...), u.seq, 10)
	m = u.at.UTC().AppendFormat(append(m, `,"at":"`...), time.RFC3339Nano)
	m = append(append(m, `","data":`...), u.data...)
	return append(m, '}')
}

func appendText(dst []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic("a string is always JSON: " + err.Error())
	}
	return append(dst, text...)
}

func problemMessage(id string, p *Problem) []byte {
	m := object{"type": "error", "problem": p}
	if id != "" {
		m["id"] = id
	}
	data, err := json.Marshal(m)
	if err != nil {
		panic("a problem is always JSON: " + err.Error())
	}
	return data
}
