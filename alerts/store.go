package alerts

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErrNotFound is wrapped by errors about an alert that the store does not have.
var ErrNotFound = errors.New("no such alert")

// Store is what readers need of the place that keeps alerts. Implementations are safe for concurrent use; their errors
// are marked stream.Retry where the store is away.
type Store interface {
	// List returns the current alerts that pass the filter, newest first: by StartedAt, then by ID, both descending.
	List(ctx context.Context, f Filter) (Page, error)
	// Get returns an alert with its history. A missing alert is an error that wraps ErrNotFound.
	Get(ctx context.Context, id string) (Detail, error)
}

// Filter chooses alerts. The zero Filter chooses the first page of all active ones (pending or firing).
type Filter struct {
	States   []State           // any of them; empty means pending and firing
	Severity []Severity        // any of them; empty means all
	Name     string            // of the rule; "" means all
	Pipeline string            // "" means all
	Labels   map[string]string // all of them, exactly
	From, To time.Time         // From <= StartedAt < To; zero means open
	Cursor   string            // NextCursor of the page before
	Limit    int               // rows of a page, 1 to MaxLimit; 0 means DefaultLimit
}

// Sizes of a page.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// Page is a part of a list.
type Page struct {
	Items      []Alert `json:"items"`
	NextCursor string  `json:"next_cursor,omitempty"` // empty on the last page
}

// Detail is an alert with every transition of its episode, oldest first by (At, Revision).
type Detail struct {
	Alert
	History []Transition `json:"history"`
}

// WithDefaults fills in what is left open.
func (f Filter) WithDefaults() Filter {
	if len(f.States) == 0 {
		f.States = []State{Pending, Firing}
	}
	if f.Limit == 0 {
		f.Limit = DefaultLimit
	}
	return f
}

// Validate names what a caller got wrong.
func (f Filter) Validate() error {
	for _, s := range f.States {
		if !slices.Contains(States(), s) {
			return fmt.Errorf("check filter: unknown state %q: use inactive, pending, firing or resolved", s)
		}
	}
	for _, s := range f.Severity {
		if !slices.Contains(Severities(), s) {
			return fmt.Errorf("check filter: unknown severity %q: use info, warning or critical", s)
		}
	}
	if f.Limit < 0 || f.Limit > MaxLimit {
		return fmt.Errorf("check filter: limit %d: use 1 to %d", f.Limit, MaxLimit)
	}
	if f.Cursor != "" {
		if _, err := ParseCursor(f.Cursor); err != nil {
			return fmt.Errorf("check filter: %w", err)
		}
	}
	return nil
}

// Passes reports whether a passes the filter, its cursor included. A filter with defaults filled in is expected.
func (f Filter) Passes(a *Alert) bool {
	switch {
	case !slices.Contains(f.States, a.State),
		len(f.Severity) > 0 && !slices.Contains(f.Severity, a.Severity),
		f.Name != "" && f.Name != a.Name,
		f.Pipeline != "" && f.Pipeline != a.Pipeline,
		!f.From.IsZero() && a.StartedAt.Before(f.From),
		!f.To.IsZero() && !a.StartedAt.Before(f.To):
		return false
	}
	for name, want := range f.Labels {
		if got, ok := a.Labels[name]; !ok || got != want {
			return false
		}
	}
	c, err := ParseCursor(f.Cursor)
	return f.Cursor == "" || err == nil && c.Before(CursorOf(a))
}

// Cursor is a place in the list: behind the alert with this start and id.
type Cursor struct {
	StartedAt time.Time
	ID        string
}

// CursorOf is the place behind a.
func CursorOf(a *Alert) Cursor { return Cursor{StartedAt: a.StartedAt, ID: a.ID} }

// Before reports whether c comes before d in a list.
func (c Cursor) Before(d Cursor) bool {
	if !c.StartedAt.Equal(d.StartedAt) {
		return c.StartedAt.After(d.StartedAt)
	}
	return c.ID > d.ID
}

// String is the opaque text that goes to the caller.
func (c Cursor) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(c.StartedAt.UTC().Format(time.RFC3339Nano) + " " + c.ID))
}

// ParseCursor reads what String wrote.
func ParseCursor(s string) (Cursor, error) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return Cursor{}, fmt.Errorf("read cursor: %q is none of ours: %w", s, err)
	}
	at, id, _ := strings.Cut(string(raw), " ")
	t, err := time.Parse(time.RFC3339Nano, at)
	if err != nil || !ValidID(id) {
		return Cursor{}, fmt.Errorf("read cursor: %q is none of ours: take next_cursor of the page before", s)
	}
	return Cursor{StartedAt: t, ID: id}, nil
}
