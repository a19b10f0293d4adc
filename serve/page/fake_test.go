package page

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

// answer is what the API says to a GET.
type answer func(q url.Values) (status int, body any)

// api is an API that says what a test wants, by HTTP and by WebSocket, and serves the page. Safe for concurrent use.
type api struct {
	t      *testing.T
	server *httptest.Server

	mu struct {
		sync.Mutex
		answers map[string]answer // by path below /api/v2
		posts   []posted
		viewers map[*viewer]bool
		asked   []string // paths that were asked or subscribed to, with their parameters
		away    bool     // nothing answers, no connection is taken
		silent  bool     // no WebSocket is taken
	}
}

type posted struct {
	path string
	body map[string]any
}

// viewer is a WebSocket of the page.
type viewer struct {
	conn *websocket.Conn
	subs map[string]*sub // by id
}

type sub struct {
	path string
	seq  int
}

func newAPI(t *testing.T, answers map[string]answer) *api {
	t.Helper()
	a := &api{t: t}
	a.mu.answers, a.mu.viewers = answers, map[*viewer]bool{}
	mux := http.NewServeMux()
	mux.HandleFunc("/api/v2/live", a.live)
	mux.HandleFunc("/api/v2/", a.http)
	mux.Handle("/", handler(t))
	a.server = httptest.NewServer(mux)
	t.Cleanup(func() { a.cut(); a.server.Close() })
	return a
}

func (a *api) set(path string, f answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.answers[path] = f
}

// leave makes the API vanish, or come back.
func (a *api) leave(away bool) {
	a.mu.Lock()
	a.mu.away = away
	a.mu.Unlock()
	if away {
		a.cut()
	}
}

// cut ends all WebSockets without a word.
func (a *api) cut() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for v := range a.mu.viewers {
		_ = v.conn.CloseNow()
	}
}

func (a *api) asked(part string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.mu.asked {
		if strings.Contains(p, part) {
			return true
		}
	}
	return false
}

func (a *api) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.asked = nil
}

func (a *api) posts() []posted {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]posted(nil), a.mu.posts...)
}

func (a *api) find(target string) (status int, body any, away bool) {
	u, err := url.Parse(target)
	if err != nil {
		return http.StatusBadRequest, problem("bad_request", err.Error()), false
	}
	path := strings.TrimPrefix(u.Path, "/api/v2")
	a.mu.Lock()
	f, away := a.mu.answers[path], a.mu.away
	a.mu.asked = append(a.mu.asked, target)
	a.mu.Unlock()
	if f == nil {
		return http.StatusNotFound, problem("not_found", "there is nothing at "+path), away
	}
	status, body = f(u.Query())
	return status, body, away
}

func (a *api) http(w http.ResponseWriter, r *http.Request) {
	status, body, away := a.find(r.URL.RequestURI())
	if away {
		panic(http.ErrAbortHandler) // the connection ends, as that of a server that is gone
	}
	if r.Method == http.MethodPost {
		var b map[string]any
		_ = json.NewDecoder(r.Body).Decode(&b) // the page sends what it sends: the test looks at it
		a.mu.Lock()
		a.mu.posts = append(a.mu.posts, posted{r.URL.Path, b})
		a.mu.Unlock()
	}
	w.Header().Set("Content-Type", "application/json")
	if status >= http.StatusBadRequest {
		w.Header().Set("Content-Type", "application/problem+json")
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (a *api) live(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	refused := a.mu.away || a.mu.silent
	a.mu.Unlock()
	if refused {
		panic(http.ErrAbortHandler)
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	v := &viewer{conn: conn, subs: map[string]*sub{}}
	a.mu.Lock()
	a.mu.viewers[v] = true
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		delete(a.mu.viewers, v)
		a.mu.Unlock()
		_ = conn.CloseNow()
	}()
	a.say(v, map[string]any{"type": "hello", "version": "v0-test", "now": now})
	for {
		var m struct{ Op, ID, Path string }
		if wsjson.Read(context.Background(), conn, &m) != nil {
			return
		}
		a.obey(v, m.Op, m.ID, m.Path)
	}
}

func (a *api) obey(v *viewer, op, id, path string) {
	if op == "unsubscribe" {
		a.mu.Lock()
		delete(v.subs, id)
		a.mu.Unlock()
		return
	}
	status, body, _ := a.find(path)
	if status >= http.StatusBadRequest {
		a.say(v, map[string]any{"type": "error", "id": id, "problem": body})
		return
	}
	a.mu.Lock()
	v.subs[id] = &sub{path: path, seq: 1}
	a.mu.Unlock()
	a.say(v, map[string]any{"type": "snapshot", "id": id, "seq": 1, "data": body})
}

// delta sends a change to all who have subscribed to paths with this part.
func (a *api) delta(part string, data any) {
	a.each(part, func(v *viewer, id string, s *sub) map[string]any {
		return map[string]any{"type": "delta", "id": id, "seq": s.seq, "data": data}
	})
}

func (a *api) each(part string, message func(*viewer, string, *sub) map[string]any) {
	type due struct {
		v  *viewer
		id string
		s  sub
	}
	var all []due
	a.mu.Lock()
	for v := range a.mu.viewers {
		for id, s := range v.subs {
			if strings.Contains(s.path, part) {
				s.seq++
				all = append(all, due{v, id, *s})
			}
		}
	}
	a.mu.Unlock()
	if len(all) == 0 {
		a.t.Errorf("nobody has subscribed to %s", part)
	}
	for _, d := range all {
		a.say(d.v, message(d.v, d.id, &d.s))
	}
}

func (a *api) say(v *viewer, m any) { _ = wsjson.Write(context.Background(), v.conn, m) } // a viewer that has gone is no mistake

func problem(code, detail string) map[string]any {
	status := map[string]int{"not_found": 404, "unauthorized": 401, "bad_request": 400, "store_unavailable": 503}[code]
	return map[string]any{"title": code, "status": status, "code": code, "detail": detail, "request_id": "r-1"}
}
