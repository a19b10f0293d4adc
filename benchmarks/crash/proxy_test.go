package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// counting answers each line with its number among all lines that it has seen.
func counting(t *testing.T) (address string, seen func() int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	lines := make(chan int, 1)
	lines <- 0
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for s := bufio.NewScanner(c); s.Scan(); {
					n := <-lines + 1
					lines <- n
					fmt.Fprintln(c, n)
				}
				fmt.Fprintln(c, "end")
			}()
		}
	}()
	return l.Addr().String(), func() int { n := <-lines; lines <- n; return n }
}

func TestProxy(t *testing.T) {
	server, seen := counting(t)
	p, err := newProxy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	p.lead(server)
	dial := func() (net.Conn, *bufio.Reader) {
		c, err := net.Dial("tcp", p.address())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c, bufio.NewReader(c)
	}
	ask := func(c net.Conn, r *bufio.Reader) (string, error) {
		if _, err := fmt.Fprintln(c, "x"); err != nil {
			return "", err
		}
		return r.ReadString('\n')
	}
	c, r := dial()
	if got, err := ask(c, r); got != "1\n" || err != nil {
		t.Fatalf("passing on: %q, %v", got, err)
	}
	p.half()
	if got, err := r.ReadString('\n'); got != "end\n" || err != nil {
		t.Errorf("the answer after the way there has ended: %q, %v", got, err)
	}
	c, r = dial()
	p.swallow(1)
	if got, err := ask(c, r); !errors.Is(err, io.EOF) || seen() != 2 {
		t.Errorf("a lost answer: %q, %v; the server has seen %d", got, err, seen())
	}
	c, r = dial()
	p.slow(50 * time.Millisecond)
	began := time.Now()
	if got, err := ask(c, r); got != "3\n" || err != nil || time.Since(began) < 100*time.Millisecond {
		t.Errorf("a slow answer: %q, %v after %v", got, err, time.Since(began))
	}
	p.slow(0)
	p.refuse(true)
	if got, err := ask(c, r); err == nil {
		t.Errorf("a cut connection answers %q", got)
	}
	c, r = dial()
	if got, err := ask(c, r); err == nil {
		t.Errorf("a refused connection answers %q", got)
	}
	p.refuse(false)
	c, r = dial()
	if got, err := ask(c, r); got != "4\n" || err != nil {
		t.Errorf("after all: %q, %v", got, err)
	}
}
