package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/stream"
)

// call is a request on its way through a route: parameters under their first names, checked against the route's table.
type call struct {
	route  *route
	path   map[string]string
	query  url.Values
	body   io.Reader // nil for a subscription
	header http.Header
	now    time.Time
	caller caller
	secure bool // the browser came by TLS
	errs   []ProblemDetail
}

// newCall reads the parameters: aliases become the names they stand for, unknown ones are mistakes.
func newCall(r *route, raw url.Values, now time.Time) *call {
	c := &call{route: r, query: url.Values{}, now: now}
	for _, key := range sortedKeys(raw) {
		p := r.param(key)
		switch {
		case p == nil:
			c.bad(key, "unknown parameter; there are %s", r.parameterNames())
		case !p.Repeat && len(raw[key])+len(c.query[p.Name]) > 1:
			c.bad(key, "it is given more than once")
		default:
			c.query[p.Name] = append(c.query[p.Name], raw[key]...)
		}
	}
	return c
}

// bad notes a mistake in a query parameter.
func (c *call) bad(key, format string, args ...any) {
	c.errs = append(c.errs, ProblemDetail{Location: "query." + key, Message: fmt.Sprintf(format, args...)})
}

// mistakes is the error of everything that was bad, nil if nothing was.
func (c *call) mistakes() error {
	if len(c.errs) == 0 {
		return nil
	}
	slices.SortStableFunc(c.errs, func(a, b ProblemDetail) int { return strings.Compare(a.Location, b.Location) })
	return failure(http.StatusBadRequest, "bad_request", "the request has mistakes", c.errs...)
}

func (c *call) has(key string) bool { return len(c.query[key]) > 0 }

// text is a parameter that may stand once.
func (c *call) text(key string) string { return c.query.Get(key) }

// list joins the values of a parameter, each of which may hold several with commas.
func (c *call) list(key string) (all []string) {
	for _, v := range c.query[key] {
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				all = append(all, part)
			}
		}
	}
	return all
}

// number is a whole number from 1 to hi.
func (c *call) number(key string, otherwise, hi int) int {
	if !c.has(key) {
		return otherwise
	}
	n, err := strconv.Atoi(c.text(key))
	if err != nil || n < 1 || n > hi {
		c.bad(key, "%q is not a number from 1 to %d", c.text(key), hi)
		return otherwise
	}
	return n
}

// pairs reads name=value parameters; a name that stands twice has several values.
func (c *call) pairs(key string) map[string][]string {
	var all map[string][]string
	for _, kv := range c.query[key] {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" {
			c.bad(key, "%q is not name=value", kv)
			continue
		}
		if all == nil {
			all = map[string][]string{}
		}
		all[k] = append(all[k], v)
	}
	return all
}

// instant reads a time parameter.
func (c *call) instant(key string) (stream.Time, bool) {
	if !c.has(key) {
		return 0, false
	}
	at, err := ParseTime(c.text(key), c.now)
	if err != nil {
		c.bad(key, "%v", err)
	}
	return at, err == nil
}

// duration reads a positive duration.
func (c *call) duration(key string) (time.Duration, bool) {
	if !c.has(key) {
		return 0, false
	}
	d, err := pipelines.ParseDuration(c.text(key))
	if err == nil && d <= 0 {
		err = fmt.Errorf("%s is not positive", c.text(key))
	}
	if err != nil {
		c.bad(key, "%v", err)
	}
	return d, err == nil
}

// ParseTime reads RFC 3339, epoch seconds or milliseconds, now, and now-15m.
func ParseTime(s string, now time.Time) (stream.Time, error) {
	if rest, ok := strings.CutPrefix(s, "now"); ok {
		if rest == "" {
			return stream.TimeOf(now), nil
		}
		d, err := pipelines.ParseDuration(strings.TrimPrefix(rest, "-"))
		if err != nil || rest[0] != '-' {
			return 0, fmt.Errorf("%q is not a time such as now-15m", s)
		}
		return stream.TimeOf(now.Add(-d)), nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 && n < 9e12 {
		if n > 1e11 { // milliseconds since 1973, seconds until 5138
			return stream.Time(n) * stream.Time(time.Millisecond), nil
		}
		return stream.Time(n) * stream.Time(time.Second), nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() < 1970 || t.Year() > 2200 {
		return 0, fmt.Errorf("%q is not a time: use RFC 3339, epoch seconds or milliseconds, or now-15m", s)
	}
	return stream.TimeOf(t), nil
}

// decode reads the body as JSON; unknown fields are mistakes.
func (c *call) decode(into any) error {
	if kind, _, err := mime.ParseMediaType(c.header.Get("Content-Type")); err != nil || kind != "application/json" {
		return failure(http.StatusUnsupportedMediaType, "unsupported_media_type", "send Content-Type: application/json")
	}
	d := json.NewDecoder(c.body)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is something behind the JSON value")
		}
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return failure(http.StatusRequestEntityTooLarge, "body_too_large", fmt.Sprintf("the body has more than %d bytes", tooLarge.Limit))
	}
	if err != nil {
		return failure(http.StatusBadRequest, "bad_request", "the body is not the JSON that is wanted", ProblemDetail{"body", err.Error()})
	}
	return nil
}

// reply is what a handler answers with.
type reply struct {
	status int // 0 is 200
	body   any // nil: none
	cookie *http.Cookie
}

// handler answers a call; its error is a *Failure, or that of a store.
type handler func(ctx context.Context, s *Server, c *call) (reply, error)

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
