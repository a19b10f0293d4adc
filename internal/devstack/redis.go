package devstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/tidewatch/tidewatch/stream"
)

// memory is the embedded Redis. It holds nothing after a restart: the engine refills it.
type memory struct {
	server   *miniredis.Miniredis
	listener net.Listener
	clock    stream.Clock
	cancel   context.CancelFunc
	wg       sync.WaitGroup
}

// startRedis serves on a free loopback port.
func startRedis(ctx context.Context, c Config) (*memory, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the embedded Redis: %w", err)
	}
	m := &memory{server: miniredis.NewMiniRedis(), listener: &steady{l, c.Clock, c.Log}, clock: c.Clock}
	// A server that is dialled before it is started has no listener of its own: it would end at the first failure of Accept.
	conn, err := m.server.Dial()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the embedded Redis: %w", err), l.Close())
	}
	_ = conn.Close() // a pipe on which nothing was said
	lasting, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	m.wg.Go(m.accept)
	m.wg.Go(func() { m.age(lasting) })
	return m, nil
}

func (m *memory) url() string { return "redis://" + m.listener.Addr().String() + "/0" }

func (m *memory) accept() {
	for {
		conn, err := m.listener.Accept()
		if err != nil {
			return
		}
		m.server.Server().ServeConn(conn)
	}
}

// age makes keys expire: time passes in this Redis only when it is told so.
func (m *memory) age(ctx context.Context) {
	for last := m.clock.Now(); ; {
		select {
		case <-m.clock.After(time.Second):
		case <-ctx.Done():
			return
		}
		now := m.clock.Now()
		if elapsed := now.Sub(last); elapsed > 0 { // the wall clock may have been set back
			m.server.FastForward(elapsed)
		}
		last = now
	}
}

func (m *memory) close() error {
	m.cancel()
	err := m.listener.Close()
	m.wg.Wait() // nobody is accepted any more
	m.server.Close()
	return err
}
