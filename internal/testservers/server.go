package testservers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// startTimeout bounds one start: a cold Java start on a busy machine takes 20 s.
const startTimeout = 90 * time.Second

// Server is a running server with its port and folder. Its methods may be called from any goroutine.
type Server struct {
	name   string
	folder *folder
	ports  []*port
	spec   spec

	mu struct {
		sync.Mutex
		process *process // nil: stopped or killed
		closed  bool
	}
}

// spec is how one kind of server is run.
type spec struct {
	command func() *exec.Cmd            // a new command for each start
	ready   func(context.Context) error // nil once the server answers
	stop    syscall.Signal              // asks for an orderly end
	abandon syscall.Signal              // ends it at once, without harm to the machine
}

// allocate makes the folder and draws the ports of a new server, which is not started yet.
func allocate(ctx context.Context, name string, ports int) (*Server, error) {
	f, err := openFolder(name)
	if err != nil {
		return nil, err
	}
	s := &Server{name: name, folder: f}
	for range ports {
		p, err := drawPort(ctx)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.ports = append(s.ports, p)
	}
	return s, nil
}

// Start starts a server that is stopped, on the same port and folder, and returns when it answers. It is an error if it
// is running.
func (s *Server) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.mu.closed:
		return fmt.Errorf("start %s: it was closed", s.name)
	case s.mu.process != nil && !s.mu.process.ended():
		return fmt.Errorf("start %s: it is running", s.name)
	}
	p, err := s.launch()
	if err != nil {
		return err
	}
	s.mu.process = p
	if err := s.await(ctx, p); err != nil {
		return errors.Join(fmt.Errorf("start %s: %w\n%s", s.name, err, tail(s.Log())), p.signal(s.spec.abandon))
	}
	return nil
}

func (s *Server) launch() (*process, error) {
	log, err := os.OpenFile(s.Log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", s.name, err)
	}
	defer log.Close() // the child has its own
	cmd := s.spec.command()
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, s.folder.path
	return startProcess(cmd, s.spec.abandon)
}

// await asks until the server answers, it ends, or ctx is done.
func (s *Server) await(ctx context.Context, p *process) error {
	for {
		err := s.spec.ready(ctx)
		if p.ended() { // whatever answered was not ours
			return fmt.Errorf("it ended: %w", p.err)
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", err)
		case <-p.done:
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Stop asks the server to end and waits until it has. Stopping what does not run is no error.
func (s *Server) Stop() error { return s.end(s.spec.stop) }

// Kill ends the server and all its processes without notice (SIGKILL) and waits until it is gone.
func (s *Server) Kill() error { return s.end(syscall.SIGKILL) }

func (s *Server) end(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.endLocked(sig)
}

func (s *Server) endLocked(sig syscall.Signal) error {
	p := s.mu.process
	if p == nil {
		return nil
	}
	if err := p.end(sig); err != nil {
		return fmt.Errorf("stop %s: %w", s.name, err)
	}
	s.mu.process = nil
	return nil
}

// end sends the signal to the program; what it started follows it, or is killed too. A paused program is woken first, or
// it would never see the signal.
func (p *process) end(sig syscall.Signal) error {
	if sig == syscall.SIGKILL {
		return p.kill()
	}
	if err := p.signal(syscall.SIGCONT); err != nil {
		return err
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(30 * time.Second):
		return errors.Join(errors.New("it did not end within 30 s and was killed"), p.kill())
	}
}

// Restart stops the server if it runs and starts it again on the same port and folder.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Stop(); err != nil {
		return err
	}
	return s.Start(ctx)
}

// Pause freezes the server and all its processes (SIGSTOP): connections stay open and nothing answers. It returns when
// all of them stand still.
func (s *Server) Pause() error { return s.send(syscall.SIGSTOP) }

// Resume ends a pause.
func (s *Server) Resume() error { return s.send(syscall.SIGCONT) }

func (s *Server) send(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.process == nil {
		return fmt.Errorf("signal %s: it is not running", s.name)
	}
	return s.mu.process.signal(sig)
}

// Running reports whether the server's process is there. A paused one is.
func (s *Server) Running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.process != nil && !s.mu.process.ended()
}

// PID is the id of the server's process, 0 if it is not running.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.process == nil || s.mu.process.ended() {
		return 0
	}
	return s.mu.process.pid()
}

// Address is host:port.
func (s *Server) Address() string { return s.ports[0].address() }

// Folder holds everything that the server writes. It is removed by Close.
func (s *Server) Folder() string { return s.folder.path }

// Log is the file with the server's output of all its starts.
func (s *Server) Log() string { return s.folder.join("log") }

// Close ends the server at once, removes its folder and gives its ports back. Closing twice is no error.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return nil
	}
	s.mu.closed = true
	errs := []error{s.endLocked(s.spec.abandon), s.folder.remove()}
	for _, p := range s.ports {
		errs = append(errs, p.release())
	}
	return errors.Join(errs...)
}

// begin starts a new server and closes it again if that fails.
func begin(ctx context.Context, s *Server) error {
	if err := s.Start(ctx); err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}
