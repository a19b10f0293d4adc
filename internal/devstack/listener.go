package devstack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// steady is a listener whose Accept fails only once it is closed. The embedded servers end at the first failure, and a
// process that is short of file descriptors for a moment would lose them.
type steady struct {
	net.Listener
	clock stream.Clock
	log   *slog.Logger
}

const acceptAgain = 100 * time.Millisecond

// Accept implements net.Listener.
func (s *steady) Accept() (net.Conn, error) {
	for {
		conn, err := s.Listener.Accept()
		if err == nil || errors.Is(err, net.ErrClosed) {
			return conn, err
		}
		s.log.Warn("a connection to an embedded server was not accepted", "address", s.Addr().String(), "error", err)
		<-s.clock.After(acceptAgain)
	}
}

// listenKafka opens the broker's address. Nobody else may answer there: producers would feed the wrong broker and notice
// nothing. `localhost` is ::1 before it is 127.0.0.1 to many clients, so that side has to be free too.
func listenKafka(ctx context.Context, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, taken(address)
	}
	if err != nil {
		return nil, fmt.Errorf("listen for Kafka's clients: %w", err)
	}
	if other := otherLoopback(l.Addr()); other != "" && answers(ctx, other) {
		return nil, errors.Join(taken(other), l.Close())
	}
	return l, nil
}

func taken(address string) error {
	return fmt.Errorf("listen for Kafka's clients: another broker listens on %s: stop it or use --kafka-listen; "+
		"producers must never feed another broker by accident", address)
}

// otherLoopback is the same port on ::1 for an address on 127.0.0.1, and the other way round.
func otherLoopback(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	switch {
	case err == nil && host == "127.0.0.1":
		return net.JoinHostPort("::1", port)
	case err == nil && host == "::1":
		return net.JoinHostPort("127.0.0.1", port)
	}
	return ""
}

func answers(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	_ = conn.Close() // nothing was said
	return true
}
