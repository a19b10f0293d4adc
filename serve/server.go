// Package serve is the read side: the HTTP API over rollups, alerts, dead letters and the state of the tasks, and a
// WebSocket that sends what changes. It declares what it needs of the rest as small interfaces; cmd/tidewatch hands them in.
//
// The table in routes.go is the only place that says what there is: the mux, the checks of parameters, the OpenAPI document
// and the tests are made from it.
//
// # Not obvious
//
//   - A question about series is first read into an ask, which is the same for equal questions whatever their words; HTTP
//     and WebSocket answer it by the same code.
//   - Windows are combined only where their columns allow it: counts and sums add, extremes compare, averages are weighted
//     by a count beside them. Everything else is refused with the reason, never approximated.
//   - Subscribers of equal questions share one panel: one read of the store, one copy, one encoding for all. A subscriber
//     that does not keep up is not queued for: it gets the state of then when it can take something again.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/stream"
)

// Limits bound what callers can make the server do. What passes one is refused with its name.
type Limits struct {
	Requests      int           // answered at once
	Body          int64         // bytes of a request's body
	Timeout       time.Duration // of one answer
	Connections   int           // WebSockets
	Subscriptions int           // of one WebSocket
	Panels        int           // distinct questions that are subscribed to
	Message       int64         // bytes of a message from a WebSocket client
	Every         time.Duration // least distance of two messages of a subscription
	Ping          time.Duration // distance of pings; a client that does not answer one is gone
}

// DefaultLimits are those of the product.
func DefaultLimits() Limits {
	return Limits{
		Requests: 256, Body: 1 << 20, Timeout: 20 * time.Second, Connections: 1000, Subscriptions: 64, Panels: 500, Message: 16 << 10,
		Every: time.Second, Ping: 20 * time.Second,
	}
}

// Config is what a Server needs.
type Config struct {
	Listener net.Listener
	Status   Status
	Alerts   alerts.Store
	Rollups  Rollups
	Log      Log
	Clock    stream.Clock
	Logger   *slog.Logger
	Version  string
	Applier  Applier // nil where pipelines cannot be changed
	// Tokens that callers must show one of; nil on loopback, where none is asked for.
	Tokens *Tokens
	// Page answers for everything beside the API; nil if there is no page. Its files are public: what they show is not.
	Page   http.Handler
	Limits Limits
}

// Server is the HTTP API. Run it once.
type Server struct {
	c        Config
	http     *http.Server
	routes   []route
	document []byte
	busy     chan struct{} // a place for each request that is answered now
	observed *Metrics
	hub      *hub
}

// New returns a server that does not serve yet. It refuses an address that others can reach if no tokens are asked for.
func New(c Config) (*Server, error) {
	if c.Listener != nil && c.Tokens == nil && !isLoopback(c.Listener.Addr().String()) {
		return nil, fmt.Errorf("serve on %s: others can reach this address: give http.tokens, or listen on 127.0.0.1", c.Listener.Addr())
	}
	s := &Server{c: c, routes: routes(), busy: make(chan struct{}, c.Limits.Requests), observed: newMetrics()}
	document, err := OpenAPI()
	if err != nil {
		return nil, err
	}
	s.document = document
	s.hub = newHub(s)
	s.http = &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(c.Logger.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// Metrics are what the server counts, for the admin port.
func (s *Server) Metrics() *Metrics { return s.observed }

// shutdownPatience is how long answers on their way may take at the end.
const shutdownPatience = 3 * time.Second

// Run serves until ctx is done, and returns when the last answer is out and the last WebSocket closed.
func (s *Server) Run(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- s.http.Serve(s.c.Listener) }() // ends with Shutdown
	select {
	case err := <-done:
		s.hub.close(ctx)
		return fmt.Errorf("serve %s: %w", s.c.Listener.Addr(), err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownPatience)
	defer cancel()
	s.hub.close(last)
	err := s.http.Shutdown(last)
	if served := <-done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// health says that the process serves; it asks nobody.
func health(context.Context, *Server, *call) (reply, error) {
	return reply{body: Health{"ok"}}, nil
}

func ready(ctx context.Context, s *Server, _ *call) (reply, error) {
	if err := s.c.Status.Ready(ctx); err != nil {
		return reply{}, failure(http.StatusServiceUnavailable, "not_ready", err.Error())
	}
	return reply{body: Health{"ready"}}, nil
}
