package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tidewatch/tidewatch/alerts"
)

// AlertStore reads the alerts that claims have written, and keeps acknowledgements. Safe for concurrent use.
type AlertStore struct{ db *DB }

var _ alerts.Store = (*AlertStore)(nil)

// Alerts returns the alert store of the database.
func (db *DB) Alerts() *AlertStore { return &AlertStore{db} }

// alertSQL reads current alerts: what the newest transition says, and the acknowledgement.
const alertSQL = `
SELECT t.body::text, k.at, k.by, k.note
FROM tidewatch_alerts a
JOIN tidewatch_transitions t ON t.id = a.transition
LEFT JOIN tidewatch_acknowledgements k ON k.alert = a.id`

// List implements alerts.Store. A filter that makes no sense is an error that says so.
func (s *AlertStore) List(ctx context.Context, f alerts.Filter) (alerts.Page, error) {
	if err := f.Validate(); err != nil {
		return alerts.Page{}, err
	}
	f = f.WithDefaults()
	var w where
	if err := w.filter(f); err != nil {
		return alerts.Page{}, err
	}
	sql := alertSQL + w.String() + fmt.Sprintf(` ORDER BY a.started_at DESC, a.id DESC LIMIT %d`, f.Limit+1)
	items, err := query(ctx, s.db.statement("list alerts", sql), scanAlert, w.args...)
	if err != nil {
		return alerts.Page{}, err
	}
	page := alerts.Page{Items: items}
	if len(items) > f.Limit {
		page.Items = items[:f.Limit]
		page.NextCursor = alerts.CursorOf(&items[f.Limit-1]).String()
	}
	return page, nil
}

// Get implements alerts.Store.
func (s *AlertStore) Get(ctx context.Context, id string) (alerts.Detail, error) {
	if !alerts.ValidID(id) {
		return alerts.Detail{}, fmt.Errorf("get alert %q: it has not the form of an id: %w", id, alerts.ErrNotFound)
	}
	found, err := query(ctx, s.db.statement("get alert", alertSQL+` WHERE a.id = $1`), scanAlert, id)
	if err != nil {
		return alerts.Detail{}, err
	}
	if len(found) == 0 {
		return alerts.Detail{}, fmt.Errorf("get alert %q: %w", id, alerts.ErrNotFound)
	}
	const sql = `SELECT body::text FROM tidewatch_transitions WHERE alert = $1 ORDER BY at, revision`
	history, err := query(ctx, s.db.statement("get history of alert", sql), scanTransition, id)
	return alerts.Detail{Alert: found[0], History: history}, err
}

// where gathers conditions with their arguments.
type where struct {
	conditions []string
	args       []any
}

// and adds a condition in which each ? stands for the next of the arguments.
func (w *where) and(condition string, args ...any) {
	for _, a := range args {
		w.args = append(w.args, a)
		condition = strings.Replace(condition, "?", fmt.Sprintf("$%d", len(w.args)), 1)
	}
	w.conditions = append(w.conditions, condition)
}

func (w *where) String() string { return " WHERE " + strings.Join(w.conditions, " AND ") }

func (w *where) filter(f alerts.Filter) error {
	w.and("a.state = ANY(?)", texts(f.States))
	if len(f.Severity) > 0 {
		w.and("a.severity = ANY(?)", texts(f.Severity))
	}
	if f.Name != "" {
		w.and("a.name = ?", withoutNUL(f.Name))
	}
	if f.Pipeline != "" {
		w.and("a.pipeline = ?", withoutNUL(f.Pipeline))
	}
	if len(f.Labels) > 0 {
		labels, err := searchable(f.Labels)
		if err != nil {
			return fmt.Errorf("list alerts: encode labels: %w", err)
		}
		w.and("a.labels @> ?::text::jsonb", labels)
	}
	if !f.From.IsZero() {
		w.and("a.started_at >= ?", f.From.UnixNano())
	}
	if !f.To.IsZero() {
		w.and("a.started_at < ?", f.To.UnixNano())
	}
	if f.Cursor != "" {
		c, err := alerts.ParseCursor(f.Cursor)
		if err != nil {
			return fmt.Errorf("list alerts: %w", err)
		}
		w.and("(a.started_at, a.id) < (?, ?)", c.StartedAt.UnixNano(), c.ID)
	}
	return nil
}

func texts[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

func scanAlert(row pgx.CollectableRow) (alerts.Alert, error) {
	var body string
	var at *int64
	var by, note *string
	if err := row.Scan(&body, &at, &by, &note); err != nil {
		return alerts.Alert{}, err
	}
	t, err := alerts.Decode([]byte(body))
	if at != nil {
		t.Alert.Acknowledged = &alerts.Acknowledgement{By: *by, At: instant(*at), Note: *note}
	}
	return t.Alert, err
}

func scanTransition(row pgx.CollectableRow) (alerts.Transition, error) {
	var body string
	if err := row.Scan(&body); err != nil {
		return alerts.Transition{}, err
	}
	return alerts.Decode([]byte(body))
}
