// Package serve is the read side: the HTTP API over rollups, alerts and the state of the tasks. It declares what it needs
// of the rest as small interfaces; cmd/tidewatch hands them in.
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
)

// Status tells how the worker stands. Safe for concurrent use.
type Status interface {
	// Status is a fresh copy.
	Status() StatusAnswer
	// Ready is nil when everything the worker needs answers and what it serves is complete; otherwise it says what is not.
	Ready(ctx context.Context) error
}

// Config is what a Server needs.
type Config struct {
	Listener net.Listener
	Status   Status
	Alerts   alerts.Store
	Log      *slog.Logger
	// Tokens that callers may show, by name; empty on loopback, where none is asked for.
	Tokens map[string]string
}

// Server is the HTTP API. Run it once.
type Server struct {
	c    Config
	http *http.Server
}

// New returns a server that does not serve yet.
func New(c Config) *Server {
	s := &Server{c: c}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /readyz", s.ready)
	mux.HandleFunc("GET /api/v2/status", s.status)
	mux.HandleFunc("GET /api/v2/metrics/alerts/active", s.activeAlerts)
	mux.HandleFunc("GET /api/v2/metrics/alerts/{id}", s.alert)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		problem(w, http.StatusNotFound, "not_found", "there is nothing at "+r.URL.Path+"; see /api/v2/status")
	})
	s.http = &http.Server{
		Handler: s.guard(mux), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
	}
	return s
}

// shutdownPatience is how long answers on their way may take at the end.
const shutdownPatience = 3 * time.Second

// Run serves until ctx is done, and returns when the last answer is out.
func (s *Server) Run(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- s.http.Serve(s.c.Listener) }() // ends with Shutdown
	select {
	case err := <-done:
		return fmt.Errorf("serve %s: %w", s.c.Listener.Addr(), err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownPatience)
	defer cancel()
	err := s.http.Shutdown(last)
	if served := <-done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// health says that the process serves; it asks nobody.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]string{"status": "ok"})
}

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	if err := s.c.Status.Ready(r.Context()); err != nil {
		problem(w, http.StatusServiceUnavailable, "not_ready", err.Error())
		return
	}
	answer(w, map[string]string{"status": "ready"})
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	answer(w, s.c.Status.Status())
}
