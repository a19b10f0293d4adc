package testservers

import (
	"context"
	"errors"
	"sync"
)

// shared are the servers that the tests of this process use together. A package variable, against the rule: sharing within
// a process cannot be had otherwise, since go test gives tests nothing in common. Everything in it is guarded.
var shared struct {
	kafka    slot[*KafkaServer]
	postgres slot[*PostgresServer]
	s3       slot[*S3Server]
}

// sharable is what slot needs of a server.
type sharable interface {
	Running() bool
	Close() error
}

// slot holds one server while somebody uses it, or longer if asked to.
type slot[S sharable] struct {
	mu struct {
		sync.Mutex
		server S
		there  bool
		users  int
		kept   bool
	}
}

// borrow answers the running server and starts it if need be. Each borrow is followed by one giveBack, unless it failed.
func (s *slot[S]) borrow(ctx context.Context, start func(context.Context) (S, error)) (S, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.there && !s.mu.server.Running() { // it crashed, or a test killed what it should not
		if err := s.closeLocked(); err != nil {
			return s.mu.server, err
		}
	}
	if !s.mu.there {
		server, err := start(ctx)
		if err != nil {
			return server, err
		}
		s.mu.server, s.mu.there = server, true
	}
	s.mu.users++
	return s.mu.server, nil
}

func (s *slot[S]) giveBack() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.users--
	if s.mu.users > 0 || s.mu.kept {
		return nil
	}
	return s.closeLocked()
}

// keep decides whether the server stays when nobody uses it.
func (s *slot[S]) keep(kept bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.kept = kept
	if kept || s.mu.users > 0 {
		return nil
	}
	return s.closeLocked()
}

func (s *slot[S]) closeLocked() error {
	if !s.mu.there {
		return nil
	}
	s.mu.there = false
	return s.mu.server.Close()
}

func keepShared(kept bool) error {
	return errors.Join(shared.kafka.keep(kept), shared.postgres.keep(kept), shared.s3.keep(kept))
}
