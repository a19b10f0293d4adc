package streamtest

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// watched is a test that may fail: it notes why.
type watched struct {
	testing.TB
	mu       sync.Mutex
	failures []string
	skipped  bool
}

func (w *watched) note(s string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures = append(w.failures, s)
}

func (w *watched) Helper()                      {}
func (w *watched) Log(...any)                   {}
func (w *watched) Logf(string, ...any)          {}
func (w *watched) Error(args ...any)            { w.note(fmt.Sprint(args...)) }
func (w *watched) Errorf(f string, args ...any) { w.note(fmt.Sprintf(f, args...)) }
func (w *watched) Fail()                        { w.note("failed") }

func (w *watched) FailNow() {
	w.Fail()
	runtime.Goexit()
}

func (w *watched) Fatal(args ...any) {
	w.note(fmt.Sprint(args...))
	runtime.Goexit()
}

func (w *watched) Fatalf(f string, args ...any) {
	w.note(fmt.Sprintf(f, args...))
	runtime.Goexit()
}

func (w *watched) Skip(...any) {
	w.skipped = true
	runtime.Goexit()
}

func (w *watched) Failed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.failures) > 0
}

// watch runs a part of a suite and returns how it failed; a panic is a failure too.
func watch(t *testing.T, run func(t testing.TB)) []string {
	t.Helper()
	w := &watched{TB: t}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				w.note(fmt.Sprint("panic: ", p))
			}
		}()
		run(w)
	})
	wg.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failures
}

// caught demands that the part of the suite which a fault is made for finds it.
func caught(t *testing.T, parts []part, by string) {
	t.Helper()
	var others []string
	for _, p := range parts {
		failures := watch(t, p.run)
		switch {
		case p.name == by && len(failures) > 0:
			t.Logf("%s: %.200s", p.name, strings.Join(failures, "\n"))
			return
		case len(failures) > 0:
			others = append(others, p.name)
		}
	}
	t.Fatalf("%q did not notice; these did: %q", by, others)
}
