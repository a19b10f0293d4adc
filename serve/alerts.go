package serve

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tidewatch/tidewatch/alerts"
)

// alertParameters are the query parameters of the list of alerts; anything else is a mistake worth telling.
var alertParameters = []string{"state", "severity", "name", "pipeline", "label", "cursor", "limit"}

// activeAlerts lists pending and firing alerts, or those in the states asked for.
func (s *Server) activeAlerts(w http.ResponseWriter, r *http.Request) {
	f, errs := filterOf(r.URL.Query())
	if len(errs) > 0 {
		problem(w, http.StatusBadRequest, "bad_request", "the request has mistakes", errs...)
		return
	}
	page, err := s.c.Alerts.List(r.Context(), f)
	if err != nil {
		s.failed(w, err)
		return
	}
	if page.Items == nil {
		page.Items = []alerts.Alert{}
	}
	answer(w, page)
}

// alert shows one alert with its history.
func (s *Server) alert(w http.ResponseWriter, r *http.Request) {
	d, err := s.c.Alerts.Get(r.Context(), r.PathValue("id"))
	switch {
	case errors.Is(err, alerts.ErrNotFound):
		problem(w, http.StatusNotFound, "not_found", "there is no alert "+r.PathValue("id"))
	case err != nil:
		s.failed(w, err)
	default:
		answer(w, d)
	}
}

// failed answers for a store that does not: the detail goes to the operator's log only.
func (s *Server) failed(w http.ResponseWriter, err error) {
	s.c.Log.Error("answering failed", "error", err)
	problem(w, http.StatusServiceUnavailable, "store_unavailable", "the alert store does not answer; see the worker's log")
}

func filterOf(q url.Values) (f alerts.Filter, errs []ProblemDetail) {
	bad := func(key, format string, args ...any) {
		errs = append(errs, ProblemDetail{Location: "query." + key, Message: fmt.Sprintf(format, args...)})
	}
	for key := range q {
		if !slices.Contains(alertParameters, key) {
			bad(key, "unknown parameter; there are %s", strings.Join(alertParameters, ", "))
		}
	}
	for _, v := range q["state"] {
		if !slices.Contains(alerts.States(), alerts.State(v)) {
			bad("state", "unknown state %q; there are %v", v, alerts.States())
		}
		f.States = append(f.States, alerts.State(v))
	}
	for _, v := range q["severity"] {
		f.Severity = append(f.Severity, alerts.Severity(v))
	}
	f.Name, f.Pipeline, f.Cursor = q.Get("name"), q.Get("pipeline"), q.Get("cursor")
	for _, kv := range q["label"] {
		k, v, ok := strings.Cut(kv, "=")
		if !ok {
			bad("label", "%q is not name=value", kv)
			continue
		}
		if f.Labels == nil {
			f.Labels = map[string]string{}
		}
		f.Labels[k] = v
	}
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > alerts.MaxLimit {
			bad("limit", "%q is not a number from 1 to %d", text, alerts.MaxLimit)
		}
		f.Limit = n
	}
	slices.SortFunc(errs, func(a, b ProblemDetail) int { return strings.Compare(a.Location+a.Message, b.Location+b.Message) })
	return f, errs
}
