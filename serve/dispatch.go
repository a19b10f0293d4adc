package serve

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzhttp"
)

// livePath is where the WebSocket is.
const livePath = APIBase + "/live"

// compressFrom is the size of an answer from which compression pays.
const compressFrom = 1024

// handler is the whole server: what every answer has in common around the table of routes.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	byPath := map[string]map[string]*route{}
	for i := range s.routes {
		r := &s.routes[i]
		if byPath[r.path()] == nil {
			byPath[r.path()] = map[string]*route{}
		}
		byPath[r.path()][r.Method] = r
	}
	for path, methods := range byPath { // patterns with methods would get in each other's way
		mux.HandleFunc(path, func(w http.ResponseWriter, req *http.Request) { s.serveMethod(w, req, methods) })
	}
	mux.HandleFunc("/api/", nothingHere)
	if s.c.Page != nil {
		mux.Handle("/", s.c.Page)
	} else {
		mux.HandleFunc("/", nothingHere)
	}
	compressing, err := gzhttp.NewWrapper(gzhttp.MinSize(compressFrom), gzhttp.ContentTypes([]string{
		"application/json", "application/problem+json", "text/html", "text/css", "text/javascript", "application/javascript", "image/svg+xml",
	}))
	if err != nil {
		panic("compression: " + err.Error()) // the options above are constant
	}
	inner := http.NewServeMux()
	inner.HandleFunc("GET "+livePath, s.live) // cannot be compressed: it takes the connection over
	inner.Handle("/", compressing(mux))
	return s.observe(s.guard(inner))
}

func nothingHere(w http.ResponseWriter, r *http.Request) {
	refuse(w, http.StatusNotFound, "not_found", "there is nothing at "+r.URL.Path+"; see "+APIBase+"/openapi.json")
}

// serveMethod chooses among the routes of a path.
func (s *Server) serveMethod(w http.ResponseWriter, req *http.Request, methods map[string]*route) {
	method := req.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	r := methods[method]
	if r == nil {
		allowed := sortedKeys(methods)
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		refuse(w, http.StatusMethodNotAllowed, "method_not_allowed", req.URL.Path+" takes "+strings.Join(allowed, " and "))
		return
	}
	s.serveRoute(w, req, r)
}

// serveRoute answers one request of the table.
func (s *Server) serveRoute(w http.ResponseWriter, req *http.Request, r *route) {
	noteRoute(w, r)
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
	default:
		refuse(w, http.StatusServiceUnavailable, "overloaded", "too many requests are being answered: try again")
		return
	}
	s.observed.inFlight.Inc()
	defer s.observed.inFlight.Dec()
	ctx, cancel := context.WithTimeout(req.Context(), s.c.Limits.Timeout)
	defer cancel()
	c := newCall(r, req.URL.Query(), s.c.Clock.Now())
	c.caller, c.header, c.path = callerOf(req.Context()), req.Header, map[string]string{}
	c.secure = req.TLS != nil || req.Header.Get("X-Forwarded-Proto") == "https"
	for i := range r.Params {
		if p := &r.Params[i]; p.In == "path" {
			c.path[p.Name] = req.PathValue(p.Name)
		}
	}
	if r.Body != nil {
		c.body = http.MaxBytesReader(w, req.Body, s.c.Limits.Body)
	}
	if !c.caller.may(r.Role) {
		problem(w, s.forbidden(c, r))
		return
	}
	rep, err := r.handle(ctx, s, c)
	if err != nil {
		s.failed(w, r, err)
		return
	}
	if rep.cookie != nil {
		http.SetCookie(w, rep.cookie)
	}
	answer(w, rep.status, rep.body)
}

func (s *Server) forbidden(c *call, r *route) Problem {
	if c.caller.name == "" {
		return Problem{Title: "Unauthorized", Status: http.StatusUnauthorized, Code: "unauthorized", Detail: "send a token of http.tokens as Authorization: Bearer …"}
	}
	return Problem{Title: "Forbidden", Status: http.StatusForbidden, Code: "forbidden", Detail: "the token " + c.caller.name + " lacks the role " + string(r.Role)}
}

// failed answers for a handler that could not. What may name hosts goes to the operator's log only.
func (s *Server) failed(w http.ResponseWriter, r *route, err error) {
	p, known := problemOf(err)
	if !known {
		s.c.Logger.Error("answering failed", "route", r.ID, "request_id", w.Header().Get(requestIDHeader), "error", err)
	}
	problem(w, p)
}

// resolve finds the route of a path that a WebSocket client names, with its parameters.
func (s *Server) resolve(target string) (*call, error) {
	u, err := url.Parse(target)
	if err != nil || u.Host != "" || !strings.HasPrefix(u.Path, "/") {
		return nil, failure(http.StatusBadRequest, "bad_request", "the request has mistakes", ProblemDetail{"path", "it is no path such as /metrics/system?last=15m"})
	}
	segments := strings.Split(strings.TrimPrefix(u.EscapedPath(), APIBase), "/")
	var best *call
	for i := range s.routes {
		r := &s.routes[i]
		values, ok := match(strings.Split(r.Path, "/"), segments)
		if !ok || r.Live == notLive || best != nil && len(values) >= len(best.path) {
			continue
		}
		query, err := url.ParseQuery(u.RawQuery)
		if err != nil {
			return nil, failure(http.StatusBadRequest, "bad_request", "the request has mistakes", ProblemDetail{"path", "its parameters cannot be read"})
		}
		best = newCall(r, query, s.c.Clock.Now())
		best.path = values
	}
	if best == nil {
		return nil, notFound("nothing at " + u.Path + " can be subscribed to; there are " + strings.Join(s.livePaths(), ", "))
	}
	return best, best.mistakes()
}

// match compares segments; {name} takes any.
func match(pattern, segments []string) (values map[string]string, ok bool) {
	if len(pattern) != len(segments) {
		return nil, false
	}
	values = map[string]string{}
	for i, p := range pattern {
		if name, isParam := strings.CutPrefix(p, "{"); isParam {
			v, err := url.PathUnescape(segments[i])
			if err != nil || v == "" {
				return nil, false
			}
			values[strings.TrimSuffix(name, "}")] = v
		} else if p != segments[i] {
			return nil, false
		}
	}
	return values, true
}

func (s *Server) livePaths() (paths []string) {
	for i := range s.routes {
		if s.routes[i].Live != notLive {
			paths = append(paths, s.routes[i].Path)
		}
	}
	return slices.Compact(paths)
}

func showOpenAPI(_ context.Context, s *Server, c *call) (reply, error) {
	return reply{body: json.RawMessage(s.document)}, c.mistakes()
}
