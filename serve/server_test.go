package serve

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixed is a Status that never changes.
type fixed struct{ err error }

func (f fixed) Status() StatusAnswer {
	return StatusAnswer{Worker: "w", Version: "v", Pipelines: []PipelineStatus{{Name: "p", CompleteThrough: InstantOf(stream.Time(time.Second))}, {Name: "q", CompleteThrough: InstantOf(stream.NoTime)}}}
}
func (f fixed) Ready(context.Context) error               { return f.err }
func (fixed) Pipelines() []*pipelines.Description         { return nil }
func (fixed) Ledger(context.Context) ([]LedgerRow, error) { return nil, nil }

// broken is a store that is away.
type broken struct{}

func (broken) List(context.Context, alerts.Filter) (alerts.Page, error) {
	return alerts.Page{}, errors.New("connection to secret-host refused")
}

func (broken) Get(context.Context, string) (alerts.Detail, error) {
	return alerts.Detail{}, errors.New("connection to secret-host refused")
}

func server(t *testing.T, status Status, store alerts.Store, tokens ...Token) *Server {
	t.Helper()
	s, err := New(Config{Status: status, Alerts: store, Tokens: fixedTokens(tokens...), Clock: clock.System{}, Logger: slog.New(slog.DiscardHandler), Limits: DefaultLimits()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// token is a token as the file has it.
func token(t *testing.T, name, secret string, roles ...Role) Token {
	t.Helper()
	sum := sha256.Sum256([]byte(secret))
	all, err := ParseTokens(fmt.Appendf(nil, "tokens: [{name: %s, sha256: %x, roles: %v}]", name, sum, strings.ReplaceAll(fmt.Sprint(roles), " ", ",")))
	if err != nil {
		t.Fatal(err)
	}
	return all[0]
}

// get sends one request and returns the status and the body.
func get(s *Server, path string, change ...func(*http.Request)) (int, string) {
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8080"+path, nil)
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	s.http.Handler.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestAnswers(t *testing.T) {
	s := server(t, fixed{}, alerts.NewMemory())
	away := server(t, fixed{errors.New("Redis is away")}, broken{})
	for _, tc := range []struct {
		s    *Server
		path string
		code int
		want string
	}{
		{s, "/healthz", 200, `"ok"`},
		{s, "/readyz", 200, `"ready"`},
		{away, "/readyz", 503, "Redis is away"},
		{s, "/api/v2/status", 200, `"name":"p","instance":"","complete_through":"1970-01-01T00:00:01Z"`},
		{s, "/api/v2/status", 200, `"name":"q","instance":"","complete_through":null`},
		{s, "/api/v2/metrics/alerts/active", 200, `{"items":[]`},
		{s, "/api/v2/metrics/alerts/active?stat=firing", 400, `"location":"query.stat"`},
		{s, "/api/v2/metrics/alerts/active?state=burning", 400, "burning"},
		{s, "/api/v2/metrics/alerts/active?limit=0", 400, "query.limit"},
		{s, "/api/v2/metrics/alerts/active?label=host", 400, "name=value"},
		{s, "/api/v2/metrics/alerts/0123456789abcdef01234567", 404, `"code":"not_found"`},
		{away, "/api/v2/metrics/alerts/active", 503, `"code":"store_unavailable"`},
		{s, "/api/v3", 404, "there is nothing at /api/v3"},
	} {
		code, body := get(tc.s, tc.path)
		if code != tc.code || !strings.Contains(body, tc.want) {
			t.Errorf("%s: %d %s, want %d with %s", tc.path, code, body, tc.code, tc.want)
		}
		if !json.Valid([]byte(body)) || strings.Contains(body, "secret-host") {
			t.Errorf("%s: %s", tc.path, body)
		}
	}
}

func TestStrangersAreRefused(t *testing.T) {
	open, guarded := server(t, fixed{}, alerts.NewMemory()), server(t, fixed{}, alerts.NewMemory(), token(t, "ada", "s3cret", RoleRead))
	host := func(h string) func(*http.Request) { return func(r *http.Request) { r.Host = h } }
	header := func(k, v string) func(*http.Request) { return func(r *http.Request) { r.Header.Set(k, v) } }
	for _, tc := range []struct {
		name   string
		s      *Server
		change func(*http.Request)
		code   int
	}{
		{"a foreign name of this machine", open, host("evil.example:8080"), 403},
		{"localhost", open, host("localhost:8080"), 200},
		{"IPv6 loopback", open, host("[::1]:8080"), 200},
		{"a page of a stranger", open, header("Origin", "http://evil.example"), 403},
		{"an own page", open, header("Origin", "http://127.0.0.1:8080"), 200},
		{"no token", guarded, header("Accept", "*/*"), 401},
		{"a wrong token", guarded, header("Authorization", "Bearer secret"), 401},
		{"a token without its word", guarded, header("Authorization", "s3cret"), 401},
		{"a token", guarded, header("Authorization", "Bearer s3cret"), 200},
	} {
		if code, body := get(tc.s, "/api/v2/status", tc.change); code != tc.code {
			t.Errorf("%s: %d %s, want %d", tc.name, code, body, tc.code)
		}
	}
	if code, _ := get(guarded, "/healthz"); code != 200 {
		t.Errorf("health needs a token: %d", code)
	}
}

// TestRunEndsWithItsContext serves a real connection and stops.
func TestRunEndsWithItsContext(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Listener: l, Status: fixed{}, Alerts: alerts.NewMemory(), Clock: clock.System{}, Logger: slog.New(slog.DiscardHandler), Limits: DefaultLimits()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%s %s %v", resp.Status, body, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run ended with %v", err)
	}
}
