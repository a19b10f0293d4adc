package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/serve"
	"github.com/tidewatch/tidewatch/sinks/redis"
)

// client asks an API: that of a running server, or one inside this process that reads the configured Redis. So a question
// is understood and answered by the same code, wherever it is asked.
type client struct {
	base  string
	token string
	http  *http.Client
	stop  func()
}

// clientPatience is how long an answer may take.
const clientPatience = 30 * time.Second

// dial is a client of the server of --server.
func (a *app) dial() (*client, error) {
	u, err := url.Parse(a.server)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fail(exitUsage, fmt.Errorf("--server: %q is not an address such as http://127.0.0.1:8080", a.server))
	}
	token := os.Getenv("TIDEWATCH_TOKEN")
	if file := os.Getenv("TIDEWATCH_TOKEN_FILE"); token == "" && file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fail(exitUsage, fmt.Errorf("read TIDEWATCH_TOKEN_FILE: %w", err))
		}
		token = strings.TrimSpace(string(text))
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	return &client{
		base: strings.TrimSuffix(u.String(), "/"), token: token,
		http: &http.Client{Transport: transport, Timeout: clientPatience}, stop: transport.CloseIdleConnections,
	}, nil
}

// local is a client of a server in this process, for questions about rollups. The pipelines of the configuration tell it
// how columns were computed; where they have mistakes, windows can still be read one by one.
func (a *app) local(ctx context.Context) (*client, error) {
	rollups, err := a.openRollups()
	if err != nil {
		return nil, err
	}
	known := &lineup{}
	view := &statusView{worker: "query", lineup: func() *lineup { return known }}
	if specs, c, err := a.specs(nil); err == nil {
		if known.described, err = describe(specs, c, nil); err != nil {
			return nil, fail(exitUsage, err)
		}
	} else if !a.quiet {
		fmt.Fprintln(a.errs, "the pipelines cannot be read, so windows are not combined; see tidewatch pipeline validate")
	}
	l := newMemoryListener()
	s, err := serve.New(serve.Config{
		Listener: l, Status: view, Alerts: alerts.NewMemory(), Rollups: rollupsView{rollups}, Clock: clock.System{},
		Logger: a.log(slog.LevelError), Version: version, Limits: serve.DefaultLimits(),
	})
	if err != nil {
		return nil, errors.Join(fail(exitUsage, err), rollups.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { // ends with cancel
		defer close(done)
		_ = s.Run(ctx) // whoever asks is told
	}()
	transport := &http.Transport{DialContext: l.dial}
	stop := func() {
		transport.CloseIdleConnections()
		cancel()
		<-done
		_ = rollups.Close() // nothing was written
	}
	return &client{base: "http://" + l.Addr().String(), http: &http.Client{Transport: transport, Timeout: clientPatience}, stop: stop}, nil
}

func (a *app) openRollups() (*redis.Client, error) {
	c, err := a.load()
	if err != nil {
		return nil, err
	}
	r := redis.Default()
	r.URL = c.Redis.URL
	opened, err := redis.Open(r, clock.System{})
	return opened, fail(exitUsage, err)
}

// get asks for a path below the base of the API.
func (c *client) get(ctx context.Context, path string, query url.Values, into any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+serve.APIBase+path, http.NoBody)
	if err != nil {
		return fail(exitUsage, fmt.Errorf("ask %s: %w", c.base, err))
	}
	return c.do(req, into)
}

// post sends body as JSON.
func (c *client) post(ctx context.Context, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("write request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+serve.APIBase+path, bytes.NewReader(text))
	if err != nil {
		return fail(exitUsage, fmt.Errorf("ask %s: %w", c.base, err))
	}
	req.Header.Set("Content-Type", "application/json")
	return c.do(req, into)
}

// do reads the answer. One that is a problem becomes an error with the exit code that it deserves.
func (c *client) do(req *http.Request, into any) error {
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return fail(exitDependency, fmt.Errorf("ask %s: %w; is tidewatch running there?", c.base, unwrapURL(err)))
	}
	defer res.Body.Close()
	if res.StatusCode >= http.StatusMultipleChoices {
		return problemError(c.base, res)
	}
	d := json.NewDecoder(res.Body)
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return fail(exitFailed, fmt.Errorf("read the answer of %s: %w; is it a tidewatch of this version?", c.base, err))
	}
	return nil
}

// unwrapURL takes off the address, which is said already.
func unwrapURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// answered is a problem that a server has answered with, in words of the command line.
type answered struct{ code, text string }

// Error implements error.
func (p *answered) Error() string { return p.text }

// problemError is a problem of the API in words of the command line.
func problemError(base string, res *http.Response) error {
	var p serve.Problem
	if err := json.NewDecoder(res.Body).Decode(&p); err != nil || p.Code == "" {
		return fail(exitFailed, fmt.Errorf("ask %s: it answers %s; is it a tidewatch?", base, res.Status))
	}
	text := p.Detail
	for _, e := range p.Errors {
		name, ok := strings.CutPrefix(e.Location, "query.")
		if name = "--" + name; name == "--columns" {
			name = "--column"
		}
		if !ok {
			name = e.Location
		}
		text += "\n  " + name + ": " + e.Message
	}
	code := exitFailed
	switch res.StatusCode {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusMethodNotAllowed:
		code = exitUsage
	case http.StatusNotFound:
		code = exitNotFound
	case http.StatusUnauthorized, http.StatusForbidden:
		code, text = exitDenied, text+"; the token is taken from TIDEWATCH_TOKEN or TIDEWATCH_TOKEN_FILE"
	case http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		code = exitDependency
	}
	return fail(code, &answered{p.Code, text})
}

// memoryListener connects a client and a server of one process. It implements net.Listener.
type memoryListener struct {
	dialed chan net.Conn
	closed chan struct{}
}

func newMemoryListener() *memoryListener {
	return &memoryListener{make(chan net.Conn), make(chan struct{})}
}

// Accept implements net.Listener.
func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.dialed:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener; the server calls it once.
func (l *memoryListener) Close() error {
	close(l.closed)
	return nil
}

// Addr implements net.Listener. Nobody can reach it but this process.
func (l *memoryListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (l *memoryListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.dialed <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
