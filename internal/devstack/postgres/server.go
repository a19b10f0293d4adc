package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tidewatch/tidewatch/internal/devstack/child"
	"github.com/tidewatch/tidewatch/stream"
)

// Our role and database.
const (
	role     = "tidewatch"
	database = "tidewatch"
)

const (
	readyWithin = 2 * time.Minute // recovery after a crash of the machine is part of it
	attempts    = 4               // of the first start, and of restarts after a death
	firstPause  = 250 * time.Millisecond
	healthyFor  = time.Minute // a server that ran so long has all its restarts again
	stopWithin  = 5 * time.Second
)

// Server is a PostgreSQL that runs beneath this process. All methods may be called from any goroutine.
type Server struct {
	cluster  *cluster
	programs programs
	config   Config
	clock    stream.Clock
	log      *slog.Logger

	stop    chan struct{}
	stopped sync.Once
	done    chan struct{} // closed when nothing runs any more
	err     error         // why, unless Close was called; read after done
}

// Start makes the cluster if there is none, starts the server, makes role and database, and returns when they can be used.
// ctx ends the start, not the server. The caller has seen to it that no other process uses the folder.
func Start(ctx context.Context, c Config) (*Server, error) {
	c, err := c.filled()
	if err != nil {
		return nil, err
	}
	k, err := openCluster(c.Dir)
	if err != nil {
		return nil, err
	}
	s := &Server{cluster: k, config: c, clock: c.Clock, log: c.Log, stop: make(chan struct{}), done: make(chan struct{})}
	running, err := s.begin(ctx)
	if err != nil {
		return nil, errors.Join(err, k.close())
	}
	go s.supervise(running)
	return s, nil
}

// begin does all that Start does once.
func (s *Server) begin(ctx context.Context) (*child.Child, error) {
	k := s.cluster
	if err := k.waitOld(ctx, s.clock, s.config.Progress); err != nil {
		return nil, err
	}
	major, err := k.major()
	if err != nil {
		return nil, err
	}
	if s.programs, err = choose(ctx, s.config, k.account, major); err != nil {
		return nil, err
	}
	if major == 0 {
		s.config.Progress("making a PostgreSQL " + s.programs.version + " cluster in " + k.dir)
		err = k.create(ctx, s.programs, s.config.Volatile)
	} else {
		err = k.load()
	}
	if err != nil {
		return nil, err
	}
	running, err := s.first(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.end(running))
	}
	return running, nil
}

// first starts the server on a port of its own. Somebody else may take the port in between, and what an old server started
// may still hold its memory: it is tried again.
func (s *Server) first(ctx context.Context) (*child.Child, error) {
	var last error
	for attempt := range attempts {
		if attempt > 0 && !s.pause(ctx, firstPause<<attempt) {
			break
		}
		port, err := s.port(ctx)
		if err != nil {
			return nil, err
		}
		s.cluster.access.Port = port
		running, err := s.launch(ctx)
		if err == nil {
			return running, s.cluster.save()
		}
		last = err
	}
	return nil, errors.Join(last, ctx.Err())
}

// port is the one of last time if it is free, so that other programs find the server where it was; else any.
func (s *Server) port(ctx context.Context) (int, error) {
	listen := func(port int) (net.Listener, error) {
		return new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	}
	l, err := listen(s.cluster.access.Port)
	if err != nil {
		l, err = listen(0)
	}
	if err != nil {
		return 0, fmt.Errorf("find a port for PostgreSQL: %w", err)
	}
	address, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		panic("a TCP listener without a TCP address")
	}
	return address.Port, l.Close()
}

// launch starts the server on the chosen port and waits until it accepts connections.
func (s *Server) launch(ctx context.Context) (*child.Child, error) {
	args := append([]string{"-D", s.cluster.seen("data")}, settings(s.programs.major, s.cluster.access.Port, s.config.Volatile)...)
	spec := s.cluster.spec(s.programs.path("postgres"), args...)
	// "Fast": it ends its sessions and writes a checkpoint, so the next start has nothing to recover.
	spec.OnParentDeath = syscall.SIGINT
	ready := make(chan struct{})
	var once sync.Once
	spec.Line = func(line string) {
		s.log.Debug("postgres: " + line)
		if strings.Contains(line, "database system is ready to accept connections") {
			once.Do(func() { close(ready) })
		}
	}
	running, err := child.Start(spec)
	if err != nil {
		return nil, fmt.Errorf("%w (binaries of Maven Central need glibc)", err)
	}
	select {
	case <-ready:
		return running, nil
	case <-running.Done():
		return nil, fmt.Errorf("start PostgreSQL: it ended (%w): %s", orEnded(running.Err()), running.Tail())
	case <-s.clock.After(readyWithin):
		err = fmt.Errorf("it is not ready after %s: %s", readyWithin, running.Tail())
	case <-ctx.Done():
		err = ctx.Err()
	case <-s.stop:
		err = errClosed
	}
	return nil, fmt.Errorf("start PostgreSQL: %w", errors.Join(err, s.end(running)))
}

var errClosed = errors.New("it was closed")

func orEnded(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// pause waits; false if there is nothing left to wait for.
func (s *Server) pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-s.clock.After(d):
		return true
	case <-s.stop:
	case <-ctx.Done():
	}
	return false
}

// DSN is the address of our database, password included. It stays the same while the server lives, across its restarts.
func (s *Server) DSN() string { return s.dsn(role, database) }

func (s *Server) dsn(user, name string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(user, s.cluster.access.Password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.cluster.access.Port)), Path: "/" + name, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Version is that of the programs: 15.18.
func (s *Server) Version() string { return s.programs.version }

// Done is closed when the server has ended and is not started again.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err says why the server ended; nil after Close. It is valid after Done.
func (s *Server) Err() error { return s.err }

// Close stops the server and waits until it has ended: seconds at most. It may be called more than once.
func (s *Server) Close() error {
	s.stopped.Do(func() { close(s.stop) })
	<-s.done
	return s.err
}
