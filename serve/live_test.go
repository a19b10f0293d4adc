package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/stream"
)

// serving is a server on a port of its own.
type serving struct {
	*Server
	url  string
	stop func()
}

// listenAndServe serves the world until the test ends.
func (w *world) listenAndServe(t *testing.T, change func(*Config)) *serving {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := w.server(t, func(c *Config) {
		c.Listener, c.Clock = l, clock.System{}
		c.Limits.Every = 10 * time.Millisecond
		if change != nil {
			change(c)
		}
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	})
	t.Cleanup(stop)
	return &serving{s, "http://" + l.Addr().String(), stop}
}

// socket is a WebSocket client.
type socket struct {
	t    *testing.T
	conn *websocket.Conn
	ctx  context.Context
}

// dial answers the status of a refusal.
func (s *serving) dial(t *testing.T, header http.Header) (c *socket, status int, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	// A small buffer makes a client that does not read slow at once.
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 16<<10) })
	}}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dialer.DialContext}}
	conn, resp, err := websocket.Dial(ctx, s.url+livePath, &websocket.DialOptions{HTTPHeader: header, HTTPClient: client})
	if resp != nil && resp.Body != nil {
		defer func() { _ = resp.Body.Close() }()
		status = resp.StatusCode
	}
	if err != nil {
		return nil, status, err
	}
	conn.SetReadLimit(64 << 20)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &socket{t, conn, ctx}, status, nil
}

