package testservers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// Ports are drawn below the range from which the kernel gives ports to outgoing connections, so that a server which is
// killed finds its port free when it is started again.
const (
	firstPort = 18000
	lastPort  = 32000
)

// port is a number that no other process using this package draws while the lock is held.
type port struct {
	number int
	lock   *os.File
}

func (p *port) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.number)) }

func (p *port) release() error { return p.lock.Close() }

// drawPort finds a port on which nothing listens.
func drawPort(ctx context.Context) (*port, error) {
	base, err := baseFolder()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(base, "ports")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of port locks: %w", err)
	}
	var last error
	for range 200 {
		number := firstPort + rand.IntN(lastPort-firstPort)
		lock, err := lockFile(filepath.Join(dir, strconv.Itoa(number)))
		if err != nil {
			last = err
			continue
		}
		p := &port{number: number, lock: lock}
		if last = p.probe(ctx); last == nil {
			return p, nil
		}
		last = errors.Join(last, lock.Close())
	}
	return nil, fmt.Errorf("find a free port between %d and %d: %w", firstPort, lastPort, last)
}

func (p *port) probe(ctx context.Context) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", p.address())
	if err != nil {
		return err
	}
	return l.Close()
}

// given are the ports that FreeAddress has given lately, so that no two are the same before somebody listens there.
var given struct {
	sync.Mutex
	ports map[int]bool
}

// FreeAddress is host:port of a port on which nothing listens, for a process that the caller is about to start. Neither outgoing
// connections nor the servers of this package get it meanwhile, and no later call of this process soon. Safe for concurrent use.
func FreeAddress(ctx context.Context) (string, error) {
	given.Lock()
	defer given.Unlock()
	if given.ports == nil || len(given.ports) > (lastPort-firstPort)/4 {
		given.ports = map[int]bool{}
	}
	for {
		p, err := drawPort(ctx)
		if err != nil {
			return "", err
		}
		if err := p.release(); err != nil {
			return "", fmt.Errorf("release the lock of a port: %w", err)
		}
		if !given.ports[p.number] {
			given.ports[p.number] = true
			return p.address(), nil
		}
	}
}
