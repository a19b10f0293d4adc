package child

import (
	"bytes"
	"strings"
	"sync"
)

const (
	kept    = 20      // lines for Tail
	longest = 4 << 10 // bytes of a line; longer ones are cut into several
)

// output cuts what a program writes into lines. Write is called by one goroutine of os/exec.
type output struct {
	line func(string)
	mu   struct {
		sync.Mutex
		part []byte
		last []string
	}
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		text, after, whole := bytes.Cut(rest, []byte("\n"))
		if n := longest - o.pending(); len(text) > n {
			text, after, whole = rest[:n], rest[n:], true
		}
		o.add(text, whole)
		rest = after
	}
	return len(p), nil
}

func (o *output) pending() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.mu.part)
}

// add appends to the line that is being written and hands it on if it is whole.
func (o *output) add(text []byte, whole bool) {
	o.mu.Lock()
	o.mu.part = append(o.mu.part, text...)
	if !whole {
		o.mu.Unlock()
		return
	}
	line := strings.TrimRight(string(o.mu.part), "\r")
	o.mu.part = o.mu.part[:0]
	if o.mu.last = append(o.mu.last, line); len(o.mu.last) > kept {
		o.mu.last = o.mu.last[1:]
	}
	o.mu.Unlock()
	if o.line != nil { // outside of the lock: it may ask for the tail
		o.line(line)
	}
}

// finish hands on a last line that did not end.
func (o *output) finish() {
	if o.pending() > 0 {
		o.add(nil, true)
	}
}

func (o *output) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.mu.last, "\n")
}