func (s *serving) connect(t *testing.T) *socket {
	t.Helper()
	c, _, err := s.dial(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	if m := c.next(); m.Type != "hello" {
		t.Fatalf("the first message is %+v", m)
	}
	return c
}

func (c *socket) send(text string) {
	c.t.Helper()
	if err := c.conn.Write(c.ctx, websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *socket) subscribe(id, path string) {
	c.t.Helper()
	text, err := json.Marshal(clientMessage{Op: "subscribe", ID: id, Path: path})
	if err != nil {
		c.t.Fatal(err)
	}
	c.send(string(text))
}

func (c *socket) next() message {
	c.t.Helper()
	_, data, err := c.conn.Read(c.ctx)
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	var m message
	if err := json.Unmarshal(data, &m); err != nil {
		c.t.Fatalf("%s: %v", data, err)
	}
	return m
}

// until applies messages until the page shows a point of a series at a time.
func (c *socket) until(p *page, series int, start stream.Time, want float64) {
	c.t.Helper()
	for {
		m := c.next()
		p.take(fatal{c.t}, &m)
		if series >= len(p.answer.Series) {
			continue
		}
		for _, point := range p.answer.Series[series].Points {
			if int64(*point[0]) == start.Go().UnixMilli() && *point[1] == want {
				return
			}
		}
	}
}

// fatal is a testing.T that says where.
type fatal struct{ t *testing.T }

func (f fatal) Fatalf(format string, args ...any) {
	f.t.Helper()
	f.t.Fatalf(format, args...)
}

// present is the world of the examples with windows of now.
func present(t *testing.T) (w *world, window stream.Time) {
	t.Helper()
	w = exampleWorld(t)
	window = stream.TimeOf(time.Now()).Floor(10 * time.Second).Add(-time.Minute)
	w.put("host-cpu/cpu", window, cpu("web-7", 0.5))
	return w, window
}

func cpu(host string, value float64) row {
	return row{labels: []string{"acme", host}, values: []any{value, value, 1}}
}

const cpuPath = "/metrics/system?types=cpu&last=10m&step=10s&where=host=web-7"

// TestSnapshotThenDeltas: a page sees the state, and then each change, in order.
func TestSnapshotThenDeltas(t *testing.T) {
	w, window := present(t)
	s := w.listenAndServe(t, nil)
	c := s.connect(t)
	c.subscribe("cpu", cpuPath)
	var p page
	c.until(&p, 0, window, 0.5)
	<-w.listening("host-cpu/cpu")
	for i := range 20 {
		value := float64(i) / 100
		w.put("host-cpu/cpu", window, cpu("web-7", value))
		c.until(&p, 0, window, value)
	}
	if p.deltas < 10 {
		t.Errorf("%d deltas and %d snapshots for 20 changes", p.deltas, p.whole)
	}
	// A point that vanishes is told by a snapshot.
	whole := p.whole
	w.put("host-cpu/cpu", window)
	for len(p.answer.Series) > 0 {
		m := c.next()
		p.take(fatal{t}, &m)
	}
	if p.whole != whole+1 {
		t.Errorf("%d snapshots, want %d", p.whole, whole+1)
	}
}

// TestViewersShareReads: the store is read for questions, not for those who ask them.
func TestViewersShareReads(t *testing.T) {
	const viewers = 30
	w, window := present(t)
	s := w.listenAndServe(t, func(c *Config) { c.Limits.Every = 50 * time.Millisecond })
	// The same question in two sets of words.
	paths := []string{cpuPath, "/api/v2/metrics/system?metric_types=cpu&time_range=600s&granularity=10s&where=host=web-7"}
	all := make([]*socket, viewers)
	pages := make([]page, viewers)
	for i := range all {
		all[i] = s.connect(t)
		all[i].subscribe("cpu", paths[i%2])
		all[i].until(&pages[i], 0, window, 0.5)
	}
	<-w.listening("host-cpu/cpu")
	const changes = 10
	before := w.readsOf("host-cpu/cpu")
	for i := range changes {
		w.put("host-cpu/cpu", window, cpu("web-7", float64(i)))
		for k, c := range all {
			c.until(&pages[k], 0, window, float64(i))
		}
	}
	if reads := w.readsOf("host-cpu/cpu") - before; reads > 3*changes {
		t.Errorf("%d reads for %d changes and %d viewers of one question", reads, changes, viewers)
	}
	if n := len(s.hub.mu.panels); n != 1 {
		t.Errorf("%d panels for one question", n)
	}
}

// TestSlowClientGetsASnapshot: what a client does not take is not queued for it; it gets the state when it reads again.
func TestSlowClientGetsASnapshot(t *testing.T) {
	w, window := present(t)
	var wide []row
	for i := range 20 {
		wide = append(wide, cpu(strings.Repeat("x", 40_000)+string(rune('a'+i)), 1))
	}
	w.put("host-cpu/cpu", window, wide...)
	s := w.listenAndServe(t, func(c *Config) { c.Limits.Every = time.Millisecond })
	slow, quick := s.connect(t), s.connect(t)
	const path = "/metrics/system?types=cpu&last=10m&step=10s"
	slow.subscribe("cpu", path)
	quick.subscribe("cpu", path)
	var p page
	m := quick.next()
	p.take(fatal{t}, &m)
	<-w.listening("host-cpu/cpu")
	// Everything changes at each step, so megabytes are due: more than what sockets hold. The quick one sees all of it.
	var last float64
	skipped := func() bool { return counterOf(t, s.Server, "tidewatch_live_skipped_total") > 3 }
	for i := 1; !skipped(); i++ {
		last = float64(i)
		for k := range wide {
			wide[k].values = []any{last, last, 1}
		}
		w.put("host-cpu/cpu", window, wide...)
		quick.until(&p, 0, window, last)
		if i > 2000 {
			t.Fatal("the slow client was never behind")
		}
	}
	var q page
	slow.until(&q, 0, window, last)
	if q.whole < 2 || uint64(q.whole+q.deltas) >= q.seq {
		t.Errorf("the slow client got %d snapshots and %d deltas of %d states", q.whole, q.deltas, q.seq)
	}
	// Only the points: time has gone on meanwhile, and with it the range.
	have, want := shown{Series: q.answer.Series}, shown{Series: p.answer.Series}
	if have.text(fatal{t}) != want.text(fatal{t}) {
		t.Error("the slow client shows something else than the quick one")
	}
}

// counterOf reads a metric of the server.
func counterOf(t *testing.T, s *Server, name string) float64 {
	t.Helper()
	value, err := gather(s, name)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// TestWholeAnswers: alerts and pipelines come whole when they have changed, and only then.
func TestWholeAnswers(t *testing.T) {
	w, _ := present(t)
	s := w.listenAndServe(t, nil)
	c := s.connect(t)
	c.subscribe("n", "/metrics/alerts/counts")
	first := c.next()
	if first.Type != "snapshot" || !strings.Contains(string(first.Data), `"critical":1`) {
		t.Fatalf("%+v", first)
	}
	w.alert(t, "Other", alerts.Warning, map[string]string{"user": "bob"})
	second := c.next()
	if second.Seq != first.Seq+1 || !strings.Contains(string(second.Data), `"warning":1`) {
		t.Errorf("%+v", second)
	}
	c.send(`{"op":"unsubscribe","id":"n"}`)
	c.subscribe("p", "/pipelines/host-cpu")
	if m := c.next(); m.ID != "p" || !strings.Contains(string(m.Data), `"host-cpu@1"`) {
		t.Errorf("%+v", m)
	}
}

// TestAwayAndBack: while the store is away a subscription pauses, and goes on with a snapshot.
func TestAwayAndBack(t *testing.T) {
	w, window := present(t)
	s := w.listenAndServe(t, nil)
	c := s.connect(t)
	c.subscribe("cpu", cpuPath)
	var p page
	c.until(&p, 0, window, 0.5)
	w.fail(stream.Mark(stream.Retry, errors.New("secret-host does not answer")))
	m := c.next()
	for ; m.Type != "error"; m = c.next() {
		p.take(fatal{t}, &m)
	}
	if m.Problem.Code != "store_unavailable" || m.ID != "cpu" || strings.Contains(m.Problem.Detail, "secret-host") {
		t.Errorf("%+v", m.Problem)
	}
	w.fail(nil)
	if m = c.next(); m.Type != "snapshot" {
		t.Errorf("%+v", m)
	}
}

// TestMistakesOfClients are answered, and leave the connection usable.
func TestMistakesOfClients(t *testing.T) {
	w, _ := present(t)
	s := w.listenAndServe(t, func(c *Config) { c.Limits.Subscriptions, c.Limits.Panels = 3, 2 })
	c := s.connect(t)
	for _, tc := range []struct{ text, code, want string }{
		{`{`, "bad_request", "not JSON"},
		{`{"op":"subscribe","path":"/status"}`, "bad_request", "id is missing"},
		{`{"op":"watch","id":"x"}`, "bad_request", "unknown op"},
		{`{"op":"subscribe","id":"x","path":"/nothing"}`, "not_found", "can be subscribed to; there are /metrics/system"},
		{`{"op":"subscribe","id":"x","path":"/openapi.json"}`, "not_found", "can be subscribed to"},
		{`{"op":"subscribe","id":"x","path":"http://evil.example/status"}`, "bad_request", "path"},
		{`{"op":"subscribe","id":"x","path":"/metrics/system?last=never"}`, "bad_request", "mistakes"},
		{`{"op":"subscribe","id":"x","path":"/metrics/custom?name=nothing"}`, "not_found", "no metric nothing"},
		{`{"op":"subscribe","id":"x","path":"/pipelines/none"}`, "not_found", "no pipeline none"},
	} {
		c.send(tc.text)
		m := c.next()
		if m.Type != "error" || m.Problem.Code != tc.code || !strings.Contains(fmt.Sprint(m.Problem), tc.want) {
			t.Errorf("%s: %+v %+v", tc.text, m, m.Problem)
		}
	}
	for i, path := range []string{"/pipelines", "/ledger"} {
		c.subscribe(string(rune('a'+i)), path)
		if m := c.next(); m.Type != "snapshot" {
			t.Fatalf("%+v %+v", m, m.Problem)
		}
	}
	c.subscribe("c", "/metrics/alerts")
	if m := c.next(); m.Type != "error" || m.Problem.Code != "overloaded" {
		t.Errorf("%+v", m)
	}
	c.subscribe("d", "/ledger")
	if m := c.next(); m.Type != "snapshot" {
		t.Errorf("%+v", m)
	}
	c.subscribe("e", "/ledger")
	if m := c.next(); m.Type != "error" || m.Problem.Code != "too_many_subscriptions" {
		t.Errorf("%+v", m)
	}
	c.send(strings.Repeat(" ", 20<<10))
	if _, _, err := c.conn.Read(c.ctx); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("a long message: %v", err)
	}
}

// TestDoorOfTheWebSocket: the same guard as everywhere, and a limit.
func TestDoorOfTheWebSocket(t *testing.T) {
	w, _ := present(t)
	open := w.listenAndServe(t, func(c *Config) { c.Limits.Connections = 1 })
	guarded := w.listenAndServe(t, func(c *Config) {
		c.Tokens = fixedTokens(token(t, "ada", "s3cret", RoleRead), token(t, "ci", "wr1te", RoleWrite))
	})
	kept := open.connect(t)
	for _, tc := range []struct {
		name   string
		s      *serving
		header http.Header
		code   int
	}{
		{"one too many", open, nil, 503},
		{"a page of a stranger", open, http.Header{"Origin": {"http://evil.example"}}, 403},
		{"no token", guarded, nil, 401},
		{"a wrong token", guarded, http.Header{"Authorization": {"Bearer guess"}}, 401},
		{"a token that may not read", guarded, http.Header{"Authorization": {"Bearer wr1te"}}, 403},
		{"a page of a stranger with a cookie", guarded, http.Header{"Cookie": {sessionCookie + "=s3cret"}, "Origin": {"http://evil.example"}}, 403},
	} {
		if _, status, err := tc.s.dial(t, tc.header); err == nil || status != tc.code {
			t.Errorf("%s: %d %v, want %d", tc.name, status, err, tc.code)
		}
	}
	for _, header := range []http.Header{{"Authorization": {"Bearer s3cret"}}, {"Cookie": {sessionCookie + "=s3cret"}}} {
		if _, _, err := guarded.dial(t, header); err != nil {
			t.Errorf("%v: %v", header, err)
		}
	}
	if code := send(open.Server, "GET", livePath, "").Code; code != http.StatusUpgradeRequired {
		t.Errorf("without an upgrade: %d", code)
	}
	go open.stop()
	if m := kept.next(); m.Type != "bye" || m.Reason == "" {
		t.Errorf("the end is %+v", m)
	}
	if _, _, err := kept.conn.Read(kept.ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("the connection ended with %v", err)
	}
}

// TestPanelsEndWithTheirViewers: nothing is read, and nobody listened to, when nobody watches.
func TestPanelsEndWithTheirViewers(t *testing.T) {
	w, window := present(t)
	s := w.listenAndServe(t, nil)
	c := s.connect(t)
	c.subscribe("cpu", cpuPath)
	var p page
	c.until(&p, 0, window, 0.5)
	if err := c.conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(10 * time.Second)
	for {
		s.hub.mu.Lock()
		left := len(s.hub.mu.panels) + len(s.hub.mu.feeds) + len(s.hub.mu.viewers)
		s.hub.mu.Unlock()
		if left == 0 {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%d panels, feeds and viewers are left", left)
		case <-time.After(time.Millisecond):
		}
	}
}
