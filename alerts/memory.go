package alerts

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/tidewatch/tidewatch/stream"
)

// Memory is a Store in memory, for the cases beside a pipeline, for replays to a console, and as the oracle of stores that
// keep rows. It is safe for concurrent use. The zero Memory is not ready: use NewMemory.
type Memory struct {
	mu struct {
		sync.Mutex
		history map[string][]Transition // by alert, oldest first by (At, Revision)
		known   map[string]bool         // transition ids
		acks    map[string]Logged       // by alert
		outbox  []Transition
	}
}

// NewMemory returns an empty store.
func NewMemory() *Memory {
	m := &Memory{}
	m.mu.history = map[string][]Transition{}
	m.mu.known = map[string]bool{}
	m.mu.acks = map[string]Logged{}
	return m
}

// Decide applies a decision of an operator, as the transaction that claims an epoch does. A repeat changes nothing.
func (m *Memory) Decide(d stream.Decision) error {
	t, err := Decode(d.Body)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.known[t.ID] {
		return nil
	}
	m.mu.known[t.ID] = true
	h := m.mu.history[t.Alert.ID]
	at := len(h)
	for at > 0 && h[at-1].Newer(&t) {
		at--
	}
	m.mu.history[t.Alert.ID] = slices.Insert(h, at, t)
	if t.Notifies() {
		m.mu.outbox = append(m.mu.outbox, t)
	}
	return nil
}

// Acknowledge applies a command. The order of calls does not matter, and the alert need not be known yet.
func (m *Memory) Acknowledge(c Logged) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, ok := m.mu.acks[c.Alert]; !ok || c.Newer(old) {
		m.mu.acks[c.Alert] = c
	}
}

// Outbox returns what somebody has to be told, in the order of the decisions.
func (m *Memory) Outbox() []Transition {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.mu.outbox)
}

// current needs the lock.
func (m *Memory) current(id string) Alert {
	h := m.mu.history[id]
	a := h[len(h)-1].Alert
	if c, ok := m.mu.acks[id]; ok {
		ack := c.Acknowledgement()
		a.Acknowledged = &ack
	}
	return a
}

// List implements Store.
func (m *Memory) List(_ context.Context, f Filter) (Page, error) {
	if err := f.Validate(); err != nil {
		return Page{}, err
	}
	f = f.WithDefaults()
	page := Page{Items: []Alert{}}
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := range m.mu.history {
		if a := m.current(id); f.Passes(&a) {
			page.Items = append(page.Items, a)
		}
	}
	slices.SortFunc(page.Items, func(a, b Alert) int {
		if CursorOf(&a).Before(CursorOf(&b)) {
			return -1
		}
		return 1
	})
	if len(page.Items) > f.Limit {
		page.Items = page.Items[:f.Limit]
		page.NextCursor = CursorOf(&page.Items[f.Limit-1]).String()
	}
	return page, nil
}

// Get implements Store.
func (m *Memory) Get(_ context.Context, id string) (Detail, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.mu.history[id]
	if len(h) == 0 {
		return Detail{}, fmt.Errorf("get alert %s: %w", id, ErrNotFound)
	}
	return Detail{Alert: m.current(id), History: slices.Clone(h)}, nil
}
