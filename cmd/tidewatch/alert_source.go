package main

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/tidewatch/tidewatch/alerts"
)

// alertStore is where alerts are read: the server of --server, else the configured Postgres.
func (a *app) alertStore(ctx context.Context) (store alerts.Store, done func(), err error) {
	if a.server == "" {
		db, err := a.database(ctx)
		if err != nil {
			return nil, nil, err
		}
		return db.Alerts(), db.Close, nil
	}
	c, err := a.dial()
	if err != nil {
		return nil, nil, err
	}
	return apiAlerts{c}, c.stop, nil
}

// apiAlerts reads alerts of a server. It implements alerts.Store.
type apiAlerts struct{ client *client }

// List implements alerts.Store.
func (s apiAlerts) List(ctx context.Context, f alerts.Filter) (page alerts.Page, err error) {
	f = f.WithDefaults()
	q := url.Values{"state": textsOf(f.States), "severity": textsOf(f.Severity), "limit": {strconv.Itoa(f.Limit)}}
	for _, k := range slices.Sorted(maps.Keys(f.Labels)) {
		q.Add("label", k+"="+f.Labels[k])
	}
	for key, value := range map[string]string{"name": f.Name, "pipeline": f.Pipeline, "cursor": f.Cursor} {
		if value != "" {
			q.Set(key, value)
		}
	}
	for key, t := range map[string]time.Time{"from": f.From, "to": f.To} {
		if !t.IsZero() {
			q.Set(key, t.UTC().Format(time.RFC3339Nano))
		}
	}
	return page, s.client.get(ctx, "/metrics/alerts", q, &page)
}

// Get implements alerts.Store.
func (s apiAlerts) Get(ctx context.Context, id string) (d alerts.Detail, err error) {
	err = s.client.get(ctx, "/metrics/alerts/"+url.PathEscape(id), nil, &d)
	if err != nil && ifNot(err, exitNotFound) == nil {
		err = fmt.Errorf("%w: %w", alerts.ErrNotFound, err)
	}
	return d, err
}
