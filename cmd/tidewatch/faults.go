//go:build faults

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/tidewatch/tidewatch/stream"
)

// Faults for `make crash`, compiled in by the build tag alone. Every call that the engine makes on the world is a point with
// a name; TIDEWATCH_FAULTS says what happens at the nth time that a point is reached:
//
//	TIDEWATCH_FAULTS="claim.after:17=kill; reveal.redis.before:3=kill; put.staged.before:5=error"
//
// kill is SIGKILL to the process itself, pause SIGSTOP, and error fails the call as if the server were away: before it was
// executed at NAME.before, after that at NAME.after, so that its answer is lost.

// fault is what happens at one hit of a point.
type fault struct {
	point string
	hit   int
	kind  string
}

// faults counts the hits of all points. Any goroutine may call it.
type faults struct {
	mu struct {
		sync.Mutex
		hits map[string]int
		due  []fault
	}
}

// planted is the process's own: what is wrapped is wrapped in many places.
var planted = sync.OnceValue(func() *faults {
	f := &faults{}
	f.mu.hits = map[string]int{}
	due, err := parseFaults(os.Getenv("TIDEWATCH_FAULTS"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "tidewatch: TIDEWATCH_FAULTS: "+err.Error())
		os.Exit(exitUsage)
	}
	f.mu.due = due
	return f
})

func parseFaults(text string) (all []fault, err error) {
	for part := range strings.SplitSeq(text, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		at, kind, ok := strings.Cut(part, "=")
		point, hit, both := strings.Cut(at, ":")
		n, err := strconv.Atoi(hit)
		if !ok || !both || err != nil || n < 1 || kind != "kill" && kind != "pause" && kind != "error" {
			return nil, fmt.Errorf("%q is not POINT:HIT=kill, pause or error", part)
		}
		all = append(all, fault{point, n, kind})
	}
	return all, nil
}

// reach is called where the point is; its error is the planted one.
func (f *faults) reach(point string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.hits[point]++
	for _, d := range f.mu.due {
		if d.point != point || d.hit != f.mu.hits[point] {
			continue
		}
		fmt.Fprintf(os.Stderr, "fault %s:%d=%s\n", d.point, d.hit, d.kind)
		switch d.kind {
		case "kill":
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // it is on its way
		case "pause":
			_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		default:
			return stream.Mark(stream.Retry, errors.New("planted fault at "+point))
		}
	}
	return nil
}

// around makes a call between its two points.
func around(name string, call func() error) error {
	_, err := giving(name, func() (struct{}, error) { return struct{}{}, call() })
	return err
}

// giving is around for calls with an answer, which is lost if the second point fails.
func giving[T any](name string, call func() (T, error)) (answer T, err error) {
	var none T
	if err := planted().reach(name + ".before"); err != nil {
		return none, err
	}
	answer, err = call()
	if err != nil {
		return answer, err
	}
	if err := planted().reach(name + ".after"); err != nil {
		return none, err
	}
	return answer, nil
}

// faultyWork is the work of a sink between two points; no work stays none.
func faultyWork(name string, w stream.Work) stream.Work {
	if w == nil {
		return nil
	}
	return func(ctx context.Context) (stream.Receipt, error) {
		return giving(name, func() (stream.Receipt, error) { return w(ctx) })
	}
}
