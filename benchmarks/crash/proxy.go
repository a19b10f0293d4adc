package main

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// proxy stands before a server and does what networks do. Its methods may be called from any goroutine.
type proxy struct {
	listener net.Listener
	wg       sync.WaitGroup
	mu       struct {
		sync.Mutex
		target  string
		open    map[*pair]bool
		refuse  bool
		delay   time.Duration // of requests and of answers
		swallow int           // answers that are lost from now on, each with its connection
	}
}

// pair is a connection of a client and that to the server.
type pair struct{ client, server *net.TCPConn }

func (c *pair) close() {
	_ = c.client.Close() // both may be closed already
	_ = c.server.Close()
}

// newProxy listens; lead says where to.
func newProxy(ctx context.Context) (*proxy, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a proxy: %w", err)
	}
	p := &proxy{listener: l}
	p.mu.open = map[*pair]bool{}
	p.wg.Go(func() { p.accept(ctx) })
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) lead(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.target = target
}

// close ends all connections.
func (p *proxy) close() {
	p.listener.Close()
	p.cut()
	p.wg.Wait()
}

// calm does nothing any more.
func (p *proxy) calm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.refuse, p.mu.delay, p.mu.swallow = false, 0, 0
}

// cut ends the connections that are open.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.mu.open {
		c.close()
	}
}

// half ends the way to the server of the connections that are open: answers still come.
func (p *proxy) half() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.mu.open {
		_ = c.server.CloseWrite() // it may be closed already
	}
}

// refuse cuts, and lets nobody in until it is told otherwise.
func (p *proxy) refuse(on bool) {
	p.mu.Lock()
	p.mu.refuse = on
	p.mu.Unlock()
	if on {
		p.cut()
	}
}

// slow delays each portion of requests, and of answers.
func (p *proxy) slow(delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.delay = delay
}

// swallow loses the next n answers: their requests were carried out, and the connection ends instead.
func (p *proxy) swallow(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.swallow = n
}

func (p *proxy) accept(ctx context.Context) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.join(ctx, client.(*net.TCPConn)) })
	}
}

// join connects a client to the server until one of them ends.
func (p *proxy) join(ctx context.Context, client *net.TCPConn) {
	defer func() { _ = client.Close() }()
	p.mu.Lock()
	target, refuse := p.mu.target, p.mu.refuse
	p.mu.Unlock()
	if refuse {
		return
	}
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", target)
	if err != nil {
		return
	}
	c := &pair{client, conn.(*net.TCPConn)}
	defer c.close()
	p.mu.Lock()
	p.mu.open[c] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.mu.open, c)
		p.mu.Unlock()
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.pass(c.server, c.client, false)
		_ = c.server.CloseWrite()
	}()
	p.pass(c.client, c.server, true)
	c.close()
	<-done
}

// pass brings what one side says to the other, until one of them ends. Answers may be lost.
func (p *proxy) pass(to, from *net.TCPConn, answers bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			p.mu.Lock()
			delay, lost := p.mu.delay, answers && p.mu.swallow > 0
			if lost {
				p.mu.swallow--
			}
			p.mu.Unlock()
			if lost {
				return
			}
			if delay > 0 {
				time.Sleep(delay)
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
