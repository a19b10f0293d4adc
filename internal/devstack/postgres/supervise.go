package postgres

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/tidewatch/tidewatch/internal/devstack/child"
)

// supervise keeps the server running until Close, or until it has died too often.
func (s *Server) supervise(running *child.Child) {
	defer close(s.done)
	var err error
	for deaths := 0; running != nil; deaths++ {
		began := s.clock.Now()
		select {
		case <-s.stop:
			err = s.end(running)
			running = nil
			continue
		case <-running.Done():
		}
		if s.clock.Now().Sub(began) >= healthyFor {
			deaths = 0
		}
		s.log.Warn("PostgreSQL ended and is started again", "error", orEnded(running.Err()), "output", running.Tail())
		running, err = s.again(deaths)
	}
	s.err = errors.Join(err, s.cluster.close())
}

// again starts the server after a death, with growing pauses. It answers nil without an error if Close was called.
func (s *Server) again(deaths int) (*child.Child, error) {
	var last error
	for ; deaths < attempts; deaths++ {
		if !s.pause(context.Background(), firstPause<<deaths) {
			return nil, nil //nolint:nilnil // nothing runs, and nothing should
		}
		running, err := s.launch(context.Background()) // Close ends it
		if err == nil {
			return running, nil
		}
		if errors.Is(err, errClosed) {
			return nil, nil //nolint:nilnil // as above
		}
		last = err
		s.log.Warn("PostgreSQL does not start", "error", err)
	}
	return nil, fmt.Errorf("run PostgreSQL: it died %d times within %s, the last lines are in the log: %w", deaths, healthyFor, orDied(last))
}

func orDied(err error) error {
	if err == nil {
		return errors.New("it starts and dies")
	}
	return err
}

// end stops the server: first in the way that leaves nothing to recover, then as in a crash.
func (s *Server) end(running *child.Child) error {
	steps := []struct {
		signal syscall.Signal
		within time.Duration
	}{{syscall.SIGINT, stopWithin}, {syscall.SIGQUIT, stopWithin / 2}, {syscall.SIGKILL, stopWithin / 2}}
	var errs []error
	for _, step := range steps {
		errs = append(errs, running.Signal(step.signal))
		select {
		case <-running.Done():
			return nil
		case <-s.clock.After(step.within):
		}
	}
	return errors.Join(append(errs, fmt.Errorf("stop PostgreSQL: process %d does not end", running.PID()))...)
}
