package postgres

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// lossy is a proxy before the server. When armed, it waits until the server has carried out the next statement, keeps what
// follows of the answer to itself and cuts the connection: the reply is lost, the commit is not.
type lossy struct {
	listener net.Listener
	server   string
	armed    atomic.Bool
	wg       sync.WaitGroup
	mu       struct {
		sync.Mutex
		open []net.Conn
	}
}

// throughProxy returns the DSN that leads through a new proxy.
func throughProxy(t testing.TB, dsn string) (*lossy, string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &lossy{listener: l, server: u.Host}
	p.wg.Go(p.accept)
	t.Cleanup(p.close)
	u.Host = l.Addr().String()
	q := u.Query()
	q.Set("sslmode", "disable")
	u.RawQuery = q.Encode()
	return p, u.String()
}

// close refuses further connections and cuts those that are open.
func (p *lossy) close() {
	p.listener.Close()
	p.mu.Lock()
	for _, c := range p.mu.open {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

func (p *lossy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.mu.open = append(p.mu.open, client, server)
		p.mu.Unlock()
		p.wg.Go(func() { _, _ = io.Copy(server, client); server.Close() })
		p.wg.Go(func() { p.answers(client, server); client.Close(); server.Close() })
	}
}

// answers passes messages of the server on: a type, a length, a body.
func (p *lossy) answers(client, server net.Conn) {
	swallow := false
	for {
		head := make([]byte, 5)
		if _, err := io.ReadFull(server, head); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(server, body); err != nil {
			return
		}
		const commandComplete, readyForQuery = 'C', 'Z'
		swallow = swallow || head[0] == commandComplete && p.armed.CompareAndSwap(true, false)
		if swallow && head[0] == readyForQuery {
			return
		}
		if !swallow {
			if _, err := client.Write(slices.Concat(head, body)); err != nil {
				return
			}
		}
	}
}
